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
from onlogit.kernels.lane_math import sigmoid as sigmoids
from onlogit.kernels.lanes import (
    fma,
    highest,
    larger,
    smaller,
    splat,
)
from onlogit.kernels.link import sigmoid

ZERO, ONE = np.float32(0), np.float32(1)
SLANT = 0.17  # of the straight line that stands for the sigmoid about 0; a tangent has 1/4 there


@inline
def _steps(reach: float) -> int:
    """How many make z + s² δ right to 1e-4 (to 1e-6 below a reach of 1), or to what its rounding allows."""
    if reach < 4.0:
        return 1
    return 2 if reach < 100.0 else 2 + int(math.log2(reach) / 3.0)


@inline
def _nearer(t: Any, p: Any, margin: Any, reach: Any) -> tuple[Any, Any]:
    """One step of Halley's method on t = margin + reach σ(-t), for p = σ(-t): the next t, and σ of minus that.

    The latter without a second exponential, as what the step's own equation makes of it, which is as near.
    """
    slope, gap = p * (1.0 - p), (t - margin) - reach * p
    steep, bent = 1.0 + reach * slope, 0.5 * gap * (1.0 - 2.0 * p)
    part = gap / (steep * steep + reach * slope * bent)
    return t - part * steep, p + slope * part * (steep + bent)


@inline
def implicit_step(z: float, s2: float, y: float, h: float) -> float:
    """The root of δ = h (y - σ(z + s² δ)), which lies between 0 and h (2y - 1)."""
    sign = 2.0 * y - 1.0
    return sign * h * _root(sign * z, h * s2)


@inline
def _root(margin: float, reach: float) -> float:
    """σ(-t) at t = margin + reach σ(-t): δ is ±h of that, with margin ±z and reach h s², + for y = 1.

    The start is the root for a sigmoid of three straight lines, near enough for each step to come nearer, however far the
    margin and wide the reach.
    """
    t = min(max((margin + 0.5 * reach) / (1.0 + SLANT * reach), margin), margin + reach)
    q = 0.0
    for _ in range(_steps(reach)):
        t, q = _nearer(t, sigmoid(-t), margin, reach)
    return min(max(q, 0.0), 1.0)


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
    t = smaller(larger((margin + 0.5 * reach) / (1.0 + SLANT * reach), margin), margin + reach)
    q = nothing
    for _ in range(_steps(highest(reach))):
        t, q = _nearer(t, sigmoids(nothing - t), margin, reach)
    return smaller(larger(q, nothing), one)


@inline
def flipped_steps(z: Any, s2: Any, y: float, h: float, flips: Flips) -> tuple[Any, Any]:
    """For each lane δ as in `flipped_step`, and c = r / (1 + r s²) with r = h times the information at z + s² δ."""
    one, nothing, weight = splat(ONE, z), splat(ZERO, z), splat(np.float32(h), z)
    soft, reach = soft_labels(z, y, flips), weight * s2
    p = _roots(nothing - fma(reach, soft, z), reach)
    r = weight * information(p, flips)
    return weight * (soft - p), r / fma(r, s2, one)
