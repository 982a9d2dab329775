"""The calibration monitor: tallies stated probabilities against outcomes, and raises alarms with their evidence.

It must be fed in prediction order, each event once its outcome is settled; arrival order is biased, as fast outcomes
come first. Any cut of the stream into updates gives the same bytes of state. It promises what `kernels/evidence.py`
states: with probabilities right to within `tolerance` logits, the mean number of judged events to a false alarm is at
least `patience`, and P(alarm within T events) <= T / patience; for a patience in time ("90d") the same in that time. With a
`reference` it judges change since then and not the probabilities as such (monitor/change.py). Measured on honest
probabilities of base rate 11 % at the default patience and tolerance: one alarm in about 80,000 events.

After an alarm evidence starts anew from zero, and the alarm is open for `patience`: evidence that passes patience again in
that time is counted (`Alarm.repeats` of the next alarm), not reported. So a fault that nobody mends is reported at most
once in `patience`. `rearm` closes it when the fault is mended. Cost: about 55 ns an event, 160 kB.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.config import MonitorConfig
from onlogit.encoding.event_columns import NO_TIME, WEIGHTS, may_weigh
from onlogit.errors import ConfigError, DataError, StateError
from onlogit.fixed import constant
from onlogit.kernels import arms
from onlogit.kernels import evidence as detector
from onlogit.kernels.evidence import F64, I8, I64, Evidence
from onlogit.kernels.fading import Recent, tally_lately
from onlogit.kernels.tally import LARGEST_WEIGHT, LEAST_WEIGHT, Tally, new_tally
from onlogit.monitor import change, merging, recent, sound, timeline
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.estimates import Estimates, Sums, estimates, sums_of
from onlogit.monitor.quality import Quality, quality
from onlogit.monitor.raising import raise_alarm
from onlogit.monitor.timeline import Stretch, Timeline
from onlogit.patience import Patience, patience_of
from onlogit.states import check, like

NONE = np.zeros(0)
Array = npt.NDArray[np.generic]


class CalibrationMonitor:
    """Watches one stream of stated log-odds and outcomes.

    patience: mean number of judged events between false alarms that is acceptable, 1 to 1e15, or a time ("90d").
    tolerance: miscalibration in logits that does not matter, 0 to 0.5.
    reference: so many labelled events give the calibration map that later ones are held against; 0: none is.
    window: labelled events that recent estimates are about.
    """

    def __init__(
        self,
        patience: float | str | Patience = 10_000.0,
        tolerance: float = 0.1,
        reference: int = 0,
        window: int = 10_000,
    ) -> None:
        if not 0.0 <= tolerance <= 0.5:
            raise ConfigError(f"tolerance = {tolerance}: logits from 0 to 0.5 would be accepted")
        if not 0 <= reference <= 1 << 40 or (0 < reference < 100):
            raise ConfigError(f"reference = {reference}: 0, or a window of 100 events or more would be accepted")
        if not 8 <= window <= 1 << 40:
            raise ConfigError(f"window = {window}: 8 events or more would be accepted")
        self.allowed = patience_of(patience)
        self.patience = self.allowed.amount
        self.tolerance, self.reference, self.window = float(tolerance), int(reference), int(window)
        self.once = False  # one test at a level instead of a watch without end
        self.tally: Tally = new_tally()
        self._evidence: Evidence = detector.new_evidence()
        self._recent: Recent = recent.new_recent()
        self._timeline: Timeline = timeline.new_timeline()
        self._map: change.Reference = change.no_reference()
        self._weights = arms.arm_weights(self.tolerance)
        self._block = arms.new_block(self.tolerance)  # scratch, no state

    @classmethod
    def of(cls, config: MonitorConfig) -> "CalibrationMonitor":
        """The monitor that a config describes."""
        patience = Patience.of(config.patience, config.unit)
        return cls(patience, config.tolerance, config.reference if config.change else 0)

    @classmethod
    def test(cls, level: float = 0.05, tolerance: float = 0.1, window: int = 10_000) -> "CalibrationMonitor":
        """A sequential test of calibration: under the null, P(evidence ever reaches 1/level) <= level, looked at all along."""
        if not 0.0 < level < 1.0:
            raise ConfigError(f"level = {level}: a number between 0 and 1 would be accepted")
        monitor = cls(1.0 / level, tolerance, window=window)
        monitor.once = True
        monitor._evidence.sums[:] = 1.0
        monitor._evidence.level[[detector.NOW, detector.PEAK, detector.LATELY]] = 1.0
        return monitor

    @classmethod
    def merge(cls, parts: Sequence["CalibrationMonitor"]) -> "CalibrationMonitor":
        """One monitor of workers that judged parts of one stream of probabilities, with the same settings, each in order.

        Tallies are exactly those of one worker. Evidence and windows go on from where the
        workers were together (monitor/merging.py). ConfigError where settings differ, or a reference is involved.
        """
        first = parts[0]
        settings = {(part.allowed, part.tolerance, part.reference, part.window, part.once) for part in parts}
        if len(settings) > 1 or first.reference or first.once:
            raise ConfigError("monitors merge where all have the same settings, and neither a reference nor a test")
        merged = cls(first.allowed, first.tolerance, 0, first.window)
        states = [part.state() for part in parts]
        fresh = merged.state()
        merged.restore(merging.merge(fresh, fresh, states))
        found = merging.merge_evidence([p._evidence for p in parts], merged._weights, first.allowed.tick is not None)
        merged._evidence = found
        merged._recent = merging.merge_recent([p._recent for p in parts], merged.tally, [p.tally for p in parts])
        merged._timeline = timeline.restarted(merged.tally, max(int(p._timeline.clock[timeline.END]) for p in parts))
        return merged

    def update(
        self, event: I64, time: I64 | None, z: F64, y: I8, weight: F64, judged: npt.NDArray[np.bool_] | None = None
    ) -> list[Alarm]:
        """Judge rows in order; the alarms that they raise.

        event: int64[n] event numbers; time: int64[n] microseconds UTC or None; z: float64[n] log-odds as stated; y:
        int8[n], 1, 0 or -1 for unlabelled; weight: float64[n], 0 or 2^-16 to 2^20. A weight counts as repeats in the tally, and
        once in the evidence if above 0. Rows that are not `judged` (bool[n]; None: all are) are only tallied.
        DataError, with nothing changed, on any other value, and on none where patience is a time.
        """
        _check(event, time, z, y, weight)
        if time is None and self.allowed.tick is not None:
            raise DataError(f"a patience of {self.allowed} needs the time of every event")
        event, z = np.ascontiguousarray(event, np.int64), np.ascontiguousarray(z, np.float64)
        y, weight = np.ascontiguousarray(y, np.int8), np.ascontiguousarray(weight, np.float64)
        times = constant(np.int64(NO_TIME), z.size) if time is None else np.ascontiguousarray(time, np.int64)
        counts = weight if judged is None or judged.all() else weight * judged
        alarms, row = [], 0
        for end, labelled in timeline.cut(self._timeline, self._evidence, y, weight):
            part = slice(row, end)
            alarms += self._update(event[part], times[part], z[part], y[part], weight[part], counts[part])
            timeline.count(self._timeline, int(event[end - 1]), labelled, self.tally, self._evidence)
            row = end
        return alarms

    def _update(self, event: I64, times: I64, z: F64, y: I8, weight: F64, counts: F64) -> list[Alarm]:
        begun = self.until_reference(y, weight)
        self._tally(z[:begun], y[:begun], weight[:begun])
        if self._waiting and self._recent.seen[0] >= self.reference:
            for mine, found in zip(self._map, change.freeze(sums_of(self.tally)), strict=True):
                mine[...] = found
        part = slice(begun, None)
        self._tally(z[part], y[part], weight[part])
        return self._gather(event[part], times[part], z[part], y[part], counts[part])

    def _tally(self, z: F64, y: I8, weight: F64) -> None:
        if z.size:
            tally_lately(self.tally, self._recent, recent.step(self.window), z, y, weight)

    def until_reference(self, y: I8, weight: F64) -> int:
        """After how many of these rows the reference window is complete: 0 if it is or there is none, all if not."""
        if not self._waiting:
            return 0
        labelled = np.flatnonzero((y >= 0) & (weight > 0.0))
        lacking = self.reference - int(self._recent.seen[0])
        return int(labelled[lacking - 1]) + 1 if lacking <= labelled.size else len(y)

    def as_judged(self, z: F64) -> tuple[F64, F64]:
        """Log-odds as evidence takes them, corrected by the reference's map where there is one, and the slack beside it."""
        return change.judge(self._map, z, self.tolerance) if self.reference_map is not None else (z, NONE)

    @property
    def _waiting(self) -> bool:
        """Whether the reference window is still open."""
        return self.reference > 0 and self._map.examples[0] == 0.0

    def _gather(self, event: I64, time: I64, z: F64, y: I8, counts: F64) -> list[Alarm]:
        """Gather evidence of rows after the reference window."""
        if not z.size or self.decided:
            return []
        z, slack = self.as_judged(z)
        elapsed = NONE
        if self.once:
            elapsed = np.zeros(z.size)
        elif self.allowed.tick is not None:
            elapsed = time / self.allowed.tick
        return list(self._alarms(event, time, z, y, counts, elapsed, slack))

    def _alarms(self, event: I64, time: I64, z: F64, y: I8, weight: F64, elapsed: F64, slack: F64) -> Iterator[Alarm]:
        state, row = self._evidence, 0
        while row < z.size:
            row = detector.gather_evidence(
                state, self._block, self.patience, event, time, z, y, weight, elapsed, slack, row
            )
            if row < 0:
                return
            kind = "test" if self.once else "change" if self.reference else "calibration"
            at = int(event[row]), int(time[row])
            yield raise_alarm(state, self._weights, *at, self.patience, self.tolerance, kind, self.allowed.unit)
            if self.once:
                return
            state.clock[detector.REPEATS] = 0
            detector.restart(state)
            row += 1

    @property
    def decided(self) -> bool:
        """Whether a test has rejected: its evidence stays as it was then."""
        return self.once and bool(self._evidence.clock[detector.LAST_ALARM] >= 0)

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
        if self.allowed.tick is not None and last >= 0:
            since = float(self._evidence.started[detector.EVERYWHERE] - self._evidence.level[detector.ALARMED])
            return since < self.patience
        return bool(last >= 0 and judged - last < self.patience)

    def rearm(self) -> None:
        """Close the open alarm and start evidence anew: the fault is mended, and the next alarm is news again.

        A test decides once: this changes nothing there.
        """
        if self.once:
            return
        self._evidence.clock[detector.LAST_ALARM] = -1
        self._evidence.clock[detector.REPEATS] = 0
        detector.restart(self._evidence)

    @property
    def reference_map(self) -> change.Reference | None:
        """The calibration map of the reference window, once there is one."""
        return self._map if self._map.examples[0] > 0.0 else None

    def overall(self) -> Estimates:
        """Estimates over all labelled events so far."""
        return estimates(sums_of(self.tally))

    def lately(self) -> Estimates:
        """Estimates over the last 7/8 to 8/8 of `window` labelled events."""
        return estimates(recent.windowed(self._recent, self.tally))

    def faded(self) -> Estimates:
        """Estimates in which an event counts half after `window` more."""
        return estimates(recent.faded(self._recent, self.tally))

    def stretches(self) -> list[Stretch]:
        """How loss, calibration and evidence went over the stream, in at most 33 stretches."""
        return timeline.stretches(self._timeline, self.tally, self._evidence)

    def sums(self) -> dict[str, Sums]:
        """What the three are made of, copied: to be read by somebody else while this goes on, as that takes .1 s and more."""
        return {
            "overall": sums_of(self.tally),
            "lately": recent.windowed(self._recent, self.tally),
            "faded": recent.faded(self._recent, self.tally),
        }

    def spans(self) -> dict[str, Estimates]:
        """The three by their names."""
        return {name: estimates(each) for name, each in self.sums().items()}

    def summary(self) -> Quality:
        """Quality of all that was judged so far; None where there is nothing to say."""
        return quality(self.tally)

    def state(self) -> dict[str, Array]:
        """Everything the monitor remembers, as copies."""
        return {name: array.copy() for name, array in self._named().items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of a monitor with the same settings. StateError, with nothing changed, if it is not one."""
        fresh = CalibrationMonitor(self.allowed, self.tolerance, self.reference, self.window)
        wanted = fresh._named()
        if state.keys() != wanted.keys():
            odd = ", ".join(sorted(state.keys() ^ wanted.keys()))
            raise StateError(f"calibration monitor: arrays missing or unknown: {odd}")
        check("calibration monitor", state, like(wanted))
        for name, into in wanted.items():
            into[...] = state[name]
        if not timeline.sound(fresh._timeline):
            raise StateError(
                f"calibration monitor: timeline.clock {fresh._timeline.clock.tolist()} contradicts its marks"
            )
        try:
            sound.require_calibration(fresh._evidence)
            sound.require_tally(fresh.tally)
            sound.require_recent(fresh._recent, fresh.tally)
            sound.require_timeline(fresh._timeline, fresh.tally.totals[timeline.SUMS])
            change.require_map(fresh._map)
        except StateError as error:
            raise StateError(f"calibration monitor: {error}") from error
        self.tally, self._evidence, self._recent, self._map = fresh.tally, fresh._evidence, fresh._recent, fresh._map
        self._timeline = fresh._timeline

    def _named(self) -> dict[str, Array]:
        parts: dict[str, Any] = {
            "tally": self.tally,
            "evidence": self._evidence,
            "recent": self._recent,
            "timeline": self._timeline,
            "change": self._map,
        }
        return {f"{part}.{name}": array for part, state in parts.items() for name, array in state._asdict().items()}


def _check(event: I64, time: I64 | None, z: F64, y: I8, weight: F64) -> None:
    n = len(z)
    for name, column in (("event", event), ("time", time), ("y", y), ("weight", weight)):
        if column is not None and len(column) != n:
            raise DataError(f"{name} has {len(column)} rows, z has {n}")
    if n == 0:
        return
    if math.isnan(np.min(z)):
        raise DataError(f"z at event {event[np.isnan(z)][0]} is NaN: log-odds or an infinity would be accepted")
    plain = np.min(weight) >= LEAST_WEIGHT and np.max(weight) <= LARGEST_WEIGHT
    if not plain and not (fits := may_weigh(weight)).all():
        row = int(np.argmin(fits))
        raise DataError(f"weight at event {event[row]} is {weight[row]}: accepted is {WEIGHTS}")
    if np.max(y) > 1 or np.min(y) < -1:
        row = int(np.argmax((y > 1) | (y < -1)))
        raise DataError(f"y at event {event[row]} is {y[row]}: 1, 0, or -1 for unlabelled would be accepted")
