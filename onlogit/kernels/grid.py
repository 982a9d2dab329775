"""Stated probabilities with outcomes on a fine grid of log-odds: what every threshold would have done, in one pass.

Bins of 1/512 in z between ±16, open at both ends; a step of one bin changes p by less than .0005. Sums are doubles,
added in the order of the stream. Cost: about 12 ns a pair, 655 kB.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import kernel

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]

BINS = 16_384
STEPS = 512.0  # bins to a unit of z
REACH = 16.0
NEGATIVE, POSITIVE, EXPECTED, NEGATIVE_SQUARES, POSITIVE_SQUARES = range(5)


def new_grid() -> F64:
    """float64[5, BINS]: Σ weights of negatives, of positives; Σ weight x p; Σ squared weights of either."""
    return np.zeros((5, BINS))


def edges() -> F64:
    """The z between the bins, float64[BINS - 1]."""
    return np.arange(1, BINS) / STEPS - REACH


@kernel
def add_pairs(grid: F64, p: F64, y: I8, weight: F64) -> int:
    """Add pairs p in [0, 1], y 1, 0 or -1 (passed over), weight >= 0; the first row with another p, else -1."""
    for i in range(p.size):
        if y[i] < 0 or weight[i] == 0.0:
            continue
        if not (0.0 <= p[i] <= 1.0):
            return i
        z = REACH if p[i] == 1.0 else -REACH if p[i] == 0.0 else math.log(p[i] / (1.0 - p[i]))
        b = int((min(max(z, -REACH), REACH) + REACH) * STEPS)
        b = min(b, grid.shape[1] - 1)
        h = weight[i]
        grid[y[i], b] += h
        grid[EXPECTED, b] += h * p[i]
        grid[NEGATIVE_SQUARES + y[i], b] += h * h
    return -1
