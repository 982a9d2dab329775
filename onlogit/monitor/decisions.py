"""Decisions at thresholds of p: how often they are taken, what they were expected to cost, and what they cost.

For each threshold t, a case is acted on where p >= t. Counted over all events with a probability: how many are acted on, how
many lie within half a logit of t, and Σp of both sides; over those with an outcome, also the outcomes. So before any outcome
is there it is known what stated probabilities say of today's mix: expected true and false actions, misses and cost. That
sees a change in the mix, and is blind to a change in what the mix means (concept drift): only outcomes show that.

Sums are whole numbers (p in parts of 2^-30), so any cut of the stream gives the same bytes. A ring of marks gives the last
7/8 N to N events; another mark is the reference, the first events. Cost: 30 ns an event and threshold; 3 kB a threshold.
"""

from typing import Any, NamedTuple

import numpy as np

from onlogit.errors import ConfigError, StateError
from onlogit.kernels.tally import F64, I8, I64

Array = np.ndarray[Any, Any]
MARKS = 8
NEAR = 0.5  # logits
BINS = 20
UNIT = float(1 << 30)
UNKNOWN, NEGATIVE, POSITIVE, STATED, STATED_KNOWN, CLOSE = range(
    6
)  # per side: events by outcome; Σp, all and known; near


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
    known: int  # events with an outcome
    expected_cost_known: float | None  # the same over those alone
    realised_cost: float | None


class Outlook(NamedTuple):
    """What to expect of the last events. `_asdict()` is JSON-safe."""

    events: int
    unknown: float  # share without outcome
    rate: float  # of outcomes, had each of 20 bins of p the rate that it has had so far: the mix is today's


def costs_of(told: str | None) -> Costs | None:
    """Costs of a text "FALSE_ACTION,MISS"; ConfigError for others."""
    if told is None:
        return None
    try:
        found = Costs(*(float(part) for part in told.split(",")))
    except (TypeError, ValueError):
        found = Costs(-1.0, -1.0)
    if not (0.0 < found.false_action < 1e12 and 0.0 < found.miss < 1e12):
        raise ConfigError(
            f"costs = {told}: two positive numbers would be accepted, of a false action and of a miss: 50,10"
        )
    return found


class DecisionMonitor:
    """Counts decisions at some thresholds."""

    def __init__(self, thresholds: tuple[float, ...], costs: Costs | None, window: int, reference: int) -> None:
        for threshold in thresholds:
            if not 0.0 < threshold < 1.0:
                raise ConfigError(f"threshold = {threshold}: a probability between 0 and 1 would be accepted")
        self.thresholds = tuple(dict.fromkeys((*thresholds, *((costs.threshold,) if costs else ()))))
        self.costs, self.window, self.reference = costs, window, reference
        shape = (len(self.thresholds), 2, 6)
        self.sums = np.zeros(shape, np.int64)
        self.marks = np.zeros((MARKS + 1, *shape), np.int64)  # the last one is the reference
        self.mix = np.zeros((BINS, 3), np.int64)  # events by bin of p and outcome
        self.mix_marks = np.zeros((MARKS + 1, BINS, 3), np.int64)
        self.seen = np.zeros(2, np.int64)  # events; marks

    def update(self, z: F64, y: I8, weight: F64) -> None:
        """Take events in order; those of weight 0 are passed over."""
        counted = weight > 0.0
        z, y = z[counted], y[counted]
        row, step = 0, max(self.window // MARKS, 1)
        while row < z.size:
            done = int(self.seen[0])
            room = step - done % step
            if done < self.reference:
                room = min(room, self.reference - done)
            part = slice(row, row + room)
            self._add(z[part], y[part])
            row += min(room, z.size - row)
            self.seen[0] += z[part].size
            if self.seen[0] == self.reference:
                self.marks[MARKS], self.mix_marks[MARKS] = self.sums, self.mix
            if self.seen[0] % step == 0:
                at = int(self.seen[1] + 1) % MARKS
                self.marks[at], self.mix_marks[at] = self.sums, self.mix
                self.seen[1] += 1

    def _add(self, z: F64, y: I8) -> None:
        parts = np.floor(UNIT / (1.0 + np.exp(-np.clip(z, -700.0, 700.0))) + 0.5).astype(np.int64)
        known = y >= 0
        bins = np.minimum(parts * BINS >> 30, BINS - 1)
        self.mix += np.bincount(bins * 3 + y + 1, minlength=3 * BINS).reshape(BINS, 3)
        for k, threshold in enumerate(self.thresholds):
            at = np.log(threshold) - np.log1p(-threshold)
            acted = z >= at
            close = np.abs(z - at) <= NEAR
            for side, here in ((0, ~acted), (1, acted)):
                counts = np.bincount(y[here] + 1, minlength=3)
                sums = parts[here].sum(), parts[here & known].sum(), np.count_nonzero(close & here)
                self.sums[k, side] += np.array([*counts, *sums], np.int64)

    @property
    def _first(self) -> int:
        """The mark at which the last events begin; -1: with the stream."""
        return int(self.seen[1] + 1) % MARKS if self.seen[1] >= MARKS - 1 else -1

    def outlook(self) -> Outlook | None:
        """What to expect of the last events, outcomes known or not. None before the first event."""
        if not self.seen[0]:
            return None
        late = (self.mix - self.mix_marks[self._first] if self._first >= 0 else self.mix).astype(np.float64)
        known, events = self.mix.astype(np.float64), late.sum(axis=1)
        n, examples = float(events.sum()), known[:, NEGATIVE] + known[:, POSITIVE]
        overall = (known[:, POSITIVE].sum() + 0.5) / (examples.sum() + 1.0)
        rates = (known[:, POSITIVE] + overall) / (examples + 1.0)
        return Outlook(int(n), float(late[:, UNKNOWN].sum() / max(n, 1.0)), float(events @ rates / max(n, 1.0)))

    def read(self) -> list[Decision]:
        """Every threshold, over the last events."""
        if not self.seen[0]:
            return []
        late = self.sums - self.marks[self._first] if self._first >= 0 else self.sums
        begun = bool(self.seen[0] >= self.reference)
        return [self._read(k, late[k], self.marks[MARKS, k] if begun else None) for k in range(len(self.thresholds))]

    def _read(self, k: int, late: I64, reference: I64 | None) -> Decision:
        left, acted = late.astype(np.float64)
        n = max(float(late[:, :3].sum()), 1.0)
        known = float(late[:, NEGATIVE : POSITIVE + 1].sum())
        stated, stated_known = acted[STATED] / UNIT, acted[STATED_KNOWN] / UNIT
        false = float(acted[:3].sum() - stated)
        expected = realised = expected_known = None
        if self.costs:
            action, miss = self.costs
            expected = 1e3 * (false * action + left[STATED] / UNIT * miss) / n
            if known:
                false_known = acted[NEGATIVE] + acted[POSITIVE] - stated_known
                expected_known = 1e3 * (false_known * action + left[STATED_KNOWN] / UNIT * miss) / known
                realised = 1e3 * (acted[NEGATIVE] * action + left[POSITIVE] * miss) / known
        before = None if reference is None else max(float(reference[:, :3].sum()), 1.0)
        return Decision(
            threshold=self.thresholds[k],
            events=int(n),
            action_rate=float(acted[:3].sum()) / n,
            action_rate_reference=None
            if reference is None or before is None
            else float(reference[1, :3].sum()) / before,
            near=float(late[:, CLOSE].sum()) / n,
            near_reference=None if reference is None or before is None else float(reference[:, CLOSE].sum()) / before,
            expected_true=float(stated) / n,
            expected_false=false / n,
            expected_missed=float(left[STATED]) / UNIT / n,
            expected_cost=None if expected is None else float(expected),
            known=int(known),
            expected_cost_known=None if expected_known is None else float(expected_known),
            realised_cost=None if realised is None else float(realised),
        )

    def excess(self) -> float | None:
        """What decisions at the costs' own threshold lately cost beyond what stated p promised, per 1,000 events."""
        if self.costs is None or not self.seen[0]:
            return None
        found = next(each for each in self.read() if each.threshold == self.costs.threshold)
        if found.realised_cost is None or found.expected_cost_known is None:
            return None
        return found.realised_cost - found.expected_cost_known

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies."""
        return {name: array.copy() for name, array in self._named().items()}

    def _named(self) -> dict[str, Array]:
        named = ("sums", "marks", "mix", "mix_marks", "seen")
        return {name: getattr(self, name) for name in named}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of the same thresholds. StateError, with nothing changed, if it is not one."""
        own = self._named()
        for name, array in own.items():
            given = state.get(name)
            if given is None or given.shape != array.shape or given.dtype != array.dtype or (given < 0).any():
                raise StateError(f"decisions: {name} is missing, or not {array.dtype}{array.shape} of counts")
        for name, array in own.items():
            array[...] = state[name]
