"""Gaussian beliefs with a full covariance: score, and learn by one implicit Kalman step with forgetting toward the prior.

What a label takes from a covariance, c (S x)(S x)', is held back until S is needed for the next row, so that an event
costs one pass over the D² numbers of S and not two. Several beliefs lie one behind the other in flat arrays; D is a
multiple of LANES, padded with zeros. x, g = S x and what is held are float32[D] each.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels.flips import Flips
from onlogit.kernels.implicit import flipped_steps, implicit_steps
from onlogit.kernels.jit import inline
from onlogit.kernels.lanes import (
    fma,
    lanes,
    load,
    multiply,
    negative,
    splat,
    spread,
    square_root,
    store,
    total,
)

F32 = npt.NDArray[np.float32]

LANES = 8  # widths are padded to a multiple of this
STRIP = 16  # columns taken at once; measured: two strips of 16 are as fast as one of 32
ZERO = np.float32(0)
UNIT = np.eye(1, 2 * STRIP - 1, STRIP - 1, np.float32).ravel()  # from STRIP - 1 - k on: 1 in lane k, else 0


@inline
def _columns_product(cov: F32, at: int, x: F32, sums: Any) -> Any:
    """Σ_a x_a S[a, b] for the lanes b, of which the first is cov[at]: S is symmetric, so its rows add up to S x."""
    for a in range(x.size):
        sums = fma(spread(x, a, sums), load(cov, at + a * x.size, sums), sums)
    return sums


@inline
def _shrunk(cov: F32, at: int, held: F32, a: int, gb: Any, kept: Any) -> Any:
    """f S[a, b] - g_a g_b for the lanes b: a product that commutes, so S stays symmetric to the bit."""
    return fma(negative(spread(held, a, gb)), gb, multiply(kept, load(cov, at, gb)))


@inline
def _columns_update(
    cov: F32, e: int, b: int, count: int, held: F32, kept: np.float32, fill: np.float32, prior: F32, x: F32, sums: Any
) -> Any:
    """The columns b .. b + count of S <- f S - g g' + (1 - f) S0, and of S x: one pass over S for both."""
    d, first = x.size, e * x.size
    gb, f, more = load(held, first + b, sums), splat(kept, sums), splat(fill, sums)
    at = first * d + b
    for a in range(b):
        row = _shrunk(cov, at, held, first + a, gb, f)
        store(cov, at, row)
        sums = fma(spread(x, a, sums), row, sums)
        at += d
    for a in range(b, b + count):  # the rows of the diagonal
        row = _shrunk(cov, at, held, first + a, gb, f)
        row = fma(multiply(more, spread(prior, first + a, sums)), load(UNIT, STRIP - 1 - (a - b), sums), row)
        store(cov, at, row)
        sums = fma(spread(x, a, sums), row, sums)
        at += d
    for a in range(b + count, d):
        row = _shrunk(cov, at, held, first + a, gb, f)
        store(cov, at, row)
        sums = fma(spread(x, a, sums), row, sums)
        at += d
    return sums


@inline
def product(cov: F32, e: int, x: F32, g: F32) -> None:
    """g = S x of expert e."""
    even, first = x.size - x.size % STRIP, e * x.size
    for b in range(0, even, STRIP):
        store(g, first + b, _columns_product(cov, first * x.size + b, x, lanes(ZERO, STRIP)))
    for b in range(even, x.size, LANES):
        store(g, first + b, _columns_product(cov, first * x.size + b, x, lanes(ZERO, LANES)))


@inline
def update(cov: F32, e: int, held: F32, kept: np.float32, fill: np.float32, prior: F32, x: F32, g: F32) -> None:
    """S <- f S - h h' + (1 - f) S0 with h as held, then g = S x, bit by bit as `product` has it."""
    even = x.size - x.size % STRIP
    for b in range(0, even, STRIP):
        store(g, e * x.size + b, _columns_update(cov, e, b, STRIP, held, kept, fill, prior, x, lanes(ZERO, STRIP)))
    for b in range(even, x.size, LANES):
        store(g, e * x.size + b, _columns_update(cov, e, b, LANES, held, kept, fill, prior, x, lanes(ZERO, LANES)))


@inline
def score(mean: F32, e: int, g: F32, x: F32) -> tuple[float, float]:
    """z = m.x and s² = x'S x, for g = S x."""
    z = lanes(ZERO, LANES)
    s2 = z
    for b in range(0, x.size, LANES):
        xb = load(x, b, z)
        z = fma(load(mean, e * x.size + b, z), xb, z)
        s2 = fma(load(g, e * x.size + b, z), xb, s2)
    return total(z), max(total(s2), ZERO)


@inline
def _move(mean: F32, at: int, g: F32, held: F32, delta: Any, root: Any) -> None:
    gb = load(g, at, delta)
    store(mean, at, fma(delta, gb, load(mean, at, delta)))
    store(held, at, multiply(root, gb))


@inline
def learn(mean: F32, e: int, width: int, g: F32, held: F32, delta: np.float32, root: np.float32) -> None:
    """m <- m + δ S x, and what the covariance will lose held back for the next pass over it: √(c f) S x.

    Strips as in `update`: a load of what two narrower stores have just written would wait for both.
    """
    even, first = width - width % STRIP, e * width
    for b in range(first, first + even, STRIP):
        _move(mean, b, g, held, lanes(delta, STRIP), lanes(root, STRIP))
    for b in range(first + even, first + width, LANES):
        _move(mean, b, g, held, lanes(delta, LANES), lanes(root, LANES))


@inline
def steps(
    z: F32, s2: F32, y: float, h: float, kept: F32, e: int, delta: F32, shrink: F32, root: F32, flips: Flips
) -> None:
    """δ, c and √(c f) of the experts e .. e + 8."""
    like = lanes(ZERO, LANES)
    if len(flips) == 2:
        step, c = implicit_steps(load(z, e, like), load(s2, e, like), y, h)
    else:
        step, c = flipped_steps(load(z, e, like), load(s2, e, like), y, h, flips)
    store(delta, e, step)
    store(shrink, e, c)
    store(root, e, square_root(multiply(c, load(kept, e, like))))
