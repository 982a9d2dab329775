"""The fold: a record batch in, what was stated of it out, and labels learned when they come. No I/O, no clock.

For one event, in order: labels that are due by now are learned; the event is scored; it is remembered for its label, or
its own label is learned at once. What was stated waits in prediction order until every earlier event is settled, and then
goes to the monitor. All of it is written on a tape first (learners/protocol.py), so a batch is one walk, and any cut of a
stream into batches gives the same bytes of state and the same probabilities.

A label comes in the record, to be learned at once or sealed until some time, or later, by key, as an outcome: label_times.py
has the ways.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit import tapes
from onlogit.arena import Array, Lent
from onlogit.config import Config
from onlogit.encoding import Encoded, Encoder
from onlogit.encoding.encoder import Ready
from onlogit.encoding.event_columns import NO_TIME
from onlogit.encoding.rows import Rows, choose_rows
from onlogit.errors import ConfigError, DataError, StateError
from onlogit.fixed import constant
from onlogit.kernels.flips import flips_of, observed_log_odds
from onlogit.kernels.turns import take_turns
from onlogit.label_delays import LabelDelays
from onlogit.label_times import Awaited, LabelTimes, Plan
from onlogit.labels import VOID, WAITING, Mature, Maturity, Thinning
from onlogit.learners import Tape, create
from onlogit.learners.protocol import LEARN, SCORE, known
from onlogit.memory import NEVER, Memory, repeated
from onlogit.monitor import Alarm, CalibrationMonitor
from onlogit.monitor.beside import beside_of
from onlogit.monitor.features import FeatureMonitor
from onlogit.monitor.repair import EVERY, Repair, repair_of
from onlogit.schema import Schema
from onlogit.states import check, under
from onlogit.steps import Counts, Pause, Stated, Step, Walking, joined, no_pause, part_of, sigmoid
from onlogit.weight_paths import NO_NAMES, Named, Points, WeightPaths

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

MOST_LOOKS = 100  # at rows whose keys come again; two where no label falls due between them
MOST = 1 << 60  # events, or labels, that are counted


class Pipeline:
    """One stream's fold: encoder, learner, memory for labels, monitor."""

    def __init__(self, schema: Schema, config: Config) -> None:
        self.schema, self.config = schema, config
        self._flips = flips_of(config.label_noise.fp, config.label_noise.fn)
        self.encoder = Encoder(schema, config.slot_bits, config.names)
        self.numbers = len(self.encoder.dense_names)
        self.learner = create(config, self.numbers)
        self.monitor = CalibrationMonitor.of(config.monitor)
        patience = self.monitor.allowed
        if patience.tick is not None and schema.with_role("time") is None:
            raise ConfigError(f"a patience of {patience} needs the time of events: name a time column")
        self.features: FeatureMonitor | None = None
        self.predictions: FeatureMonitor | None = None  # what is stated, watched as the features are
        if config.monitor.features:
            watched = tuple(column.name for column in schema.features if column.role in ("number", "category"))
            self.features = FeatureMonitor(watched, patience, config.monitor.reference) if watched else None
            self.predictions = FeatureMonitor(("probability",), patience, config.monitor.reference)
        schema.check_sliced(config.monitor.by)
        self.beside = beside_of(config.monitor, self.features, self.predictions)
        self.repair = repair_of(config.monitor.on_alarm, self.learner, self._flips)
        self._warnings: deque[list[Alarm]] = deque()  # of batches encoded and not yet walked
        self.memory = Memory(self.numbers, self.learner.memo_width, 1 << config.slot_bits)
        self.maturity = Maturity()
        self.paths = WeightPaths()
        self._slots_named = NO_NAMES  # as the encoder has them; not state
        self.delays = LabelDelays()  # of labels that are learned on arrival
        self.thinning = Thinning(config.labels.keep_negatives)
        self.counts = Counts()
        self.heard: list[Mature] | None = None  # what is judged, for one who listens; not state
        self.frozen = False  # scores, joins labels and watches, and learns nothing
        self._read = 0  # events read; as many as were scored, between steps
        self._turn = np.array([NEVER])  # the first event that may be judged; NEVER before enough labels were learned
        self.times = LabelTimes(schema, config.labels)

    def number_from(self, event: int) -> None:
        """Number events from here on, before the first of them: as in a stream that another fold saw from its beginning."""
        self.counts.events = self._read = self.maturity.first = event

    # ---- one batch

    def step(
        self, batch: pa.RecordBatch, now: int | None = None, pause: Pause = no_pause, key: U64 | None = None
    ) -> Step:
        """Score each event, learn each label when it is known; `now` in microseconds, where events have no time.

        Between its parts `pause()` may have other rows scored. `key`: u64[n], where somebody has read the keys already, and
        seen that none of them waits for its label. A DataError or SchemaError comes before anything changed.
        """
        encoded = self.name(self.encode(self.read(batch, now, key)))
        pause()
        return self.fold(encoded, now, pause)

    def fold(self, encoded: Encoded, now: int | None = None, pause: Pause = no_pause) -> Step:
        """A step from its fourth part on: walk and judge, stretch by stretch where alarms are acted upon."""
        if self.repair is None:
            stated = self.stated(self.walk(encoded, now))
            pause()
            return self.conclude(stated)
        warnings = self._warned()
        steps = []
        for part in self._stretches(encoded):
            acts = self._act(self.repair, part)
            stated = self._stated(self.walk(part, now))
            steps.append(stated.step._replace(alarms=acts + stated.step.alarms + self.judge(stated.mature)))
            pause()
        step = steps[0] if len(steps) == 1 else joined(steps)
        return step._replace(alarms=warnings + step.alarms)

    def _warned(self) -> list[Alarm]:
        return self._warnings.popleft() if self._warnings else []

    def _stretches(self, encoded: Encoded) -> list[Encoded]:
        """The batch cut where acts may happen."""
        n, first = len(encoded.y), self.counts.events
        cuts = np.arange(EVERY - first % EVERY, n, EVERY).tolist()
        return [part_of(encoded, a, b) for a, b in pairwise([0, *cuts, n])]

    def _act(self, repair: Repair | None, encoded: Encoded) -> list[Alarm]:
        """What is done about alarms before the batch is scored."""
        if repair is None or not len(encoded.y) or self.counts.events % EVERY:
            return []
        if self.frozen and repair.act == "forget":  # a belief that learns nothing has nothing to put in its place
            return []
        time = NO_TIME if encoded.time is None else int(encoded.time[0])
        return repair.turn(self.counts.events, time, self.maturity.first)

    def revert(self) -> list[Alarm]:
        """Take back what was done about alarms; the record of it, or nothing where there is nothing to take back."""
        repair = self.repair
        return [] if repair is None or not repair.acted else [repair.revert(self.counts.events)]

    def price(self, config: Config) -> None:
        """Count decisions at the thresholds and costs of another config from here on."""
        self.config = config
        if self.beside is None:
            self.beside = beside_of(config.monitor, self.features, self.predictions)
        else:
            self.beside.price(config.monitor)

    # A step in six parts, each with a state of its own: `read`, `encode`, `name`, `walk`, `stated`, `conclude`. Each has to be
    # given every batch in order, but may be at another batch than the others. State is whole between steps only.

    @property
    def can_encode_ahead(self) -> bool:
        """Whether a batch may be encoded before the one before it is walked: not where keys are checked in between."""
        return not self.times.keyed

    @property
    def parts(self) -> list[Callable[[Any], Any]]:
        """The parts that may each be at another batch. Where alarms are acted upon, a batch is judged before the next is
        walked."""
        last = [self.walk, self.stated, self.conclude] if self.repair is None else [self.fold]
        return [self.read, self.encode, self.name, *last]

    def read(self, batch: pa.RecordBatch, now: int | None = None, key: U64 | None = None) -> Ready:
        """The first part of a step: all that can refuse the batch. Changes the labels' negative value, and what watches
        columns."""
        self.times.require_time(now)
        first, accept = self._read, partial(self._accept, now, key is None)
        ready = self.encoder.read(batch, first_event=first, update=not self.frozen, accept=accept, key=key)
        batch = ready.columns.batch
        if self.features is not None:
            columns = [batch.column(name) for name in self.features.names]
            self._warnings.append(self._watch(self.features, columns, first, ready.encoded))
        if self.beside is not None:
            self.beside.read(batch, ready.encoded.weight)
        self._read += len(ready.encoded.y)
        return ready

    def encode(self, ready: Ready) -> Encoded:
        """The second part: rows. Changes the encoder but for its names."""
        return self.encoder.place(ready)

    def name(self, encoded: Encoded) -> Encoded:
        """The third part: name what is new. Changes the encoder's names."""
        return self.encoder.name(encoded)

    @staticmethod
    def _watch(features: FeatureMonitor, columns: list[pa.Array], first: int, encoded: Encoded) -> list[Alarm]:
        """The warnings that columns of a batch give rise to, as they are when it is scored; `first`: its first event."""
        n = len(encoded.y)
        time = np.full(n, NO_TIME) if encoded.time is None else encoded.time
        elapsed = np.zeros(0) if features.allowed.tick is None else time / features.allowed.tick
        return features.update(columns, np.arange(first, first + n), time, encoded.weight, elapsed)

    def walk(self, encoded: Encoded, now: int | None = None) -> Walking:
        """The fourth part: learn, and begin to score. Changes learner, memory and counts."""
        n, first, told = len(encoded.y), self.counts.events, encoded.y
        event = np.arange(first, first + n)
        encoded = self.times.settle(encoded, now)
        plan = self.times.plan(encoded, self.memory, event, first, first - self.counts.no_weight, now)
        tile = tapes.gather(encoded, plan, self.memory, self.learner.memo_width, event, first)
        tape = (
            Tape.of(n, SCORE) if self.rests else tapes.write(n, plan, tile.row, self.memory, self.times.sealing, first)
        )
        weight = tile.weight
        if self.config.labels.keep_negatives < 1.0:
            weight = weight.copy()
            weight[tile.row] = self.thinning.weights(plan.event, tile.of_plan(tile.y), tile.of_plan(weight))
        y, looks = tile.y.astype(np.float64), Points(self.paths, self.named(), first, n, tape)
        scores = self.learner.begin(tile.rows, tape, y, weight, tile.memo, not self.rests, looks)
        if len(plan.kept):
            scores = known(scores())  # a memo that is kept has to be whole
        self._remember(encoded, plan, tile.memo)
        if self.times.on_arrival:
            self.delays.add(first + plan.place - plan.event, tile.of_plan(tile.y), tile.of_plan(tile.weight))
        self._warm_up(n, plan, tile.of_plan(weight))
        self._count(encoded, plan, tile.of_plan(weight))
        return Walking(first, encoded, told, plan, tile.of_plan(tile.y), scores)

    def stated(self, walking: Walking) -> Stated:
        """The fifth part: what is stated of each event, held until it can be judged. Changes what waits to be judged."""
        stated = self._stated(walking)
        return stated._replace(step=stated.step._replace(alarms=self._warned() + stated.step.alarms))

    def _stated(self, walking: Walking) -> Stated:
        first, encoded, told, plan, y, pending = walking
        n, scores = len(told), pending()
        event = np.arange(first, first + n)
        z, z_sd = self._by_repair(scores.z[:n], scores.z_sd[:n])
        if self.beside is not None:
            self.beside.score(z, encoded.weight)
        mature = self._settle(encoded, plan, event, first, y, z)
        p, warnings = sigmoid(z), []
        if self.predictions is not None:
            warnings = self._watch(self.predictions, [pa.array(p)], first, encoded)
        return Stated(Step(event, z, p, z_sd, told, warnings), mature)

    def named(self) -> Named:
        """The slots that have a name."""
        if len(self._slots_named.slots) != len(self.encoder.names.coordinates):
            slots, group = self.encoder.names.grouped(self.encoder.groups)
            order = np.argsort(slots)
            self._slots_named = Named(slots[order], group[order])
        return self._slots_named

    def _by_repair(self, z: F64, z_sd: F64) -> tuple[F64, F64]:
        return (z, z_sd) if self.repair is None else self.repair.stated(z, z_sd)

    def conclude(self, stated: Stated) -> Step:
        """The last part: judge what has matured; the step with all its alarms. Changes the monitor."""
        return stated.step._replace(alarms=stated.step.alarms + self.judge(stated.mature))

    def judge(self, mature: Mature) -> list[Alarm]:
        """Tally and judge what is mature."""
        event, time, z, y, weight, known = mature
        labels_z = self.of_labels(z)
        if self.heard is not None:
            self.heard.append(mature._replace(z=labels_z))
        judged = np.empty(len(event), np.bool_)
        take_turns(event, known, y, weight, self._turn, judged)
        begun = self.monitor.until_reference(y, weight)
        alarms = self.monitor.update(event, time, labels_z, y, weight, judged)
        if self.repair is not None:
            self.repair.learn(event, z, y, weight, judged)
            self.repair.hear(alarms)
        if self.beside is not None:
            alarms = self.beside.judge(self.monitor, event, time, z, labels_z, y, weight, judged, begun, alarms)
        return alarms

    def of_labels(self, z: F64) -> F64:
        """Log-odds of the label [n], which may be flipped, for stated log-odds z of the true outcome: what labels judge."""
        return observed_log_odds(z, self._flips)

    @property
    def rests(self) -> bool:
        """Whether nothing is learned: frozen by command, or in answer to an alarm."""
        return self.frozen or (self.repair is not None and self.repair.frozen)

    def _accept(self, now: int | None, unique: bool, batch: pa.RecordBatch, encoded: Encoded) -> None:
        """DataError where what watches columns cannot read them, or where keys have to be `unique` and are not."""
        if self.features is not None:
            self.features.check([batch.column(name) for name in self.features.names])
        if self.beside is not None:
            self.beside.check(batch)
        if unique:
            self._refuse_repeats(now, encoded)

    def _refuse_repeats(self, now: int | None, encoded: Encoded) -> None:
        """DataError where an event that has to wait for its label brings the key of one that still waits when it comes."""
        keys = encoded.key
        if keys is None:
            return
        encoded = self.times.settle(encoded, now)
        awaited = self._awaited(encoded, np.ones(len(keys), np.bool_), now)
        if awaited is None:
            return
        waits = self.times.waiting(encoded) & (awaited.event >= 0) & (awaited.until > awaited.place)
        if waits.any():
            name = self.schema.with_role("key")
            raise DataError(
                f"column {name.name if name else 'key'!r}, row {self.counts.events + np.argmax(waits)} (counting from 0): this "
                "key belongs to an earlier event that still waits for its label; keys have to be unique among those"
            )

    def _awaited(self, encoded: Encoded, new: Bools, now: int | None) -> Awaited | None:
        first = self.counts.events
        return self.times.awaited(encoded, new, self.memory, first, first - self.counts.no_weight, now)

    def told_before(self, batch: pa.RecordBatch, key: U64, now: int | None) -> I64:
        """Of each row [n] the event of its key that still waits for its label, computed as if rows arrived one by one and rows
        that are found so were no events; -1 where there is none. Changes nothing. A DataError where roles have values that
        `read` refuses, or where it takes too many looks."""
        none = np.full(len(key), -1, np.int64)
        if (self.memory.find(key) < 0).all() and not repeated(key).any():
            return none
        encoded, known = self.times.settle(self.encoder.settled(batch, self._read, key), now), none
        for _ in range(MOST_LOOKS):  # what is found of a row is right once it is of all rows before
            awaited = self._awaited(encoded, known < 0, now)
            assert awaited is not None
            event, place, until = awaited
            waits = (event >= self.counts.events + place - self.times.remember) & (until > place - self.times.by_time)
            before, known = known, np.where((event >= 0) & waits, event, -1)
            if ((known < 0) == (before < 0)).all():
                return known
        raise DataError("keys of these rows come again and again while labels fall due; send fewer rows at once")

    def _remember(self, encoded: Encoded, plan: Plan, memo: F32) -> None:
        first = self.counts.events
        if self.times.by_due and self.times.keyed:
            self._miss(encoded, plan)
        if self.memory.waiting:
            self.memory.forget(np.concatenate([part[part < first] for part in (plan.event, plan.lost)]))
        kept = plan.kept - first
        if len(kept):
            key = None if encoded.key is None else encoded.key[kept]
            rows = encoded.rows if len(kept) == len(encoded.y) else choose_rows(encoded.rows, kept)
            self.memory.remember(
                plan.kept, rows, encoded.y[kept], encoded.weight[kept], plan.due[kept], key, memo[kept]
            )

    def _miss(self, encoded: Encoded, plan: Plan) -> None:
        """Keep the keys of events due without a label, so that a late outcome is told from one of no event."""
        first, event = self.counts.events, plan.unresolved
        key, old = np.empty(len(event), np.uint64), event < first
        assert encoded.key is not None
        key[old], key[~old] = self.memory.keys_of(event[old]), encoded.key[event[~old] - first]
        self.memory.miss(key, first + plan.unresolved_place, first + len(encoded.y) - self.config.labels.remember)

    def _settle(self, encoded: Encoded, plan: Plan, event: I64, first: int, y: I8, z: F64) -> Mature:
        """Note what was stated and which labels came; what the monitor can judge by now."""
        time = constant(np.int64(NO_TIME), len(z)) if encoded.time is None else encoded.time
        if self.maturity.idle and len(plan.event) == len(z) and not len(plan.kept) and not len(plan.lost):
            return self.maturity.hand_on(event, z, y, encoded.weight, time, first + plan.place)  # each with its record
        known = np.full(len(z), VOID)
        known[plan.kept - first] = WAITING
        self.maturity.hold(z, known, encoded.weight, time)
        self.maturity.settle(plan.event, y, first + plan.place)
        self.maturity.settle(plan.lost, VOID)
        return self.maturity.ready()

    def _warm_up(self, n: int, plan: Plan, weight: F64) -> None:
        """Judge from the first event before which `warm_up` labels were learned.

        A batch that is being judged behind this one does not see the change: all its events are before that.
        """
        if self._turn[0] == NEVER and not self.rests:
            lacking = self.config.monitor.warm_up - self.counts.learned
            place = plan.place[weight > 0]
            if lacking <= 0:
                self._turn[0] = self.counts.events
            elif lacking <= len(place) and place[lacking - 1] < n:  # else the next batch begins with it
                self._turn[0] = self.counts.events + place[lacking - 1]

    def _count(self, encoded: Encoded, plan: Plan, weight: F64) -> None:
        counted = int(np.count_nonzero(encoded.weight))
        self.counts.events += len(encoded.y)
        self.counts.no_weight += len(encoded.y) - counted
        self.counts.labelled += len(plan.event)
        if not self.rests:
            self.counts.learned += counted if weight is encoded.weight else int(np.count_nonzero(weight))
        self.counts.unresolved += len(plan.unresolved) + plan.hopeless
        self.counts.expired += len(plan.lost) - (0 if self.times.negative else len(plan.unresolved))

    # ---- labels outside a batch of events

    def outcomes(self, batch: pa.RecordBatch, pause: Pause = no_pause) -> list[Alarm]:
        """Learn labels that came by key, in the order given: columns as the schema names its key and its label.

        With due times each is learned when it is due, and only counted where that has passed. An outcome of an event that
        waits for none (never seen, expired, or told before) is counted as unknown.
        """
        return self.learn_outcomes(*self.encoder.encode_outcomes(batch), pause)

    def learn_outcomes(self, key: U64, y: I8, pause: Pause = no_pause) -> list[Alarm]:
        """The same for keys [m] and labels [m], 1, 0 or -1 for none, that the encoder has read."""
        key, y = key[y >= 0], y[y >= 0]
        event = self.memory.find(key)
        told_first = np.zeros(len(event), np.bool_)
        told_first[np.unique(event, return_index=True)[1]] = True
        fresh = told_first & (event >= 0)
        self.counts.outcomes += len(event)
        late = 0
        if self.times.by_due:
            fresh[fresh] = self.memory.tell(event[fresh], y[fresh])
            late = int(np.count_nonzero(self.memory.missed(key[event < 0])))
        self.counts.late += late
        self.counts.unknown += int(np.count_nonzero(~fresh)) - late
        return [] if self.times.by_due else self._learn_remembered(event[fresh], y[fresh], pause)

    def finish(self) -> list[Alarm]:
        """The stream has ended: every label sealed in a record has come. Learns them in the order in which they are due.

        Where unresolved events become negatives nothing is learned before it is due, as positives alone would be.
        """
        _, event, y = self.memory.sealed()
        return [] if self.times.negative else self._learn_remembered(event[y >= 0], None)

    def _learn_remembered(self, event: I64, y: I8 | None, pause: Pause = no_pause) -> list[Alarm]:
        rows, sealed, weight, memo = self.memory.take(event)
        if y is not None:
            self.delays.add(self.counts.events - event, y, weight)
        y = sealed if y is None else y
        if not self.rests:
            weight = self.thinning.weights(event, y, weight)
            left = self.memory.waiting - 1 - np.arange(len(event))
            tape = Tape(np.arange(len(event)), np.full(len(event), LEARN, np.uint8), left)
            self.learner.begin(rows, tape, y.astype(np.float64), weight, memo)()
            self.counts.learned += int(np.count_nonzero(weight))
        self.counts.labelled += len(event)
        self.memory.forget(event)
        self.maturity.settle(event, y, self.counts.events)
        pause()
        return self.judge(self.maturity.ready())

    # ---- scoring alone, and state

    def score(self, batch: pa.RecordBatch) -> Step:
        """What would be stated of each event now; changes nothing, remembers nothing, needs no label."""
        encoded = self.encoder.encode(batch, first_event=0, update=False)
        z, p, z_sd = self.state_rows(encoded.rows)
        return Step(np.arange(len(encoded.y)), z, p, z_sd, encoded.y, [])

    def state_rows(self, rows: Rows) -> tuple[F64, F64, F64]:
        """z, p and z_sd that would be stated of rows that the encoder made."""
        z, z_sd = self._by_repair(*self.learner.score(rows))
        return z, sigmoid(z), z_sd

    def state(self) -> dict[str, Array]:
        """All that the fold knows, as plain arrays: a function of the stream, however it was cut."""
        return self._named({name: part.state() for name, part in self._parts().items()})

    def lend(self) -> Lent:
        """A state to be restored from, of which what waits for labels is lent: no copy, and no function of the stream."""
        parts = {
            name: part.lend() if name in ("memory", "maturity") else part.state()
            for name, part in self._parts().items()
        }
        return Lent(self._named(parts), *parts.values())

    def _named(self, parts: dict[str, dict[str, Array]]) -> dict[str, Array]:
        own = {
            "counts": np.array(list(asdict(self.counts).values()), np.int64),
            "clock": np.array([self.times.clock, self._turn[0], self.thinning.since]),
            "frozen": np.array([self.frozen]),
        }
        return own | {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Become the fold whose `state` this is, taking over its arrays; a StateError, after which this fold is of no use,
        where it does not fit this schema and config."""
        counts = (len(asdict(self.counts)),)
        check("the fold", state, {"counts": (np.int64, counts), "clock": (np.int64, (3,)), "frozen": (np.bool_, (1,))})
        events, turn, since = int(state["counts"][0]), *(int(c) for c in state["clock"][1:])
        if (
            not ((state["counts"] >= 0) & (state["counts"] <= MOST)).all()
            or turn < 0
            or not 0 <= since <= self.thinning.near + 1
        ):
            raise StateError("the fold's counts and clock are out of range")
        for name, part in self._parts().items():
            part.restore(under(state, f"{name}."))
        if self.maturity.end != events or not self.memory.within(self.maturity.first, events):
            raise StateError("the events that wait for their label are not the last of those that were counted")
        self._require_agreement(events)
        if not self.learner.wrote(self.memory.memo):
            raise StateError("remembered events: what was stated of one is nothing that this learner states")
        self.counts = Counts(*(int(c) for c in state["counts"]))
        self._read = self.counts.events
        self._slots_named = NO_NAMES
        if not self.paths.fits(self.named()):
            raise StateError("paths of weights: a slot that is looked at has no name")
        self.times.clock, self._turn[0], self.thinning.since = (int(c) for c in state["clock"])
        self.frozen = bool(state["frozen"][0])

    def _require_agreement(self, events: int) -> None:
        """A StateError where what is watched beside contradicts the schema, or the events that wait."""
        watched = [column.kind for column in self.schema.features if column.role in ("number", "category")]
        for part, kinds in ((self.features, watched), (self.predictions, ["number"])):
            if part is not None and not part.of_kinds(list(kinds)):
                raise StateError("features: a column is watched as one of another kind than the schema's")
        if self.beside is not None and not self.beside.fits(self.maturity.weights):
            raise StateError("beside: the codes that wait are not those of the events that wait")
        if self.repair is not None and not self.repair.within(self.maturity.first, events):
            raise StateError("repair: what is remembered of alarms and acts is of no events that were counted")

    def _parts(self) -> dict[str, Any]:
        parts = {
            "encoder": self.encoder, "learner": self.learner, "monitor": self.monitor,
            "memory": self.memory, "maturity": self.maturity, "delays": self.delays, "paths": self.paths,
        }  # fmt: skip
        return parts | {name: getattr(self, name) for name in self.watching}

    @property
    def watching(self) -> list[str]:
        """What there is beside the calibration monitor, as settings ask."""
        return [each for each in ("features", "predictions", "beside", "repair") if getattr(self, each) is not None]
