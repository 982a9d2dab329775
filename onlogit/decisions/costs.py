"""What is done at a probability, as the user states it: costs or tiers, review, capacity, abstaining. No part of a model.

A setting out of range is a ConfigError that names it, at the moment when the settings are made.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from onlogit.config import load_toml, seconds
from onlogit.errors import ConfigError, require

REST, ACT = "none", "act"  # what the two actions are called where nobody names them


@dataclass(frozen=True)
class DecisionConfig:
    """What is done at a probability. Change it whenever costs change.

    Actions come from costs or from tiers; with a capacity alone they are "act" and "none".
    """

    costs: tuple[tuple[str, float, float], ...] = ()  # (action, its cost if the outcome is 0, if it is 1)
    tiers: tuple[tuple[str, float], ...] = ()  # (action, the least p for it), rising; below the first: "none"
    review: float = 0.0  # within so much of a threshold, in p, the action is "review"
    capacity: int = 0  # at most so many events of a window get an action other than that at p = 0; 0: no limit
    window: int = 0  # of the capacity: so many events, or
    seconds: int = 0  # so much time
    abstain: float = math.inf  # where z_sd is above this, the action is "abstain"

    def __post_init__(self) -> None:
        require(
            all(0 <= cost < math.inf for _, *pair in self.costs for cost in pair),
            "costs", self.costs, "two costs for each action, zero or positive and finite",
        )  # fmt: skip
        names = [name for name, *_ in self.costs or self.tiers]
        require(len(set(names)) == len(names) and all(names), "actions", names, "names, each once")
        require(len(self.costs) != 1, "costs", self.costs, "costs of two actions or more: there is no choice in one")
        if self.costs:
            require(any(max(pair) > 0 for _, *pair in self.costs), "costs", self.costs, "not all of them zero")
        least = [p for _, p in self.tiers]
        require(
            all(0 < p < 1 for p in least) and all(a < b for a, b in pairwise(least)),
            "tiers", dict(self.tiers), "probabilities between 0 and 1, in rising order",
        )  # fmt: skip
        require(REST not in dict(self.tiers), "tiers", dict(self.tiers), f"names other than {REST!r}, the lowest tier")
        if self.costs and self.tiers:
            raise ConfigError("costs and tiers contradict each other: both set thresholds; give one of them")
        require(0 <= self.review < 0.5, "review", self.review, "half the width of a band in p, 0 up to .5")
        require(self.abstain > 0, "abstain", self.abstain, "a positive sd of the log-odds")
        self._check_capacity()

    def _check_capacity(self) -> None:
        windows = (self.window > 0) + (self.seconds > 0)
        require(self.capacity >= 0 and self.window >= 0 and self.seconds >= 0, "capacity", self.capacity, "1 or more")
        require(windows == (self.capacity > 0), "window", self.window or self.seconds, "one window for a capacity")
        require(not 0 < self.window <= self.capacity, "capacity", self.capacity, f"fewer than its {self.window} events")
        require(max(self.window, self.seconds) <= 1 << 40, "window", self.window or self.seconds, "at most 2^40")
        if not (self.costs or self.tiers or self.capacity):
            raise ConfigError("decisions need costs, tiers or a capacity: nothing says what to do at a probability")

    @classmethod
    def of(cls, mapping: Mapping[str, Any], where: str = "decisions") -> "DecisionConfig":
        """From a TOML table: cost_fp and cost_fn, or costs = {action = [if 0, if 1]}, or tiers = {action = p}; review,
        capacity = "100/10000" or "100/1h", abstain. A ConfigError names what is unknown or out of range."""
        known = ("cost_fp", "cost_fn", "costs", "tiers", "review", "capacity", "abstain")
        for name in mapping:
            if name not in known:
                raise ConfigError(f"{where}: unknown setting {name!r}; known are {', '.join(known)}")
        costs = tuple(
            _priced(str(name), pair, f"{where}.costs.{name}")
            for name, pair in _table(mapping.get("costs", {}), f"{where}.costs").items()
        )
        told = {name: _number(mapping[name], f"{where}.{name}") for name in ("cost_fp", "cost_fn") if name in mapping}
        if told:
            if costs or len(told) == 1:
                raise ConfigError(f"{where}: cost_fp and cost_fn go together, and not with costs for each action")
            costs = two_actions(told["cost_fp"], told["cost_fn"])
        tiers = _table(mapping.get("tiers", {}), f"{where}.tiers").items()
        more: dict[str, Any] = {n: _number(mapping[n], f"{where}.{n}") for n in ("review", "abstain") if n in mapping}
        if "capacity" in mapping:
            more |= read_capacity(str(mapping["capacity"]))
        return cls(costs, tuple((str(n), _number(p, f"{where}.tiers.{n}")) for n, p in tiers), **more)


def overlaid(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """One table [decisions] with what another one says instead; of costs for two, costs by action and tiers one form is left.

    >>> overlaid({"tiers": {"offer": 0.9}, "review": 0.05}, {"cost_fp": 5, "cost_fn": 1})
    {'review': 0.05, 'cost_fp': 5, 'cost_fn': 1}
    """
    forms = (("cost_fp", "cost_fn"), ("costs",), ("tiers",))
    told = [form for form in forms if any(name in asked for name in form)]
    others = {name for form in forms if told and form not in told for name in form}
    return {name: value for name, value in kept.items() if name not in others} | dict(asked)


def read_decisions(path: str, *, required: bool = True) -> Mapping[str, Any]:
    """The table [decisions] of a TOML file; missing: ConfigError if `required`, else {}."""
    told = load_toml(path)
    if "decisions" not in told and not required:
        return {}
    if "decisions" not in told:
        raise ConfigError(f"{path} has no table [decisions]")
    return _table(told["decisions"], f"{path}: decisions")


def two_actions(cost_fp: float, cost_fn: float) -> tuple[tuple[str, float, float], ...]:
    """The costs of acting or not, where correct decisions are free."""
    for name, cost in (("cost_fp", cost_fp), ("cost_fn", cost_fn)):
        require(0 <= cost < math.inf, name, cost, "zero or a positive number")
    return (REST, 0.0, cost_fn), (ACT, cost_fp, 0.0)


def read_capacity(text: str) -> dict[str, int]:
    """The capacity and its window: "100/10000" is 100 of each 10,000 events, "100/1h" 100 an hour (units s, m, h, d, w)."""
    found = re.fullmatch(r"\s*(\d{1,15})\s*/\s*(?:(\d{1,15})|(\d*[smhdw]))\s*", text)
    if not found:
        raise ConfigError(f"capacity = {text!r}: accepted is COUNT/EVENTS or COUNT/TIME, as 100/10000 or 100/1h")
    count = int(found[1])
    require(count > 0, "capacity", text, "1 or more for each window")
    if found[3]:
        length = found[3] if found[3][0].isdigit() else f"1{found[3]}"
        return {"capacity": count, "seconds": seconds("capacity", length)}
    require(int(found[2]) > 0, "capacity", text, "a window of one event or second, or more")
    return {"capacity": count, "window": int(found[2])}


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: found {value!r}, expected a table of settings")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: found {value!r}, expected a number")
    return float(value)


def _priced(name: str, pair: Any, where: str) -> tuple[str, float, float]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ConfigError(f"{where}: found {pair!r}, expected two costs: where the outcome is 0, and where it is 1")
    return name, _number(pair[0], where), _number(pair[1], where)
