"""What each arm of the evidence says of an event: the likelihood ratio of its truth to the nearest one the user would not mind.

The arms are those of kernels/evidence.py: 8 levels, 3 slopes about 2 pivots, and 10 regions up and down, of which an event
concerns 16. Rows go through in blocks of 64, in short loops that vectorise. Cost: about half of that of the evidence.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline
from onlogit.kernels.link import exponential

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

LEVELS = (-1.2, -0.6, -0.3, -0.15, 0.15, 0.3, 0.6, 1.2)
SLOPES = (0.5, 0.7, 1.4)
REGION_SHIFT = 0.6
REGIONS = 10
FIRST_SLOPE = len(LEVELS)
FIRST_REGION = FIRST_SLOPE + 2 * len(SLOPES)
ARMS = FIRST_REGION + 2 * REGIONS
ACTIVE = FIRST_REGION + 2  # arms that one event concerns
BLOCK = 64
REACH = 40.0
TERMS = 7  # n, Σy, Σp, Σv, Σ(y-p)ℓ, Σvℓ, Σvℓ² with v = p(1-p)


class Block(NamedTuple):
    """Scratch for the rows on their way through: no state."""

    t: F64  # [BLOCK] log-odds of what did not happen: ℓ if y = 0, else -ℓ
    u: F64  # [BLOCK] e^t
    power: F64  # [BLOCK] e^.7t
    root: F64  # [BLOCK] e^.5t
    odds: F64  # [BLOCK, ACTIVE] the arms' odds of what did not happen
    ratio: F64  # [BLOCK, ACTIVE] L of the wide arms, and 1 in the last two places
    local: F64  # [BLOCK, 2] L of the two arms of the row's score bin
    terms: F64  # [BLOCK, TERMS], padded to 8
    before: F64  # [BLOCK, 2, TERMS], padded to 8: totals before the row, over all and of its score bin
    bins: I64  # [BLOCK] score bin
    sums: F64  # [ACTIVE] R of the wide arms while in the block, and 0
    runs: F64  # [ACTIVE] C likewise, and 1
    weights: F64  # [ACTIVE] likewise, and 0
    opened: I64  # [ARMS] the last row of the block at which the arm left its floor, or -1
    region: F64  # [REGIONS] Σ w_k R_k of each score bin


def arm_weights(tolerance: float) -> F64:
    """w_k [ARMS]: a third to each family, none to a level that lies within the tolerance (it could say nothing)."""
    weights = np.zeros(ARMS)
    telling = np.abs(LEVELS) > tolerance
    weights[:FIRST_SLOPE] = telling / (3.0 * telling.sum())
    weights[FIRST_SLOPE:FIRST_REGION] = 1.0 / (3.0 * (FIRST_REGION - FIRST_SLOPE))
    weights[FIRST_REGION:] = 1.0 / (3.0 * 2 * REGIONS)
    return weights


def arm_factors(tolerance: float) -> F64:
    """What an arm multiplies the odds by, [2, 12]: 8 levels, up and down in a region, and e^-τ, e^τ; row 1 inverted."""
    shifts = np.array([*LEVELS, REGION_SHIFT, -REGION_SHIFT, -tolerance, tolerance])
    inverted = np.concatenate([-shifts[:-2], shifts[-2:]])
    factors: F64 = np.exp(np.stack([shifts, inverted]))
    return factors


@inline
def read_rows(z: F64, y: I8, rows: I64, edges: F64, n: int, out: Block) -> None:
    """Log-odds, their exponentials and score bins of rows[:n]. One short loop each: these vectorise."""
    for r in range(n):
        l = min(max(z[rows[r]], -REACH), REACH)
        out.t[r] = -l if y[rows[r]] == 1 else l
    for r in range(n):
        out.u[r] = exponential(out.t[r])
    for r in range(n):
        out.power[r] = exponential(0.7 * out.t[r])
    for r in range(n):
        out.root[r] = math.sqrt(out.u[r])
    for r in range(n):
        l = min(max(z[rows[r]], -REACH), REACH)
        j = 0
        for i in range(REGIONS - 1):
            j += 1 if l >= edges[i] else 0
        out.bins[r] = j


# Loops over arms run to the size of an array, which the compiler does not know: one of a known few steps it would unroll
# before it looks for vectors, and then find none.


@inline
def scale(by: float, factors: F64, out: F64) -> None:
    """out = factors x by."""
    for k in range(out.size):
        out[k] = by * factors[k]


@inline
def weigh(odds: F64, low: float, high: float, ratio: F64) -> None:
    """L = (1 + u0) / (1 + uq), u0 being uq held between low and high."""
    for k in range(ratio.size):
        ratio[k] = (1.0 + min(max(odds[k], low), high)) / (1.0 + odds[k])


@inline
def weigh_likelihoods(factors: F64, slopes: F64, slack: F64, y: I8, rows: I64, n: int, out: Block) -> None:
    """L of the active arms, 14 wide ones and the two of the row's score bin; and the terms of the sums.

    With u the odds of what did *not* happen, L = (1 + u0) / (1 + uq) for either outcome.
    """
    for r in range(n):
        happened = 1 if y[rows[r]] == 1 else 0
        u, power, root = out.u[r], out.power[r], out.root[r]
        scale(u, factors[happened, :FIRST_SLOPE], out.odds[r, :FIRST_SLOPE])
        for i in range(2):
            out.odds[r, 8 + 3 * i] = slopes[happened, 3 * i] * root
            out.odds[r, 9 + 3 * i] = slopes[happened, 3 * i + 1] * power
            out.odds[r, 10 + 3 * i] = slopes[happened, 3 * i + 2] * (power * power)
            out.odds[r, 14 + i] = u * factors[happened, 8 + i]
        low, high = u * factors[happened, 10], u * factors[happened, 11]
        if slack.size > 0:
            low, high = u / slack[rows[r]], u * slack[rows[r]]
        weigh(out.odds[r], low, high, out.ratio[r])
        for i in range(2):
            out.local[r, i] = out.ratio[r, FIRST_REGION + i]
            out.ratio[r, FIRST_REGION + i] = 1.0
        q = 1.0 / (1.0 + u)  # the probability of what did happen
        v = u * q * q
        l = -out.t[r] if happened == 1 else out.t[r]
        out.terms[r, 0] = 1.0
        out.terms[r, 1] = happened
        out.terms[r, 2] = q if happened == 1 else u * q
        out.terms[r, 3] = v
        out.terms[r, 4] = u * q * -out.t[r]
        out.terms[r, 5] = v * l
        out.terms[r, 6] = v * l * l


@inline
def slope_factors(pivots: F64, slopes: F64) -> None:
    """e^((1-b)c) for each slope and pivot, and its inverse for y = 1."""
    for i in range(6):
        power = (1.0 - SLOPES[i % 3]) * pivots[i // 3]
        slopes[0, i] = exponential(power)
        slopes[1, i] = exponential(-power)
