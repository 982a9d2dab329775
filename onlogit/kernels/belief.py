"""Score and learn under a Gaussian belief: a full covariance for the dense block, a variance for every hashed slot.

Online Bayesian logistic regression: an extended Kalman filter with an implicit step, forgetting toward the prior
(McCormick, Raftery, Madigan & Burd 2012; Ollivier 2018; de Vilmarest & Wintenberger 2021). One call walks a tape of
operations for one group of experts. Experts differ in half-life and prior width, never in data, so groups run on
different threads without touching each other, and no result depends on how many threads there are.

An operation is a row of the tile and an act: SCORE writes z and s² of every expert, LEARN folds the row's label in, BOTH
does one after the other for the price of one product S x. Per event and expert: two passes over D² numbers for the
covariance, some 20 flops a slot. Nothing is allocated per row.

Sizes: n rows, d numbers, D >= d + 1 coordinates (bias first, zero padding last), E experts in the group, H slots.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, kernel, reduction
from onlogit.kernels.link import exponential, sigmoid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

SCORE, LEARN, BOTH = 1, 2, 3
FARTHEST, WIDEST = 1e6, 1e12  # bounds of z and s² as stated, so that float32 holds them and their squares
NEVER = -1.0  # the age of an untouched slot
UNTOUCHED = 0.0  # the clock starts at 1, so that a table of zeros is a table of untouched slots


@reduction
def dot(a: F32, b: F32) -> float:
    """Σ a_j b_j in the precision of a."""
    total = a.dtype.type(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total  # type: ignore[no-any-return,return-value,unused-ignore]


@inline
def _newton_start(margin: float, reach: float) -> float:
    """Where Newton on t = margin + reach σ(-t) starts: from there it comes nearer with every step, never jumping over."""
    return max(margin, min(0.0, margin + reach))


@inline
def _newton(t: float, margin: float, reach: float) -> float:
    q = sigmoid(-t)
    return t - (t - margin - reach * q) / (1.0 + reach * q * (1.0 - q))


@inline
def _iterations(reach: float) -> int:
    """How many make z + s² δ right to 5e-6; where h s² is wide, Newton climbs to its log by steps of 1 to 2 first."""
    if reach < 1.0:
        return 1 if reach < 0.1 else 2
    return 4 if reach < 30.0 else 4 + int(math.log2(reach))


@inline
def implicit_step(z: float, s2: float, y: float, h: float) -> float:
    """The root of δ = h (y - σ(z + s² δ)), which lies between 0 and h (2y - 1).

    Solved for t = ±(z + s² δ), + for y = 1: t = margin + h s² σ(-t) with margin ±z. The right side is concave above 0
    and convex below, so Newton from 0, or from the end of the root's interval that is nearer, is monotone.
    """
    sign = 2.0 * y - 1.0
    reach = h * s2
    t = _newton_start(sign * z, reach)
    for _ in range(_iterations(reach)):
        t = _newton(t, sign * z, reach)
    return sign * h * sigmoid(-t)


@inline
def _implicit_steps(z: F64, s2: F64, y: float, h: float, delta: F64, shrink: F64, t: F64) -> None:
    """For each expert δ as in `implicit_step`, and c = r / (1 + r s²) with r = h q (1 - q), q = σ(z + s² δ).

    Iterations outside and experts inside, so that the loop over experts vectorises: five times as fast.
    """
    sign = 2.0 * y - 1.0
    widest = 0.0
    for e in range(z.size):
        t[e] = _newton_start(sign * z[e], h * s2[e])
        widest = max(widest, h * s2[e])
    for _ in range(_iterations(widest)):
        for e in range(z.size):
            t[e] = _newton(t[e], sign * z[e], h * s2[e])
    for e in range(z.size):
        q = sigmoid(-t[e])
        delta[e] = sign * h * q
        r = h * q * (1.0 - q)
        shrink[e] = r / (1.0 + r * s2[e])


@inline
def _dense_score(x: F32, mean: F32, cov: F32, g: F32, z: F64, s2: F64) -> None:
    """g = S x; z = m.x; s² = x'S x, for each expert."""
    for e in range(mean.shape[0]):
        for b in range(x.size):
            g[e, b] = cov[e, 0, b]  # the bias: x[0] = 1
        for a in range(1, x.size):
            xa = x[a]
            for b in range(x.size):  # S is symmetric, so its rows add up to S x: no sum across a vector
                g[e, b] += xa * cov[e, a, b]
        z[e] = dot(mean[e], x)
        s2[e] = max(dot(g[e], x), 0.0)


@inline
def _ages(slots: I32, low: int, high: int, now: float, touched: F64, age: F64) -> None:
    """age[j] of the row's j-th slot: weight learned since the slot was learned, or NEVER."""
    for j in range(high - low):
        then = touched[slots[low + j]]
        age[j] = NEVER if then == UNTOUCHED else now - then


@inline
def _decay(age: F64, n: int, rate: float, kept: F64) -> None:
    """kept[j] = e^(-rate age): what is left of a slot's variance; 0 for an untouched slot, so that its prior is left."""
    for j in range(n):
        kept[j] = 0.0 if age[j] == NEVER else exponential(-rate * age[j])


@reduction
def _slots_score(
    slots: I32, values: F32, low: int, high: int, e: int, prior: float, learn: bool, kept: F64, table: F32
) -> tuple[float, float]:
    """What the row's slots add to z and s² of expert e, variances taken forward to now: v <- f v + (1 - f) v0.

    Expert by expert, all slots of the row: 4 experts are too few for an inner loop (measured 75 ns a slot against 15).
    v is rounded as the table stores it, so that a score does not depend on whether its label is learned at once.
    """
    z = 0.0
    s2 = 0.0
    for j in range(high - low):
        slot = slots[low + j]
        value = values[low + j]
        v = np.float32(table[slot, 1, e] * kept[j] + prior * (1.0 - kept[j]))
        if learn:
            table[slot, 1, e] = v
        z += table[slot, 0, e] * value
        s2 += v * (value * value)
    return z, s2


@inline
def _slots_learn(slots: I32, values: F32, low: int, high: int, e: int, delta: float, shrink: float, table: F32) -> None:
    """w <- w + δ v x;  v <- v - c (v x)²."""
    for j in range(low, high):
        slot = slots[j]
        u = table[slot, 1, e] * values[j]
        table[slot, 0, e] += delta * u
        table[slot, 1, e] = max(table[slot, 1, e] - shrink * u * u, 0.0)


@inline
def _dense_learn(
    d: int, h: float, rate: F64, bias_prior: F64, dense_prior: F64, mean: F32, cov: F32, g: F32, delta: F64, shrink: F64
) -> None:
    """m <- m + δ S x;  S <- f (S - c (S x)(S x)') + (1 - f) S0, symmetric to the bit."""
    kind = mean.dtype.type
    for e in range(mean.shape[0]):
        kept = exponential(-h * rate[e])
        step = kind(delta[e])
        for a in range(g.shape[1]):
            mean[e, a] += step * g[e, a]
        root = kind(math.sqrt(shrink[e] * kept))  # S - (√c g)(√c g)': a product that commutes, so S stays symmetric
        for a in range(g.shape[1]):
            g[e, a] *= root
        factor = kind(kept)
        for a in range(g.shape[1]):
            ga = g[e, a]
            for b in range(g.shape[1]):
                cov[e, a, b] = factor * cov[e, a, b] - ga * g[e, b]
        cov[e, 0, 0] += kind((1.0 - kept) * bias_prior[e])
        for a in range(1, 1 + d):
            cov[e, a, a] += kind((1.0 - kept) * dense_prior[e])


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    dense: F32,  # [n, d]
    starts: I64,  # [n + 1]
    slots: I32,
    values: F32,
    y: F64,  # [n] 0 or 1; read where a row is learned
    weight: F64,  # [n] at or below 0: not learned
    rate: F64,  # [E] ln 2 / half-life, 0 for an infinite one
    bias_prior: F64,  # [E] variances of the prior
    dense_prior: F64,  # [E]
    slot_prior: F64,  # [E] values that float32 holds exactly
    clock: F64,  # [1] 1 + weight learned so far; changed
    mean: F32,  # [E, D] changed
    cov: F32,  # [E, D, D] changed
    table: F32,  # [H, 2, E] mean and variance of each slot; changed
    touched: F64,  # [H] clock at which a slot was last learned, or UNTOUCHED; changed
    first: int,  # this group's first expert among all K
    all_experts: int,  # K
    memo: F32,  # [n, >= 2K] z of each expert, then s² of each; written where a row is scored
) -> None:
    """Walk the tape in order for one group of experts."""
    d = dense.shape[1]
    experts = mean.shape[0]
    x = np.zeros(mean.shape[1], dtype=mean.dtype)
    x[0] = 1
    g = np.zeros(mean.shape, dtype=mean.dtype)
    z = np.zeros(experts)
    s2 = np.zeros(experts)
    delta = np.zeros(experts)
    shrink = np.zeros(experts)
    root = np.zeros(experts)
    most = 0
    for i in range(starts.size - 1):
        most = max(most, starts[i + 1] - starts[i])
    age = np.zeros(most)
    kept = np.zeros(most)
    now = clock[0]
    for t in range(row.size):
        i = row[t]
        h = weight[i]
        learn = (act[t] & LEARN) != 0 and h > 0.0
        for j in range(d):
            x[1 + j] = dense[i, j]
        _dense_score(x, mean, cov, g, z, s2)
        low, high = starts[i], starts[i + 1]
        if high > low:
            _ages(slots, low, high, now, touched, age)
            for e in range(experts):
                if e == 0 or rate[e] != rate[e - 1]:
                    _decay(age, high - low, rate[e], kept)
                zs, vs = _slots_score(slots, values, low, high, e, slot_prior[e], learn, kept, table)
                z[e] += zs
                s2[e] += vs
        if act[t] & SCORE:
            for e in range(experts):
                memo[i, first + e] = min(max(z[e], -FARTHEST), FARTHEST)
                memo[i, all_experts + first + e] = min(s2[e], WIDEST)
        if not learn:
            continue
        _implicit_steps(z, s2, y[i], h, delta, shrink, root)
        for e in range(experts):
            _slots_learn(slots, values, low, high, e, delta[e], shrink[e], table)
        for j in range(low, high):
            touched[slots[j]] = now
        _dense_learn(d, h, rate, bias_prior, dense_prior, mean, cov, g, delta, shrink)
        now += h
    clock[0] = now
