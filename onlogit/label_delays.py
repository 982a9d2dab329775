"""How long labels of either class are awaited, and whether one class comes back much sooner than the other.

Where labels are learned on arrival, that is a trap: the learner has seen the fast labels of recent events and not yet the
slow ones, so it takes the fast class for commoner than it is (docs/labels.md has figures). Delays are counted in events
scored between the event and its label, into bins of 1/4 octave: exact, the same for any cut of the stream, added up by a
merge, 4 KB. A median read off them is right to 10 %.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.states import check, like

I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

OCTAVES, PARTS = 64, 4
ENOUGH = 200  # labels of each class
RATIO = 1.5  # one median over the other, surely; on hotel bookings 2.1 goes with a loss beyond that of saying nothing
SURELY = 3.0  # standard errors


class Medians(NamedTuple):
    """Median delay of the labels of each class, in events; NaN where there are too few to say."""

    negative: float
    positive: float
    uneven: bool  # one is more than 1.5 times the other, by three standard errors

    def warning(self) -> str | None:
        """What to tell the user, where there is something."""
        if not self.uneven:
            return None
        fast, slow = ("positive", "negative") if self.positive < self.negative else ("negative", "positive")
        low, high = sorted((self.positive, self.negative))
        return (
            f"{fast} labels come back after {low:,.0f} events (median), {slow} ones after {high:,.0f}; learned on arrival, "
            f"as here, that makes {fast} events look commoner than they are. Learn each label when it is sure to be known: "
            "--due COLUMN, or --horizon DURATION"
        )


class LabelDelays:
    """Tallies of labels by class and delay. State: counts i64[2, 256]."""

    def __init__(self) -> None:
        self.counts = np.zeros((2, OCTAVES * PARTS), np.int64)

    def add(self, delay: I64, y: I8, weight: npt.NDArray[np.float64]) -> None:
        """Labels [m] that were learned `delay` events after their event, at least 1; those of weight 0 are not counted."""
        mantissa, octave = np.frexp(
            np.maximum(delay, 1).astype(np.float64)
        )  # delay = mantissa 2^octave, 1/2 <= mantissa < 1
        part = ((mantissa - 0.5) * 2 * PARTS).astype(np.int64)
        place = (octave.astype(np.int64) - 1) * PARTS + part + (y > 0) * OCTAVES * PARTS
        self.counts += np.bincount(place[weight > 0], minlength=self.counts.size).reshape(self.counts.shape)

    def medians(self) -> Medians:
        """A median m of k labels lies between the quantiles 1/2 ± 3/(2 √k), whatever the distribution."""
        total = self.counts.sum(axis=1)
        if (total < ENOUGH).any():
            return Medians(math.nan, math.nan, False)
        negative, positive = (self._quantile(y, 0.5) for y in (0, 1))
        slow = int(positive > negative)
        reach = 0.5 * SURELY / np.sqrt(total)
        least, most = self._quantile(slow, 0.5 - reach[slow]), self._quantile(1 - slow, 0.5 + reach[1 - slow])
        return Medians(negative, positive, bool(least > RATIO * most))

    def _quantile(self, y: int, q: float) -> float:
        """The delay below which a share q of the labels of class y came; spread evenly within a bin."""
        seen = np.cumsum(self.counts[y])
        at = int(np.searchsorted(seen, q * seen[-1], side="left"))
        low, high = _edge(at), _edge(at + 1)
        before = int(seen[at] - self.counts[y, at])
        return low + (high - low) * (q * int(seen[-1]) - before) / int(self.counts[y, at])

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"counts": self.counts.copy()}

    def restore(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        """Become what `state` was taken from; a StateError where it does not fit."""
        check("delays of labels", state, like({"counts": self.counts}))
        if (state["counts"] < 0).any():
            raise StateError("delays of labels: the array 'counts' holds a number below 0")
        self.counts[:] = state["counts"]


def _edge(bin_: int) -> float:
    """The least delay of a bin; a bin of whole delays below 4 holds one of them."""
    return math.ldexp(1.0 + bin_ % PARTS / PARTS, bin_ // PARTS)
