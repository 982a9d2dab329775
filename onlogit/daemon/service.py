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

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.config import Config
from onlogit.costs import DecisionConfig
from onlogit.daemon import arrow_rows, failpoints, json_rows
from onlogit.daemon.clock import Clock
from onlogit.daemon.entries import BEGIN, COMMAND, SETTLE, beginning, mark, meaning, shape_of
from onlogit.daemon.fold import Fold
from onlogit.daemon.json_rows import RowReader
from onlogit.daemon.recovery import JOURNAL, Broken, recover, refuse_run
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.rehearsal import rehearse
from onlogit.daemon.scribe import Scribe
from onlogit.daemon.settings import Settings
from onlogit.daemon.sources import overridden
from onlogit.daemon.work import SCORE, Delivery, Meters, Work
from onlogit.daemon.worker import Worker
from onlogit.decisions import watched
from onlogit.errors import ConfigError, OnlogitError
from onlogit.model import OnlineLogit
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
            self._price(fold, self.journal)
            self._challenge(fold, self.journal)
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
        self._trying = threading.Lock()  # one trial at a time: each has a model
        self._schema: Schema | None = None
        self._readers: dict[str, RowReader] = {}
        self.began = time.monotonic()
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)

    @property
    def checkpoint_seq(self) -> int:
        """The journal position of the last checkpoint."""
        return self._saved_at

    def _opened(self, journal: Journal, model: bytes | None) -> tuple[Fold, int]:
        fold, replayed, broken = recover(self.checkpoints, journal, log.warning)
        self._count_broken(broken)
        _skip(journal, broken)
        journal.last = max(journal.last, fold.seq)  # a loss of power may have taken entries that a checkpoint knows
        if not fold.seq:
            self._begin(fold, journal, model)
            return fold, 0
        if fold.begun:  # else its first entry went before checkpoints noted that
            self._check_same(fold.begun, model)
        return fold, replayed

    def _begin(self, fold: Fold, journal: Journal, model: bytes | None) -> None:
        """Journal with what this folder begins, and fold that as a replay would. A model file says nothing of `early`, which
        has an entry of its own then."""
        early = self.settings.keep.early
        data = model or beginning(self.settings.events.roles(), self.settings.model, early)
        new = [New(BEGIN, self.clock(), data)]
        if model:
            new.append(New(COMMAND, self.clock(), command("early", room=early)))
        journal.append(new)
        for entry in journal.read(0):
            fold.apply(entry)

    def _challenge(self, fold: Fold, journal: Journal) -> None:
        """Journal who challenges, where that is news; settings that name nobody leave those that are there."""
        told = list(self.settings.challengers)
        if not told or not fold.challengers.wanted(told):
            return
        if not fold.settled and any(each.get("frozen") for each in told):
            raise ConfigError(
                "a frozen challenger is a copy of the champion, which has learned nothing yet: begin with --model, or name "
                "the challenger at a later start"
            )
        data = command("challenge", models=told)
        fold.command(journal.append([New(COMMAND, self.clock(), data)]), data)

    def _price(self, fold: Fold, journal: Journal) -> None:
        """Journal at which thresholds and costs decisions are counted, where that is news; untold ones stay as they are."""
        if not self.settings.decisions:
            return
        at = watched(DecisionConfig.of(self.settings.decisions))
        if (fold.model.config.monitor.thresholds, fold.model.config.monitor.costs) != (at["thresholds"], at["costs"]):
            data = command("price", **at)
            fold.command(journal.append([New(COMMAND, self.clock(), data)]), data)

    def _check_same(self, begun: str, model: bytes | None) -> None:
        """Settings of a new model that a folder `begun` with others cannot follow are an error, not passed over."""
        data = model or beginning(self.settings.events.roles(), self.settings.model, self.settings.keep.early)
        untold = beginning(Settings().events.roles(), Settings().model, self.settings.keep.early)
        if data != untold and meaning(begun) != meaning(mark(data)):
            raise ConfigError(
                f"{self.settings.keep.state} was begun with another model, or other columns or settings of it: change "
                "the command back, or name another folder (--state)"
            )

    # ---- lifecycle

    def start(self) -> None:
        """Rehearse, then run. `ready` is set once requests may come."""
        fold = self.worker.fold
        self._rehearse(fold.model.schema if fold.settled else None, fold.model.config)
        self.worker.thread.start()
        self.scribe.thread.start()
        self.ready.set()

    def _rehearse(self, schema: Schema | None, config: Config) -> None:
        """Compile what the champion needs, and the challengers."""
        rehearse(schema, config)
        for each in self.settings.challengers:
            if each.get("settings"):
                rehearse(schema, overridden(config, each["settings"]))

    def stop(self, deadline: float) -> bool:
        """Fold all that was accepted, make a checkpoint, let go; False where that took longer than until `deadline`,
        a monotonic time. Nothing acknowledged is lost either way."""
        self.ready.clear()
        whole = False
        if self.scribe.thread.is_alive():
            self.scribe.end()
            self.scribe.thread.join(max(deadline - time.monotonic(), 0.0))
        if self.worker.thread.is_alive() and not self.scribe.thread.is_alive():
            try:
                self.checkpoint(max(deadline - time.monotonic(), 0.0))
                whole = True
            except (OnlogitError, TimeoutError) as error:
                log.error("no checkpoint at the end (the journal has it all): %s", error)
            self.worker.end()
            self.worker.thread.join(max(deadline - time.monotonic(), 0.0))
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
            self._trial(schema)
            assert self.journal is not None
            data = shape_of(schema)
            self.worker.fold.settle(self.journal.append([New(SETTLE, self.clock(), data)]), data)

    def opening(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, bytes]:
        """The first events as the journal keeps them, and the schema that they settle there; a label that is not there yet
        is one of nulls. Compiles what they need, and changes nothing: a DataError where they could not be folded."""
        label = self.worker.fold.model.roles.get("label")
        batch = arrow_rows.standing_alone(batch)
        schema = batch.schema
        if label and label not in schema.names:
            schema = schema.append(pa.field(label, pa.null()))
        with self._trying:
            trial = self._trial(schema)
            rows = arrow_rows.fitted(batch, trial.schema, "events")
            trial.pipeline.encoder.check(rows, 0, None)
            self._rehearse(trial.schema, trial.config)
        return rows, shape_of(schema)

    def opening_rows(self, body: bytes, lines: bool) -> tuple[pa.RecordBatch, bytes]:
        """The same of a JSON body."""
        rows, _ = json_rows.decode(body, lines, json_rows.PLAIN_ONE, json_rows.PLAIN_MANY)
        label, most = self.worker.fold.model.roles.get("label"), self.settings.server.max_columns
        return self.opening(json_rows.settle(rows, label, most))

    def _trial(self, schema: pa.Schema) -> OnlineLogit:
        """A model like the one that this schema would settle."""
        model = self.worker.fold.model
        trial = OnlineLogit(**model.roles, config=model.config)
        trial.begin(schema)
        return trial

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
        """State after the entry `seq`, without those that broke the fold, which are put aside. In the fold thread."""
        self._put_aside(broken)
        checkpoints, journal = Checkpoints(self.settings.keep.state, hold=False), Journal(self.settings.keep.state)
        try:
            found = recover(checkpoints, journal, log.warning, until=seq)
        finally:
            checkpoints.close()
            journal.close()
        self._put_aside(found.broken)
        return found.fold

    def _put_aside(self, broken: Broken) -> None:
        """Have entries left out of every later reading; waits for the scribe, which alone may write the journal while its
        thread runs."""
        self._count_broken(broken)
        done = threading.Event()

        def skip(journal: Journal) -> None:
            try:
                _skip(journal, broken)
            finally:
                done.set()

        if not broken:
            return
        self.scribe.call(skip)
        while not done.wait(0.05):
            if not self.scribe.thread.is_alive():  # stopping
                self._skip_alone(skip)
                return

    def _skip_alone(self, skip: Callable[[Journal], None]) -> None:
        try:
            own = Journal(self.settings.keep.state, self.settings.keep.durability)
            try:
                skip(own)
            finally:
                own.close()
        except OnlogitError as error:
            log.warning("%s", error)

    def _count_broken(self, broken: Broken) -> None:
        for seq, error in broken.items():
            log.error("journal entry %d broke the fold and is put aside", seq, exc_info=error)
        self.meters.broken += len(broken)


def _skip(journal: Journal, broken: Broken) -> None:
    for seq, error in broken.items():
        journal.skip(seq, repr(error))


def _snapshot(fold: Fold) -> tuple[dict[str, Any] | None, dict[str, Any], int]:
    if not fold.settled:
        return None, {}, fold.seq
    return fold.header(), fold.lend(), fold.seq


def command(name: str, **told: Any) -> bytes:
    """The data of a command's entry."""
    return msgspec.json.encode({"command": name, **told})
