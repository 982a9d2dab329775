"""What a competitor is given and what it answers: the whole protocol between bench/versus.py and bench/peers/.

A feed is a stream made ready in a folder: Arrow batches of features with an int8 column "label", and for each event the
*place* of its label: the label of event i may be learned once `place[i]` events were scored (i + 1: at once). A competitor
is a function that reads a feed in order, states a probability of each event before it has learned the event's label, and
answers with those probabilities and its own times. Each runs in a process of its own.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

LABEL = "label"
CLIP = 1e-6  # a stated 0 or 1 would cost an infinite loss when wrong: nobody's p is read as closer to them than this


class Limits(NamedTuple):
    """What keeps slow competitors within reason."""

    prefix: int = 10_000  # events for those that take them one by one in Python
    refit_rows: int = 150_000  # most events, the latest, for the batch model that is fitted anew along the stream
    refits: int = 40
    again: bool = False  # a later round: only the clock counts, the probabilities are known


class Feed(NamedTuple):
    """A stream made ready in `folder`, as bench/peers/feeds.py writes it."""

    folder: Path
    name: str
    rows: int
    numbers: list[str]
    categories: list[str]
    slot_bits: int
    delay: str  # in words
    by_time: bool  # labels come at the columns "label_time" against "time", which are no features

    @property
    def at_once(self) -> bool:
        return self.delay == "0"

    def place(self) -> I64:
        """int64[rows]: the label of event i may be learned once so many events were scored."""
        place: I64 = np.load(self.folder / "place.npy", mmap_mode="r")
        return place

    def y(self) -> I8:
        y: I8 = np.load(self.folder / "y.npy", mmap_mode="r")
        return y

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The record batches, in order, from an Arrow IPC stream."""
        with pa.OSFile(str(self.folder / "stream.arrows")) as file, pa.ipc.open_stream(file) as reader:
            yield from reader

    def table(self, rows: int) -> pa.Table:
        """The first `rows` events at once."""
        with pa.OSFile(str(self.folder / "stream.arrows")) as file, pa.ipc.open_stream(file) as reader:
            return reader.read_all().slice(0, rows)

    def write(self) -> None:
        (self.folder / "feed.json").write_text(json.dumps(self._asdict() | {"folder": None}))

    @classmethod
    def read(cls, folder: Path) -> "Feed":
        return cls(**json.loads((folder / "feed.json").read_text()) | {"folder": folder})


class Answer(NamedTuple):
    """What a competitor did with a feed. Times in seconds; None is "does not apply"."""

    p: F64 | None  # [m] stated of the events first .. first + m; None from a run for the clock alone
    events: int  # that were scored and learned within `seconds`
    seconds: float | None  # from the first Arrow batch to the last event learned
    score_seconds: float | None = None  # for scoring as many events again and learning nothing
    first: int = 0
    note: str = ""
    peak_mb: float | None = None  # where the process goes on to need more than the competitor did


class Skipped(Exception):
    """This competitor has no answer to this feed, or is not installed."""


Warm = Callable[[], None]  # says: imported, compiled and warm; the clock of start-up stops here
STEADY = 1_000_000  # events, or the whole stream, that a throw-away model takes after that: what is timed is a process
# that has been at work for a while, in memory that it has touched before (virtual machines take 10 to 30 us for a new page)


class Peer(NamedTuple):
    """One competitor."""

    name: str
    title: str
    family: str  # "onlogit", "vw", "sklearn", "river" or "plain": what --peers chooses by
    needs: str  # module that has to be installed
    run: Callable[[Feed, Limits, Warm], Answer]
    timed: bool = True  # its examples/s belong in the table, so that it runs in every round
    only_at_once: bool = False


class Watch:
    """Seconds between two points: `with Watch() as watch: ...`, then `watch.seconds`."""

    seconds = 0.0

    def __enter__(self) -> "Watch":
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start


def peak_mb() -> float:
    """The most memory this process ever held. Not ru_maxrss where avoidable: exec hands the parent's peak down in it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


def log_loss(y: npt.NDArray[Any], p: npt.NDArray[Any]) -> F64:
    """float64[n]: -log of the probability that was stated of what happened, p held within CLIP of 0 and 1."""
    p = np.clip(p, CLIP, 1.0 - CLIP)
    loss: F64 = -np.log(np.where(y == 1, p, 1.0 - p))
    return loss


def in_order_of_labels(place: I64) -> Iterator[tuple[int, list[int]]]:
    """For each event in turn: its number, and the events whose labels may be learned after it was scored."""
    order = np.argsort(place, kind="stable")
    known = np.searchsorted(place[order], np.arange(1, len(place) + 1), side="right")
    start = 0
    for event, end in enumerate(known.tolist()):
        yield event, order[start:end].tolist()
        start = end
