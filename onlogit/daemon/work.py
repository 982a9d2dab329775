"""What goes between the threads: requests, journal entries with the requests that they hold, and counts."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.json_rows import Decoded, RowReader

MERGED = 4_096  # rows up to which entries or scores are merged
SCORE = "score"  # the kind of a request that changes nothing; others are kinds of journal entries


@dataclass(slots=True, eq=False)
class Work:
    """One request: its rows as the reader decoded them or as a batch, and where its answer goes."""

    kind: str  # "score", EVENTS, OUTCOMES or COMMAND
    reply: Callable[[Any], None]  # called in the HTTP thread, with a result or an exception
    rows: int = 0
    decoded: Decoded | None = None  # by `reader`
    reader: RowReader | None = None
    batch: pa.RecordBatch | None = None
    data: bytes = b""  # of a command
    settles: bytes = b""  # the schema of these first events, for an entry before theirs
    model: str = ""  # that is asked for a score; "" for the champion
    alone: bool = False  # was refused together with others: to be tried again by itself


@dataclass(slots=True, eq=False)
class Filed:
    """A journal entry that is kept and has to be folded; which rows belong to which request."""

    seq: int
    kind: str
    now: int
    batch: pa.RecordBatch | None
    data: bytes
    parts: list[tuple[Work, int, int]]
    redo: Callable[[list[Work]], bool]  # hands requests back, each for an entry of its own; False where it is too late


@dataclass(slots=True)
class Meters:
    """What the threads count for metrics and the page; plain numbers, each written by one thread at a time."""

    scored: int = 0
    accepted: int = 0  # rows to be journalled and folded, by the thread that takes requests
    unkept: int = 0  # of which the scribe refused
    answered: int = 0  # of which the fold is done with
    broken: int = 0  # entries that were put aside because they broke the fold
    lag_events: float = 0.0  # mean lag of the last outcomes
    lag_seconds: float = float("nan")

    @property
    def waiting(self) -> int:
        """Rows accepted and not yet folded; never fewer than there are."""
        done = self.unkept + self.answered  # first: what is done was accepted before
        return self.accepted - done


Done = list[tuple[Work, Any]]  # requests with their results or exceptions
Post = Callable[[Done], None]


class Delivery:
    """Hands answers over: in the thread of `loop`, which the HTTP server names; without one, in the thread that has them."""

    loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, done: Done) -> None:
        if self.loop is None:
            reply_all(done)
            return
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(reply_all, done)


def reply_all(done: Done) -> None:
    """Answer in this thread."""
    for work, result in done:
        work.reply(result)


def spans(works: Sequence[Work]) -> list[tuple[Work, int, int]]:
    """Where the rows of each request begin and end once they are put one after the other."""
    found, start = [], 0
    for work in works:
        found.append((work, start, start + work.rows))
        start += work.rows
    return found
