"""Drives the fold: source -> step -> outputs, with positions and checkpoints.

One loop for a file and for a stream without end. A source is read ahead in a thread of its own, so that one that waits
holds up neither a signal nor a checkpoint. Where batches queue up, several are in work at a time (relay.py): the next one is
encoded while this one is learned and the one before it is judged. What comes of it is the same as one after the other, and
is written in order.

A checkpoint is made in this order: outputs are made durable, then the model's state and the positions of the source and
of every output are written in one transaction. A process killed at any instant is continued from its last checkpoint: the
source is read again from there, outputs are cut back to there, and what comes is the same to the byte, because a step is
a function of state and batch alone.
"""

import gc
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import NamedTuple

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit import heap
from onlogit.decisions.decider import Decider
from onlogit.errors import DataError, OnlogitError
from onlogit.model import OnlineLogit
from onlogit.monitor import Alarm
from onlogit.pipeline import Pipeline
from onlogit.records import Recorder
from onlogit.relay import Relay
from onlogit.states import under
from onlogit.steps import Step
from onlogit.storage import Checkpoints
from onlogit.storage.arrays import Array
from onlogit.streams import Position, Sink, Source
from onlogit.streams.ahead import ENDED, Ahead

REHEARSED = 32  # records that the throw-away model is shown
DECIDER = "decider."
Heed = Callable[[Step], None]
Look = Callable[[pa.RecordBatch], None]


def nothing(alarms: list[Alarm]) -> Step:
    """A step of no events."""
    none = np.empty(0)
    return Step(np.empty(0, np.int64), none, none, none, np.empty(0, np.int8), alarms)


class BrokenOff(DataError):
    """The source ended in the middle of a batch. All batches before it came whole, and were folded."""


@dataclass
class Output:
    """A sink and what goes there. Only a resumable one is cut back after a crash; a pipe is told some records again.

    The state of a decider is part of every checkpoint, as `DECIDER` and its own names.
    """

    sink: Sink
    record: Recorder
    resumable: bool = False
    decider: Decider | None = None


class Taken(NamedTuple):
    """A batch that was taken from the source, the position after it, and the step it is on; none of an empty one."""

    batch: pa.RecordBatch
    position: Position
    step: Future[Step] | None


class Stop:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once, by the system's default."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)

    @contextmanager
    def listening(self) -> Iterator["Stop"]:
        """Takes the two signals inside a `with`."""
        before = {each: signal.signal(each, self._ask) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class Runner:
    """One run of a model over a source. `seconds` are those spent after the first record was asked for.

    Errors: those of source, model and outputs; BrokenOff for an Arrow stream that ends in the middle.
    """

    def __init__(
        self,
        model: OnlineLogit,
        source: Source,
        outputs: dict[str, Output],
        *,
        checkpoints: Checkpoints | None = None,
        every: float = 10.0,
        stop: Callable[[], bool] = lambda: False,
        look: Look = lambda batch: None,
    ) -> None:
        self.model, self.source, self.outputs = model, source, outputs
        self.checkpoints, self.every, self.stop = checkpoints, every, stop
        self._look = look  # at the first batch, before its step
        self.positions: dict[str, Position] = {"source": {}}
        self._relay: Relay | None = None
        self._taken: deque[Taken] = deque()  # not told yet
        self.news = False  # something happened since the last checkpoint
        self.asleep = False  # the source never came back from its last read
        self.rehearsal = 0.0  # seconds spent on compiling or loading kernels
        self.began = self.ended = self._saved = 0.0  # time.perf_counter

    @property
    def seconds(self) -> float:
        """From the first record asked for to the last label learned, without the rehearsal."""
        return self.ended - self.began - self.rehearsal

    @property
    def elapsed(self) -> float:
        """The same, so far."""
        return time.perf_counter() - self.began - self.rehearsal

    def resume(self, positions: Mapping[str, Position], arrays: Mapping[str, Array]) -> None:
        """Continue where a checkpoint was made; outputs are cut back to there. The source has been sought already."""
        decided = under(arrays, DECIDER)
        self.positions["source"] = positions["source"]
        for name, output in self.outputs.items():
            if output.decider:
                output.decider.restore(decided)
            if output.resumable:
                output.sink.seek(positions.get(name, {}))

    def run(self, heed: Heed = lambda step: None, *, finish: bool = False) -> None:
        """Fold the source until it ends or `stop()` is true. `heed` is given every step, after its records are out.

        With `finish` the end of the source is the end of the stream: labels still sealed in records are learned.
        """
        heap.keep()
        self.began = self.ended = self._saved = time.perf_counter()
        ahead = Ahead(self.source)
        try:
            self._loop(ahead, heed)
        except BrokenOff:
            if finish:
                self._finish(heed)
            raise
        else:
            if finish:
                self._finish(heed)
        finally:
            if self._relay is not None:
                self._relay.close()
                self._relay = None
            self.ended = time.perf_counter()
            self.asleep = not ahead.close()

    def _loop(self, ahead: Ahead, heed: Heed) -> None:
        """Fold batch after batch. Where none follows at once, all is told, and state is whole for a checkpoint."""
        try:
            while self._taken or not self.stop():
                if not self._taken:
                    item = self._read(ahead)
                    if item == ENDED:
                        return
                    if not isinstance(item, str):
                        self._fold(*item)
                while self._may_go_on() and ahead.has_batch():
                    self._fold(*ahead.take())
                if self._taken:
                    self._tell(heed)
                if not self._taken and self._due():
                    self.checkpoint()
                    self._saved = time.perf_counter()
        finally:
            while self._taken:
                self._tell(heed)

    def _due(self) -> bool:
        return self.checkpoints is not None and time.perf_counter() - self._saved >= self.every

    def _may_go_on(self) -> bool:
        """Whether one more batch may be taken behind those that are not told yet: not where state has to become whole."""
        relay = self._relay
        if not self._taken or relay is None or len(self._taken) > relay.threads or self.stop() or self._due():
            return False
        return self.model.pipeline.can_encode_ahead

    def _read(self, ahead: Ahead) -> tuple[pa.RecordBatch, Position] | str:
        try:
            item = ahead.read()
        except DataError as error:
            if self.stop():  # a stream that was told to end may end anywhere
                return ENDED
            if getattr(self.source, "format", None) == "arrow":
                raise BrokenOff(str(error)) from error
            raise
        return ENDED if self.stop() else item

    def _fold(self, batch: pa.RecordBatch, position: Position) -> None:
        """Send one batch on its way."""
        step: Future[Step] | None = None
        if batch.num_rows:
            if self._relay is None:
                self._look(batch)
                self._rehearse(batch)
                self._relay = Relay(self.model.pipeline.parts)
            step = self._relay.take(batch)
        self._taken.append(Taken(batch, position, step))

    def _tell(self, heed: Heed) -> None:
        """Write what came of the first batch that is not told yet, once it is judged."""
        batch, position, step = self._taken.popleft()
        if step is not None:
            try:
                told = step.result()
                self._record(batch, told)
                heed(told)
            except BaseException:
                self._taken.clear()  # none is told behind one that could not be
                raise
        self.news = self.news or position != self.positions["source"]
        self.positions["source"] = position

    def _record(self, batch: pa.RecordBatch, step: Step) -> None:
        for output in self.outputs.values():
            record = output.record(batch, step)
            if record is not None:
                output.sink.write(record)

    def _rehearse(self, batch: pa.RecordBatch) -> None:
        """Compile or load every kernel on a throw-away model, so that no record waits for it."""
        begin = time.perf_counter()
        few = batch.slice(0, REHEARSED)
        self.model.begin(few.schema)
        collecting = gc.isenabled()
        gc.disable()  # compiling makes millions of objects, most of which stay
        try:
            with suppress(OnlogitError):  # a bad record is reported by the real step
                fold = Pipeline(self.model.schema, replace(self.model.config, slot_bits=8))
                fold.step(few, 0)
                fold.finish()
        finally:
            gc.freeze()  # to look through them would hold up the stream by a second
            if collecting:
                gc.enable()
        self.rehearsal = time.perf_counter() - begin

    def _finish(self, heed: Heed) -> None:
        """The last labels have no records of their own: their alarms come with a step of no events."""
        heed(nothing(self.model.finish()))

    def checkpoint(self) -> None:
        """Make outputs durable, then state and positions, in one transaction. Nothing where there is no news."""
        if self.checkpoints is None or not self.news:
            return
        state = self.model.state()
        for name, output in self.outputs.items():
            if output.resumable:
                self.positions[name] = output.sink.commit()
            if output.decider:
                state |= {DECIDER + key: array for key, array in output.decider.state().items()}
        self.checkpoints.save(self.model.header(), state, self.positions)
        self.news = False

    def close(self) -> None:
        """Finish every output; where one fails, the others are given up."""
        try:
            for output in self.outputs.values():
                output.sink.close()
        except BaseException:
            self.abort()
            raise
        self._release()

    def abort(self) -> None:
        """Give up: outputs written in one go leave no trace."""
        for output in self.outputs.values():
            output.sink.abort()
        self._release()

    def _release(self) -> None:
        if not self.asleep:
            self.source.close()


def score_stream(model: OnlineLogit, source: Source, sink: Sink, record: Recorder) -> int:
    """Write what `record` makes of every record of a source; the number of records. Changes nothing in the model.

    Only the columns that features are made of are looked at; label, key and columns that the model does not know are passed
    on. Batches are scored on all cores and written in their order.
    """
    read = model.schema.read
    heap.keep()
    cores = os.cpu_count() or 1
    count, ended = 0, False

    def state(batch: pa.RecordBatch) -> Step:
        return model.score(batch.select([name for name in batch.schema.names if name in read]))

    with ThreadPoolExecutor(cores, thread_name_prefix="onlogit scoring") as threads:
        begun: deque[tuple[pa.RecordBatch, Future[Step]]] = deque()
        while begun or not ended:
            while not ended and len(begun) < 2 * cores:
                item = source.read()
                ended = item is None
                if item is not None:
                    begun.append((item[0], threads.submit(state, item[0])))
            if begun:
                batch, step = begun.popleft()
                sink.write(record(batch, step.result()))
                count += batch.num_rows
    return count
