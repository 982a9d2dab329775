"""e^x, ln x and σ(x) of vectors of float32 lanes, written in the vectors of lanes.py."""

from typing import Any

import numpy as np

from onlogit.kernels.jit import inline
from onlogit.kernels.lanes import fma, larger, mantissa, power, smaller, splat, times_power

LOG2E = np.float32(1.4426950408889634)
LN2_HIGH = np.float32(0.693145751953125)  # ln 2 in two parts, so that x - n ln 2 keeps its bits
LN2_LOW = np.float32(1.42860682030941723212e-6)
ROUND = np.float32(3 << 22)  # adding and taking off 1.5 * 2^23 rounds to a whole number
LEAST, MOST = np.float32(-87.0), np.float32(88.0)
ZERO, ONE = np.float32(0), np.float32(1)


@inline
def exponential(x: Any) -> Any:
    """e^x of float32 lanes for -87 <= x <= 88 to 1e-7 relative, and held at those ends beyond them."""
    x = smaller(larger(x, LEAST), MOST)
    rounded = fma(x, LOG2E, ROUND)
    n = rounded - ROUND
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    r2 = r * r  # Taylor to r^6 on |r| <= ln(2)/2, in pairs: a shorter chain than term by term
    e = fma(r2, np.float32(1 / 720), fma(r, np.float32(1 / 120), np.float32(1 / 24)))
    e = fma(r2, e, fma(r, np.float32(1 / 6), np.float32(1 / 2)))
    e = fma(r2, e, r + ONE)
    return times_power(e, rounded)


@inline
def logarithm(x: Any) -> Any:
    """ln x of float32 lanes, for normal x above 0, to 2e-7 of the larger of 1 and |ln x|."""
    m, n = mantissa(x), power(x)
    s = (m - ONE) / (m + ONE)  # ln m = 2 artanh s, |s| <= .172
    s2 = s * s
    series = fma(s2, np.float32(2 / 9), np.float32(2 / 7))
    series = fma(s2, fma(s2, series, np.float32(2 / 5)), np.float32(2 / 3))
    ln_m = fma(s2 * s, series, s + s)
    return fma(n, LN2_HIGH, fma(n, LN2_LOW, ln_m))


@inline
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x) of float32 lanes."""
    one = splat(ONE, x)
    return one / (one + exponential(ZERO - x))
