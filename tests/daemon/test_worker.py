"""How much the fold thread takes at a time: as much as leaves scores waiting no longer than they may."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.daemon import worker
from onlogit.daemon.entries import EVENTS, Stated
from onlogit.daemon.work import SCORE, Filed, Meters, Work
from onlogit.daemon.worker import LEAST, MOST, Worker


class Clock:
    """Time as the fold below spends it."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


class SlowFold:
    """Takes a microsecond a row, and stops between slices."""

    settled, by_journal_time = True, False
    ledger = SimpleNamespace(early={})

    def __init__(self, clock: Clock) -> None:
        self.clock, self.slices = clock, [0]

    def events(self, seq: int, batch: pa.RecordBatch, now: int, pause: Any, most: int) -> Stated:
        self.slices = [min(most, batch.num_rows - start) for start in range(0, batch.num_rows, most)]
        for rows in self.slices:
            self.clock.now += rows * 1e-6
            pause()
        none = np.zeros(0)
        return Stated(none.astype(np.int64), none, none, none, none.astype(np.bool_))


@pytest.mark.parametrize(("asked", "wanted"), [(False, 8_000), (True, 2_000)])
def test_slices_are_as_long_as_they_may_be(monkeypatch: pytest.MonkeyPatch, asked: bool, wanted: int) -> None:
    """2 ms a part where scores are asked for, four times that where none is."""
    clock = Clock()
    monkeypatch.setattr(worker, "time", clock)
    monkeypatch.setattr(worker, "score_all", lambda fold, works: [(work, None) for work in works])
    fold = SlowFold(clock)
    one = Worker(fold, 2.0, lambda done: None, lambda seq, error: fold, Meters())  # type: ignore[arg-type,return-value]
    batch = pa.record_batch({"x": np.zeros(40_000)})
    sizes = []
    for seq in range(60):
        if asked:
            one.score_now([Work(SCORE, lambda result: None, 1)])
        one.file(Filed(seq, EVENTS, 0, batch, b"", [], lambda works: None))
        one._take(block=False)
        one._fold_next()
        sizes.append(max(fold.slices))
    assert sizes[0] == LEAST
    assert wanted / worker.GROWS <= max(sizes[30:]) <= wanted * worker.GROWS < MOST
