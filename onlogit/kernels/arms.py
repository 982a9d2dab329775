"""What each arm of the evidence says of an event: the likelihood ratio of its truth to the nearest one the user would not mind.

The arms are those of kernels/evidence.py: 8 levels, 3 slopes about 2 pivots, and 10 regions up and down, of which an event
concerns 16. Rows go through in blocks of 128; what is made of a row alone in short loops over rows, and what each arm makes of
it in lanes over arms. Cost: about half of that of the evidence.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, part, unsigned
from onlogit.kernels.lanes import fma, lanes, larger, load, smaller, splat, store
from onlogit.kernels.link import exponential

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

LEVELS = (-1.2, -0.6, -0.3, -0.15, 0.15, 0.3, 0.6, 1.2)
SLOPES = (0.5, 0.7, 1.4)
REGION_SHIFT = 0.6
SHIFTED_UP, SHIFTED_DOWN = LEVELS.index(REGION_SHIFT), LEVELS.index(-REGION_SHIFT)  # what a region's arms make of a row
REGIONS = 10
FIRST_SLOPE = len(LEVELS)
FIRST_REGION = FIRST_SLOPE + 2 * len(SLOPES)
ARMS = FIRST_REGION + 2 * REGIONS
LANES = len(LEVELS)  # of a vector of arms; the slopes leave two of them over
WIDE = 2 * LANES  # places of the arms that every event concerns: levels, then slopes
BLOCK = 128
REACH = 40.0
ROWS = np.concatenate(
    [np.zeros(FIRST_REGION, np.int64), 1 + np.arange(2 * REGIONS) // 2]
)  # of the totals, for each arm
TERMS = 7  # n, Σy, Σp, Σv, Σ(y-p)ℓ, Σvℓ, Σvℓ² with v = p(1-p)


class Block(NamedTuple):
    """Scratch for the rows on their way through: no state. Flat, where vectors are loaded from it."""

    l: F64  # [BLOCK] log-odds as stated, within ±40
    t: F64  # [BLOCK] log-odds of what did not happen: l if y = 0, else -l
    happened: I64  # [BLOCK] 1 if y = 1, else 0
    u: F64  # [BLOCK] e^t
    power: F64  # [BLOCK] e^.7t
    root: F64  # [BLOCK] e^.5t
    q: F64  # [BLOCK] 1/(1 + u), the probability of what did happen
    low: F64  # [BLOCK] the odds of what did not happen at the ends of the tolerance
    high: F64  # [BLOCK]
    bins: I64  # [BLOCK] score bin
    terms: F64  # [BLOCK x LANES] the terms of the sums
    before: F64  # [BLOCK x 2 x LANES] totals before the row, over all and of its score bin
    totals: F64  # [(1 + REGIONS) x LANES] the state's while in the block
    sums: F64  # [WIDE] R of the wide arms while in the block
    runs: F64  # [WIDE] C likewise
    weights: F64  # [WIDE] likewise, 0 in the places of none
    region_weight: F64  # [1] w_k of a region's arms
    factors: F64  # [2 x LANES] what the levels multiply odds by, for either outcome
    slopes: F64  # [2 x 3 x LANES] what the slopes multiply e^.5t, e^.7t and e^1.4t by
    ends: F64  # [2] e^-τ, e^τ
    opened: F64  # [ARMS] the last row of the block at which the arm left its floor, or -1
    region: F64  # [2 x LANES] Σ w_k R_k of each score bin, 0 in the places of none
    ratios: F64  # [BLOCK x WIDE] L of the wide arms
    shares: F64  # [BLOCK x LANES] what adds up to M after each row
    m: F64  # [BLOCK] M after each row
    sums_before: F64  # [ARMS] R before the block
    runs_before: F64  # [ARMS] C before the block
    started_before: F64  # [1 + REGIONS] when arms had last started before the block


def arm_weights(tolerance: float) -> F64:
    """w_k [ARMS]: a third to each family, none to a level that lies within the tolerance (it could say nothing)."""
    weights = np.zeros(ARMS)
    telling = np.abs(LEVELS) > tolerance
    weights[:FIRST_SLOPE] = telling / (3.0 * telling.sum())
    weights[FIRST_SLOPE:FIRST_REGION] = 1.0 / (3.0 * (FIRST_REGION - FIRST_SLOPE))
    weights[FIRST_REGION:] = 1.0 / (3.0 * 2 * REGIONS)
    return weights


def arm_factors(tolerance: float) -> F64:
    """What an arm multiplies the odds by, [2, 10]: 8 levels, and e^-τ, e^τ; row 1 inverted."""
    shifts = np.array([*LEVELS, -tolerance, tolerance])
    inverted = np.concatenate([-shifts[:-2], shifts[-2:]])
    factors: F64 = np.exp(np.stack([shifts, inverted]))
    return factors


def new_block(tolerance: float) -> Block:
    """Scratch for the arms under a tolerance in logits."""
    factors = arm_factors(tolerance)
    weights = np.zeros(WIDE)
    weights[:FIRST_REGION] = arm_weights(tolerance)[:FIRST_REGION]
    return Block(
        l=np.zeros(BLOCK), t=np.zeros(BLOCK), happened=np.zeros(BLOCK, np.int64), u=np.zeros(BLOCK), power=np.zeros(BLOCK),
        root=np.zeros(BLOCK), q=np.zeros(BLOCK), low=np.zeros(BLOCK), high=np.zeros(BLOCK), bins=np.zeros(BLOCK, np.int64),
        terms=np.zeros(BLOCK * LANES), before=np.zeros(BLOCK * 2 * LANES), totals=np.zeros((1 + REGIONS) * LANES),
        sums=np.zeros(WIDE), runs=np.zeros(WIDE), weights=weights, region_weight=np.array([arm_weights(tolerance)[-1]]),
        factors=factors[:, :LANES].ravel(), slopes=np.zeros(2 * 3 * LANES), ends=factors[0, LANES:].copy(),
        opened=np.zeros(ARMS), region=np.zeros(2 * LANES), ratios=np.zeros(BLOCK * WIDE), shares=np.zeros(BLOCK * LANES),
        m=np.zeros(BLOCK), sums_before=np.zeros(ARMS), runs_before=np.zeros(ARMS), started_before=np.zeros(1 + REGIONS),
    )  # fmt: skip


@inline
def set_slopes(pivots: F64, slopes: F64) -> None:
    """e^((1-b)c) for each slope and pivot, and its inverse for y = 1, each with the power of the odds that it goes with.

    The two places of none repeat the first two arms.
    """
    for k in range(LANES):
        i, pivot = k % 3, (k // 3) % 2
        shift = (1.0 - SLOPES[i]) * pivots[pivot]
        slopes[i * LANES + k] = exponential(shift)
        slopes[(3 + i) * LANES + k] = exponential(-shift)


@inline
def read_odds(z: F64, y: I8, slack: F64, rows: I64, n: int, out: Any) -> None:
    """What arms of any kind are made of, for rows[:n], into a block. One short loop each: these vectorise."""
    for r in range(n):
        i = unsigned(rows[r])
        l = min(max(z[i], -REACH), REACH)
        out.l[r] = l
        happened = np.int64(y[i] == 1)  # (by arithmetic: no processor foresees a branch on labels)
        out.happened[r] = happened
        out.t[r] = l * float(1 - 2 * happened)
    for r in range(n):
        out.u[r] = exponential(out.t[r])
    for r in range(n):
        out.q[r] = 1.0 / (1.0 + out.u[r])
        out.low[r] = out.u[r] * out.ends[0]
        out.high[r] = out.u[r] * out.ends[1]
    if slack.size > 0:
        for r in range(n):
            out.low[r] = out.u[r] / slack[rows[r]]
            out.high[r] = out.u[r] * slack[rows[r]]


@part
def read_rows(z: F64, y: I8, slack: F64, rows: I64, edges: F64, n: int, out: Block) -> None:
    """What the arms are made of, for rows[:n]."""
    read_odds(z, y, slack, rows, n, out)
    for r in range(n):
        out.power[r] = exponential(0.7 * out.t[r])
    for r in range(n):
        out.root[r] = math.sqrt(out.u[r])
        out.bins[r] = 0
    for j in range(REGIONS - 1):
        for r in range(n):
            out.bins[r] += 1 if out.l[r] >= edges[j] else 0


@inline
def read_terms(n: int, out: Any) -> None:
    """What each row of a block adds to the totals."""
    for r in range(n):
        u, q, l, at = out.u[r], out.q[r], out.l[r], r * LANES
        v = u * q * q
        out.terms[at] = 1.0
        happened = float(out.happened[r])
        out.terms[at + 1] = happened
        out.terms[at + 2] = q * (happened + (1.0 - happened) * u)
        out.terms[at + 3] = v
        out.terms[at + 4] = u * q * -out.t[r]
        out.terms[at + 5] = v * l
        out.terms[at + 6] = v * l * l


@inline
def likelihood(odds: Any, low: float, high: float) -> Any:
    """L = (1 + u0) / (1 + uq) of lanes of odds uq of what did *not* happen, u0 being uq held between low and high."""
    one = splat(1.0, odds)
    held = smaller(larger(odds, low), high)
    return (one + held) / (one + odds)


@part
def read_ratios(n: int, out: Block) -> None:
    """L of the wide arms under each row of a block."""
    like = lanes(0.0, LANES)
    for r in range(n):
        low, high = out.low[r], out.high[r]
        odds = out.u[r] * load(out.factors, out.happened[r] * LANES, like)
        store(out.ratios, r * WIDE, likelihood(odds, low, high))
        at, power = out.happened[r] * 3 * LANES, out.power[r]
        odds = out.root[r] * load(out.slopes, at, like)
        odds = fma(power, load(out.slopes, at + LANES, like), odds)
        odds = fma(power * power, load(out.slopes, at + 2 * LANES, like), odds)
        store(out.ratios, r * WIDE + LANES, likelihood(odds, low, high))
