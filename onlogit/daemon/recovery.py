"""State from the disk: the newest whole checkpoint, then every journal entry after it, applied once and in order.

An entry that breaks the fold, as nobody foresaw, is left out, and the replay begins anew; the caller says so, and puts it
aside. Where many do, it is this onlogit that does not understand the journal, and nothing is put aside.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.commands import obey
from onlogit.daemon.entries import BEGIN, EVENTS, OUTCOMES, SETTLE, batch_of, mark
from onlogit.daemon.fold import Fold
from onlogit.errors import ConfigError, DataError, OnlogitError, StateError
from onlogit.storage import Checkpoints
from onlogit.storage.journal import Entry, Journal, has_journal

JOURNAL = "journal"  # the name of the journal's position in a checkpoint
MOST_BROKEN = 16  # entries that are left out of one replay

Say = Callable[[str], None]
Broken = dict[int, BaseException | None]  # entries that are left out because they broke the fold, and how


class Replayed(NamedTuple):
    """What a replay ended in."""

    fold: Fold
    entries: int  # that were applied
    broken: Broken


def refuse_run(checkpoints: Checkpoints) -> None:
    """ConfigError where the folder holds the state of a run: to be asked before a journal is begun there."""
    if not has_journal(checkpoints.path.parent):
        kept = checkpoints.latest()
        if kept is not None and JOURNAL not in kept.positions:
            raise ConfigError(of_a_run(checkpoints))


def of_a_run(checkpoints: Checkpoints) -> str:
    return f"{checkpoints.path.parent} is the state of a run: name another folder (--state)"


def starts(checkpoints: Checkpoints, journal: Journal, say: Say) -> Iterator[Fold]:
    """Folds to begin from, newest first; at last an empty one. Damage is said, loudly."""
    try:
        for kept in checkpoints.kept():
            if kept.warning:
                say(kept.warning)
            if JOURNAL not in kept.positions:
                raise StateError(of_a_run(checkpoints))
            seq = kept.positions[JOURNAL]["seq"]
            where = f"{checkpoints.path}, checkpoint {kept.generation}"
            fold = Fold.of_state(kept.header, kept.arrays, int(seq), where)
            fold.begun = fold.begun or begun(journal)
            yield fold
    except StateError as error:
        if journal.first > 1 or not journal.last:
            raise
        say(f"{error}; replaying the journal from its beginning")
    yield Fold()


def begun(journal: Journal) -> str:
    """What a folder was begun with, by the first entry; "" where that is no longer kept."""
    return mark(next(journal.read(0, 1)).data) if journal.first == 1 and journal.last else ""


def recover(checkpoints: Checkpoints, journal: Journal, say: Say, until: int | None = None) -> Replayed:
    """The fold as it was after entry `until` (the last one by default).

    A StateError where neither a checkpoint nor the journal reaches back far enough.
    """

    def begin() -> tuple[Fold, Iterable[Entry]]:
        for fold in starts(checkpoints, journal, say):
            if until is None or fold.seq <= until:
                return fold, journal.read(fold.seq, until)
        raise StateError(f"{journal.path}: nothing kept reaches back to entry {until}")

    return replay(begin, say)


class BrokenEntry(Exception):
    """An entry broke the fold; how, is the cause."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"journal entry {seq} breaks the fold")
        self.seq = seq


def replay(begin: Callable[[], tuple[Fold, Iterable[Entry]]], say: Say) -> Replayed:
    """The fold that `begin()` gives, after the entries that it gives with it.

    What the fold refuses is said, once for all: no more should be refused than was as it came. SchemaError where the schema
    does not go with the settings, StateError where more than a few entries break the fold, or one of those that begin it.
    """
    broken: Broken = {}
    while True:
        fold, entries = begin()
        try:
            applied, refused = _apply_all(fold, (entry for entry in entries if entry.seq not in broken))
        except BrokenEntry as found:
            broken[found.seq] = found.__cause__
            if len(broken) > MOST_BROKEN:
                raise StateError(f"{found}, and so do {MOST_BROKEN} others: {found.__cause__!r}") from found
            continue
        if refused:
            seq, error = next(iter(refused.items()))
            say(
                f"{len(refused)} of {applied} journal entries refused and no part of the state, rightly where they were refused "
                f"as they came; the first, entry {seq}: {error}"
            )
        return Replayed(fold, applied, broken)


def apply(fold: Fold, entry: Entry) -> Any:
    """Apply one entry of the journal as it was read back; what is refused is passed over, as it was then: the error.

    A SchemaError is raised where settings, other than those of then, do not go with the schema.
    """
    if entry.kind in (EVENTS, OUTCOMES):
        try:
            batch = batch_of(entry)
        except (pa.ArrowException, OSError) as error:
            raise StateError(f"journal entry {entry.seq} cannot be read: {error}") from error
        try:
            return (fold.events if entry.kind == EVENTS else fold.outcomes)(entry.seq, batch, entry.now)
        except (DataError, ConfigError) as error:
            return error
    if entry.kind in (BEGIN, SETTLE):
        return (fold.begin if entry.kind == BEGIN else fold.settle)(entry.seq, entry.data)
    try:
        return obey(fold, entry.seq, entry.data)
    except ConfigError as error:
        return error


def _apply_all(fold: Fold, entries: Iterable[Entry]) -> tuple[int, dict[int, OnlogitError]]:
    """How many there were, and those that were refused. BrokenEntry, after which the fold is of no use."""
    applied, refused = 0, {}
    for entry in entries:
        try:
            result = apply(fold, entry)
        except (OnlogitError, MemoryError):
            raise
        except Exception as error:
            if entry.kind in (BEGIN, SETTLE):  # without which the rest means nothing
                raise StateError(f"journal entry {entry.seq} ({entry.kind}) cannot be followed: {error!r}") from error
            raise BrokenEntry(entry.seq) from error
        applied += 1
        if isinstance(result, OnlogitError):
            refused[entry.seq] = result
    return applied, refused
