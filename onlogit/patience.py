"""Patience: how long between false alarms, in judged events ("100000") or in time ("90d")."""

import math
import re
from typing import NamedTuple

from onlogit.errors import ConfigError

UNITS = {"m": ("minute", 60), "h": ("hour", 3_600), "d": ("day", 86_400), "w": ("week", 7 * 86_400)}
MOST = 1e15


class Patience(NamedTuple):
    """An amount of judged events, or of a unit of time."""

    amount: float
    tick: float | None = None  # microseconds of the unit; None: events

    @property
    def unit(self) -> str:
        """What it is counted in: "events", "days" and so on."""
        names = {seconds * 1e6: name for name, seconds in UNITS.values()}
        return "events" if self.tick is None else names[self.tick] + "s"

    @classmethod
    def of(cls, amount: float, unit: str) -> "Patience":
        """The patience of a number and the name of its unit, as `unit` gives it."""
        return cls(amount, {name + "s": seconds * 1e6 for name, seconds in UNITS.values()}.get(unit))

    def __str__(self) -> str:
        return f"{self.amount:,.6g} {self.unit}"


def patience_of(told: "float | str | Patience") -> Patience:
    """`Patience` of a number of events, or of a text like "100000", "90d", "12h", "4w", "30m". ConfigError for others."""
    if isinstance(told, Patience):
        return told
    tick = None
    if isinstance(told, str):
        match = re.fullmatch(r"\s*([0-9.eE+,_]+)\s*([mhdw]?)\s*", told)
        try:
            amount = float(match[1].replace(",", "").replace("_", "")) if match else math.nan
        except ValueError:
            amount = math.nan
        if match and match[2]:
            tick = UNITS[match[2]][1] * 1e6
    else:
        amount = float(told)
    if not (amount >= 1.0 or (amount > 0.0 and tick is not None)) or amount > MOST:
        raise ConfigError(
            f"patience = {told}: a number of events from 1 to 1e15, or a time like 90d, 12h, 4w or 30m, would be accepted"
        )
    return Patience(amount, tick)
