"""The change null: are probabilities as good, or as bad, as they were over a reference window?

A stable but imperfect model would raise alarms against the absolute null for ever. Here the calibration map of a reference
window is frozen: true log-odds = a + bℓ + c_j, with (a, b) fitted to the window and c_j the rest in ten score bins, each
known to within an interval. Later events are judged as if the map had been stated, with the tolerance widened by the
half width of their bin's interval.

Promise. The intervals cover all ten bins' mean rates with probability 1 - MISS, by Chernoff's bound n KL(o, e) <= log(2 x 10
/ MISS), which holds for outcomes of differing p and for martingales. Where they do and the rate inside a bin is off by the
same within the tolerance, P(false alarm within T) <= T / patience; so at most T / patience + MISS over all.
"""

import math
from typing import NamedTuple

import numpy as np

from onlogit.kernels.tally import F64
from onlogit.monitor.estimates import Sums, centres, cox

BINS = 10
MISS = 0.01
WIDEST = 3.0


class Reference(NamedTuple):
    """A frozen calibration map."""

    line: F64  # [2] a, b
    edges: F64  # [9] between score bins, log-odds as stated
    shift: F64  # [10] middle of the interval of c_j
    width: F64  # [10] its half width
    examples: F64  # [1] in the window; 0 while there is no map


def no_reference() -> Reference:
    """No map yet."""
    return Reference(np.array([0.0, 1.0]), np.zeros(BINS - 1), np.zeros(BINS), np.zeros(BINS), np.zeros(1))


def freeze(sums: Sums) -> Reference:
    """The map of a window."""
    l, count = centres(len(sums.ranks)), sums.ranks.sum(axis=1)
    a, b, _ = cox(sums.ranks)
    share = np.cumsum(count) / count.sum()
    edges = l[np.searchsorted(share, np.arange(1, BINS) / BINS).clip(0, len(l) - 1)]
    at = np.searchsorted(edges, l, side="right")
    shift, width = np.zeros(BINS), np.full(BINS, WIDEST)
    for j in range(BINS):
        here = (at == j) & (count > 0.0)
        if here.any():
            low, high = _interval(a + b * l[here], count[here], float(sums.ranks[here, 1].sum()))
            shift[j], width[j] = (low + high) / 2, (high - low) / 2
    return Reference(np.array([a, b]), edges, shift, width, np.array([count.sum()]))


def judge(reference: Reference, z: F64, tolerance: float) -> tuple[F64, F64]:
    """Log-odds as the map corrects them, and e^(tolerance + half width): float64[n] each."""
    held = np.clip(z, -40.0, 40.0)
    at = np.searchsorted(reference.edges, held, side="right")
    a, b = reference.line
    return a + b * held + reference.shift[at], np.exp(tolerance + reference.width)[at]


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
