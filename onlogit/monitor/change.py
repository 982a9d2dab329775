"""The change null: are probabilities as good, or as bad, as they were over a reference window?

A stable but imperfect model would raise alarms against the absolute null for ever. Here the calibration map of a reference
window is frozen, and later events are judged as if it had been stated, with the tolerance widened by how well it is known.

The map is ℓ + d(ℓ), with d a parabola fitted to the window between its 1st and 99th percentile and constant beyond; its
simultaneous 99 % band is 3.37 standard errors wide each way (χ² of 3 degrees: 11.34). Where a tenth of the window's scores
refutes the parabola, by Chernoff's bound n KL(o, e) <= log(20 / MISS) for its rate, the map is moved into the middle of what that
bound admits there, and widened by half of it. Ten such bounds alone, without a curve, would hold for any shape of map; they are
so wide (.2 to .9 logits at 20,000 events of base rate 11 %) that a change by .3 would never be found.

Promise. Where the band covers the map (in 99 % of windows, by the normal approximation) and the map's shape is a parabola to
within the tolerance, P(false alarm within T) <= T / patience. docs/monitor.md has what simulations say, other shapes included.
"""

import math
from typing import NamedTuple

import numpy as np

from onlogit.kernels.link import numpy_sigmoid
from onlogit.kernels.tally import F64
from onlogit.monitor.estimates import PRIOR, RANGE, Sums, centres
from onlogit.monitor.sound import MOST, require_between

BINS = 10
MISS = 0.01
BAND = math.sqrt(11.345)
WIDEST = 3.0
FARTHEST = 1e6  # of a correction in logits: far beyond what any window gives
CELLS = 512


class Reference(NamedTuple):
    """A frozen calibration map, by cells of 1/16 of the stated log-odds."""

    correction: F64  # [512] d(ℓ)
    width: F64  # [512] how far the truth may lie from it
    examples: F64  # [1] in the window; 0 while there is no map


def no_reference() -> Reference:
    """No map yet."""
    return Reference(np.zeros(CELLS), np.zeros(CELLS), np.zeros(1))


def require_map(reference: Reference) -> None:
    """A StateError unless `freeze` can have made this."""
    require_between(reference.correction, "change.correction", -FARTHEST, FARTHEST)
    require_between(reference.width, "change.width", 0.0, WIDEST)
    require_between(reference.examples, "change.examples", 0.0, MOST)


def freeze(sums: Sums) -> Reference:
    """The map of a window."""
    l, count, ones = centres(len(sums.ranks)), sums.ranks.sum(axis=1), sums.ranks[:, 1]
    share = np.cumsum(count) / count.sum()
    low, high = l[np.searchsorted(share, [0.01, 0.99])]
    middle, half = (low + high) / 2, max((high - low) / 2, 0.25)

    def design(at: F64) -> F64:
        u = (np.clip(at, low, high) - middle) / half
        return np.stack([np.ones_like(u), u, u * u], axis=1).astype(np.float64)

    beta, covariance = _fit(design(l), l, count, ones)
    cells = centres(CELLS)
    shape = design(cells)
    correction = shape @ beta
    width = np.minimum(BAND * np.sqrt(np.einsum("ij,jk,ik->i", shape, covariance, shape)), WIDEST)
    edges = l[np.searchsorted(share, np.arange(1, BINS) / BINS).clip(0, len(l) - 1)]
    at, own = np.searchsorted(edges, l, side="right"), np.searchsorted(edges, cells, side="right")
    fitted = l + design(l) @ beta
    for j in range(BINS):
        here = (at == j) & (count > 0.0)
        if here.any():
            least, most = _interval(fitted[here], count[here], float(ones[here].sum()))
            if not least <= 0.0 <= most:
                correction[own == j] += (least + most) / 2
                width[own == j] = np.maximum(width[own == j], (most - least) / 2)
    return Reference(correction, width, np.array([count.sum()]))


def judge(reference: Reference, z: F64, tolerance: float) -> tuple[F64, F64]:
    """Log-odds as the map corrects them, and e^(tolerance + width): float64[n] each."""
    held = np.clip(z, -40.0, 40.0)
    at = ((np.clip(held, -RANGE, RANGE - 1e-9) + RANGE) * (CELLS / (2 * RANGE))).astype(np.int64)
    return held + reference.correction[at], np.exp(tolerance + reference.width)[at]


def _fit(shape: F64, l: F64, count: F64, ones: F64) -> tuple[F64, F64]:
    """Coefficients of d and their covariance, by Newton's method."""
    kept = count > 0.0
    shape, l, count, ones = shape[kept], l[kept], count[kept], ones[kept]
    beta, prior = np.zeros(3), np.eye(3) / PRIOR
    for _ in range(50):
        q = numpy_sigmoid(l + shape @ beta)
        hessian = (shape * (count * q * (1.0 - q))[:, None]).T @ shape + prior
        step = np.linalg.solve(hessian, shape.T @ (ones - count * q) - prior @ beta)
        beta = beta + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return beta.astype(np.float64), np.linalg.inv(hessian).astype(np.float64)


def _interval(z: F64, count: F64, ones: float) -> tuple[float, float]:
    """The shifts of z, within ±WIDEST, under which so many outcomes are no surprise."""
    n = float(count.sum())
    limit, rate = math.log(2.0 * BINS / MISS) / n, ones / n

    def surprise(shift: float) -> tuple[float, float]:
        expected = float((count / (1.0 + np.exp(-(z + shift)))).sum() / n)
        return expected, _divergence(rate, min(max(expected, 1e-300), 1.0 - 1e-16))

    ends = []
    for side in (-1.0, 1.0):
        inner, outer = 0.0, side * 20.0  # at `inner` no surprise: the shift that fits
        low, high = -20.0, 20.0
        for _ in range(60):
            inner = (low + high) / 2
            low, high = (inner, high) if surprise(inner)[0] < rate else (low, inner)
        for _ in range(60):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if surprise(middle)[1] <= limit else (inner, middle)
        ends.append(min(max(inner, -WIDEST), WIDEST))
    return ends[0], ends[1]


def _divergence(o: float, e: float) -> float:
    """KL(o, e) of two coins, in nats."""
    left = o * math.log(o / e) if o > 0.0 else 0.0
    return left + ((1.0 - o) * math.log((1.0 - o) / (1.0 - e)) if o < 1.0 else 0.0)
