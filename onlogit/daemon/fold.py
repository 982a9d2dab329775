"""The daemon's fold: journal entries in, answers out; state is a function of the journal. No threads, no clock, no I/O.

An entry is applied whole or refused whole, and what is refused changes nothing, so that a replay of the journal ends in
the same bytes. Within an entry the model takes slices, between which `pause()` lets others have a look at it: by the law
that any cut of the stream gives the same state, the size of slices is free. Commands have a file of their own, commands.py.
"""

import json
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.arena import Lent
from onlogit.config import Config, from_mapping
from onlogit.daemon.challengers import INITIAL, PREFIX, Challengers
from onlogit.daemon.early import learn_early, texts_of
from onlogit.daemon.entries import DUPLICATE, HELD, LATE, MATCHED, UNLABELLED, Stated, Taken, mark
from onlogit.daemon.ledger import Ledger
from onlogit.encoding.event_columns import read_key
from onlogit.errors import ConfigError, StateError
from onlogit.labels import Mature
from onlogit.memory import repeated
from onlogit.model import OnlineLogit, of_bytes, of_state
from onlogit.monitor import Alarm
from onlogit.steps import Pause, Step, no_pause
from onlogit.storage.arrays import Array

I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

KEPT_ALARMS = 1000


class Fold:
    """A model, the ledger of outcomes out of turn, and the alarms so far."""

    def __init__(self, room: int = 100_000) -> None:
        self.model = OnlineLogit()
        self.challengers = Challengers()
        self.ledger = Ledger(room)
        self.begun = ""  # what it was begun with, as `mark` has it; "" where an older checkpoint did not note it
        self.seq = 0  # of the last entry applied
        self.alarms: list[dict[str, Any]] = []  # the latest, oldest first; each has an id, counted from 1
        self.raised = 0

    @property
    def settled(self) -> bool:
        """Whether there is a schema yet."""
        return self.model.settled

    def require_model(self) -> None:
        """ConfigError before there is a schema."""
        if not self.settled:
            raise ConfigError("there is no model yet: send events first, or begin with --model or --schema")

    @property
    def by_journal_time(self) -> bool:
        """Whether labels come by a time that events do not bring themselves: that of their entry."""
        times = self.model.pipeline.times
        return times.by_time and not times.has_time

    # ---- entries

    def begin(self, seq: int, data: bytes) -> None:
        """The first entry, or one that begins anew: a model file, or roles and settings of a model without a schema yet."""
        self.seq, self.begun, self.challengers = seq, mark(data), Challengers()
        if data.startswith(b"{"):
            told = json.loads(data)
            self.ledger = Ledger(told["early"])
            self.model = OnlineLogit(**told["roles"], config=from_mapping(Config, told["config"]))
        else:
            self.model = of_bytes(data, "the model in the journal")

    def settle(self, seq: int, data: bytes) -> None:
        """Settle the schema, an Arrow schema as bytes, where that is not done yet; a SchemaError has changed nothing."""
        self.seq = seq
        self._settle(pa.ipc.read_schema(pa.py_buffer(data)))

    def _settle(self, schema: pa.Schema) -> None:
        if not self.settled:
            self.model.begin(schema)
            self.challengers.begin(self.model)

    def named(self, name: str) -> OnlineLogit:
        """The champion for "", else the model of that name. ConfigError."""
        if name in ("", self.challengers.champion):
            return self.model
        found = next((each.model for each in self.challengers if each.name == name), None)
        if found is None:
            raise ConfigError(f"there is no model {name!r} at work; there are: {', '.join(self.challengers.names)}")
        return found

    @property
    def reading(self) -> OnlineLogit:
        """The initial model, by whose schema rows are read: others read no column that it does not."""
        return next((each.model for each in self.challengers if each.name == INITIAL), self.model)

    def events(self, seq: int, batch: pa.RecordBatch, now: int, pause: Pause = no_pause, most: int = 1 << 30) -> Stated:
        """Score and remember, or learn; a DataError has changed nothing. Where no entry settled the schema, these do."""
        self.seq = seq
        self._settle(batch.schema)
        keys = self.keys(batch)
        pipeline, first = self.model.pipeline, self.model.counts.events
        earlier = np.zeros(0, np.int64) if keys is None else pipeline.told_before(batch, keys, now)
        again = earlier >= 0
        some = bool(again.any())
        then = pipeline.maturity.stated(earlier[again & (earlier < first)])
        fresh = batch.filter(pa.array(~again)) if some else batch
        new = keys[~again] if some and keys is not None else keys
        pause()
        if fresh.num_rows > most:  # what can be refused has to be refused before the first slice
            encoder = self.model.pipeline.encoder
            negative = encoder.negative
            for start in range(0, fresh.num_rows, most):
                negative = encoder.check(fresh.slice(start, most), start, negative)
                pause()
        stated = self._step(fresh, new, now, pause, most)
        pause()
        if some:
            self.ledger.counts.duplicate_events += int(np.count_nonzero(again))
            stated = stated.with_known(earlier, first, then)
        if keys is not None:
            learn_early(self.ledger, batch, keys, stated.event, self.model, self._learn)
        return stated

    def _learn(self, outcomes: pa.RecordBatch) -> None:
        """Outcomes as every model reads them for itself."""
        self.note(self._all(methodcaller("outcomes", outcomes)))

    def _step(self, batch: pa.RecordBatch, keys: U64 | None, now: int, pause: Pause, most: int) -> Stated:
        parts = []
        for start in range(0, max(batch.num_rows, 1), most):
            part, own = batch.slice(start, most), None if keys is None else keys[start : start + most]
            step = self._all(partial(self._step_of, part, own, now, pause), pause)
            self.note(step.alarms)
            parts.append((step.event, step.p, step.z, step.z_sd))
            if start + most < batch.num_rows:
                pause()
        if len(parts) == 1:
            return Stated(*parts[0], np.zeros(batch.num_rows, np.bool_))
        event, p, z, z_sd = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Stated(event, p, z, z_sd, np.zeros(batch.num_rows, np.bool_))

    def _step_of(self, batch: pa.RecordBatch, keys: U64 | None, now: int, pause: Pause, model: OnlineLogit) -> Step:
        """Keys as the champion reads them; what others have as a key is up to them."""
        return model.pipeline.step(batch, now, pause, keys if model is self.model else None)

    def _outcomes_of(self, batch: pa.RecordBatch, keys: U64, y: I8, pause: Pause, model: OnlineLogit) -> list[Alarm]:
        """Keys and labels as the champion reads them."""
        if model is self.model:
            return model.pipeline.learn_outcomes(keys, y, pause)
        return model.pipeline.outcomes(batch, pause)

    def _all(self, work: Callable[[OnlineLogit], Any], pause: Pause = no_pause) -> Any:
        """What the champion gives, after challengers have done the same."""
        if not self.challengers.all:
            return work(self.model)
        heard: list[Mature] = []
        pipeline = self.model.pipeline
        pipeline.heard = heard
        try:
            result = work(self.model)
        finally:
            pipeline.heard = None
        self.challengers.take(work, heard, pause)
        return result

    def keys(self, batch: pa.RecordBatch) -> U64 | None:
        """The keys of a batch of events: u64[n]; None where the schema has none or the batch lacks them."""
        column = self.model.schema.with_role("key")
        at = batch.schema.get_field_index(column.name) if column else -1
        if column is None or at < 0 or not column.accepts(batch.schema.types[at]):
            return None
        return read_key(batch.column(at), column.name, 0)

    def are_new(self, keys: U64 | None) -> bool:
        """Whether none of these keys waits for its label, or is there twice."""
        return keys is None or bool((self.model.pipeline.memory.find(keys) < 0).all() and not repeated(keys).any())

    def outcomes(
        self, seq: int, batch: pa.RecordBatch, now: int, pause: Pause = no_pause, most: int = 1 << 30
    ) -> Taken:
        """Learn labels of events that came before, each by the ledger's rules; a DataError has changed nothing."""
        self.seq = seq
        pipeline = self.model.pipeline
        keys, y = pipeline.encoder.encode_outcomes(batch)
        told = y >= 0
        first = np.zeros(len(keys), np.bool_)
        first[np.unique(keys, return_index=True)[1]] = True
        event = pipeline.memory.find(keys)
        here = (event >= 0) & told & first & ~self.ledger.among_told(keys)
        late = told & (event < 0) & pipeline.memory.missed(keys) if pipeline.times.by_due else np.zeros_like(told)
        used = here | late  # the model counts those that are late
        fresh, own, labels = (batch, keys, y) if used.all() else (batch.filter(pa.array(used)), keys[used], y[used])
        pause()
        for start in range(0, fresh.num_rows, most):
            part = slice(start, start + most)
            read = fresh.slice(start, most), own[part], labels[part]
            self.note(self._all(partial(self._outcomes_of, *read, pause), pause))
            pause()
        self.ledger.told(keys[here])
        fate = np.where(told, np.where(late, LATE, MATCHED), UNLABELLED).astype(np.uint8)
        elsewhere = told & ~here & ~late
        if elsewhere.any():
            label = pipeline.schema.with_role("label")
            assert label is not None
            texts = texts_of(batch.column(label.name).filter(pa.array(elsewhere)))
            held = self.ledger.hold(keys[elsewhere], texts)
            fate[elsewhere] = np.where(held, HELD, DUPLICATE)
        self.ledger.counts.unlabelled_outcomes += int(np.count_nonzero(~told))
        return Taken(fate, np.where(here, event, -1))

    def note(self, alarms: list[Alarm]) -> None:
        """Add to the alarms so far."""
        for alarm in alarms:
            self.raised += 1
            self.alarms.append({"id": self.raised, "acknowledged": False, **alarm.to_json()})
        del self.alarms[:-KEPT_ALARMS]

    # ---- state

    def header(self) -> dict[str, Any]:
        """What the arrays of `state` mean, as JSON values."""
        return {
            "model": self.model.header(), "alarms": [dict(each) for each in self.alarms], "raised": self.raised,
            "early": self.ledger.room, "begun": self.begun, "challengers": self.challengers.header(),
        }  # fmt: skip

    def state(self) -> dict[str, Array]:
        """All that the fold knows, as plain arrays."""
        return self.model.state() | self.ledger.state() | self.challengers.state(OnlineLogit.state)

    def lend(self) -> Lent:
        """Like `state`, for a checkpoint: what waits for labels is not copied, and stays as it is while this is held."""
        own, others = self.model.lend(), self.challengers.state(OnlineLogit.lend)
        return Lent(own | self.ledger.state() | others, own, others)

    @classmethod
    def of_state(cls, header: dict[str, Any], arrays: dict[str, Array], seq: int, where: str) -> "Fold":
        """The fold that `header` and `state` were taken from; a StateError naming `where` if they are not of one."""
        try:
            fold = cls(int(header["early"]))
            fold.alarms, fold.raised = list(header["alarms"]), int(header["raised"])
            fold.begun, own = header.get("begun", ""), header["model"]
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{where}: not a checkpoint of the daemon: {error!r}") from error
        fold.ledger.restore(arrays)
        fold.challengers.restore(header.get("challengers"), arrays, where)
        others = ("ledger.", PREFIX)
        fold.model = of_state(own, {name: a for name, a in arrays.items() if not name.startswith(others)}, where)
        fold.seq = seq
        return fold
