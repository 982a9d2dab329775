"""Score and learn under a Gaussian belief: a full covariance for the dense block, a variance for every hashed slot.

Online Bayesian logistic regression: an extended Kalman filter with an implicit step, forgetting toward the prior
(McCormick, Raftery, Madigan & Burd 2012; Ollivier 2018; de Vilmarest & Wintenberger 2021). One call walks a tape of
operations for all experts, which differ in half-life and prior width.

An operation is a row of the tile and an act: SCORE writes z and s² of every expert, LEARN folds the row's label in, BOTH
does one after the other. Where a row was scored before any label had come, all experts said 0; if they say more when its
label is learned, z and s² are written anew, as they are just before, and the operation is marked AGAIN.

What a label takes from a covariance S is held back until the next operation needs S x, so an event costs one pass over the
D² numbers of S and not two. Slots have all experts side by side, one a lane. Nothing is allocated per row.

Sizes: n rows, d numbers, D >= d + 1 coordinates (bias first), K experts padded to E lanes, H slots. D and E are multiples
of LANES, padded with zeros.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels import covariance
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import Flips
from onlogit.kernels.jit import kernel, part, unsigned
from onlogit.kernels.lane_math import exponential
from onlogit.kernels.lanes import (
    fma,
    lanes,
    larger,
    load,
    place,
    prefetch_to_write,
    splat,
    spread,
    store,
)
from onlogit.kernels.link import exponential as scalar_exponential

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

SCORE, LEARN, BOTH = 1, 2, 3
AGAIN = 4  # beside LEARN: what was stated told nothing, so its label is weighed by what is said now
AHEAD = 1  # rows whose slots are on their way to the cache
FARTHEST, WIDEST = np.float32(1e6), np.float32(1e12)  # bounds of z and s² as stated
ZERO, ONE = np.float32(0), np.float32(1)
UNLEARNED, UNTOUCHED = 1.0, 0.0  # the clock before any label, so that a table of zeros is a table of untouched slots


@part
def _slots_score(
    slots: I32, values: F32, low: int, high: int, now: float, touched: F64, rate: F32, prior: F32, e: int, learn: bool,
    table: F32, width: int, z: Any, s2: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """z and s² of the experts e .. e + 8 with what the row's slots say added, variances taken forward to now:
    v <- f v + (1 - f) v0. A variance is float32 here as in the table, so that a score does not depend on whether its
    label is learned at once."""
    one, slow, v0 = splat(ONE, z), load(rate, e, z), load(prior, e, z)
    for j in range(low, high):
        at = 2 * width * np.int64(slots[j]) + e
        value = spread(values, j, z)
        then = touched[unsigned(slots[j])]
        v = v0
        if then != UNTOUCHED:
            kept = exponential(slow * np.float32(then - now))
            v = fma(kept, load(table, at + width, z), v0 * (one - kept))
        if learn:
            store(table, at + width, v)
        z = fma(load(table, at, z), value, z)
        s2 = fma(v * value, value, s2)
    return z, s2


@part
def _slots_learn(
    slots: I32, values: F32, low: int, high: int, e: int, delta: F32, shrink: F32, table: F32, width: int
) -> None:
    """w <- w + δ v x;  v <- v - c (v x)², for the experts e .. e + 8."""
    zero = lanes(ZERO, LANES)
    step, less = load(delta, e, zero), load(shrink, e, zero) * -ONE
    for j in range(low, high):
        at = 2 * width * np.int64(slots[j]) + e
        v = load(table, at + width, zero)
        u = v * values[j]
        store(table, at, fma(step, u, load(table, at, zero)))
        store(table, at + width, larger(fma(less * u, u, v), zero))


@part
def _silent(memo: F32, i: int, experts: int) -> bool:
    """Whether all experts said 0, as they do until the first label."""
    silent = True
    for e in range(experts):
        silent &= memo[i, e] == ZERO
    return silent


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH; AGAIN is added where it holds
    dense: F32,  # [n, d]
    starts: I64,  # [n + 1]
    slots: I32,
    values: F32,
    y: F64,  # [n] 0 or 1; read where a row is learned
    weight: F64,  # [n] at or below 0: not learned
    rate: F32,  # [E] ln 2 / half-life, 0 for an infinite one
    slot_prior: F32,  # [E] variance of a slot nobody has learned
    dense_prior: F32,  # [K, D] variance of the bias and of each number before any is learned
    clock: F64,  # [1] 1 + weight learned so far; changed
    mean: F32,  # [K, D] changed
    cov: F32,  # [K, D, D] with what follows as kernels/covariance.py has it; changed
    scales: F32,  # [2, E] scale and what is owed; changed
    table: F32,  # [H, 2, E] mean and variance of each slot; changed
    touched: F64,  # [H] clock at which a slot was last learned, or UNTOUCHED; changed
    memo: F32,  # [n, >= 2E] z of each expert, then s² of each; written where a row is scored, also where AGAIN
    flips: Flips,
) -> None:
    """Walk the tape in order."""
    experts, width, padded = mean.shape[0], mean.shape[1], rate.size
    d = dense.shape[1]
    m, s, s0, w = mean.reshape(-1), cov.reshape(-1), dense_prior.reshape(-1), table.reshape(-1)
    scale, owed = scales[0], scales[1]
    x = np.zeros(width, np.float32)
    x[0] = ONE
    g, held = np.zeros(experts * width, np.float32), np.zeros(experts * width, np.float32)
    z, s2 = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    delta, shrink, root = np.zeros(padded, np.float32), np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    kept, fill, kept_for = (
        np.ones(padded, np.float32),
        np.zeros(padded, np.float32),
        0.0,
    )  # f, 1 - f, and of what weight
    waits = False  # whether what was learned last is still held back from the covariances
    nothing = lanes(ZERO, LANES)
    now = clock[0]
    for op in range(row.size + 1):  # one turn more, in which what is held back leaves the covariances
        last = op == row.size
        if last and not waits:
            break
        i = row[op - 1] if last else row[op]
        h = weight[i]
        learn = not last and (act[op] & LEARN) != 0 and h > 0.0
        for j in range(d):
            x[1 + j] = dense[i, j]
        low, high = unsigned(starts[i]), unsigned(starts[i + 1])
        if op + AHEAD < row.size:
            ahead = row[op + AHEAD]
            for j in range(unsigned(starts[ahead]), unsigned(starts[ahead + 1])):
                prefetch_to_write(w, 2 * padded * np.int64(slots[j]))
                prefetch_to_write(touched, np.int64(slots[j]))
        for first in range(0, padded, LANES):
            zs, ss = nothing, nothing
            end = min(first + LANES, experts)
            for e in range(first, end, 2):
                if waits:
                    covariance.update(s, e, min(e + 1, end - 1), held, x, 1 + d, s0, owed, g)
                else:
                    covariance.product(s, e, min(e + 1, end - 1), x, 1 + d, s0, owed, g)
            for e in range(first, end):
                ze, se = covariance.score(m, e, g, x, scale)
                zs, ss = place(zs, e - first, ze), place(ss, e - first, se)
            if high > low and not last:
                zs, ss = _slots_score(
                    slots, values, low, high, now, touched, rate, slot_prior, first, learn, w, padded, zs, ss
                )
            store(z, first, zs)
            store(s2, first, ss)
        waits = learn
        if last:
            break
        if learn and not act[op] & SCORE and now > UNLEARNED and _silent(memo, i, experts):
            act[op] |= AGAIN
        if act[op] & (SCORE | AGAIN):
            for e in range(padded):
                memo[i, e] = min(max(z[e], -FARTHEST), FARTHEST)
                memo[i, padded + e] = min(s2[e], WIDEST)
        if not learn:
            continue
        if h != kept_for:
            for e in range(experts):
                kept[e] = max(np.float32(scalar_exponential(-h * rate[e])), covariance.LEAST_KEPT)
                fill[e] = -math.expm1(-h * rate[e])
            kept_for = h
        for e in range(0, padded, LANES):
            covariance.steps(z, s2, y[i], h, scale, e, delta, shrink, root, flips)
            _slots_learn(slots, values, low, high, e, delta, shrink, w, padded)
        for e in range(experts):
            covariance.learn(m, e, width, g, held, delta[e], root[e], scale)
        due = False
        for e in range(0, padded, LANES):
            due |= covariance.forget(e, kept, fill, scale, owed)
        covariance.settle(s, experts if due else 0, width, s0, scale, owed, held)
        for j in range(low, high):
            touched[unsigned(slots[j])] = now
        now += h
        clock[0] = now  # here, as a tape that only scores writes nothing: another thread may learn meanwhile
