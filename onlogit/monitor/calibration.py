"""The calibration monitor: tallies stated probabilities against outcomes, and raises alarms with their evidence.

It must be fed in prediction order, each event once its outcome is settled; arrival order is biased, as fast outcomes
come first. Any cut of the stream into updates gives the same bytes of state. It promises what `kernels/evidence.py`
states: with probabilities right to within `tolerance` logits, the mean number of judged events to a false alarm is at
least `patience`, and P(alarm within T events) <= T / patience. Measured on honest probabilities of base rate 11 % at
the default patience and tolerance: one alarm in about 80,000 events.

After an alarm evidence starts anew from zero, and the alarm is open for `patience` judged events: evidence that passes
patience again in that time is counted (`Alarm.repeats` of the next alarm), not reported. So a fault that nobody mends
is reported at most once in `patience` events. Cost: about 110 ns an event, 74 kB.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from onlogit.errors import ConfigError, DataError, StateError
from onlogit.kernels import evidence as detector
from onlogit.kernels.evidence import F64, I8, I64, Evidence
from onlogit.kernels.tally import LARGEST_WEIGHT, Quality, Tally, new_tally, quality, tally_rows
from onlogit.monitor.alarms import NO_TIME, Alarm, raise_alarm

Array = npt.NDArray[np.generic]


class CalibrationMonitor:
    """Watches one stream of stated log-odds and outcomes.

    patience: mean number of judged events between false alarms that is acceptable, 1 to 1e15.
    tolerance: miscalibration in logits that does not matter, 0 to 0.5.
    """

    def __init__(self, patience: float = 10_000.0, tolerance: float = 0.1) -> None:
        if not 1.0 <= patience <= 1e15:
            raise ConfigError(f"patience = {patience}: a number of events from 1 to 1e15 would be accepted")
        if not 0.0 <= tolerance <= 0.5:
            raise ConfigError(f"tolerance = {tolerance}: logits from 0 to 0.5 would be accepted")
        self.patience = float(patience)
        self.tolerance = float(tolerance)
        self.tally: Tally = new_tally()
        self._evidence: Evidence = detector.new_evidence()
        self._weights = detector.arm_weights(self.tolerance)
        self._factors = detector.arm_factors(self.tolerance)

    def update(
        self, event: I64, time: I64 | None, z: F64, y: I8, weight: F64, judged: npt.NDArray[np.bool_] | None = None
    ) -> list[Alarm]:
        """Judge rows in order; the alarms that they raise.

        event: int64[n] event numbers; time: int64[n] microseconds UTC or None; z: float64[n] log-odds as stated; y:
        int8[n], 1, 0 or -1 for unlabelled; weight: float64[n], 0 to 2^20. A weight counts as repeats in the tally, and
        once in the evidence if above 0. Rows that are not `judged` (bool[n]; None: all are) are only tallied.
        DataError, with nothing changed, on any other value.
        """
        _check(event, time, z, y, weight)
        event, z = np.ascontiguousarray(event, np.int64), np.ascontiguousarray(z, np.float64)
        y, weight = np.ascontiguousarray(y, np.int8), np.ascontiguousarray(weight, np.float64)
        times = np.full(z.size, NO_TIME) if time is None else np.ascontiguousarray(time, np.int64)
        tally_rows(self.tally, z, y, weight)
        return list(self._alarms(event, times, z, y, weight if judged is None else np.where(judged, weight, 0.0)))

    def _alarms(self, event: I64, time: I64, z: F64, y: I8, weight: F64) -> Iterator[Alarm]:
        state, row = self._evidence, 0
        while row < z.size:
            row = detector.gather_evidence(
                state, self._weights, self._factors, self.patience, event, time, z, y, weight, row
            )
            if row < 0:
                return
            yield raise_alarm(state, self._weights, int(event[row]), int(time[row]), self.patience, self.tolerance)
            state.clock[detector.REPEATS] = 0
            detector.restart(state)
            row += 1

    @property
    def evidence(self) -> float:
        """M now: how many times better "not calibrated" explains the outcomes; an alarm at `patience`."""
        return float(self._evidence.level[detector.NOW])

    @property
    def peak_evidence(self) -> float:
        """The highest M so far."""
        return float(self._evidence.level[detector.PEAK])

    @property
    def alarm_open(self) -> bool:
        """Whether the last alarm is younger than `patience` judged events."""
        judged, _, last, _ = self._evidence.clock.tolist()
        return bool(last >= 0 and judged - last < self.patience)

    def summary(self) -> Quality:
        """Quality of all that was judged so far; None where there is nothing to say."""
        return quality(self.tally)

    def state(self) -> dict[str, Array]:
        """Everything the monitor remembers, as copies."""
        return {name: array.copy() for name, array in _named(self.tally, self._evidence).items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of a monitor with the same settings. StateError, with nothing changed, if it is not one."""
        tally, evidence = new_tally(), detector.new_evidence()
        wanted = _named(tally, evidence)
        if state.keys() != wanted.keys():
            odd = ", ".join(sorted(state.keys() ^ wanted.keys()))
            raise StateError(f"calibration monitor: arrays missing or unknown: {odd}")
        for name, into in wanted.items():
            given = state[name]
            if given.shape != into.shape or given.dtype != into.dtype:
                found, accepted = f"{given.dtype}{list(given.shape)}", f"{into.dtype}{list(into.shape)}"
                raise StateError(f"calibration monitor: {name} is {found}; {accepted} would be accepted")
            if not np.isfinite(given).all():
                raise StateError(f"calibration monitor: {name} holds a value that is not finite")
            into[...] = given
        judged, settle, last, repeats = evidence.clock.tolist()
        if not (0 <= judged <= settle and settle >= detector.FIRST_SETTLE and -1 <= last <= judged and repeats >= 0):
            raise StateError(f"calibration monitor: evidence.clock {evidence.clock.tolist()} contradicts itself")
        self.tally, self._evidence = tally, evidence


def _named(tally: Tally, evidence: Evidence) -> dict[str, Array]:
    named: dict[str, Array] = {f"tally.{name}": array for name, array in tally._asdict().items()}
    return named | {f"evidence.{name}": array for name, array in evidence._asdict().items()}


def _check(event: I64, time: I64 | None, z: F64, y: I8, weight: F64) -> None:
    n = len(z)
    for name, column in (("event", event), ("time", time), ("y", y), ("weight", weight)):
        if column is not None and len(column) != n:
            raise DataError(f"{name} has {len(column)} rows, z has {n}")
    if n == 0:
        return
    if math.isnan(np.min(z)):
        raise DataError(f"z at event {event[np.isnan(z)][0]} is NaN: log-odds or an infinity would be accepted")
    low, high = np.min(weight), np.max(weight)
    if not (low >= 0.0 and high <= LARGEST_WEIGHT):
        row = int(np.argmin((weight >= 0.0) & (weight <= LARGEST_WEIGHT)))
        raise DataError(f"weight at event {event[row]} is {weight[row]}: 0 to {LARGEST_WEIGHT:.0f} would be accepted")
    if np.max(y) > 1 or np.min(y) < -1:
        row = int(np.argmax((y > 1) | (y < -1)))
        raise DataError(f"y at event {event[row]} is {y[row]}: 1, 0, or -1 for unlabelled would be accepted")
