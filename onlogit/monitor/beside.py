"""What the fold watches beside its calibration: slices, decisions, and the features with which outcomes moved.

Of each event the slice of every column in `by`, and the bins of watched features, are read when it is scored, and wait until
all events before it are settled: a queue of codes, 4 bytes a column and 1 byte a feature for each event that waits. Residuals
take events when they are settled, and so does what decisions cost; decisions themselves are counted when they are taken.

Two threads may share it: one reads codes and counts decisions, the other judges. State is whole when both are done.
"""

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.config import MonitorConfig
from onlogit.errors import StateError
from onlogit.kernels.drift import BINS
from onlogit.kernels.evidence import F64, I8, I64
from onlogit.kernels.link import numpy_sigmoid
from onlogit.monitor.alarms import Alarm, explained
from onlogit.monitor.calibration import NONE, CalibrationMonitor
from onlogit.monitor.decisions import Costs, DecisionMonitor
from onlogit.monitor.features import FeatureMonitor
from onlogit.monitor.slices import SliceMonitor
from onlogit.monitor.sound import between
from onlogit.patience import Patience
from onlogit.states import check, under

Codes = tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]  # slices [columns, n] and bins of features [features, n]
Array = np.ndarray[Any, Any]


def beside_of(
    config: MonitorConfig, features: FeatureMonitor | None, predictions: FeatureMonitor | None
) -> "Beside | None":
    """What a config asks for; None where that is nothing."""
    wanted = config.by or config.thresholds or config.costs or predictions
    return Beside(config, features, predictions) if wanted else None


class Beside:
    """Watches what one stream's alarms are explained by, and slices, which raise their own."""

    def __init__(
        self, config: MonitorConfig, features: FeatureMonitor | None, predictions: FeatureMonitor | None
    ) -> None:
        self.allowed = Patience.of(config.patience, config.unit)
        self.features, self.predictions = features, predictions  # whose state is kept elsewhere
        self.slices = SliceMonitor(config.by, self.allowed, config.tolerance, config.slices)
        self.decisions = _decisions(config)
        self._held: deque[Codes] = deque()

    @property
    def _queues(self) -> bool:
        """Whether events have codes."""
        return bool(self.slices.columns) or self.features is not None

    def check(self, batch: pa.RecordBatch) -> None:
        """DataError, with nothing changed, where a column whose slices are watched is damaged."""
        self.slices.check(self._sliced(batch))

    def _sliced(self, batch: pa.RecordBatch) -> list[pa.Array]:
        return [batch.column(name) for name in self.slices.columns]

    def read(self, batch: pa.RecordBatch, weight: F64) -> None:
        """Note the codes of a batch's events, after their features were watched. weight: [n]."""
        if not self._queues:
            return
        bins = np.zeros((0, len(weight)), np.int8) if self.features is None else self.features.codes
        slices = np.zeros((0, len(weight)), np.int32)
        if self.slices.columns:
            slices = self.slices.codes(self._sliced(batch), weight > 0.0)
        self._held.append((slices, bins))

    def score(self, stated: F64, weight: F64) -> None:
        """Count the decisions about the next events [n], by the log-odds stated of them."""
        if self.decisions.thresholds:
            self.decisions.score(stated, weight)

    def _next(self, n: int) -> Codes:
        """The codes of the next n events."""
        taken: list[Codes] = []
        if not self._queues:
            return np.zeros((0, n), np.int32), np.zeros((0, n), np.int8)
        while n or not taken:
            if n and not self._held:
                raise StateError("beside: the codes of events that wait are lost")
            slices, bins = self._held.popleft() if n else self._none()
            size = slices.shape[1]
            if size > n:
                self._held.appendleft((slices[:, n:], bins[:, n:]))
            taken.append((slices[:, :n], bins[:, :n]))
            n -= min(size, n)
        return taken[0] if len(taken) == 1 else _joined(taken)

    def _none(self) -> Codes:
        features = 0 if self.features is None else len(self.features.names)
        return np.zeros((len(self.slices.columns), 0), np.int32), np.zeros((features, 0), np.int8)

    def judge(
        self, monitor: CalibrationMonitor, event: I64, time: I64, stated: F64, z: F64, y: I8, weight: F64,
        judged: npt.NDArray[np.bool_], begun: int, alarms: list[Alarm],
    ) -> list[Alarm]:  # fmt: skip
        """Take the next settled events, judged by the monitor already; all alarms, explained, with those of slices.

        stated: log-odds, by which decisions are made; z: those of the label, which differ where labels are known to be
        flipped. begun: of which on slices are judged. alarms: those that the monitor raised.
        """
        slices, bins = self._next(len(event))
        told = self._tell(event, stated, z, y, weight, bins, alarms)
        if self.slices.columns and begun < len(event) and not monitor.decided:
            late = slice(begun, None)
            z, slack = monitor.as_judged(z)
            elapsed = NONE if self.allowed.tick is None else (time / self.allowed.tick)[late]
            counts = np.where(judged, weight, 0.0)[late]
            slack = slack[late] if slack.size else slack
            told += self.slices.judge(
                slices[:, late], event[late], time[late], z[late], y[late], counts, elapsed, slack
            )
        return sorted(told, key=lambda alarm: alarm.event)

    def _tell(
        self, event: I64, stated: F64, z: F64, y: I8, weight: F64, bins: npt.NDArray[np.int8], alarms: list[Alarm]
    ) -> list[Alarm]:
        """Features and decisions up to each alarm, which is told what they were then."""
        p = z if self.features is None else numpy_sigmoid(np.clip(z, -700.0, 700.0))
        row, told = 0, []
        for alarm in [*alarms, None]:
            end = len(y) if alarm is None else int(np.searchsorted(event, alarm.event)) + 1
            if self.decisions.thresholds:
                self.decisions.settle(stated[row:end], y[row:end], weight[row:end])
            if self.features is not None and end > row:
                first = row + int(np.count_nonzero(bins[0, row:end] < 0))  # the reference comes first
                part = slice(first, end)
                code = bins[:, part].astype(np.int32)
                self.features.residuals.add(code, event[part], p[part], y[part], weight[part])
            if alarm is not None:
                moved = () if self.features is None else self.features.moved(alarm.onset_event)
                told.append(explained(alarm, moved, self.decisions.excess()))
            row = end
        return told

    def rearm(self) -> None:
        """Faults are mended: evidence of slices starts anew."""
        self.slices.rearm()

    def begin_anew(self) -> None:
        """Evidence, tallies and counts start anew; codes that wait stay."""
        self.slices.begin_anew()
        own = self.decisions
        self.decisions = DecisionMonitor(own.thresholds, own.costs, own.window, own.reference)

    def price(self, config: MonitorConfig) -> None:
        """Count decisions at other thresholds and costs from here on."""
        self.decisions = _decisions(config)

    def figures(self) -> dict[str, Any]:
        """The worst slices, decisions at each threshold, and what to expect of the last events. JSON-safe."""
        outlook = self.decisions.outlook()
        return {
            "slices": [each._asdict() for each in self.slices.worst()],
            "decisions": [each._asdict() for each in self.decisions.read()],
            "outlook": None if outlook is None else outlook._asdict(),
            "features": [
                each._asdict()
                for part in (self.predictions, self.features)
                if part is not None
                for each in part.distances()
            ],
        }

    def fits(self, weight: F64) -> bool:
        """Whether these are the codes of the events that wait, whose weights [n] these are: each counted one has a slice."""
        slices, _ = _joined([self._none(), *self._held])
        return not self._queues or (slices.shape[1] == len(weight) and self.slices.known(slices, weight > 0.0))

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies."""
        slices, bins = _joined([self._none(), *self._held])
        own: dict[str, Array] = {"held_slices": slices, "held_bins": bins}
        parts = ("slices", self.slices.state()), ("decisions", self.decisions.state())
        return own | {f"{name}.{key}": array for name, part in parts for key, array in part.items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of the same settings. StateError if it is not one."""
        no_slices, no_bins = self._none()
        check("beside", state, {"held_slices": (no_slices.dtype, (len(no_slices), None)),
                                "held_bins": (no_bins.dtype, (len(no_bins), None))})  # fmt: skip
        slices, bins = state["held_slices"], state["held_bins"]
        if slices.shape[1] != bins.shape[1]:
            raise StateError("beside: the codes that wait differ in length")
        if not between(bins, -1, BINS - 1) or ((bins < 0).any() and not _begins_unread(bins < 0)):
            raise StateError("beside: a code that waits is of no bin")
        self.slices.restore(under(state, "slices."))
        if not self.slices.known(slices, np.zeros(slices.shape[1], np.bool_)):
            raise StateError("beside: a code that waits is of no slice")
        self.decisions.restore(under(state, "decisions."))
        self._held = deque([(slices.copy(), bins.copy())] if slices.shape[1] else [])


def _decisions(config: MonitorConfig) -> DecisionMonitor:
    costs = Costs(*config.costs) if config.costs else None
    return DecisionMonitor(config.thresholds, costs, 10_000, config.reference)


def _begins_unread(unread: npt.NDArray[np.bool_]) -> bool:
    """Whether events [features, n] that have no bins, as the reference lasted, come first, and have none of any feature."""
    return bool((unread == unread[:1]).all() and not (unread[0, 1:] & ~unread[0, :-1]).any())


def _joined(parts: list[Codes]) -> Codes:
    slices, bins = zip(*parts, strict=True)
    return np.concatenate(slices, axis=1), np.concatenate(bins, axis=1)
