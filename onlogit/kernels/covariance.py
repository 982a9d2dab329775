"""Gaussian beliefs with a full covariance: score, and learn by one implicit Kalman step with forgetting toward the prior.

A covariance S is kept as scale (C + owed S0), so that forgetting, S <- f S + (1 - f) S0, changes two numbers and not D² of
them; every so often C takes both over. What a label takes from S, c (S x)(S x)', is held back until S is needed for the next
row, so that an event costs one pass over C and not two. Several beliefs lie one behind the other in flat arrays; D is a
multiple of LANES, padded with zeros; rows of C from `used` on are zeros and are passed over. x, g = (C + owed S0) x and what
is held are float32[D] each.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels.flips import Flips
from onlogit.kernels.implicit import flipped_steps, implicit_steps
from onlogit.kernels.jit import inline, unsigned
from onlogit.kernels.lanes import (
    fma,
    highest,
    lanes,
    load,
    lowest,
    spread,
    square_root,
    store,
    total,
)

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

LANES = 8  # widths are padded to a multiple of this
STRIP = 16  # columns to a chain of sums
ZERO, ONE = np.float32(0), np.float32(1)
LEAST_KEPT = np.float32(1e-30)  # of a covariance, however heavy a label is: what is forgotten is divided by it
LEAST_SCALE = np.float32(2.0**-20)  # below it C takes the scale over
MOST_OWED = np.float32(64.0)  # labels' worth of the prior that C may be owed, as both share the bits of a float32


def whole(cov: F32, scales: F32, prior: F32) -> F64:
    """The covariances S [K, D, D]: of C [K, D, D], scale and what is owed [2, >= K], and the diagonals of S0 [K, D]."""
    scale, owed = scales[:, : len(cov)].astype(np.float64)
    diagonals = owed[:, None] * prior
    return np.asarray(scale[:, None, None] * (cov + diagonals[:, :, None] * np.eye(prior.shape[1])))


def unscaled(lanes: int) -> F32:
    """Scale and what is owed, [2, lanes], of beliefs where C is S."""
    return np.stack([np.ones(lanes, np.float32), np.zeros(lanes, np.float32)])


@inline
def _prior_product(prior: F32, at: int, x: F32, b: int, owed: np.float32, like: Any) -> Any:
    """owed S0 x in the lanes from b on, of which the first is prior[at]: what sums begin with."""
    return owed * (load(prior, at, like) * load(x, b, like))


@inline
def _two_products(cov: F32, left: int, right: int, x: F32, used: int, sums: Any, others: Any) -> tuple[Any, Any]:
    """Σ_a x_a C[a, b] for two sets of lanes b, which begin at cov[left] and cov[right]: C is symmetric, so its rows add up to
    C x. Two chains of sums do not wait for one another."""
    for a in range(used):
        xa = spread(x, a, sums)
        sums, others = fma(xa, load(cov, left, sums), sums), fma(xa, load(cov, right, others), others)
        left += x.size
        right += x.size
    return sums, others


@inline
def product(cov: F32, e: int, last: int, x: F32, used: int, prior: F32, owed: F32, g: F32) -> None:
    """g = (C + owed S0) x of the beliefs e and `last`, which is the next one, or e again: strips of columns two and two, then
    what is left of both.

    Loops that may have no turn stand for branches, of which `jit.inline` tells.
    """
    d, first, other, strip, few = x.size, e * x.size, last * x.size, lanes(ZERO, STRIP), lanes(ZERO, LANES)
    own, its = owed[unsigned(e)], owed[unsigned(last)]
    b = 0
    for _ in range(d // (2 * STRIP)):
        for at in range(first, other + 1, d):
            debt, then = (own if at == first else its), b + STRIP
            left = _prior_product(prior, at + b, x, b, debt, strip)
            right = _prior_product(prior, at + then, x, then, debt, strip)
            left, right = _two_products(cov, at * d + b, at * d + then, x, used, left, right)
            store(g, at + b, left)
            store(g, at + then, right)
        b += 2 * STRIP
    for _ in range((d - b) // STRIP):
        left = _prior_product(prior, first + b, x, b, own, strip)
        right = _prior_product(prior, other + b, x, b, its, strip)
        left, right = _two_products(cov, first * d + b, other * d + b, x, used, left, right)
        store(g, first + b, left)
        store(g, other + b, right)
        b += STRIP
    for _ in range((d - b) // LANES):
        left = _prior_product(prior, first + b, x, b, own, few)
        right = _prior_product(prior, other + b, x, b, its, few)
        left, right = _two_products(cov, first * d + b, other * d + b, x, used, left, right)
        store(g, first + b, left)
        store(g, other + b, right)


@inline
def _two_updates(
    cov: F32, left: int, right: int, held: F32, first: int, other: int, b: int, c: int, x: F32, used: int,
    sums: Any, others: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """The columns of two sets of lanes, b of the belief whose h is held from `first` on and c of that from `other` on, of
    C <- C - h h', and of C x: one pass over C for both. h_a h_b commutes, so C stays symmetric to the bit."""
    less, fewer = -load(held, first + b, sums), -load(held, other + c, others)
    for a in range(used):
        xa = spread(x, a, sums)
        row = fma(spread(held, first + a, sums), less, load(cov, left, sums))
        line = fma(spread(held, other + a, others), fewer, load(cov, right, others))
        store(cov, left, row)
        store(cov, right, line)
        sums, others = fma(xa, row, sums), fma(xa, line, others)
        left += x.size
        right += x.size
    return sums, others


@inline
def update(cov: F32, e: int, last: int, held: F32, x: F32, used: int, prior: F32, owed: F32, g: F32) -> None:
    """C <- C - h h' with h as held, then g = (C + owed S0) x, bit by bit as `product` has it."""
    d, first, other, strip, few = x.size, e * x.size, last * x.size, lanes(ZERO, STRIP), lanes(ZERO, LANES)
    own, its = owed[unsigned(e)], owed[unsigned(last)]
    b = 0
    for _ in range(d // (2 * STRIP)):
        for at in range(first, other + 1, d):
            debt, then = (own if at == first else its), b + STRIP
            left = _prior_product(prior, at + b, x, b, debt, strip)
            right = _prior_product(prior, at + then, x, then, debt, strip)
            left, right = _two_updates(cov, at * d + b, at * d + then, held, at, at, b, then, x, used, left, right)
            store(g, at + b, left)
            store(g, at + then, right)
        b += 2 * STRIP
    for _ in range((d - b) // STRIP):
        left = _prior_product(prior, first + b, x, b, own, strip)
        right = _prior_product(prior, other + b, x, b, its, strip)
        left, right = _two_updates(cov, first * d + b, other * d + b, held, first, other, b, b, x, used, left, right)
        store(g, first + b, left)
        store(g, other + b, right)
        b += STRIP
    for _ in range((d - b) // LANES):
        left = _prior_product(prior, first + b, x, b, own, few)
        right = _prior_product(prior, other + b, x, b, its, few)
        left, right = _two_updates(cov, first * d + b, other * d + b, held, first, other, b, b, x, used, left, right)
        store(g, first + b, left)
        store(g, other + b, right)


@inline
def forget(e: int, kept: F32, fill: F32, scale: F32, owed: F32) -> bool:
    """S <- f S + (1 - f) S0 of the experts e .. e + 8, f at least `LEAST_KEPT`; whether `settle` is due."""
    like = lanes(ZERO, LANES)
    left = load(kept, e, like) * load(scale, e, like)
    more = load(fill, e, like) / left
    debt = load(owed, e, like) + more
    store(scale, e, left)
    store(owed, e, debt)
    return bool(highest(debt - MOST_OWED * more) > ZERO) | bool(lowest(left) < LEAST_SCALE)


@inline
def settle(cov: F32, experts: int, width: int, prior: F32, scale: F32, owed: F32, held: F32) -> None:
    """C <- scale (C + owed S0), and what is held with it, of the first experts: the scale is 1, and nothing owed."""
    like = lanes(ZERO, LANES)
    for e in range(experts):
        by, first = scale[unsigned(e)], e * width
        root, at = square_root(by), first * width
        for a in range(width):
            cov[unsigned(at)] += owed[unsigned(e)] * prior[unsigned(first + a)]
            at += width + 1
        for b in range(first * width, (first + width) * width, LANES):
            store(cov, b, by * load(cov, b, like))
        for b in range(first, first + width, LANES):
            store(held, b, root * load(held, b, like))
        scale[unsigned(e)], owed[unsigned(e)] = ONE, ZERO


@inline
def score(mean: F32, e: int, g: F32, x: F32, scale: F32) -> tuple[float, float]:
    """z = m.x and s² = x'S x, for g as above."""
    z = lanes(ZERO, LANES)
    s2 = z
    for b in range(0, x.size, LANES):
        xb = load(x, b, z)
        z = fma(load(mean, e * x.size + b, z), xb, z)
        s2 = fma(load(g, e * x.size + b, z), xb, s2)
    return total(z), max(scale[unsigned(e)] * total(s2), ZERO)


@inline
def _move(mean: F32, at: int, g: F32, held: F32, delta: Any, root: Any) -> None:
    gb = load(g, at, delta)
    store(mean, at, fma(delta, gb, load(mean, at, delta)))
    store(held, at, root * gb)


@inline
def learn(mean: F32, e: int, width: int, g: F32, held: F32, delta: np.float32, root: np.float32, scale: F32) -> None:
    """m <- m + δ S x, and what C will lose held back for the next pass over it: √(c scale) g.

    Strips as in `update`: a load of what two narrower stores have just written would wait for both.
    """
    even, first, step = width - width % STRIP, e * width, delta * scale[unsigned(e)]
    for b in range(first, first + even, STRIP):
        _move(mean, b, g, held, lanes(step, STRIP), lanes(root, STRIP))
    for b in range(first + even, first + width, LANES):
        _move(mean, b, g, held, lanes(step, LANES), lanes(root, LANES))


@inline
def steps(
    z: F32, s2: F32, y: float, h: float, scale: F32, e: int, delta: F32, shrink: F32, root: F32, flips: Flips
) -> None:
    """δ, c and √(c scale) of the experts e .. e + 8."""
    like = lanes(ZERO, LANES)
    if len(flips) == 2:
        step, c = implicit_steps(load(z, e, like), load(s2, e, like), y, h)
    else:
        step, c = flipped_steps(load(z, e, like), load(s2, e, like), y, h, flips)
    store(delta, e, step)
    store(shrink, e, c)
    store(root, e, square_root(c * load(scale, e, like)))
