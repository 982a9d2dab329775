"""Tallies of stated probabilities and outcomes: reliability bins, quality sums, ranking counts.

One pass over (z, y, weight). Sums are whole numbers: each addend is rounded to 2^-36 (weights to 2^-20), times its
weight, and kept in two int64 limbs, value = whole + part / 2^36 with 0 <= part < 2^36. So adding has no order, and

    merge(tally(a), tally(b)) == tally(a then b)        to the byte,

but for `base`, the log loss of the running base rate, which depends on order by its nature: of a merged tally it is
the sum of both parts', each with its own running rate. A sum bears 2^63 whole units, a weight count 2^43 = 8.8e12; one
weight may be up to 2^20. A weight of h is h repeats (exactly so for whole h up to 2,048, beyond that to 1e-15), a
weight of 0 changes nothing, and a row without label is passed over.

z is held to ±64 for losses, so that an outcome stated as impossible costs 64 nats and not infinity, and to ±16 for
ranks. Cost: about 60 ns an event on one core; 67 kB. The AUC is read from 4,096 bins of 1/128 in z, in which ties count
half: within 1e-4 of the exact value where scores spread over .1 logits or more; `auc_error` bounds the error always.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, kernel
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
def add(sums: I64, value: float, weight: float) -> None:
    """One limb pair += value x weight; value rounded first, so that a whole weight is so many repeats."""
    part = sums[1] + np.int64(np.floor(np.floor(value * UNIT + 0.5) * weight + 0.5))
    sums[0] += part >> PART_BITS
    sums[1] = part & MASK


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
def add_base_loss(base: F64, label: int, h: float) -> None:
    """The loss of h labels in a row under (Σy+½)/(n+1), each counted before the next (Krichevsky & Trofimov 1981)."""
    n, ones = base[1], base[2]
    count = ones if label == 1 else n - ones
    if h == 1.0:
        base[0] += math.log((n + 1.0) / (count + 0.5))
    else:
        base[0] += log_gamma_step(n + 1.0, h) - log_gamma_step(count + 0.5, h)
    base[1] = n + h
    base[2] = ones + h * label


@kernel
def tally_rows(tally: Tally, z: F64, y: I8, weight: F64) -> None:
    """Add rows in order. z: float64[n] log-odds, not NaN; y: int8[n], 1, 0 or -1; weight: float64[n] in [0, 2^20]."""
    edges = np.array(EDGES)
    for row in range(z.size):
        h = np.floor(weight[row] * WEIGHT_UNIT + 0.5) / WEIGHT_UNIT
        if y[row] < 0 or h <= 0.0:
            continue
        label = 1 if y[row] == 1 else 0
        l = min(max(z[row], -REACH), REACH)
        e = exponential(-abs(l))
        q = 1.0 / (1.0 + e)
        p = q if l >= 0.0 else e * q
        v = e * q * q
        miss = e * q if (label == 1) == (l >= 0.0) else q  # |y - p| without cancellation
        residual = miss if label == 1 else -miss
        loss = max(l, 0.0) - label * l + math.log1p(e)
        share = tally.shares[min(int(p * BINS), BINS - 1)]
        j = 0
        for i in range(BINS - 1):
            j += 1 if l >= edges[i] else 0
        odds = tally.odds[j]
        for sums in (share, odds):
            add(sums[0], 1.0, h)
            add(sums[1], p, h)
            add(sums[2], label, h)
            add(sums[3], v, h)
        totals = tally.totals
        add(totals[EXAMPLES], 1.0, h)
        add(totals[OUTCOMES], label, h)
        add(totals[EXPECTED], p, h)
        add(totals[VARIANCE], v, h)
        add(totals[SCORE], residual * l, h)
        add(totals[BRIER], residual * residual, h)
        add(totals[LOSS], loss, h)
        rank = min(max(int((l + 16.0) * 128.0), 0), RANKS - 1)
        tally.ranks[rank, label] += np.int64(h * WEIGHT_UNIT)
        add_base_loss(tally.base, label, h)


class Reliability(NamedTuple):
    """One reliability table; arrays [20], NaN where a bin is empty."""

    edges: F64  # [21] of p, or of ℓ with infinite ends
    examples: F64  # weight
    stated: F64  # mean p
    observed: F64  # mean y
    low: F64  # 95 % Wilson interval of the rate
    high: F64


def reliability(tally: Tally, scale: str = "probability") -> Reliability:
    """Stated against observed per bin, on equal widths of p ("probability") or by log-odds ("log-odds")."""
    if scale not in ("probability", "log-odds"):
        raise ValueError(f'scale {scale!r}: "probability" or "log-odds" would be accepted')
    flat = scale == "probability"
    edges = np.linspace(0.0, 1.0, BINS + 1) if flat else np.array([-np.inf, *EDGES, np.inf])
    n, p, y, _ = values(tally.shares if flat else tally.odds).T
    with np.errstate(divide="ignore", invalid="ignore"):
        stated, rate = p / n, y / n
        chance = 1.959963984540054**2 / n
        middle = (rate + chance / 2) / (1 + chance)
        width = np.sqrt(chance * (rate * (1 - rate) + chance / 4)) / (1 + chance)
    low, high = np.clip(middle - width, 0.0, rate), np.clip(middle + width, rate, 1.0)
    return Reliability(edges, n, stated, rate, low, high)


class Quality(NamedTuple):
    """What a tally says; None where it says nothing (no examples; one class, for the AUC). `_asdict()` is JSON-safe."""

    examples: float  # Σ weight of labelled rows
    rate: float | None  # mean outcome
    expected: float | None  # mean stated probability
    observed_over_expected: float | None
    log_loss: float | None  # nats an example
    base_log_loss: float | None  # of the running base rate
    brier: float | None
    auc: float | None
    auc_error: float | None  # the binned AUC is off by this at most
    calibration_error: float | None  # Σ (n_b/n) |mean y - mean p| over 20 equal-width bins of p
    calibration_error_squared: float | None  # Σ (n_b/n) [(mean y - mean p)² - Σp(1-p)/n_b²], no bias; may be negative


def quality(tally: Tally) -> Quality:
    """All readouts of a tally."""
    n, y, p, _, _, brier, loss = values(tally.totals).tolist()
    if n <= 0.0:
        return Quality(0.0, *[None] * 10)
    error, squared = _calibration_errors(tally, n)
    auc, auc_error = _auc(tally)
    ratio = y / p if p > 0.0 else None
    base = float(tally.base[0]) / n
    return Quality(n, y / n, p / n, ratio, loss / n, base, brier / n, auc, auc_error, error, squared)


def _calibration_errors(tally: Tally, n: float) -> tuple[float, float]:
    count, p, y, v = values(tally.shares[tally.shares[:, 0].any(axis=1)]).T
    gap = (y - p) / count
    return float(np.sum(np.abs(y - p)) / n), float(np.sum(count * (gap * gap - v / (count * count))) / n)


def _auc(tally: Tally) -> tuple[float | None, float | None]:
    negative, positive = tally.ranks.astype(np.float64).T
    pairs = negative.sum() * positive.sum()
    if pairs == 0.0:
        return None, None
    ties = float(negative @ positive)
    below = np.cumsum(negative) - negative
    return float((below @ positive + ties / 2) / pairs), ties / 2 / float(pairs)
