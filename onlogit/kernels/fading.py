"""Sums of a tally over a past that fades, and its ranks in fewer cells: what monitor/recent.py keeps.

Cost: 20 µs a mark.
"""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import kernel
from onlogit.kernels.tally import UNIT, WEIGHT_UNIT

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@kernel
def coarsen(ranks: I64, out: I64) -> None:
    """Ranks in fewer cells. ranks: int64[RANKS, 2]; out: int64[cells, 2], written; cells divides RANKS."""
    per = ranks.shape[0] // out.shape[0]
    for i in range(out.shape[0]):
        for k in range(2):
            total = 0
            for j in range(per):
                total += ranks[i * per + j, k]
            out[i, k] = total


@kernel
def fade_limbs(now: I64, then: I64, factor: float, faded: F64) -> None:
    """faded <- factor x faded + now - then, of two-limb sums. now, then: int64[n, 2]; faded: float64[n]."""
    for i in range(faded.size):
        faded[i] = faded[i] * factor + (now[i, 0] - then[i, 0]) + (now[i, 1] - then[i, 1]) / UNIT


@kernel
def fade_weights(now: I64, then: I64, factor: float, faded: F64) -> None:
    """faded <- factor x faded + now - then, of weights in units of 2^-20. All [n]."""
    for i in range(faded.size):
        faded[i] = faded[i] * factor + (now[i] - then[i]) / WEIGHT_UNIT
