"""Watches anybody's stated probabilities: calibration, slices, and in time the features. No model, no I/O, no clock.

Feed record batches in the order in which events were scored, each with its outcome once that is known (null: not known).
Any cut of the stream into batches gives the same alarms. With a label time only events that stand apart are judged
(kernels/turns.py says why); others are tallied. An error leaves everything as it was before its batch.
"""

from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding.event_columns import NO_TIME
from onlogit.errors import ConfigError
from onlogit.kernels.link import UTMOST, numpy_sigmoid
from onlogit.kernels.turns import take_turns
from onlogit.monitor.alarms import Alarm, explained
from onlogit.monitor.calibration import NONE, CalibrationMonitor
from onlogit.monitor.decisions import Costs, DecisionMonitor
from onlogit.monitor.features import FeatureMonitor
from onlogit.monitor.reading import F64, I8, I64, U64, Array, Columns, Given, Reader
from onlogit.monitor.repair import EVERY, Repair
from onlogit.monitor.slices import SliceMonitor
from onlogit.monitor.sound import require_counts
from onlogit.patience import Patience, patience_of
from onlogit.states import check, under


@dataclass(frozen=True)
class Wishes:
    """How to watch. Ranges are those of CalibrationMonitor and SliceMonitor."""

    patience: Patience = field(default_factory=lambda: patience_of(10_000.0))
    tolerance: float = 0.1
    reference: int = 0
    window: int = 10_000
    slices: int = 1_000
    thresholds: tuple[float, ...] = ()  # of p, at which something is done
    costs: Costs | None = None  # of wrong decisions: a threshold more
    test: float | None = None  # level of one sequential test, instead of a watch without end


@dataclass
class Counts:
    """What came, in rows."""

    events: int = 0
    labelled: int = 0  # with probability, weight and outcome
    judged: int = 0  # of which gathered evidence
    unlabelled: int = 0
    no_probability: int = 0
    no_weight: int = 0


class Watch:
    """One watch. `outcomes`: keys, ascending, and labels, where they are not in the records."""

    def __init__(self, columns: Columns, wishes: Wishes, outcomes: tuple[U64, I8] | None = None) -> None:
        if wishes.patience.tick is not None and not columns.time:
            raise ConfigError(f"a patience of {wishes.patience} needs a time: name the time column")
        if wishes.test is not None and (wishes.reference or columns.by):
            raise ConfigError("a test is about the whole of a stream: leave out the reference and the slices")
        if outcomes is not None and not columns.key:
            raise ConfigError("outcomes are joined by key: name the key column")
        self.columns, self.wishes = columns, wishes
        self.counts = Counts()
        self.reader = Reader(columns, labelled=outcomes is None)
        settings = wishes.patience, wishes.tolerance, wishes.reference, wishes.window
        self.monitor = (
            CalibrationMonitor(*settings)
            if wishes.test is None
            else CalibrationMonitor.test(wishes.test, wishes.tolerance, wishes.window)
        )
        self.slices = SliceMonitor(columns.by, wishes.patience, wishes.tolerance, wishes.slices)
        reference = wishes.reference or 10_000
        self.decisions = DecisionMonitor(wishes.thresholds, wishes.costs, wishes.window, reference)
        self.features: FeatureMonitor | None = None
        if columns.features:  # what is stated is watched with what it is stated from
            watched = tuple(dict.fromkeys((columns.prob, *columns.features)))
            self.features = FeatureMonitor(watched, wishes.patience, reference, wishes.window)
        self.shadow = Repair("recalibrate")  # never promoted: what it would state is told, and how well it would do
        self._outcomes = outcomes
        self._turn = np.array([NO_TIME])

    def step(self, batch: pa.RecordBatch) -> list[Alarm]:
        """Judge a batch; the alarms that it raises, in order. SchemaError or DataError before anything changed."""
        given = self.reader.read(batch)
        columns = [] if self.features is None else [batch.column(name) for name in self.features.names]
        if self.features is not None:
            self.features.check(columns)
        self.slices.check([batch.column(name) for name in self.columns.by])
        self.reader.accept(given)  # from here on nothing is refused
        y = given.y if self._outcomes is None else self._look_up(given)
        n = len(y)
        event = np.arange(self.counts.events, self.counts.events + n)
        judged = np.ones(n, np.bool_)
        if given.known is not None and given.time is not None:
            take_turns(given.time, given.known, y, given.weight, self._turn, judged)
        elapsed = NONE
        if self.wishes.patience.tick is not None and given.time is not None:
            elapsed = given.time / self.wishes.patience.tick
        begun = self.monitor.until_reference(y, given.weight)
        weight = np.where(judged, given.weight, 0.0)
        alarms = self.monitor.update(event, given.time, given.z, y, given.weight, judged)
        self._recalibrate(event, given, y, judged)
        alarms = self._tell(columns, event, given, y, elapsed, alarms)
        if self.columns.by and begun < n:
            time = np.full(n, NO_TIME) if given.time is None else given.time
            values = [batch.column(name)[begun:] for name in self.columns.by]
            z, slack = self.monitor.as_judged(given.z)
            late = slice(begun, None)
            alarms += self.slices.update(
                values,
                event[late],
                time[late],
                z[late],
                y[late],
                weight[late],
                _from(elapsed, begun),
                _from(slack, begun),
            )
        self._count(given, y, weight)
        return sorted(alarms, key=lambda alarm: alarm.event)

    def _recalibrate(self, event: I64, given: Given, y: I8, judged: npt.NDArray[np.bool_]) -> None:
        """Let the shadow bet on events that are judged, and learn from them: the others' outcomes may not be known yet."""
        z = np.clip(given.z, -UTMOST, UTMOST)
        weight = np.where(judged, given.weight, 0.0)
        n, first = len(y), self.counts.events
        cuts = np.arange(-first % EVERY, n, EVERY).tolist()
        for a, b in pairwise([0, *cuts, n]):
            if a < b:
                if (first + a) % EVERY == 0:
                    self.shadow.turn(first + a, NO_TIME, first + a)
                part = slice(a, b)
                self.shadow.learn(event[part], z[part], y[part], weight[part], judged[part])

    def acknowledge(self) -> None:
        """Faults are mended, or known: evidence starts anew, and the next alarm or warning of each kind is news again."""
        self.monitor.rearm()
        self.slices.rearm()
        if self.features is not None:
            self.features.rearm()

    def _look_up(self, given: Given) -> I8:
        """Outcomes by key; -1 where there is none."""
        assert self._outcomes is not None
        assert given.key is not None
        keys, labels = self._outcomes
        if not len(keys):
            return np.full(len(given.key), -1, np.int8)
        at = np.minimum(np.searchsorted(keys, given.key), len(keys) - 1)
        found: I8 = np.where(keys[at] == given.key, labels[at], -1).astype(np.int8)
        return found

    def _tell(
        self, columns: list[pa.Array], event: I64, given: Given, y: I8, elapsed: F64, alarms: list[Alarm]
    ) -> list[Alarm]:
        """Features and decisions up to each alarm, which is told what they were then; the alarms with the warnings."""
        time = np.full(len(y), NO_TIME) if given.time is None else given.time
        p = numpy_sigmoid(np.clip(given.z, -700.0, 700.0))
        told: list[Alarm] = []
        row = 0
        for alarm in [*alarms, None]:
            end = len(y) if alarm is None else int(np.searchsorted(event, alarm.event)) + 1
            part = slice(row, end)
            self.decisions.score(given.z[part], given.weight[part])
            self.decisions.settle(given.z[part], y[part], given.weight[part])
            if self.features is not None:
                told += self.features.update(
                    [column[row:end] for column in columns], event[part], time[part], given.weight[part],
                    elapsed[part] if elapsed.size else elapsed, p[part], y[part],
                )  # fmt: skip
            if alarm is not None:
                moved = self.features.moved(alarm.onset_event) if self.features is not None else ()
                told.append(explained(alarm, moved, self.decisions.excess()))
            row = end
        return told

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies; outcomes of another source are not part of it."""
        counts = np.array(list(asdict(self.counts).values()), np.int64)
        own: dict[str, Array] = {"counts": counts, "turn": self._turn.copy()}
        return own | {
            f"{name}.{key}": array for name, part in self._parts().items() for key, array in part.state().items()
        }

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of a watch with the same columns and wishes. StateError if it is not one."""
        check("watch", state, {"counts": (np.int64, (len(asdict(self.counts)),)), "turn": (np.int64, (1,))})
        require_counts(state["counts"], "watch.counts")
        for name, part in self._parts().items():
            part.restore(under(state, f"{name}."))
        self.counts = Counts(*(int(count) for count in state["counts"]))
        self._turn[:] = state["turn"]

    def _parts(self) -> dict[str, Any]:
        parts = {
            "reader": self.reader, "monitor": self.monitor, "slices": self.slices, "decisions": self.decisions,
            "shadow": self.shadow,
        }  # fmt: skip
        return parts if self.features is None else parts | {"features": self.features}

    def _count(self, given: Given, y: I8, weight: F64) -> None:
        counts = self.counts
        some = given.weight > 0.0
        counts.events += len(y)
        counts.no_probability += given.no_probability
        counts.no_weight += int(np.count_nonzero(~some)) - given.no_probability
        counts.unlabelled += int(np.count_nonzero(some & (y < 0)))
        counts.labelled += int(np.count_nonzero(some & (y >= 0)))
        counts.judged += int(np.count_nonzero((weight > 0.0) & (y >= 0)))


def _from(column: F64, row: int) -> F64:
    """A column from a row on; one that is not there stays so."""
    return column[row:] if column.size else column
