"""Entries that broke the fold while the daemon runs: put aside for good, and state built anew without them.

What a start does about those of before is in recovery.py.
"""

import logging
import threading

from onlogit.daemon.fold import Fold
from onlogit.daemon.recovery import Broken, recover
from onlogit.daemon.scribe import Scribe
from onlogit.daemon.settings import KeepSettings
from onlogit.daemon.work import Meters
from onlogit.errors import OnlogitError
from onlogit.storage import Checkpoints
from onlogit.storage.journal import Journal

log = logging.getLogger("onlogit.daemon")


def healed(keep: KeepSettings, scribe: Scribe, meters: Meters, seq: int, broken: Broken) -> Fold:
    """State after the entry `seq`, without those that broke the fold. For the fold thread, which has no other state then."""
    _put_aside(keep, scribe, meters, broken)
    checkpoints, journal = Checkpoints(keep.state, hold=False), Journal(keep.state)
    try:
        found = recover(checkpoints, journal, log.warning, until=seq)
    finally:
        checkpoints.close()
        journal.close()
    _put_aside(keep, scribe, meters, found.broken)
    return found.fold


def _put_aside(keep: KeepSettings, scribe: Scribe, meters: Meters, broken: Broken) -> None:
    """Have entries left out of every later reading; waits for the scribe, which alone may write the journal while its
    thread runs."""
    count(broken, meters)
    done = threading.Event()

    def skip_and_say(journal: Journal) -> None:
        try:
            skip(journal, broken)
        finally:
            done.set()

    if not broken:
        return
    scribe.call(skip_and_say)
    while not done.wait(0.05):
        if not scribe.thread.is_alive():  # stopping
            _skip_alone(keep, broken)
            return


def _skip_alone(keep: KeepSettings, broken: Broken) -> None:
    try:
        own = Journal(keep.state, keep.durability)
        try:
            skip(own, broken)
        finally:
            own.close()
    except OnlogitError as error:
        log.warning("%s", error)


def count(broken: Broken, meters: Meters) -> None:
    """Log and count entries that are put aside."""
    for seq, error in broken.items():
        log.error("journal entry %d broke the fold and is put aside", seq, exc_info=error)
    meters.broken += len(broken)


def skip(journal: Journal, broken: Broken) -> None:
    """Note in the journal that entries are left out, and why."""
    for seq, error in broken.items():
        journal.skip(seq, repr(error))
