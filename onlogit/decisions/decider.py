"""A probability becomes an action, by the user's own costs and outside the model.

An action costs c0 if the outcome is 0 and c1 if it is 1; its expected cost at p is (1 - p) c0 + p c1, a line. The
cheapest action changes where two lines cross: with free correct decisions one acts above t = c_fp / (c_fp + c_fn). Tiers
name such thresholds outright. Around each threshold a review band; where z_sd is large, abstain; and a capacity lets only
the highest of each window through (kernels/capacity.py). The action at p = 0 is the one at rest: it needs no capacity.

Cost: 30 ns an event, with a capacity 70 ns and 65 kB. Only a capacity has state.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.decisions.costs import ACT, REST, DecisionConfig
from onlogit.errors import ConfigError, DataError, StateError
from onlogit.kernels import capacity
from onlogit.kernels.link import numpy_sigmoid
from onlogit.states import check, like

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
REVIEW, ABSTAIN = "review", "abstain"
MICROSECONDS = 1_000_000
TIMED_HALF_LIFE = 10_000.0  # of the memory for scores where a window is a time, in events


class Rule(NamedTuple):
    """Which action at which p: steps[j] where cuts[j - 1] < p <= cuts[j]."""

    cuts: F64  # [k] rising
    steps: tuple[str, ...]  # [k + 1] actions; the first is at rest


class Decisions(NamedTuple):
    """What is done about n events."""

    names: tuple[str, ...]
    action: npt.NDArray[np.int8]  # [n] position in `names`
    expected_cost: F64  # [n] of that action; NaN where it has no price


def rule_of(config: DecisionConfig) -> Rule:
    """Thresholds and the actions between them. An action that is never the cheapest has no step.

    >>> rule_of(DecisionConfig(costs=(("allow", 0, 10), ("block", 50, 0))))
    Rule(cuts=array([0.83333333]), steps=('allow', 'block'))
    """
    if config.tiers:  # p >= t, where the cuts of costs mean p > t: at equal costs stay at rest
        cuts = np.nextafter([least for _, least in config.tiers], 0.0)
        return Rule(cuts, (REST, *(name for name, _ in config.tiers)))
    if not config.costs:
        return Rule(np.array([-1.0]), (REST, ACT))
    names, c0, c1 = zip(*config.costs, strict=True)
    at = min(range(len(names)), key=lambda j: c0[j])  # of equal ones the first named
    steps: list[str] = [names[at]]
    cuts_found: list[float] = []
    while True:  # from each line to the one that crosses it first
        gains = [(c1[at] - c0[at]) - (c1[j] - c0[j]) for j in range(len(names))]
        ahead = [j for j in range(len(names)) if gains[j] > 0 and c1[j] < c1[at]]
        if not ahead:
            return Rule(np.array(cuts_found), tuple(steps))
        crossing = {j: (c0[j] - c0[at]) / gains[j] for j in ahead}
        at = min(ahead, key=lambda j: (crossing[j], -gains[j]))
        steps.append(names[at])
        cuts_found.append(crossing[at])


def watched(config: DecisionConfig | None) -> dict[str, tuple[float, ...]]:
    """At which thresholds of p the monitor counts what is decided, and at which costs, as `MonitorConfig` takes them.

    Of two actions: what acting costs more than resting where the outcome is 0, and what it saves where it is 1. Of more, and
    of tiers: the least p at which the action is another one.
    """
    if config is None:
        return {"costs": (), "thresholds": ()}
    if len(config.costs) == 2:
        (_, rest, missed), (_, false, act) = sorted(config.costs, key=lambda action: action[1])
        if false > rest and missed > act:
            return {"costs": (false - rest, missed - act), "thresholds": ()}
    cuts = [least for _, least in config.tiers] or [_least_above(cut) for cut in rule_of(config).cuts]
    return {"costs": (), "thresholds": tuple(float(cut) for cut in cuts if 0.0 < cut < 1.0)}


def _least_above(cut: float) -> float:
    """The least p above a cut whose log-odds are above its own as well."""
    p = float(np.nextafter(cut, 1.0))
    while cut > 0.0 and p < 1.0 and math.log(p) - math.log1p(-p) <= math.log(cut) - math.log1p(-cut):
        p = float(np.nextafter(p, 1.0))
    return p


class Decider:
    """Decides events in the order of their stream. Any cut of the stream gives the same actions and the same state."""

    def __init__(self, config: DecisionConfig) -> None:
        self.config = config
        self.rule = rule_of(config)
        extra = [name for name, on in ((REVIEW, config.review > 0), (ABSTAIN, config.abstain < np.inf)) if on]
        self.names = tuple(dict.fromkeys([*self.rule.steps, *extra]))
        prices = {name: (c0, c1) for name, c0, c1 in config.costs}
        self._prices = np.array([prices.get(name, (np.nan, np.nan)) for name in self.names])
        self._codes = np.array([self.names.index(name) for name in self.rule.steps], np.int8)
        self._length = config.window or config.seconds * MICROSECONDS
        self._kept = capacity.new_capacity()
        self._growth = 2.0 ** (
            1.0 / (max(float(config.window), capacity.SHORTEST) if config.window else TIMED_HALF_LIFE)
        )

    @property
    def needs_time(self) -> bool:
        """Whether events have to come with their time."""
        return self.config.seconds > 0

    def decide(self, z: F64, z_sd: F64, time: I64 | None = None) -> Decisions:
        """Actions for the next n events: z and z_sd float64[n], time int64[n] in microseconds where a window is a time.

        A DataError for a NaN, and for times that are missing. A z_sd of NaN, from a learner that has none, abstains never.
        """
        if np.isnan(z).any():
            raise DataError(f"z of row {int(np.argmax(np.isnan(z)))} is NaN: there is no deciding on that")
        if self.needs_time and time is None:
            raise DataError("a capacity for each stretch of time needs the time of events")
        p = numpy_sigmoid(z)
        action = self._codes[np.searchsorted(self.rule.cuts, p, side="left")]
        if self.config.review > 0:
            near = (np.abs(p[:, None] - self.rule.cuts) <= self.config.review).any(axis=1)
            action = np.where(near, np.int8(self.names.index(REVIEW)), action)
        thin = z_sd > self.config.abstain
        if self.config.capacity:
            taken = self._within_capacity(np.where(thin, -np.inf, z), time, (action != 0) & ~thin)
            action = np.where(taken, action, np.int8(0))
        if self.config.abstain < np.inf:
            action = np.where(thin, np.int8(self.names.index(ABSTAIN)), action)
        c0, c1 = self._prices[action].T
        return Decisions(self.names, action.astype(np.int8), (1.0 - p) * c0 + p * c1)

    def _within_capacity(self, z: F64, time: I64 | None, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        taken = np.zeros(len(z), np.bool_)
        first = int(self._kept.counts[capacity.EVENTS])
        clock = time if self.needs_time and time is not None else np.arange(first, first + len(z))
        capacity.choose(*self._kept, z, clock, wanted, self.config.capacity, self._length, self._growth, taken)
        return taken

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What a capacity remembers, as copies of plain arrays; nothing without one."""
        if not self.config.capacity:
            return {}
        return {name: array.copy() for name, array in self._kept._asdict().items()} | {
            "length": np.array([self._length])
        }

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from a `state`. Costs, tiers and capacity may be other ones by now; under another window, or without a
        state, a new window begins. A StateError, with nothing changed, where it is no such state."""
        if not state or not self.config.capacity:
            return
        check("the capacity", state, like(self.state()), finite=True)
        for name in ("tree", "mass", "sums"):
            if (state[name] < 0).any():
                raise StateError(f"the capacity: the array {name!r} holds a number below 0")
        if int(state["length"][0]) != self._length:
            return
        for name, array in self._kept._asdict().items():
            array[...] = state[name]


class Reason(NamedTuple):
    """Why one event is decided as it is."""

    p: float
    z_sd: float | None
    action: str
    cheapest: str | None  # before review, abstaining and capacity; None where there are no costs
    expected_costs: dict[str, float]  # of each action at this p; empty without costs
    thresholds: list[float]  # where the action changes
    why: str


def reason(config: DecisionConfig, p: float, z_sd: float | None = None) -> Reason:
    """What is done at one p in [0, 1], with what speaks for it. A capacity, which depends on other events, is left out."""
    if not 0.0 <= p <= 1.0:
        raise ConfigError(f"p = {p}: a probability from 0 to 1 would be accepted")
    if z_sd is not None and not z_sd >= 0.0:
        raise ConfigError(f"z_sd = {z_sd}: the sd of the log-odds, 0 or more, would be accepted")
    rule = rule_of(config)
    at = int(np.searchsorted(rule.cuts, p, side="left"))
    action, low = rule.steps[at], [float(cut) for cut in rule.cuts]
    costs = {name: (1 - p) * c0 + p * c1 for name, c0, c1 in config.costs}
    near = min(low, key=lambda cut: abs(p - cut), default=np.inf)
    if z_sd is not None and z_sd > config.abstain:
        action, why = ABSTAIN, f"z_sd {z_sd:.3g} is above {config.abstain:.3g}: the evidence is thin"
    elif config.review > 0 and abs(p - near) <= config.review:
        action, why = REVIEW, f"p lies within {config.review:g} of the threshold {near:.4g}"
    elif costs:
        second = min((name for name in costs if name != action), key=lambda name: costs[name])
        why = f"it costs {costs[action]:.4g} on average, {costs[second] - costs[action]:.4g} less than {second}"
    elif config.tiers:
        why = f"p is at least {low[at - 1]:.4g}" if at else f"p is below the lowest tier, {low[0]:.4g}"
    else:
        why = f"if it is among the {config.capacity} highest of its window"
    return Reason(p, z_sd, action, rule.steps[at] if costs else None, costs, [t for t in low if t > 0], why)


def steps_of(config: DecisionConfig) -> list[dict[str, Any]]:
    """Each action with the probability above which it is chosen, None for the one at rest; then those never chosen."""
    rule = rule_of(config)
    above = [None, *(max(float(cut), 0.0) for cut in rule.cuts)]
    steps: list[dict[str, Any]] = [{"action": a, "above": t} for a, t in zip(rule.steps, above, strict=True)]
    return steps + [{"action": a, "above": None, "never": True} for a, *_ in config.costs if a not in rule.steps]
