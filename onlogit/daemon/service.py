"""The daemon without HTTP: opens the state folder, recovers, and runs the scribe, the fold and the keeper.

Any thread may use what is public here. An answer comes by a callback, in the thread that `delivery` says.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon import failpoints, healing
from onlogit.daemon.beginning import begin
from onlogit.daemon.clock import Clock
from onlogit.daemon.entries import SETTLE, shape_of
from onlogit.daemon.first_events import trial
from onlogit.daemon.fold import Fold
from onlogit.daemon.json_rows import RowReader
from onlogit.daemon.recovery import JOURNAL, Broken, recover, refuse_run
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.rehearsal import rehearse_all
from onlogit.daemon.scribe import Scribe
from onlogit.daemon.settings import Settings
from onlogit.daemon.work import SCORE, Delivery, Meters, Work
from onlogit.daemon.worker import Worker
from onlogit.errors import OnlogitError
from onlogit.schema import Schema
from onlogit.storage import Checkpoints
from onlogit.storage.checkpoints import KEEP
from onlogit.storage.journal import Journal, New

log = logging.getLogger("onlogit.daemon")

HISTORY = 3600  # points, one a second or less often
DAY = 86_400_000_000  # microseconds


class Service:
    """The state folder, held until `close`. ConfigError, StateError or OutputError where it cannot be opened.

    model: a model file as bytes, to begin a new folder with; a folder that was begun goes on with its own.
    """

    def __init__(self, settings: Settings, model: bytes | None = None) -> None:
        self.settings, self.meters = settings, Meters()
        self.delivery = Delivery()
        self.checkpoints = Checkpoints(settings.keep.state)
        self.journal: Journal | None = None
        try:
            refuse_run(self.checkpoints)
            self.journal = Journal(settings.keep.state, settings.keep.durability)
            self.clock = Clock(self.journal.latest)
            fold, self.replayed = self._opened(self.journal, model)
        except BaseException:
            self._release()
            raise
        self.worker = Worker(fold, settings.pace.slice_ms, self.delivery, self._heal, self.meters)
        self.scribe = Scribe(
            self.journal, self.clock, settings.pace.linger_ms, self.delivery, self.worker.file, self.meters
        )
        self.ready = threading.Event()  # kernels are compiled, threads run
        self.draining = threading.Event()
        self._saved = deque([0] * KEEP, maxlen=KEEP)  # journal positions of the checkpoints that are kept
        self._saved_at = fold.seq
        self._saving = threading.Lock()
        self._schema: Schema | None = None
        self._readers: dict[str, RowReader] = {}
        self.began = time.monotonic()
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)

    @property
    def checkpoint_seq(self) -> int:
        """The journal position of the last checkpoint."""
        return self._saved_at

    def _opened(self, journal: Journal, model: bytes | None) -> tuple[Fold, int]:
        """The fold of the folder, and how many entries were replayed for it."""
        fold, replayed, broken = recover(self.checkpoints, journal, log.warning)
        healing.count(broken, self.meters)
        healing.skip(journal, broken)
        journal.last = max(journal.last, fold.seq)  # a loss of power may have taken entries that a checkpoint knows
        begin(fold, journal, self.clock, self.settings, model)
        return fold, replayed

    # ---- lifecycle

    def start(self) -> None:
        """Rehearse, then run. `ready` is set once requests may come."""
        fold = self.worker.fold
        rehearse_all(fold.model.schema if fold.settled else None, fold.model.config, self.settings.challengers)
        self.worker.thread.start()
        self.scribe.thread.start()
        self.ready.set()

    def stop(self, deadline: float) -> bool:
        """Fold all that was accepted, make a checkpoint, let go; False where that took longer than until `deadline`,
        a monotonic time. Nothing acknowledged is lost either way."""
        self.ready.clear()
        whole = False
        if self.scribe.thread.is_alive():
            self.scribe.end()
            self.scribe.thread.join(max(deadline - time.monotonic(), 0.0))
        if self.worker.thread.is_alive() and not self.scribe.thread.is_alive():
            self.worker.end()
            self.worker.thread.join(max(deadline - time.monotonic(), 0.0))
            try:
                self.checkpoint(max(deadline - time.monotonic(), 0.0))
                whole = True
            except (OnlogitError, TimeoutError) as error:
                log.error("no checkpoint at the end (the journal has it all): %s", error)
        if not self.worker.thread.is_alive():
            self._release()
        return whole

    def _release(self) -> None:
        if self.journal is not None:
            self.journal.close()
        self.checkpoints.close()

    # ---- requests

    def submit(self, work: Work) -> None:
        """Take a request; its answer comes by `work.reply`. Refusal 503 while stopping, 429 where too much waits."""
        self.require_ready()
        if work.kind == SCORE:
            self.worker.score(work)
            return
        if self.meters.waiting + work.rows > self.settings.server.max_waiting:
            raise Refusal(429, f"{self.meters.waiting} rows wait to be learned already", ((b"retry-after", b"1"),))
        self.meters.accepted += work.rows
        self.scribe.write(work)

    def require_ready(self) -> None:
        """Refusal 503 before `start` is done, and after `stop` has begun."""
        if not self.ready.is_set():
            raise Refusal(503, "not ready: starting, or stopping", ((b"retry-after", b"1"),))

    def require_model(self) -> None:
        """Before there is a schema: Refusal 503 where the service is not ready, ConfigError where it is."""
        if not self.settled:
            self.require_ready()
            self.worker.fold.require_model()

    @property
    def settled(self) -> bool:
        return self.worker.fold.settled

    @property
    def schema(self) -> Schema:
        """By which rows are read: the same whoever is the champion."""
        if self._schema is None:
            self._schema = self.worker.fold.reading.schema
        return self._schema

    def reader(self, purpose: str) -> RowReader:
        """The reader of JSON rows. ConfigError before there is a schema."""
        if purpose not in self._readers:
            self._readers[purpose] = RowReader(self.schema, purpose)
        return self._readers[purpose]

    def settle(self, schema: pa.Schema) -> None:
        """Settle the schema before `start`, if it is not settled; SchemaError where it does not go with the roles."""
        if not self.settled:
            trial(self.worker.fold.model, schema)
            assert self.journal is not None
            data = shape_of(schema)
            self.worker.fold.settle(self.journal.append([New(SETTLE, self.clock(), data)]), data)

    # ---- state

    def ask(self, function: Callable[[Fold], Any], timeout: float | None = None) -> Any:
        """What `function(fold)` gives between two entries; waits for it. TimeoutError."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.worker.call(function, answer.put)
        try:
            result = answer.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("the fold is busy") from None
        if isinstance(result, Exception):
            raise result
        return result

    def checkpoint(self, timeout: float | None = None) -> int:
        """Keep the state as it is now; the journal position that it has. OutputError where it cannot be written."""
        with self._saving:
            header, arrays, seq = self.ask(lambda fold: _snapshot(fold), timeout)
            if header is None or seq == self._saved_at:
                return int(seq)
            failpoints.reach(failpoints.CHECKPOINT)
            self.checkpoints.save(header, arrays, {JOURNAL: {"seq": seq}})
            failpoints.reach(failpoints.CHECKPOINTED)
            self._saved.append(seq)
            self._saved_at = seq
        self.scribe.call(self._trim)
        return int(seq)

    def _trim(self, journal: Journal) -> None:
        """Let go of old entries, a few hundred at a time, as long as three checkpoints are newer."""
        keep = self.settings.keep
        oldest = self.clock() - int(keep.keep_days * DAY)
        if journal.trim(self._saved[0] + 1, oldest, keep.keep_bytes):
            self.scribe.call(self._trim)

    def _heal(self, seq: int, broken: Broken) -> Fold:
        """For the fold thread: see healing.py."""
        return healing.healed(self.settings.keep, self.scribe, self.meters, seq, broken)


def _snapshot(fold: Fold) -> tuple[dict[str, Any] | None, dict[str, Any], int]:
    if not fold.settled:
        return None, {}, fold.seq
    return fold.header(), fold.lend(), fold.seq
