"""State from the disk: the newest whole checkpoint, then every journal entry after it, applied once and in order."""

from collections.abc import Callable, Iterator

from onlogit.daemon.fold import Fold
from onlogit.errors import StateError
from onlogit.storage import Checkpoints
from onlogit.storage.journal import Journal

JOURNAL = "journal"  # the name of the journal's position in a checkpoint


def starts(checkpoints: Checkpoints, journal: Journal, say: Callable[[str], None]) -> Iterator[Fold]:
    """Folds to begin from, newest first; at last an empty one. Damage is said, loudly."""
    try:
        for kept in checkpoints.kept():
            if kept.warning:
                say(kept.warning)
            seq = kept.positions[JOURNAL]["seq"]
            yield Fold.of_state(kept.header, kept.arrays, int(seq), f"{checkpoints.path}, checkpoint {kept.generation}")
    except StateError as error:
        if journal.first > 1 or not journal.last:
            raise
        say(f"{error}; replaying the journal from its beginning")
    yield Fold()


def recover(
    checkpoints: Checkpoints, journal: Journal, say: Callable[[str], None], until: int | None = None
) -> tuple[Fold, int]:
    """The fold as it was after entry `until` (the last one by default), and how many entries were replayed.

    A StateError where neither a checkpoint nor the journal reaches back far enough.
    """
    for fold in starts(checkpoints, journal, say):
        if until is not None and fold.seq > until:
            continue
        before = fold.seq
        for entry in journal.read(fold.seq, until):
            fold.apply(entry)
        return fold, max(journal.last if until is None else min(until, journal.last), before) - before
    raise StateError(f"{journal.path}: nothing kept reaches back to entry {until}")
