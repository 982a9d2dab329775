"""Decisions at thresholds of p: how often they are taken, what they were expected to cost, and what they cost.

For each threshold t, a case is acted on where p >= t, and at that of costs where p > t: at equal costs it rests. When an
event is scored it is counted at once: how many are acted on, how many lie within half a logit of t, and Σp of both sides. So
before any outcome is there it is known what stated probabilities say of today's mix: action rates beside those of the first
events, expected true and false actions, misses and cost. That sees a change in the mix, and is blind to a change in what the
mix means (concept drift): only outcomes show that.
When an event is settled, in prediction order, its outcome is counted as well: what decisions cost, and were promised to.

Sums are whole numbers (p in parts of 2^-30), so any cut of the stream gives the same bytes. Rings of marks give the last
7/8 N to N events scored, and settled; another mark is the reference, the first events. What is scored and what is settled
share nothing, so that two threads may tell them. Cost: 75 ns an event and 55 for each threshold; 5 kB and 1 kB each.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.errors import ConfigError
from onlogit.kernels.link import numpy_sigmoid
from onlogit.kernels.tally import F64, I8, I64
from onlogit.monitor.sound import demand, require_counts
from onlogit.states import check, like

Array = np.ndarray[Any, Any]
MARKS = 8
NEAR = 0.5  # logits
BINS = 20
UNIT = float(1 << 30)
EVENTS, STATED, CLOSE = range(3)  # per threshold and side, of events scored: how many, Σp, how many near it
NEGATIVE, POSITIVE, STATED_KNOWN = range(
    3
)  # per threshold and side, of events settled: outcomes, Σp where there is one


class Costs(NamedTuple):
    """What a wrong decision costs; right ones are free."""

    false_action: float
    miss: float

    @property
    def threshold(self) -> float:
        """Where acting begins to pay: p miss > (1 - p) false_action."""
        return self.false_action / (self.false_action + self.miss)


class Decision(NamedTuple):
    """One threshold over the last events. Shares are of all events, costs per 1,000. `_asdict()` is JSON-safe."""

    threshold: float
    events: int
    action_rate: float
    action_rate_reference: float | None  # over the reference window; None while it lasts
    near: float  # share within half a logit of the threshold
    near_reference: float | None
    expected_true: float  # shares of all events, by stated p: acted on, and the outcome is 1
    expected_false: float
    expected_missed: float
    expected_cost: float | None
    known: int  # events with an outcome, among the last that were settled
    expected_cost_known: float | None  # the same over those alone
    realised_cost: float | None


class Outlook(NamedTuple):
    """What to expect of the last events. `_asdict()` is JSON-safe."""

    events: int
    unknown: float  # share that waits for its outcome, or got none
    rate: float  # of outcomes, had each of 20 bins of p the rate that it has had so far: the mix is today's


class Sums:
    """Sums [size] of whole numbers over events: of all, of the last 7/8 to 8/8 of `window`, of the first `reference`."""

    def __init__(self, size: int, window: int, reference: int) -> None:
        self.step, self.reference = max(window // MARKS, 1), reference
        self.total = np.zeros(size, np.int64)
        self.marks = np.zeros((MARKS + 1, size), np.int64)  # the last one is the reference
        self.seen = np.zeros(2, np.int64)  # events; marks

    def stretches(self, n: int) -> Iterator[slice]:
        """The next n events in parts, each to be added to `total` before the next one is asked for."""
        row = 0
        while row < n:
            done = int(self.seen[0])
            room = min(self.step - done % self.step, n - row)
            if done < self.reference:
                room = min(room, self.reference - done)
            yield slice(row, row + room)
            row += room
            self.seen[0] += room
            if self.seen[0] == self.reference:
                self.marks[MARKS] = self.total
            if self.seen[0] % self.step == 0:
                self.seen[1] += 1
                self.marks[int(self.seen[1]) % MARKS] = self.total

    @property
    def events(self) -> int:
        """How many there were in all."""
        return int(self.seen[0])

    def late(self) -> F64:
        """The last events."""
        return (self.total - self.marks[self._first] if self._first >= 0 else self.total).astype(np.float64)

    def first(self) -> F64 | None:
        """The reference; None while it lasts."""
        return self.marks[MARKS].astype(np.float64) if 0 < self.reference <= self.events else None

    @property
    def _first(self) -> int:
        """The mark at which the last events begin; -1: with the stream."""
        return int(self.seen[1] + 1) % MARKS if self.seen[1] >= MARKS - 1 else -1

    def named(self, name: str) -> dict[str, Array]:
        """Its arrays."""
        return {f"{name}_total": self.total, f"{name}_marks": self.marks, f"{name}_seen": self.seen}


class DecisionMonitor:
    """Counts decisions at some thresholds."""

    def __init__(self, thresholds: tuple[float, ...], costs: Costs | None, window: int, reference: int) -> None:
        for threshold in thresholds:
            if not 0.0 < threshold < 1.0:
                raise ConfigError(f"threshold = {threshold}: a probability between 0 and 1 would be accepted")
        self.thresholds = tuple(dict.fromkeys((*thresholds, *((costs.threshold,) if costs else ()))))
        self.costs, self.window, self.reference = costs, window, reference
        self._cells = 6 * len(self.thresholds)  # [k, 2 sides, 3], and behind them bins of p
        self._scored = Sums(self._cells + BINS, window, reference)
        self._settled = Sums(self._cells + 2 * BINS, window, 0)

    def score(self, z: F64, weight: F64) -> None:
        """Take events in order as they are scored; those of weight 0 are passed over."""
        z = z[weight > 0.0]
        parts = _parts(z)
        for part in self._scored.stretches(z.size):
            total = self._scored.total
            total[self._cells :] += np.bincount(_bins(parts[part]), minlength=BINS)
            cells = total[: self._cells].reshape(-1, 2, 3)
            for k, acted, close in self._sides(z[part]):
                for side, here in ((0, ~acted), (1, acted)):
                    cells[k, side] += (np.count_nonzero(here), parts[part][here].sum(), np.count_nonzero(close & here))

    def settle(self, z: F64, y: I8, weight: F64) -> None:
        """Take events in the same order, with the outcome or -1 for none, once they are settled."""
        counted = weight > 0.0
        z, y = z[counted], y[counted]
        parts = _parts(z)
        for part in self._settled.stretches(z.size):
            known, total = y[part] >= 0, self._settled.total
            p, outcome = parts[part][known], y[part][known].astype(np.int64)
            total[self._cells :] += np.bincount(2 * _bins(p) + outcome, minlength=2 * BINS)
            cells = total[: self._cells].reshape(-1, 2, 3)
            for k, acted, _ in self._sides(z[part][known]):
                for side, here in ((0, ~acted), (1, acted)):
                    cells[k, side] += (*np.bincount(outcome[here], minlength=2), p[here].sum())

    def _sides(self, z: F64) -> Iterator[tuple[int, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
        """Of each threshold its number, which events are acted on, and which are near it."""
        for k, threshold in enumerate(self.thresholds):
            at = np.log(threshold) - np.log1p(-threshold)
            rests = self.costs is not None and threshold == self.costs.threshold
            yield k, z > at if rests else z >= at, np.abs(z - at) <= NEAR

    def outlook(self) -> Outlook | None:
        """What to expect of the last events, outcomes known or not. None before the first event."""
        if not self._scored.events:
            return None
        late, known = self._scored.late()[self._cells :], self._settled.total[self._cells :].astype(np.float64)
        n, outcomes, positives = float(late.sum()), known.reshape(-1, 2).sum(axis=1), known[1::2]
        overall = (positives.sum() + 0.5) / (outcomes.sum() + 1.0)
        rates = (positives + overall) / (outcomes + 1.0)
        waiting = min(max(self._scored.events - self._settled.events, 0) / max(n, 1.0), 1.0)
        settled = self._settled.late()[self._cells :].sum() / max(self._late_settled, 1)
        unknown = waiting + (1.0 - waiting) * (1.0 - settled) if self._settled.events else 1.0
        return Outlook(int(n), float(unknown), float(late @ rates / max(n, 1.0)))

    @property
    def _late_settled(self) -> int:
        """How many events the last settled ones are, with an outcome or without."""
        step, seen = self._settled.step, self._settled.events
        return seen if seen < step * (MARKS - 1) else step * (MARKS - 1) + seen % step

    def read(self) -> list[Decision]:
        """Every threshold, over the last events."""
        if not self._scored.events:
            return []
        shape, first = (-1, 2, 3), self._scored.first()
        late = self._scored.late()[: self._cells].reshape(shape)
        came = self._settled.late()[: self._cells].reshape(shape)
        before = None if first is None else first[: self._cells].reshape(shape)
        return [
            self._read(k, late[k], came[k], None if before is None else before[k]) for k in range(len(self.thresholds))
        ]

    def _read(self, k: int, late: F64, came: F64, before: F64 | None) -> Decision:
        left, acted = late
        n = max(float(late[:, EVENTS].sum()), 1.0)
        known = float(came[:, : POSITIVE + 1].sum())
        false, missed = float(acted[EVENTS] - acted[STATED] / UNIT), float(left[STATED] / UNIT)
        expected = realised = expected_known = None
        if self.costs:
            expected = 1e3 * (false * self.costs.false_action + missed * self.costs.miss) / n
            if known:
                expected_known, realised = self._paid(came, known)
        first = None if before is None else max(float(before[:, EVENTS].sum()), 1.0)
        return Decision(
            threshold=self.thresholds[k],
            events=int(n),
            action_rate=float(acted[EVENTS]) / n,
            action_rate_reference=None if before is None or first is None else float(before[1, EVENTS]) / first,
            near=float(late[:, CLOSE].sum()) / n,
            near_reference=None if before is None or first is None else float(before[:, CLOSE].sum()) / first,
            expected_true=float(acted[STATED]) / UNIT / n,
            expected_false=false / n,
            expected_missed=missed / n,
            expected_cost=expected,
            known=int(known),
            expected_cost_known=expected_known,
            realised_cost=realised,
        )

    def _paid(self, came: F64, known: float) -> tuple[float, float]:
        """What decisions were promised to cost where the outcome is known, and what they did cost, per 1,000."""
        assert self.costs is not None
        left, acted = came
        false = acted[NEGATIVE] + acted[POSITIVE] - acted[STATED_KNOWN] / UNIT
        promised = false * self.costs.false_action + left[STATED_KNOWN] / UNIT * self.costs.miss
        paid = acted[NEGATIVE] * self.costs.false_action + left[POSITIVE] * self.costs.miss
        return float(1e3 * promised / known), float(1e3 * paid / known)

    def excess(self) -> float | None:
        """What decisions at the costs' own threshold lately cost beyond what stated p promised, per 1,000 events."""
        if self.costs is None:
            return None
        came = self._settled.late()[: self._cells].reshape(-1, 2, 3)[self.thresholds.index(self.costs.threshold)]
        known = float(came[:, : POSITIVE + 1].sum())
        if not known:
            return None
        promised, paid = self._paid(came, known)
        return paid - promised

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies."""
        return {name: array.copy() for name, array in self._named().items()}

    def _named(self) -> dict[str, Array]:
        return self._scored.named("scored") | self._settled.named("settled")

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of the same thresholds. StateError, with nothing changed, if it is not one."""
        own = self._named()
        check("decisions", state, like(own))
        fresh = DecisionMonitor(self.thresholds, self.costs, self.window, self.reference)
        for name, array in fresh._named().items():
            array[...] = state[name]
        fresh._require()
        for name, array in own.items():
            array[...] = state[name]

    def _require(self) -> None:
        """A StateError unless events can have come to this."""
        for name, sums in (("scored", self._scored), ("settled", self._settled)):
            events, marks = sums.seen.tolist()
            require_counts(sums.seen, f"decisions.{name}_seen")
            demand(marks == events // sums.step, f"decisions.{name}_seen", "of events and their marks")
            demand((sums.total >= 0).all(), f"decisions.{name}_total", "of whole numbers from 0 on")
            fits = bool((sums.marks >= 0).all() and (sums.marks <= sums.total).all())
            demand(fits, f"decisions.{name}_marks", "of numbers that the sums have come to")
            cells, bins = sums.total[: self._cells].reshape(-1, 2, 3), sums.total[self._cells :]
            stated = STATED if sums is self._scored else STATED_KNOWN
            counts = np.delete(cells, stated, axis=2)
            known = sum(bins.tolist())
            demand(
                known == events if sums is self._scored else known <= events,
                f"decisions.{name}_total", "what so many events add up to",
            )  # fmt: skip
            demand(counts.size == 0 or int(counts.max()) <= known, f"decisions.{name}_total", "of so many events")
            if sums is self._scored:
                taken, fits = cells[:, :, EVENTS], bool((cells[:, :, CLOSE] <= cells[:, :, EVENTS]).all())
            else:
                taken, fits = cells[:, :, NEGATIVE] + cells[:, :, POSITIVE], True
            fits = fits and bool((taken.sum(axis=1) == known).all() and (cells[:, :, stated] >> 30 <= taken).all())
            demand(fits, f"decisions.{name}_total", "what so many events add up to")


def _parts(z: F64) -> I64:
    """p in parts of 2^-30."""
    found: I64 = np.floor(UNIT * numpy_sigmoid(z) + 0.5).astype(np.int64)
    return found


def _bins(parts: I64) -> I64:
    found: I64 = np.minimum(parts * BINS >> 30, BINS - 1)
    return found
