"""Two streams of stated probabilities, side by side: by how much one has the smaller log loss, with an interval that holds at
every look.

Of each event both were stated before its outcome was known. Losses are those of p clipped to [1e-6, 1 - 1e-6], so a
difference d lies within BOUND. With d^ the mean difference before (clipped to 1 nat), c = BOUND + 1, S = sum d and
V = sum (d - d^)^2,

    exp(l (S - sum of the conditional means of d) - psi(l) V),   psi(l) = (-log(1 - c l) - c l) / c^2,   0 < l < 1/c

is a nonnegative supermartingale (Fan, Grama & Liu 2015; Howard, Ramdas, McAuliffe & Sekhon 2021, theorem 4), and so is its
mean over a grid of l. By Ville's inequality the interval of all means m for which that mean stays below 2/alpha, both ways,
covers the average conditional mean difference so far at all times at once with probability 1 - alpha, also where the difference
drifts (as Choe & Ramdas 2023 compare forecasters). The same mean at m = 0 is an e-value for "better on average".

State: four numbers. Cost: some 50 ns an event.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.monitor.sound import SLACK, demand, require_counts
from onlogit.states import check

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]

LEAST_P = 1e-6
LARGEST_Z = math.log((1.0 - LEAST_P) / LEAST_P)
BOUND = -math.log(LEAST_P)  # nats: of a loss, and so of a difference
SCALE = BOUND + 1.0
ALPHA = 0.05
_SHARE = 0.95 * 2.0 ** (-0.5 * np.arange(28))  # l c: down to what 10^10 events need
_LAMBDA = _SHARE / SCALE
_PSI = (-np.log1p(-_SHARE) - _SHARE) / SCALE**2
_LOG_WEIGHT = -np.log(np.arange(1.0, 29.0) * np.arange(2.0, 30.0)) - math.log(1.0 - 1.0 / 29.0)
TURNS = 60  # of bisection


class Difference(NamedTuple):
    """Mean loss of the first less that of the second, in nats an event: positive where the second is better."""

    examples: int
    first: float | None  # mean log loss
    second: float | None
    mean: float | None
    low: float | None  # the interval, of 1 - ALPHA at all times at once
    high: float | None
    second_better: float  # e-value against "the second is no better on average"
    first_better: float


def losses(z: F64, y: I8) -> F64:
    """Log loss [n] of log-odds [n], clipped, for labels 0 or 1 [n]."""
    loss: F64 = np.logaddexp(0.0, np.where(y == 1, -1.0, 1.0) * np.clip(z, -LARGEST_Z, LARGEST_Z))
    return loss


class Comparison:
    """Of two, so far: `sums` are the number of events, the first one's loss, S and V."""

    def __init__(self) -> None:
        self.sums = np.zeros(4)

    def add(self, first: F64, second: F64, y: I8) -> None:
        """Events [m] in prediction order: both log-odds, and labels 0 or 1. Any cut of a stream gives the same bytes."""
        n, loss, total, variance = self.sums
        own = losses(first, y)
        d = own - losses(second, y)
        totals = np.add.accumulate(np.concatenate([[total], d]))  # in order, one after the other
        before = np.clip(totals[:-1] / np.maximum(n + np.arange(len(d)), 1.0), -1.0, 1.0)
        loss = np.add.accumulate(np.concatenate([[loss], own]))[-1]
        variance = np.add.accumulate(np.concatenate([[variance], (d - before) ** 2]))[-1]
        self.sums = np.array([n + len(d), loss, totals[-1], variance])

    def read(self, alpha: float = ALPHA) -> Difference:
        """The figures now."""
        n, loss, total, variance = (float(value) for value in self.sums)
        e_values = tuple(math.exp(min(_log_mean(side * total, variance), 700.0)) for side in (1.0, -1.0))
        if not n:
            return Difference(0, None, None, None, None, None, *e_values)
        width = excess(variance, alpha) / n
        mean = total / n
        return Difference(
            int(n), loss / n, (loss - total) / n, mean, max(mean - width, -BOUND), min(mean + width, BOUND), *e_values
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All of it, as plain arrays."""
        return {"sums": self.sums.copy()}

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Become what `state` was taken from; a StateError where it does not fit."""
        check("a comparison of models", state, {"sums": (np.float64, (4,))})
        n, loss, total, variance = state["sums"]
        require_counts(state["sums"][:1], "a comparison of models.sums")
        most = BOUND * n * (1.0 + SLACK)
        fits = 0.0 <= loss <= most and abs(total) <= most and 0.0 <= variance <= SCALE**2 * n * (1.0 + SLACK)
        demand(fits, "a comparison of models.sums", "of losses over events")
        self.sums = state["sums"].copy()


def _log_mean(total: float, variance: float) -> float:
    return float(np.logaddexp.reduce(_LOG_WEIGHT + _LAMBDA * total - _PSI * variance))


def excess(variance: float, alpha: float) -> float:
    """By how much S passes the sum of its conditional means at most, by V and both ways: by bisection."""
    level = math.log(2.0 / alpha)
    low, high = 0.0, float((level - _LOG_WEIGHT[0] + _PSI[0] * variance) / _LAMBDA[0])
    for _ in range(TURNS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _log_mean(middle, variance) < level else (low, middle)
    return high
