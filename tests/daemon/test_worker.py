"""How much the fold thread takes at a time: as much as leaves scores waiting no longer than they may."""

import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.daemon import worker
from onlogit.daemon.entries import EVENTS, Stated
from onlogit.daemon.service import Service
from onlogit.daemon.settings import EventSettings, KeepSettings, Settings
from onlogit.daemon.work import SCORE, Filed, Meters, Work
from onlogit.daemon.worker import LEAST, MOST, Worker
from onlogit.errors import OutputError


def test_rows_that_wait_are_counted_right_by_three_threads(tmp_path: Path) -> None:
    """One accepts, one refuses what cannot be kept, one answers; they take turns as often as they can."""
    service = Service(Settings(keep=KeepSettings(state=str(tmp_path)), events=EventSettings(label="y")))
    service.ready.set()  # its threads are the ones below
    work = Work(EVENTS, lambda result: None, 1)
    filed = Filed(2, EVENTS, 0, None, b"", [(work, 0, 1)], lambda works: True)
    turns, before = 30_000, sys.getswitchinterval()
    accept, answer = partial(service.submit, work), partial(service.worker._answer, filed, None)
    refuse = partial(service.scribe._refuse, [work], OutputError("full"))

    def take_turns(*steps: Callable[[], None]) -> None:
        for _ in range(turns):
            for step in steps:
                step()

    threads = [threading.Thread(target=take_turns, args=own) for own in ((accept, accept), (refuse,), (answer,))]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert service.meters.waiting == 0
    service.stop(0.0)


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
        one.file(Filed(seq, EVENTS, 0, batch, b"", [], lambda works: True))
        one._take(block=False)
        one._fold_next()
        sizes.append(max(fold.slices))
    assert sizes[0] == LEAST
    assert wanted / worker.GROWS <= max(sizes[30:]) <= wanted * worker.GROWS < MOST


def test_a_call_that_comes_in_a_pause_is_answered_after_the_entry() -> None:
    """Also where nothing else comes."""
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()
    fold = SlowFold(Clock())
    one = Worker(fold, 2.0, lambda done: None, lambda seq, error: fold, Meters())  # type: ignore[arg-type,return-value]
    pause = one._pause

    def call_and_pause() -> None:
        one.call(lambda fold: 7, answers.put)
        pause()

    one._pause = call_and_pause  # type: ignore[method-assign]
    one.thread.start()
    one.file(Filed(2, EVENTS, 0, pa.record_batch({"x": [1.0]}), b"", [], lambda works: True))
    assert answers.get(timeout=20) == 7
    one.end()
    one.thread.join(20)
