"""`onlogit demo`: a year of flights through a live and a frozen model, and the page that tells of it.

`run.py` is what the command calls; `replay.py` drives both models, `daemon.py` is the live one over HTTP, `page.py` the words.
"""
