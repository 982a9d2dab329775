"""Estimates of quality and calibration from tallies: what goes beside evidence, and never raises an alarm.

All of them are read from sums, so they cost nothing an event, merge by adding, and serve any span of the stream for which
sums can be told apart: all of it, the last events, an exponentially decayed past. Log-odds come from cells (1/128 wide, or
1/16 over recent spans), which moves a slope by less than 1e-3. One reading takes some milliseconds.

Sources: Cox 1958 (intercept and slope); Murphy 1973 (reliability - resolution + uncertainty, on 20 bins of p, so that they
miss the Brier score by the variance inside bins); Blasiok & Nakkiran 2023 (smooth calibration error: the kernel width at
which the smoothed error equals that width); Robbins 1970 (interval that holds at all times at once, by a mixture).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from onlogit.kernels.link import numpy_sigmoid
from onlogit.kernels.tally import BRIER, EXAMPLES, EXPECTED, F64, LOSS, OUTCOMES, WEIGHT_UNIT, Tally, values

RANGE = 16.0  # cells reach from -16 to 16 logits
PRIOR = 25.0  # variance of intercept and slope around 0 and 1: keeps a fit finite where outcomes are of one kind
LEVELS_SD = 0.5  # of the mixture of shifts in logits that an interval of the level is made of
FARTHEST = 20.0  # a shift in logits that only outcomes of one kind reach
GRID = 200
Z95 = 1.959963984540054  # standard errors on each side of an interval of 95 %


class Sums(NamedTuple):
    """What readings are made of."""

    totals: F64  # [7] as in Tally.totals
    shares: F64  # [20, 4] as in Tally.shares
    ranks: F64  # [cells, 2] weight of negatives and positives by ℓ


class Estimates(NamedTuple):
    """Readings; None where there is nothing to say. `_asdict()` is JSON-safe."""

    examples: float
    rate: float | None = None
    expected: float | None = None
    observed_over_expected: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    reliability: float | None = None  # of the Brier score: how far rates are from what was stated
    resolution: float | None = None  # how far rates of different p are from one another
    uncertainty: float | None = None
    auc: float | None = None
    average_precision: float | None = None
    calibration_error: float | None = None  # Σ (n_b/n) |mean y - mean p|
    calibration_error_squared: float | None = None  # without bias; may be negative
    smooth_calibration_error: float | None = None
    intercept: float | None = None  # true log-odds = intercept + slope x stated
    slope: float | None = None
    intercept_error: float | None = None  # standard errors
    slope_error: float | None = None
    level: float | None = None  # shift in logits that explains the outcomes best
    level_low: float | None = None  # 95 % interval of it that holds at all times at once, were the shift constant
    level_high: float | None = None
    bins: tuple[
        dict[str, float], ...
    ] = ()  # of 20 of equal width in p those that hold anything: see `reliability_bins`


def sums_of(tally: Tally) -> Sums:
    """A tally's sums as doubles."""
    return Sums(values(tally.totals), values(tally.shares), tally.ranks / WEIGHT_UNIT)


def centres(cells: int) -> F64:
    """ℓ at the middle of each cell."""
    return np.linspace(-RANGE, RANGE, cells, endpoint=False, dtype=np.float64) + RANGE / cells


def estimates(sums: Sums) -> Estimates:
    """All readings of some sums."""
    n, y, p = (float(sums.totals[k]) for k in (EXAMPLES, OUTCOMES, EXPECTED))
    if n <= 0.0:
        return Estimates(0.0)
    reliability, resolution, error, squared = binned(sums, n)
    intercept, slope, covariance = cox(sums.ranks)
    level, low, high = level_interval(sums.ranks)
    return Estimates(
        examples=n,
        rate=y / n,
        expected=p / n,
        observed_over_expected=y / p if p > 0.0 else None,
        log_loss=float(sums.totals[LOSS]) / n,
        brier=float(sums.totals[BRIER]) / n,
        reliability=reliability,
        resolution=resolution,
        uncertainty=y / n * (1.0 - y / n),
        auc=auc(sums.ranks)[0],
        average_precision=average_precision(sums.ranks),
        calibration_error=error,
        calibration_error_squared=squared,
        smooth_calibration_error=smooth_error(sums.ranks),
        intercept=intercept,
        slope=slope,
        intercept_error=math.sqrt(covariance[0, 0]),
        slope_error=math.sqrt(covariance[1, 1]),
        level=level,
        level_low=low,
        level_high=high,
        bins=tuple(reliability_bins(sums.shares)),
    )


def reliability_bins(shares: F64) -> list[dict[str, float]]:
    """Stated against observed by bin of p: from, to, examples, mean p, rate, and the rate's 95 % interval (Wilson)."""
    kept = np.flatnonzero(shares[:, 0] > 0.0)
    n, p, y, _ = shares[kept].T
    names = ("from", "to", "examples", "stated", "observed", "low", "high")
    columns = kept / len(shares), (kept + 1) / len(shares), n, p / n, y / n, *wilson(y, n)
    return [dict(zip(names, row, strict=True)) for row in np.transpose(columns).tolist()]


def wilson(y: F64, n: F64) -> tuple[F64, F64]:
    """The 95 % interval of each rate y / n, the rate itself inside (Wilson 1927)."""
    rate, chance = y / n, Z95 * Z95 / n
    middle, width = rate + chance / 2, np.sqrt(chance * np.maximum(rate * (1 - rate) + chance / 4, 0.0))
    low, high = (middle - width) / (1 + chance), (middle + width) / (1 + chance)
    return np.clip(low, 0.0, rate), np.clip(high, rate, 1.0)


def binned(sums: Sums, n: float) -> tuple[float, float, float, float]:
    """Reliability and resolution of the Brier score, calibration error, and its square without bias: over 20 bins of p."""
    count, p, y, v = sums.shares[sums.shares[:, 0] > 0.0].T
    gap, rate = (y - p) / count, float(y.sum()) / n
    return (
        float(np.sum(count * gap * gap)) / n,
        float(np.sum(count * (y / count - rate) ** 2)) / n,
        float(np.sum(np.abs(y - p))) / n,
        float(np.sum(count * (gap * gap - v / (count * count)))) / n,
    )


def cox(ranks: F64) -> tuple[float, float, F64]:
    """Intercept and slope of the outcomes' log-odds on the stated ones, and their covariance; by Newton's method."""
    l, count, ones = centres(len(ranks)), ranks.sum(axis=1), ranks[:, 1]
    kept = count > 0.0
    l, count, ones = l[kept], count[kept], ones[kept]
    prior = np.eye(2) / PRIOR
    beta, start = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    for _ in range(50):
        q = numpy_sigmoid(beta[0] + beta[1] * l)
        residual, v = ones - count * q, count * q * (1.0 - q)
        gradient = np.array([residual.sum(), (residual * l).sum()]) - prior @ (beta - start)
        cross = (v * l).sum()
        hessian = np.array([[v.sum(), cross], [cross, (v * l * l).sum()]]) + prior
        step = np.linalg.solve(hessian, gradient)
        beta = beta + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[0]), float(beta[1]), np.linalg.inv(hessian).astype(np.float64)


def auc(ranks: F64) -> tuple[float | None, float | None]:
    """P(a positive was stated higher than a negative), ties inside a cell counting half; and by how much it is off at most."""
    negative, positive = ranks.T
    pairs = float(negative.sum() * positive.sum())
    if pairs <= 0.0:
        return None, None
    below, ties = np.cumsum(negative) - negative, float(negative @ positive) / 2
    return (float(below @ positive) + ties) / pairs, ties / pairs


def average_precision(ranks: F64) -> float | None:
    """Σ precision x step in recall, from the highest cell down."""
    negative, positive = ranks[::-1].T
    if positive.sum() <= 0.0:
        return None
    caught, called = np.cumsum(positive), np.cumsum(positive + negative)
    kept = positive > 0.0
    return float(np.sum(caught[kept] / called[kept] * positive[kept]) / positive.sum())


def smooth_error(ranks: F64) -> float | None:
    """The width σ at which ∫ |Σ (y-p) K_σ(t, p)| dt / n = σ, with K a Gaussian reflected at 0 and 1."""
    n = float(ranks.sum())
    if n <= 0.0:
        return None
    p = numpy_sigmoid(centres(len(ranks)))
    at = np.minimum((p * GRID).astype(np.int64), GRID - 1)
    residual = np.bincount(at, ranks[:, 1] * (1.0 - p) - ranks[:, 0] * p, minlength=GRID) / n
    t = (np.arange(GRID) + 0.5) / GRID
    distances = [t[:, None] - image[None, :] for image in (t, -t, 2.0 - t)]
    low, high = 0.0, 1.0
    for _ in range(12):
        width = max((low + high) / 2, 0.5 / GRID)
        kernel = np.sum([np.exp(-0.5 * (d / width) ** 2) for d in distances], axis=0)
        error = float(np.abs((kernel / kernel.sum(axis=0)) @ residual).sum())
        low, high = (width, high) if error > width else (low, width)
    return (low + high) / 2


def level_interval(ranks: F64, confidence: float = 0.95) -> tuple[float, float, float]:
    """The likeliest constant shift of the log-odds, and an interval that covers it at all times at once; within ±20.

    With the mixture of shifts N(0, .5²), P(log mixture - log likelihood of the true shift > log 1/α, ever) <= α. An end at
    ±20 is no end: outcomes are of one kind.
    """
    l, count, ones = centres(len(ranks)), ranks.sum(axis=1), ranks[:, 1]
    kept = count > 0.0
    l, count, ones = l[kept], count[kept], ones[kept]

    def fit(shift: F64 | float) -> F64:
        z = l + np.expand_dims(shift, -1)
        return np.asarray((ones * z - count * np.logaddexp(0.0, z)).sum(axis=-1))

    def slope(shift: float) -> float:
        return float((ones - count * numpy_sigmoid(l + shift)).sum())

    best = _border(lambda shift: slope(shift) > 0.0, -FARTHEST, FARTHEST)
    middle = _border(lambda shift: slope(shift) > shift / LEVELS_SD**2, -FARTHEST, FARTHEST)
    q = numpy_sigmoid(l + middle)
    width = 1.0 / math.sqrt(float((count * q * (1.0 - q)).sum()) + 1.0 / LEVELS_SD**2)
    shifts = middle + width * np.linspace(-8.0, 8.0, 161)
    mixed = fit(shifts) - 0.5 * (shifts / LEVELS_SD) ** 2
    density = np.exp(mixed - mixed.max()).sum() * width / 10.0 / (LEVELS_SD * math.sqrt(2.0 * math.pi))
    least = float(mixed.max()) + math.log(density) + math.log(1.0 - confidence)
    low, high = (_border(lambda shift: float(fit(shift)) >= least, best, end) for end in (-FARTHEST, FARTHEST))
    return best, low, high


def _border(holds: Callable[[float], bool], near: float, far: float) -> float:
    """Where on the way from `near` to `far` something ceases to hold; `far` where it does not."""
    for _ in range(40):
        middle = (near + far) / 2
        near, far = (middle, far) if holds(middle) else (near, middle)
    return far
