"""From p to what is done: costs and tiers as stated, the decider, and what every threshold would have cost.

Imports nothing, so that the command line reads `costs.py` without NumPy.
"""
