"""The fold thread: the one that reads and writes the model.

It takes what has gathered since it last looked: scores first, all in one tile; then journal entries in their order,
those side by side merged while they are small. Learning goes in slices, and a slice in parts, between which waiting scores
are answered; slices are as large as makes the longest part take `slice_ms`, or four times that while nobody asks for scores.
What is folded depends on the journal alone, not on how it was cut or merged here.

While it does nothing, the HTTP thread scores small requests itself: a lock says who uses the models.
"""

import logging
import math
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon import failpoints
from onlogit.daemon.commands import obey
from onlogit.daemon.entries import COMMAND, EVENTS, SETTLE, Stated, Taken
from onlogit.daemon.fold import Fold
from onlogit.daemon.recovery import Broken
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.scores import score_all
from onlogit.daemon.work import MERGED, Done, Filed, Meters, Post, Work
from onlogit.errors import ConfigError, DataError, OnlogitError

log = logging.getLogger("onlogit.daemon")

LEAST, MOST = 1_024, 65_536  # rows of a slice: fewer cost what their calls cost
GROWS = 1.25  # the next slice over the one before, where its parts took less time than they may
QUIET, RELAXED = 1.0, 4.0  # seconds without a score, after which parts may take as many times as long
NICE = 5  # gives way to the thread that answers, where both want one core
MARKS = 1_024  # moments that are remembered, to tell how late labels are


class Worker:
    """The thread and its inbox. `post` hands answers to the HTTP thread; `heal(seq, broken)` gives the fold as it is after
    the entry `seq`, without entries that broke it, which are put aside for good."""

    def __init__(
        self, fold: Fold, slice_ms: float, post: Post, heal: Callable[[int, Broken], Fold], meters: Meters
    ) -> None:
        self.fold, self.meters = fold, meters
        self._slice = slice_ms / 1e3
        self._post, self._heal = post, heal
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._scores: list[Work] = []
        self._filed: deque[Filed] = deque()
        self._calls: list[tuple[Callable[[Fold], Any], Callable[[Any], object]]] = []
        self._most = LEAST
        self._paused, self._longest = 0.0, 0.0  # when scores were let in last, and the longest time between
        self._asked = -math.inf  # when scores were asked for last
        self._marks: list[tuple[int, float]] = []  # (last event, monotonic time), the older the fewer
        self._ended = False  # ends once all is done that was given before
        self._gone = False  # has ended
        self._leaving = threading.Lock()  # held where that is settled
        self._using = threading.Lock()  # held by who looks at the models or changes them
        self.thread = threading.Thread(target=self._run, name="onlogit fold", daemon=True)

    # ---- for other threads

    def score(self, work: Work) -> None:
        self._inbox.put(work)

    def file(self, filed: Filed) -> None:
        self._inbox.put(filed)

    def call(self, function: Callable[[Fold], Any], reply: Callable[[Any], object]) -> None:
        """Have `function(fold)` done between two entries; `reply`, called in the fold thread, gets result or exception. Both are
        done in this thread once that has ended."""
        with self._leaving:
            if not self._gone:
                self._inbox.put((function, reply))
                return
        with self._using:
            self._answer_call(function, reply)

    def end(self) -> None:
        """End the thread once all that was given before is done."""
        self._inbox.put(None)

    # ---- the thread

    def _run(self) -> None:
        if sys.platform == "linux":  # where that is about the thread alone
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            self._take(block=not self._filed and not self._calls)  # calls may have come in a pause
            with self._using:
                self._answer_scores()
                self._answer_calls()
                if self._filed:
                    self._fold_next()
                elif self._ended and self._leaves():
                    return

    def _leaves(self) -> bool:
        """Whether nothing has come that is still to be done; no call goes to this thread then."""
        with self._leaving:
            self._take(block=False)
            self._gone = not (self._scores or self._filed or self._calls)
            return self._gone

    def _answer_calls(self) -> None:
        for function, reply in self._calls:
            self._answer_call(function, reply)
        self._calls.clear()

    def _answer_call(self, function: Callable[[Fold], Any], reply: Callable[[Any], object]) -> None:
        try:
            reply(function(self.fold))
        except Exception as error:
            reply(error)

    def _take(self, block: bool) -> None:
        inbox = self._inbox
        try:
            item = inbox.get() if block and not self._ended else inbox.get_nowait()
            while True:
                if isinstance(item, Work):
                    self._scores.append(item)
                elif isinstance(item, Filed):
                    self._filed.append(item)
                elif item is None:
                    self._ended = True
                else:
                    self._calls.append(item)
                item = inbox.get_nowait()
        except queue.Empty:
            pass

    def _pause(self) -> None:
        """Between two parts: answer the scores that wait."""
        self._longest = max(self._longest, time.perf_counter() - self._paused)
        self._take(block=False)
        self._answer_scores()
        self._paused = time.perf_counter()

    # ---- scores

    def score_now(self, works: Sequence[Work]) -> Done | None:
        """Scores at once, in the thread that asks; None where the fold is at work."""
        if not self._using.acquire(blocking=False):
            return None
        try:
            return self._scored(works)
        finally:
            self._using.release()

    def _scored(self, works: Sequence[Work]) -> Done:
        self._asked = time.perf_counter()
        done = score_all(self.fold, works)
        self.meters.scored += sum(work.rows for work, result in done if not isinstance(result, Exception))
        return done

    def _answer_scores(self) -> None:
        if self._scores:
            scores, self._scores = self._scores, []
            self._post(self._scored(scores))

    # ---- entries

    def _fold_next(self) -> None:
        first = self._filed.popleft()
        group = [first]
        if first.kind == EVENTS and first.batch is not None and self._may_merge:
            rows = first.batch.num_rows
            while self._filed and self._fits(first, self._filed[0], rows):
                group.append(self._filed.popleft())
                rows += group[-1].batch.num_rows  # type: ignore[union-attr]
        self._paused, self._longest = time.perf_counter(), 0.0
        failpoints.reach(failpoints.FOLD)
        if len(group) == 1 or not self._fold_together(group):
            for filed in group:
                self._fold_one(filed)
        failpoints.reach(failpoints.FOLDED)
        rows = sum(filed.batch.num_rows for filed in group if filed.batch is not None)
        if 2 * rows >= self._most:  # else it says little of as many
            now = time.perf_counter()
            longest = max(self._longest, now - self._paused)
            allowed = self._slice * (RELAXED if now - self._asked > QUIET else 1.0)
            wanted = int(self._most * (GROWS if longest < allowed else 1.0 / GROWS))
            self._most = min(max(wanted, LEAST), MOST)

    @property
    def _may_merge(self) -> bool:
        """Whether entries one after the other are as good as one: not where outcomes wait for an entry to end."""
        return self.fold.settled and not self.fold.ledger.early and not self.fold.by_journal_time

    def _fits(self, first: Filed, other: Filed, rows: int) -> bool:
        return (
            other.kind == EVENTS
            and rows + other.batch.num_rows <= min(self._most, MERGED)  # type: ignore[union-attr]
            and other.batch.schema.equals(first.batch.schema)  # type: ignore[union-attr]
        )

    def _fold_together(self, group: list[Filed]) -> bool:
        """Fold entries as one batch; False, with nothing changed, where that is not the same as one by one."""
        batch = pa.concat_batches([filed.batch for filed in group])
        last = group[-1]
        try:
            if not self.fold.are_new(self.fold.keys(batch)):
                return False
            stated = self.fold.events(last.seq, batch, last.now, self._pause, self._most)
        except OnlogitError:
            return False
        except Exception as error:
            log.error("journal entries %d to %d, folded as one, broke the fold", group[0].seq, last.seq, exc_info=error)
            self.fold = self._heal(group[0].seq - 1, {})
            return False
        self._mark(stated)
        start = 0
        for filed in group:
            stop = start + filed.batch.num_rows  # type: ignore[union-attr]
            self._answer(filed, stated.part(start, stop))
            start = stop
        return True

    def _fold_one(self, filed: Filed) -> None:
        try:
            result: Any = None
            if filed.kind == SETTLE:
                self.fold.settle(filed.seq, filed.data)
            elif filed.kind == COMMAND:
                result = obey(self.fold, filed.seq, filed.data)
            else:
                fold = self.fold.events if filed.kind == EVENTS else self.fold.outcomes
                result = fold(filed.seq, filed.batch, filed.now, self._pause, self._most)
        except (DataError, ConfigError) as error:
            self._refuse(filed, error)
        except Exception as error:
            self._break(filed, error)
        else:
            if isinstance(result, Stated):
                self._mark(result)
            elif isinstance(result, Taken):
                self._measure_lag(result)
            self._answer(filed, result)

    def _answer(self, filed: Filed, result: Any) -> None:
        failpoints.reach(failpoints.ANSWER)
        self.meters.answered += sum(work.rows for work, _, _ in filed.parts)
        whole = len(filed.parts) == 1
        self._post(
            [(work, (filed.seq, result if whole else result.part(start, stop))) for work, start, stop in filed.parts]
        )

    def _refuse(self, filed: Filed, error: Exception) -> None:
        """The entry changed nothing. Requests that shared it are tried again, each by itself; where the daemon stops, which
        of them was wrong is not told any more."""
        works = [work for work, _, _ in filed.parts]
        if len(works) > 1:
            if filed.redo(works):
                return
            error = Refusal(503, "stopping, and nothing of this is kept: send it again")
        self.meters.answered += sum(work.rows for work in works)
        self._post([(work, error) for work in works])

    def _break(self, filed: Filed, error: Exception) -> None:
        """Something that nobody foresaw: the entry is put aside for good, and state is built anew without it."""
        self.fold = self._heal(filed.seq, {filed.seq: error})
        self._refuse(filed, Refusal(500, f"this broke the fold, and is not part of it: {error!r}"))

    # ---- how late labels are

    def _mark(self, stated: Stated) -> None:
        now = time.monotonic()
        if len(stated.event) and (not self._marks or now - self._marks[-1][1] >= 0.1):
            if len(self._marks) >= MARKS:
                del self._marks[: MARKS // 2 : 2]
            self._marks.append((int(stated.event[-1]), now))

    def _measure_lag(self, taken: Taken) -> None:
        event = taken.event[taken.event >= 0]
        if not len(event) or not self._marks:
            return
        self.meters.lag_events = float(np.mean(self.fold.model.counts.events - event))
        middle = float(np.median(event))
        marks = self._marks
        low, high = 0, len(marks) - 1
        while low < high:
            at = (low + high) // 2
            low, high = (at + 1, high) if marks[at][0] < middle else (low, at)
        self.meters.lag_seconds = time.monotonic() - marks[low][1]
