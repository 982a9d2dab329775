"""The long-running server: one process that scores, takes outcomes back, learns, watches, and survives a crash.

    HTTP thread -> scribe thread (journal, group commit) -> fold thread (the one writer of the model) -> HTTP thread

Score-only requests go from the HTTP thread to the fold thread and never wait for the disk.
"""
