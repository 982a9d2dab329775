"""Stochastic gradient descent: plain, AdaGrad and FTRL-Proximal; one example or a mini-batch at a time.

A rule moves one coordinate along a gradient g that counts c. η is the rate, which may fall with the weight learned so
far, never with record batches. S(w, a) = sign(w) max(|w| - a, 0).

    sgd       w <- S(w - ηc g, ηc l1) / (1 + ηc l2)                            forward-backward: Duchi & Singer 2009
    adagrad   n <- n + c g²;  r = η / √(1 + n);  then as sgd with r for η      Duchi, Hazan & Singer 2011
    ftrl      n <- n + c g²;  Z <- Z + c g - w (change of √n)/η;
              w = -S(Z, l1) / ((1 + √n)/η + l2)                                McMahan et al. 2013, β = 1: exact zeros

A penalty so never moves a weight past 0, however heavy the example. The bias moves likewise, without penalties; a slot pays
its penalty when a row touches it. An example of weight h > 1 goes in steps of weight 1, each from where the last one led: a
whole h up to 17 is h repeats to the bit. What is left then goes in steps of 1/16 of the weight so far, each of which solves
δ = c (y - σ(z + s δ)) with s what one unit of δ moves z by, so that none overshoots (Karampatziakis & Langford 2011): 200
steps for a weight of 2^20. A mini-batch is full when the weight in it reaches its size; the rule then sees the mean gradient,
with c = 1, and what is left of the example begins the next.

`averaged` is sgd that states the mean of all its past weights (Polyak & Juditsky 1992), kept as w - u/t with t the weight
learned and u = Σ t (change of w at t), so that a coordinate that nothing touches costs nothing.

Cost: about d + s multiply-adds to score and 1 to 4 times that to learn; nothing is allocated per row. Measured on one
thread, d = 20, beside bare loops over the same rows: 42 ns an example (sgd; 35), 58 (adagrad; 68), 63 (ftrl), most of it
the chain z -> σ(z) -> w of dependent operations; 10 ns a row for scores alone (7; where all rows are in a near cache, 9 and
3). Rows are fetched ahead: without that half as much again where somebody else works on the same core. A slot of a large
table costs one cache line: 7 ns (sgd), 9 (adagrad), 12 (ftrl).
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.belief import LEARN, SCORE
from onlogit.kernels.flips import NO_FLIPS, Flips, lift
from onlogit.kernels.implicit import flipped_step, implicit_step
from onlogit.kernels.jit import inline, kernel, unsigned
from onlogit.kernels.lanes import (
    absolute,
    fma,
    lanes,
    larger,
    load,
    load_first,
    prefetch,
    prefetch_to_write,
    signed,
    splat,
    square_root,
    store,
    total,
)

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Cells = npt.NDArray[Any]  # float32 or float64 [K, coordinates]

# A rule is known by the length of a tuple, and so to the compiler: a number would be a branch in every loop (measured: ten
# times slower), and a function passed in would keep Numba from caching the kernel on disk.
Rule = tuple[int, ...]
SGD, AVERAGED, ADAGRAD, FTRL = ((0,) * length for length in (1, 2, 3, 4))
PLANES = {1: 1, 2: 2, 3: 2, 4: 3}  # K of each rule: w; w, u; w, n; w, √n, Z

CONSTANT, SQRT, INVERSE = 0, 1, 2
HORIZON = 10_000.0  # weight learned after which a falling rate starts to fall
REPEATS = 16.0  # a step of a heavy example is one repeat, or this part of what was learned of it so far
LANES = 8  # numbers are padded to a multiple of this, one vector of float32
LINE = 16  # numbers to a cache line
AHEAD, SLOTS_AHEAD = 16, 4  # rows that are on their way to the cache, and rows whose slots are
LEARNED, HELD = 0, 1  # places in `clock`
ROUND = 1.5 * 2.0**52  # added to a small number it leaves the nearest integer in the low bits


class Settings(NamedTuple):
    """What a walk is told."""

    rule: Rule
    rate: float
    schedule: int
    l1: float
    l2: float
    batch: int
    flips: Flips = NO_FLIPS


class State(NamedTuple):
    """All that is learned, and the mini-batch that is not full; changed in place. K planes, D padded numbers, H slots."""

    bias: F64  # [K, 1]
    dense: F32  # [K, D] plane 0: log-odds per standard deviation
    table: (
        F32  # [K, H] in Fortran order, so that a slot lies on one cache line; plane 0: log-odds per unit of its value
    )
    clock: F64  # [2] weight learned so far; weight in the mini-batch
    bias_grad: F64  # [1] sum of weight x gradient over the mini-batch, as below
    grad: F32  # [D]
    table_grad: F32  # [H]
    held: U8  # [H] 1 where table_grad is part of the mini-batch
    touched: I32  # [H] the slots with held = 1
    slots_held: I64  # [1] how many they are


def new_state(rule: Rule, numbers: int, slots: int) -> State:
    """A state that has learned nothing. Memory: 4 K + 9 bytes a slot, in pages that are used once they are touched."""
    planes, width = PLANES[len(rule)], -(-numbers // LANES) * LANES
    return State(
        np.zeros((planes, 1)), np.zeros((planes, width), np.float32), np.zeros((planes, slots), np.float32, order="F"),
        np.zeros(2), np.zeros(1), np.zeros(width, np.float32), np.zeros(slots, np.float32), np.zeros(slots, np.uint8),
        np.zeros(slots, np.int32), np.zeros(1, np.int64),
    )  # fmt: skip


@inline
def residual(z: float, y: float) -> float:
    """σ(z) - y with σ right to 1e-8 of itself, z held to ±40.

    The least number of operations that wait for each other, which is what a walk waits for: 14 ns less an example than by
    `link.sigmoid`.
    """
    x = min(max(-z, -40.0), 40.0)
    near = x * 1.4426950408889634 + ROUND
    n = near - ROUND
    r = x - n * 0.6931471805599453
    square = r * r
    low = (1.0 + r) + (0.5 + r * (1.0 / 6.0)) * square
    high = (1.0 / 24.0 + r * (1.0 / 120.0)) + (1.0 / 720.0 + r * (1.0 / 5040.0)) * square
    bits = np.float64(near).view(np.int64)
    power: float = np.int64((bits + 1023) << 52).view(np.float64)  # 2^n
    return 1.0 / (1.0 + (low + high * (square * square)) * power) - y


# From here to `_reach`: of one coordinate, or of as many as fill a vector.


@inline
def shrunk(w: Any, by: Any) -> Any:
    """sign(w) max(|w| - by, 0)."""
    return signed(larger(absolute(w) - by, splat(0.0, w)), w)


@inline
def _stepped(w: Any, g: Any, c: float, eta: Any, l1: float, l2: float) -> Any:
    """A weight after a step of sgd."""
    if l1 == 0.0 and l2 == 0.0:  # the same bits, with fewer operations that wait for each other: 2 of 32 ns
        return w - eta * c * g
    return shrunk(w - eta * c * g, eta * c * l1) / (splat(1.0, w) + eta * c * l2)


@inline
def _move(
    rule: Rule, cells: Cells, at: int, plane: int, g: Any, c: float, eta: float, l1: float, l2: float, t: float
) -> None:
    """One step of the rule along g; all scalars have the precision of `cells`, in which plane 0 of the coordinates is at
    `at`, and the next plane that many numbers behind it."""
    w = load(cells, at, g)
    if len(rule) == 1:
        store(cells, at, _stepped(w, g, c, eta, l1, l2))
    elif len(rule) == 2:
        now = _stepped(w, g, c, eta, l1, l2)
        store(cells, at, now)
        store(cells, at + plane, load(cells, at + plane, g) + t * (now - w))
    elif len(rule) == 3:
        n = load(cells, at + plane, g) + c * g * g
        store(cells, at + plane, n)
        store(cells, at, _stepped(w, g, c, eta / square_root(splat(1.0, n) + n), l1, l2))
    else:
        s = load(cells, at + plane, g)
        root = square_root(s * s + c * g * g)
        pull = load(cells, at + 2 * plane, g) + c * g - w * (root - s) / eta
        store(cells, at + plane, root)
        store(cells, at + 2 * plane, pull)
        store(cells, at, -shrunk(pull, l1) * eta / (splat(1.0, root) + root + l2 * eta))


@inline
def _reach(rule: Rule, cells: Cells, at: int, plane: int, like: Any) -> Any:
    """The rate of coordinates over η, before their next step."""
    one = splat(1.0, like)
    if len(rule) == 3:
        return one / square_root(one + load(cells, at + plane, like))
    return one / (one + load(cells, at + plane, like)) if len(rule) == 4 else one


@inline
def single(x: float) -> float:
    """x in single precision."""
    return np.float32(x)  # type: ignore[return-value,unused-ignore]


@inline
def _vector() -> Any:
    return lanes(np.float32(0), LANES)


@inline
def _read(dense: F32, i: int, x: F32) -> None:
    """x = row i of the tile, and zeros behind it. By whole vectors: a vector that was stored in pieces is slow to load."""
    d = dense.shape[1]
    for j in range(0, x.size, LANES):
        store(x, j, load_first(dense, i * d + j, d - j, _vector()))


@inline
def _dot(a: F32, x: F32) -> float:
    products = _vector()
    for j in range(0, x.size, LANES):
        products = fma(load(a, j, products), load(x, j, products), products)
    return total(products)  # type: ignore[no-any-return,unused-ignore]


@inline
def _rate(settings: Settings, t: float) -> float:
    if settings.schedule == CONSTANT:
        return settings.rate
    late = 1.0 + t / HORIZON
    return settings.rate / late if settings.schedule == INVERSE else settings.rate / math.sqrt(late)


@inline
def _product(plane: int, x: F32, slots: I32, values: F32, low: int, high: int, state: State) -> float:
    """One plane of the state times a row: of plane 0, the log-odds."""
    z: float = state.bias[plane, 0] + _dot(state.dense[plane], x)
    for j in range(low, high):
        z += state.table[plane, unsigned(slots[j])] * values[j]
    return z


@inline
def _step(
    x: F32, slots: I32, values: F32, low: int, high: int, g: float, c: float, settings: Settings, state: State
) -> None:
    """One step on every coordinate of a row, along the gradient g x that counts c."""
    t = state.clock[LEARNED]
    eta = _rate(settings, t)
    g4, c4, eta4, t4 = single(g), single(c), single(eta), single(t)
    l1, l2 = single(settings.l1), single(settings.l2)
    _move(settings.rule, state.bias, 0, 1, g, c, eta, 0.0, 0.0, t)
    for j in range(0, x.size, LANES):
        _move(settings.rule, state.dense, j, x.size, g4 * load(x, j, _vector()), c4, eta4, l1, l2, t4)
    planes = state.table.shape[0]
    for j in range(low, high):
        at = np.int64(slots[j]) * planes
        _move(settings.rule, state.table, at, 1, g4 * values[j], c4, eta4, l1, l2, t4)
    state.clock[LEARNED] = t + c


@inline
def _label(z: float, y: float, flips: Flips) -> float:
    """What a step takes the outcome for: the label, or where it may be flipped the chance that the true outcome is 1."""
    if len(flips) == 2:
        return y
    return residual(z + lift(y, flips), 0.0)


@inline
def _whole_step(z: float, s: float, y: float, c: float, flips: Flips) -> float:
    if len(flips) == 2:
        return implicit_step(z, s, y, c)
    return flipped_step(z, s, y, c, flips)


@inline
def _implicit(
    x: F32, slots: I32, values: F32, low: int, high: int, z: float, y: float, c: float, settings: Settings, state: State
) -> float:
    """σ - y where one step that counts c > 1 ends."""
    sums, planes = _vector(), state.table.shape[0]
    for j in range(0, x.size, LANES):
        some = load(x, j, sums)
        sums = sums + _reach(settings.rule, state.dense, j, x.size, sums) * some * some
    s = _reach(settings.rule, state.bias, 0, 1, 0.0) + total(sums)
    for j in range(low, high):
        at = np.int64(slots[j]) * planes
        s += _reach(settings.rule, state.table, at, 1, single(0.0)) * values[j] * values[j]
    s *= _rate(settings, state.clock[LEARNED])
    return -_whole_step(z, s, y, c, settings.flips) / c


@inline
def _part(h: float, left: float, batch: int, held: float) -> float:
    """How much of an example's weight the next step takes."""
    if batch > 1:
        return min(left, batch - held)
    return min(left, max(1.0, (h - left) / REPEATS))


@inline
def _hold(x: F32, slots: I32, values: F32, low: int, high: int, g: float, state: State) -> None:
    """Add g x to the gradient of the mini-batch, and note the slots that it touches."""
    g4 = single(g)
    state.bias_grad[0] += g
    for j in range(0, x.size, LANES):
        store(state.grad, j, load(state.grad, j, _vector()) + g4 * load(x, j, _vector()))
    for j in range(low, high):
        slot = slots[j]
        state.table_grad[slot] += g4 * values[j]
        if state.held[slot] == 0:
            state.held[slot] = 1
            state.touched[state.slots_held[0]] = slot
            state.slots_held[0] += 1


@inline
def _step_batch(settings: Settings, state: State) -> None:
    """One step along the mean gradient of the mini-batch, which is empty after it."""
    t = state.clock[LEARNED]
    eta = _rate(settings, t)
    one, mean, eta4, t4 = single(1.0), single(1.0 / settings.batch), single(eta), single(t)
    l1, l2 = single(settings.l1), single(settings.l2)
    _move(settings.rule, state.bias, 0, 1, state.bias_grad[0] / settings.batch, 1.0, eta, 0.0, 0.0, t)
    state.bias_grad[0] = 0.0
    width, planes = state.grad.size, state.table.shape[0]
    for j in range(0, width, LANES):
        _move(settings.rule, state.dense, j, width, load(state.grad, j, _vector()) * mean, one, eta4, l1, l2, t4)
        store(state.grad, j, _vector())
    for k in range(state.slots_held[0]):
        slot = state.touched[k]
        at = np.int64(slot) * planes
        _move(settings.rule, state.table, at, 1, state.table_grad[slot] * mean, one, eta4, l1, l2, t4)
        state.table_grad[slot] = 0
        state.held[slot] = 0
    state.slots_held[0] = 0
    state.clock[HELD] = 0.0
    state.clock[LEARNED] = t + settings.batch


@inline
def _fetch(i: int, far: int, dense: F32, starts: I64, slots: I32, state: State) -> None:
    """Have the slots of row i and the numbers of row `far` brought to the cache."""
    d, planes = dense.shape[1], state.table.shape[0]
    for j in range(far * d, far * d + d, LINE):
        prefetch(dense, j)
    for j in range(unsigned(starts[i]), unsigned(starts[i + 1])):
        prefetch_to_write(state.table, np.int64(slots[j]) * planes)


@kernel
def score(dense: F32, starts: I64, slots: I32, values: F32, settings: Settings, state: State, z_out: F64) -> None:
    """The log-odds of all rows, as `walk` states them; arrays as there, the state stays as it is."""
    last = z_out.size - 1
    x, t = np.zeros(state.dense.shape[1], np.float32), state.clock[LEARNED]
    for i in range(z_out.size):
        _fetch(min(i + SLOTS_AHEAD, last), min(i + AHEAD, last), dense, starts, slots, state)
        _read(dense, i, x)
        low, high = unsigned(starts[i]), unsigned(starts[i + 1])
        z = _product(0, x, slots, values, low, high, state)
        if len(settings.rule) == 2 and t > 0.0:
            z -= _product(1, x, slots, values, low, high, state) / t
        z_out[i] = z


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    dense: F32,  # [n, d]
    starts: I64,  # [n + 1]
    slots: I32,
    values: F32,
    y: F64,  # [n] 0 or 1; read where a row is learned
    weight: F64,  # [n] at or below 0: not learned
    settings: Settings,
    state: State,  # changed
    z_out: F64,  # [n] log-odds; written where a row is scored
) -> None:
    """Walk the tape in order: state z where a row is scored, step where it is learned."""
    x, last = np.zeros(state.dense.shape[1], np.float32), row.size - 1
    for k in range(row.size):
        i = row[k]
        low, high = unsigned(starts[i]), unsigned(starts[i + 1])
        _fetch(row[min(k + SLOTS_AHEAD, last)], row[min(k + AHEAD, last)], dense, starts, slots, state)
        _read(dense, i, x)
        h = weight[i] if act[k] & LEARN else 0.0
        left = h
        score = (act[k] & SCORE) != 0
        while (
            score or left > 0.0
        ):  # (each inlined function has one place here: Numba would compile it again for another)
            z = _product(0, x, slots, values, low, high, state)
            if score:
                z_out[i] = z
                if len(settings.rule) == 2 and state.clock[LEARNED] > 0.0:
                    z_out[i] = z - _product(1, x, slots, values, low, high, state) / state.clock[LEARNED]
                score = False
            if not left > 0.0:
                continue
            c = _part(h, left, settings.batch, state.clock[HELD])
            left -= c
            g = residual(z, _label(z, y[i], settings.flips))
            if settings.batch > 1:
                _hold(x, slots, values, low, high, c * g, state)
                full = c == settings.batch - state.clock[HELD]
                state.clock[HELD] += c
                if full:
                    _step_batch(settings, state)
            else:
                if c > 1.0:
                    g = _implicit(x, slots, values, low, high, z, y[i], c, settings, state)
                _step(x, slots, values, low, high, g, c, settings, state)
