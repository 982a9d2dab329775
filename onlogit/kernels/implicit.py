"""The implicit step of logistic regression: how far one label moves a belief, right at any weight and any variance.

A step of weight h along S x solves δ = h (y - σ(z + s² δ)) instead of taking δ = h (y - σ(z)): it cannot overshoot
(Kulis & Bartlett 2010; Toulis & Airoldi 2017). One version for a scalar, one for the lanes of a vector; of each, one more
for labels that are flipped at known rates (flips.py), which solves δ = h (q - σ(z + s² δ)) for the soft label q.
"""

import math
from typing import Any

import numpy as np

from onlogit.kernels.flips import Flips, information, lift, soft_labels
from onlogit.kernels.jit import inline
from onlogit.kernels.lanes import (
    fma,
    highest,
    larger,
    smaller,
    splat,
)
from onlogit.kernels.lanes import sigmoid as sigmoids
from onlogit.kernels.link import sigmoid

ZERO, ONE = np.float32(0), np.float32(1)


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
    return sign * h * _root(sign * z, h * s2)


@inline
def _root(margin: float, reach: float) -> float:
    """σ(-t) at t = margin + reach σ(-t)."""
    t = _newton_start(margin, reach)
    for _ in range(_iterations(reach)):
        t = _newton(t, margin, reach)
    return sigmoid(-t)


@inline
def flipped_step(z: float, s2: float, y: float, h: float, flips: Flips) -> float:
    """The same for a label that may be flipped: the root for its soft label, that of a 0 at z + h s² q and h q more."""
    q, reach = sigmoid(z + lift(y, flips)), h * s2
    return h * (q - _root(-z - reach * q, reach))


@inline
def implicit_steps(z: Any, s2: Any, y: float, h: float) -> tuple[Any, Any]:
    """For each lane δ as in `implicit_step`, and c = r / (1 + r s²) with r = h q (1 - q), q = σ(z + s² δ)."""
    one, weight = splat(ONE, z), splat(np.float32(h), z)
    sign = splat(np.float32(2.0 * y - 1.0), z)
    q = _roots(sign * z, weight * s2)
    r = weight * q * (one - q)
    return sign * weight * q, r / fma(r, s2, one)


@inline
def _roots(margin: Any, reach: Any) -> Any:
    """As `_root`, for each lane."""
    one, nothing = splat(ONE, margin), splat(ZERO, margin)
    t = larger(margin, smaller(nothing, margin + reach))
    for _ in range(_iterations(highest(reach))):
        q = sigmoids(nothing - t)
        pull = reach * q
        t = t - (t - margin - pull) / fma(pull, one - q, one)
    return sigmoids(nothing - t)


@inline
def flipped_steps(z: Any, s2: Any, y: float, h: float, flips: Flips) -> tuple[Any, Any]:
    """For each lane δ as in `flipped_step`, and c = r / (1 + r s²) with r = h times the information at z + s² δ."""
    one, nothing, weight = splat(ONE, z), splat(ZERO, z), splat(np.float32(h), z)
    soft, reach = soft_labels(z, y, flips), weight * s2
    p = _roots(nothing - fma(reach, soft, z), reach)
    r = weight * information(p, flips)
    return weight * (soft - p), r / fma(r, s2, one)
