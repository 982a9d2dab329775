"""Tallies of stated probabilities and outcomes: reliability bins, quality sums, ranking counts.

One pass over (z, y, weight). Sums are whole numbers: each addend is rounded to 2^-36 (weights to 2^-20), times its
weight, and kept in two int64 limbs, value = whole + part / 2^36 with 0 <= part < 2^36. So adding has no order, and

    merge(tally(a), tally(b)) == tally(a then b)        to the byte,

but for `base`, the log loss of the running base rate, which depends on order by its nature: of a merged tally it is
the sum of both parts', each with its own running rate. A sum bears 2^63 whole units, a weight count 2^43 = 8.8e12; one
weight may be up to 2^20. A weight of h is h repeats (exactly so for whole h up to 2,048, beyond that to 1e-15), a
weight of 0 changes nothing, and a row without label is passed over.

z is held to ±64 for losses, so that an outcome stated as impossible costs 64 nats and not infinity, and to ±16 for
ranks. Cost: 23 ns an event on one core, 140 ns under weights other than 1; 67 kB. kernels/quality.py reads figures from it.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, kernel, reduction
from onlogit.kernels.link import exponential

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

PART_BITS = 36
UNIT = float(1 << PART_BITS)
MASK = (1 << PART_BITS) - 1
WEIGHT_UNIT = float(1 << 20)
LARGEST_WEIGHT = float(1 << 20)
RANKS = 4096
BINS = 20
REACH = 64.0
EDGES = (-10.0, -7.0, -5.0, -4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
EXAMPLES, OUTCOMES, EXPECTED, VARIANCE, SCORE, BRIER, LOSS = range(7)
OF_BINS = (EXAMPLES, EXPECTED, OUTCOMES, VARIANCE)  # the sums that each bin keeps
BLOCK = 256
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
LN2 = math.log(2.0)


class Tally(NamedTuple):
    """Mergeable sums; every field is changed in place. The last axis of int64 sums is (whole, part of 2^-36)."""

    totals: I64  # [7, 2] Σ h times 1, y, p, p(1-p), (y-p)ℓ, (y-p)², log loss in nats
    shares: I64  # [20, 4, 2] per equal-width bin of p: Σ h times 1, p, y, p(1-p)
    odds: I64  # [20, 4, 2] the same per bin of ℓ, with EDGES between the bins and open ends
    ranks: I64  # [4096, 2] weight of negatives and of positives per bin of z in ±16, in units of 2^-20
    base: F64  # [3] log loss in nats of the running base rate (Σy+½)/(n+1) before each label; its own Σh and Σh y


def new_tally() -> Tally:
    """A tally of nothing."""
    return Tally(
        np.zeros((7, 2), np.int64),
        np.zeros((BINS, 4, 2), np.int64),
        np.zeros((BINS, 4, 2), np.int64),
        np.zeros((RANKS, 2), np.int64),
        np.zeros(3),
    )


def merge_tallies(a: Tally, b: Tally) -> Tally:
    """The tally of both streams; all fields but `base` as if one tally had seen every row."""
    sums = []
    for x, y in zip(a[:3], b[:3], strict=True):
        total = x + y
        total[..., 0] += total[..., 1] >> PART_BITS
        total[..., 1] &= MASK
        sums.append(total)
    return Tally(sums[0], sums[1], sums[2], a.ranks + b.ranks, a.base + b.base)


def values(sums: I64) -> F64:
    """Two-limb sums as doubles."""
    return sums[..., 0] + sums[..., 1] / UNIT


@inline
def log_gamma_step(x: float, h: float) -> float:
    """log Γ(x+h) - log Γ(x) for x >= ½, h > 0."""
    shift = 0.0
    while x < 10.0:  # Γ(x) = Γ(x+1)/x, until Stirling's series is good to 1e-12
        shift += math.log((x + h) / x)
        x += 1.0
    end = x + h
    series = (1.0 / end - 1.0 / x) / 12.0 - (1.0 / end**3 - 1.0 / x**3) / 360.0
    series += (1.0 / end**5 - 1.0 / x**5) / 1260.0
    return (x - 0.5) * math.log1p(h / x) + h * math.log(end) - h + series - shift


@inline
def logarithm(x: float) -> float:
    """log x to 1e-15 of max(1, |log x|), for normal x > 0; without a branch or a call, so that loops vectorise."""
    bits = np.float64(x).view(np.int64)
    n = (bits - ROOT_HALF_BITS) >> 52
    m = np.int64(bits - (n << 52)).view(np.float64)  # in [√½, √2): x = m 2^n
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    t = 1.0 / 19.0  # log m = 2 atanh s = 2 s (1 + s²/3 + s⁴/5 + ...); the next term is below 1e-16
    t = t * square + 1.0 / 17.0
    t = t * square + 1.0 / 15.0
    t = t * square + 1.0 / 13.0
    t = t * square + 1.0 / 11.0
    t = t * square + 1.0 / 9.0
    t = t * square + 1.0 / 7.0
    t = t * square + 1.0 / 5.0
    t = t * square + 1.0 / 3.0
    t = t * square + 1.0
    product: float = n * LN2 + 2.0 * s * t
    return product


@inline
def in_parts(value: float) -> int:
    """The whole number of 2^-36 nearest to a value."""
    return np.int64(np.floor(value * UNIT + 0.5))  # type: ignore[return-value,unused-ignore]


@inline
def weighed(parts: int, weight: float) -> int:
    """parts x weight, rounded after the parts were, so that a whole weight is so many repeats."""
    return parts if weight == 1.0 else np.int64(np.floor(parts * weight + 0.5))  # type: ignore[return-value,unused-ignore]


@inline
def carry(sums: I64) -> None:
    """Bring the second limb of a pair back under one whole unit."""
    sums[0] += sums[1] >> PART_BITS
    sums[1] &= MASK


class Block(NamedTuple):
    """Scratch for the labelled rows on their way through: no state. The figures of a row in whole numbers of 2^-36."""

    l: F64  # [BLOCK] log-odds within ±64
    weight: F64  # [BLOCK]
    label: I64  # [BLOCK]
    share: I64  # [BLOCK] bin of p
    odd: I64  # [BLOCK] bin of l
    parts: I64  # [7, BLOCK] in the order of Tally.totals
    base: F64  # [BLOCK] (n + 1) / (count + ½), then its logarithm
    sums: I64  # [2, BINS, 4] of a block whose weights are all 1, by bin of p and of l


@inline
def _next_block(z: F64, y: I8, weight: F64, row: int, out: Block) -> tuple[int, int]:
    """The next labelled rows that have a weight: how many, and the row after them."""
    n = 0
    while n < BLOCK and row < z.size:
        h = np.floor(weight[row] * WEIGHT_UNIT + 0.5) / WEIGHT_UNIT
        if y[row] >= 0 and h > 0.0:
            out.l[n] = min(max(z[row], -REACH), REACH)
            out.label[n] = 1 if y[row] == 1 else 0
            out.weight[n] = h
            n += 1
        row += 1
    return n, row


@inline
def _read(edges: F64, n: int, out: Block) -> None:
    """The figures of each row. Short loops over rows: they vectorise."""
    for i in range(n):
        l, label = out.l[i], float(out.label[i])
        e = exponential(-abs(l))
        q = 1.0 / (1.0 + e)
        p = q if l >= 0.0 else e * q
        low = e * q
        miss = low if (label == 1.0) == (l >= 0.0) else q  # |y - p| without cancellation
        residual = miss if label == 1.0 else -miss
        out.parts[EXAMPLES, i] = 1 << PART_BITS
        out.parts[OUTCOMES, i] = out.label[i] << PART_BITS
        out.parts[EXPECTED, i] = in_parts(p)
        out.parts[VARIANCE, i] = in_parts(low * q)
        out.parts[SCORE, i] = in_parts(residual * l)
        out.parts[BRIER, i] = in_parts(residual * residual)
        out.parts[LOSS, i] = in_parts(max(l, 0.0) - label * l + logarithm(1.0 + e))
        out.share[i] = min(int(p * BINS), BINS - 1)
        out.odd[i] = 0
    for j in range(BINS - 1):
        for i in range(n):
            out.odd[i] += 1 if out.l[i] >= edges[j] else 0


@reduction
def _total(parts: I64) -> int:
    total = 0
    for i in range(parts.size):
        total += parts[i]
    return total


@inline
def _add_ones(tally: Tally, n: int, out: Block) -> None:
    """Add rows of weight 1: whole numbers small enough for one limb until the block is done."""
    for k in range(7):
        tally.totals[k, 1] += _total(out.parts[k, :n])
        carry(tally.totals[k])
    out.sums[:] = 0
    for i in range(n):
        for k in range(4):
            out.sums[0, out.share[i], k] += out.parts[OF_BINS[k], i]
        for k in range(4):
            out.sums[1, out.odd[i], k] += out.parts[OF_BINS[k], i]
    for j in range(BINS):
        for k in range(4):
            tally.shares[j, k, 1] += out.sums[0, j, k]
            carry(tally.shares[j, k])
            tally.odds[j, k, 1] += out.sums[1, j, k]
            carry(tally.odds[j, k])


@inline
def _add_weighed(tally: Tally, i: int, out: Block) -> None:
    """Add one row of any weight."""
    for k in range(7):
        tally.totals[k, 1] += weighed(out.parts[k, i], out.weight[i])
        carry(tally.totals[k])
    for k in range(4):
        part = weighed(out.parts[OF_BINS[k], i], out.weight[i])
        tally.shares[out.share[i], k, 1] += part
        carry(tally.shares[out.share[i], k])
        tally.odds[out.odd[i], k, 1] += part
        carry(tally.odds[out.odd[i], k])


@inline
def _add_base_loss(base: F64, n: int, out: Block) -> None:
    """The loss of each label under (Σy+½)/(n+1) of those before it (Krichevsky & Trofimov 1981), h of them for weight h."""
    examples, ones = base[1], base[2]
    for i in range(n):
        count = ones if out.label[i] == 1 else examples - ones
        if out.weight[i] == 1.0:
            out.base[i] = (examples + 1.0) / (count + 0.5)
        else:
            h = out.weight[i]
            out.base[i] = log_gamma_step(examples + 1.0, h) - log_gamma_step(count + 0.5, h)
        examples += out.weight[i]
        ones += out.weight[i] * out.label[i]
    base[1], base[2] = examples, ones
    for i in range(n):
        loss = logarithm(max(out.base[i], 1e-300))
        out.base[i] = loss if out.weight[i] == 1.0 else out.base[i]
    total = base[0]
    for i in range(n):
        total += out.base[i]
    base[0] = total


@kernel
def tally_rows(tally: Tally, z: F64, y: I8, weight: F64) -> None:
    """Add rows in order. z: float64[n] log-odds, not NaN; y: int8[n], 1, 0 or -1; weight: float64[n] in [0, 2^20]."""
    edges = np.array(EDGES)
    out = Block(
        l=np.empty(BLOCK),
        weight=np.empty(BLOCK),
        label=np.empty(BLOCK, np.int64),
        share=np.empty(BLOCK, np.int64),
        odd=np.empty(BLOCK, np.int64),
        parts=np.empty((7, BLOCK), np.int64),
        base=np.empty(BLOCK),
        sums=np.empty((2, BINS, 4), np.int64),
    )
    row = 0
    while row < z.size:
        n, row = _next_block(z, y, weight, row, out)
        _read(edges, n, out)
        heavy = 0
        for i in range(n):
            heavy += out.weight[i] != 1.0
        if heavy == 0:
            _add_ones(tally, n, out)
        else:
            for i in range(n):
                _add_weighed(tally, i, out)
        for i in range(n):
            rank = min(max(int((out.l[i] + 16.0) * 128.0), 0), RANKS - 1)
            tally.ranks[rank, out.label[i]] += np.int64(out.weight[i] * WEIGHT_UNIT)
        _add_base_loss(tally.base, n, out)
