"""Gaussian beliefs with a full covariance: score, and learn by one implicit Kalman step with forgetting toward the prior.

What a label takes from a covariance, c (S x)(S x)', is held back until S is needed for the next row, so that an event
costs one pass over the D² numbers of S and not two. Several beliefs lie one behind the other in flat arrays; D is a
multiple of LANES, padded with zeros; rows of S from `used` on are zeros and are passed over. x, g = S x and what is held are
float32[D] each.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels.flips import Flips
from onlogit.kernels.implicit import flipped_steps, implicit_steps
from onlogit.kernels.jit import inline, unsigned
from onlogit.kernels.lanes import (
    fma,
    lanes,
    load,
    splat,
    spread,
    square_root,
    store,
    total,
)

F32 = npt.NDArray[np.float32]

LANES = 8  # widths are padded to a multiple of this
STRIP = 16  # columns to a chain of sums
ZERO = np.float32(0)
LEAST_KEPT = np.float32(1e-30)  # of a covariance, however heavy a label is: what is forgotten is divided by it


@inline
def _columns_product(cov: F32, at: int, x: F32, used: int, sums: Any) -> Any:
    """Σ_a x_a S[a, b] for the lanes b, of which the first is cov[at]: S is symmetric, so its rows add up to S x."""
    for a in range(used):
        sums = fma(spread(x, a, sums), load(cov, at + a * x.size, sums), sums)
    return sums


@inline
def _two_products(cov: F32, at: int, x: F32, used: int, left: Any, right: Any) -> Any:
    """The same for the lanes of `left`, and those of `right` beside them."""
    for a in range(used):
        left = fma(spread(x, a, left), load(cov, at, left), left)
        right = fma(spread(x, a, right), load(cov, at + STRIP, right), right)
        at += x.size
    return left, right


@inline
def product(cov: F32, e: int, x: F32, used: int, g: F32) -> None:
    """g = S x of expert e."""
    first, b = e * x.size, 0
    while x.size - b > STRIP:
        if x.size - b >= 2 * STRIP:
            left, right = _two_products(cov, first * x.size + b, x, used, lanes(ZERO, STRIP), lanes(ZERO, STRIP))
            store(g, first + b + STRIP, right)
        else:
            left, few = _two_products(cov, first * x.size + b, x, used, lanes(ZERO, STRIP), lanes(ZERO, LANES))
            store(g, first + b + STRIP, few)
        store(g, first + b, left)
        b = min(b + 2 * STRIP, x.size)
    if x.size - b == STRIP:
        store(g, first + b, _columns_product(cov, first * x.size + b, x, used, lanes(ZERO, STRIP)))
    elif x.size - b == LANES:
        store(g, first + b, _columns_product(cov, first * x.size + b, x, used, lanes(ZERO, LANES)))


@inline
def _shrunk(cov: F32, at: int, held: F32, a: int, gb: Any, kept: Any) -> Any:
    """f S[a, b] - g_a g_b for the lanes b, of which `gb` has -g_b: a product that commutes, so S stays symmetric to the bit."""
    return fma(spread(held, a, gb), gb, kept * load(cov, at, gb))


@inline
def _columns_update(cov: F32, e: int, b: int, held: F32, kept: np.float32, x: F32, used: int, sums: Any) -> Any:
    """The columns of the lanes, from b on, of S <- f S - g g', and of S x: one pass over S for both."""
    d, first = x.size, e * x.size
    gb, f = -load(held, first + b, sums), splat(kept, sums)
    at = first * d + b
    for a in range(used):
        row = _shrunk(cov, at, held, first + a, gb, f)
        store(cov, at, row)
        sums = fma(spread(x, a, sums), row, sums)
        at += d
    return sums


@inline
def _two_updates(
    cov: F32, e: int, b: int, held: F32, kept: np.float32, x: F32, used: int, left: Any, right: Any
) -> Any:
    """The same for the columns of `left`, and those of `right` beside them: two chains of sums that do not wait for one
    another."""
    d, first = x.size, e * x.size
    gl, gr, fl, fr = (
        -load(held, first + b, left),
        -load(held, first + b + STRIP, right),
        splat(kept, left),
        splat(kept, right),
    )
    at = first * d + b
    for a in range(used):
        own, other = _shrunk(cov, at, held, first + a, gl, fl), _shrunk(cov, at + STRIP, held, first + a, gr, fr)
        store(cov, at, own)
        store(cov, at + STRIP, other)
        left, right = fma(spread(x, a, left), own, left), fma(spread(x, a, right), other, right)
        at += d
    return left, right


@inline
def update(cov: F32, e: int, held: F32, kept: np.float32, x: F32, used: int, g: F32) -> None:
    """S <- f S - h h' with h as held, then g = S x, bit by bit as `product` has it."""
    first, b = e * x.size, 0
    while x.size - b > STRIP:
        if x.size - b >= 2 * STRIP:
            left, right = _two_updates(cov, e, b, held, kept, x, used, lanes(ZERO, STRIP), lanes(ZERO, STRIP))
            store(g, first + b + STRIP, right)
        else:
            left, few = _two_updates(cov, e, b, held, kept, x, used, lanes(ZERO, STRIP), lanes(ZERO, LANES))
            store(g, first + b + STRIP, few)
        store(g, first + b, left)
        b = min(b + 2 * STRIP, x.size)
    if x.size - b == STRIP:
        store(g, first + b, _columns_update(cov, e, b, held, kept, x, used, lanes(ZERO, STRIP)))
    elif x.size - b == LANES:
        store(g, first + b, _columns_update(cov, e, b, held, kept, x, used, lanes(ZERO, LANES)))


@inline
def renew(cov: F32, e: int, width: int, used: int, kept: np.float32, fill: np.float32, prior: F32) -> None:
    """S <- S + (1 - f)/f S0, ahead of the next `update`, whose f makes of it what forgetting toward the prior adds.

    Here, and not in the pass over S, it is a sum of D numbers and not of whole rows; f is at least `LEAST_KEPT`.
    """
    if fill == ZERO:
        return
    more, at = fill / kept, e * width * width
    for a in range(used):
        cov[unsigned(at)] += more * prior[unsigned(e * width + a)]
        at += width + 1


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
    store(held, at, root * gb)


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
    store(root, e, square_root(c * load(kept, e, like)))
