"""Figures month by month of two learners beside the base rate: what `onlogit demo` shows.

Tallies are fed with p as stated and the label in the record, in prediction order; a month is that of the event's time.
Tallies add exactly, so the figures of a season are those of its months. Memory: 200 kB a month.
"""

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.tally import Tally, merge_tallies, new_tally, tally_rows
from onlogit.monitor.quality import Quality, quality

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]


class BaseRate:
    """The log-odds of an event before it is known to be one: of the labels known by then, the share of ones.

    p = (ones + ½) / (labels + 1) (Krichevsky & Trofimov 1981), over all labels whose time had come; so it waits for
    labels as the learners do. Memory: 9 bytes a label not yet known.
    """

    def __init__(self) -> None:
        self._labels = self._ones = 0
        self._due, self._y = np.empty(0, np.int64), np.empty(0, np.int8)

    def score(self, time: I64, due: I64, y: I8) -> F64:
        """Log-odds of events [n] in order of `time`, whose labels `y` (1 or 0) are known at `due` > `time`."""
        due, y = np.concatenate([self._due, due]), np.concatenate([self._y, y])
        order = np.argsort(due, kind="stable")
        due, y = due[order], y[order]
        known = np.searchsorted(due, time, side="right")
        ones = self._ones + np.concatenate([[0], np.cumsum(y, dtype=np.int64)])[known]
        zeros = self._labels + known - ones
        if len(time):
            done = int(known[-1])
            self._labels, self._ones = self._labels + done, int(ones[-1])
            self._due, self._y = due[done:], y[done:]
        z: F64 = np.log((ones + 0.5) / (zeros + 0.5))
        return z


class Month(NamedTuple):
    """What was stated of one month's events. The quality of frozen is None while it is still being trained."""

    month: int  # 1 to 12
    live: Quality
    frozen: Quality | None
    base: Quality

    def to_json(self) -> dict[str, Any]:
        """One JSON-able dict."""
        return {
            "events": int(self.live.examples),
            "rate": self.live.rate,
            "live": figures(self.live),
            "frozen": None if self.frozen is None else figures(self.frozen),
            "base_rate": {"log_loss": self.base.log_loss},
        }


def figures(quality: Quality) -> dict[str, float | None]:
    """Those figures of a quality that the demo tells."""
    return {
        "log_loss": quality.log_loss,
        "calibration_error": quality.calibration_error,
        "stated": quality.expected,
        "auc": quality.auc,
    }


class Tallies(NamedTuple):
    """Of one month, or of several."""

    live: Tally
    frozen: Tally
    base: Tally


class Months:
    """Tallies by month."""

    def __init__(self) -> None:
        self._of: dict[int, Tallies] = {}

    def add(self, month: int, y: I8, live: F64, frozen: F64 | None, base: F64) -> None:
        """Events [n] of one month: labels, and the log-odds that each stated; `frozen` None while it is trained."""
        tallies = self._of.setdefault(month, Tallies(new_tally(), new_tally(), new_tally()))
        weight = np.ones(len(y))
        tally_rows(tallies.live, live, y, weight)
        tally_rows(tallies.base, base, y, weight)
        if frozen is not None:
            tally_rows(tallies.frozen, frozen, y, weight)

    def read(self, month: int) -> Month:
        """The figures of a month so far."""
        live, frozen, base = (quality(tally) for tally in self._of[month])
        return Month(month, live, frozen if frozen.examples else None, base)

    def season(self, first: int, last: int) -> Tallies:
        """The tallies of months `first` to `last` together."""
        parts = [tallies for month, tallies in self._of.items() if first <= month <= last]
        return Tallies(*(reduce(merge_tallies, tallies, new_tally()) for tallies in zip(*parts, strict=True)))
