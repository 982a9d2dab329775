"""Stochastic gradient descent, one example or a mini-batch at a time, counted in examples and never in record batches.

A step of one example is w <- w + η h (y - p) x. With weight h > 1 the step is implicit: δ solves δ = η h (y - σ(z + |x|² δ)),
so that h repeats and weight h end alike (Karampatziakis & Langford 2011). A mini-batch of B sums h (y - p) x over B learned
examples, then steps once by η/B times that sum. A partial mini-batch is part of the state. L2 shrinks what a step touches,
never the bias: w <- (1 - η l2) w.

About d + s multiply-adds to score and as many to learn; nothing is allocated per row.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.belief import LEARN, SCORE, dot, implicit_step
from onlogit.kernels.jit import inline, kernel
from onlogit.kernels.link import sigmoid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

CONSTANT, SQRT, INVERSE = 0, 1, 2
HORIZON = 10_000.0  # steps after which a decaying rate starts to fall

# places in `bias`
WEIGHT, GRADIENT = 0, 1
# places in `count`
STEPS, HELD, TOUCHED = 0, 1, 2


@inline
def _rate(rate: float, schedule: int, steps: int) -> float:
    if schedule == CONSTANT:
        return rate
    late = 1.0 + steps / HORIZON
    return rate / late if schedule == INVERSE else rate / math.sqrt(late)


@inline
def _log_odds(x: F32, slots: I32, values: F32, low: int, high: int, bias: F64, w: F32, table: F32) -> float:
    z: float = bias[WEIGHT] + dot(w, x)
    for j in range(low, high):
        z += table[slots[j]] * values[j]
    return z


@inline
def _step_one(
    x: F32, slots: I32, values: F32, low: int, high: int, delta: float, shrink: float, bias: F64, w: F32, table: F32
) -> None:
    """w <- (1 - shrink) w + δ x."""
    keep = np.float32(1.0 - shrink)
    step = np.float32(delta)
    bias[WEIGHT] += delta
    for j in range(w.size):
        w[j] = keep * w[j] + step * x[j]
    for j in range(low, high):
        table[slots[j]] = keep * table[slots[j]] + step * values[j]


@inline
def _hold(
    x: F32, slots: I32, values: F32, low: int, high: int, g: float,
    bias: F64, grad: F32, table_grad: F32, held: U8, list_: I32, count: I64,
) -> None:  # fmt: skip
    """Add g x to the mini-batch's gradient, and note the slots that it touches."""
    gain = np.float32(g)
    bias[GRADIENT] += g
    for j in range(grad.size):
        grad[j] += gain * x[j]
    for j in range(low, high):
        slot = slots[j]
        table_grad[slot] += gain * values[j]
        if held[slot] == 0:
            held[slot] = 1
            list_[count[TOUCHED]] = slot
            count[TOUCHED] += 1
    count[HELD] += 1


@inline
def _step_batch(
    eta: float, batch: int, l2: float, bias: F64, w: F32, grad: F32, table: F32, table_grad: F32,
    held: U8, list_: I32, count: I64,
) -> None:  # fmt: skip
    """One step along the mean gradient of the mini-batch; the mini-batch is empty after it."""
    keep = np.float32(1.0 - eta * l2)
    step = np.float32(eta / batch)
    bias[WEIGHT] += eta / batch * bias[GRADIENT]
    bias[GRADIENT] = 0.0
    for j in range(w.size):
        w[j] = keep * w[j] + step * grad[j]
        grad[j] = 0
    for j in range(count[TOUCHED]):
        slot = list_[j]
        table[slot] = keep * table[slot] + step * table_grad[slot]
        table_grad[slot] = 0
        held[slot] = 0
    count[TOUCHED] = 0
    count[HELD] = 0
    count[STEPS] += 1


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    dense: F32,  # [n, d]
    starts: I64,  # [n + 1]
    slots: I32,
    values: F32,
    y: F64,  # [n]
    weight: F64,  # [n] at or below 0: not learned
    rate: float,
    schedule: int,
    l2: float,
    batch: int,
    bias: F64,  # [2] weight and held gradient; changed, as all below
    w: F32,  # [d]
    grad: F32,  # [d] held gradient
    table: F32,  # [H]
    table_grad: F32,  # [H] held gradient
    held: U8,  # [H] 1 where a held gradient is
    list_: I32,  # [H] the slots with a held gradient
    count: I64,  # [3] steps made, examples held, slots held
    z_out: F64,  # [n] log-odds; written where a row is scored
) -> None:
    """Walk the tape in order: state z where a row is scored, step where it is learned."""
    for t in range(row.size):
        i = row[t]
        low = starts[i]
        high = starts[i + 1]
        x = dense[i]
        z = _log_odds(x, slots, values, low, high, bias, w, table)
        if act[t] & SCORE:
            z_out[i] = z
        h = weight[i]
        if (act[t] & LEARN) == 0 or not h > 0.0:
            continue
        eta = _rate(rate, schedule, count[STEPS])
        if batch > 1:
            _hold(x, slots, values, low, high, h * (y[i] - sigmoid(z)), bias, grad, table_grad, held, list_, count)
            if count[HELD] == batch:
                _step_batch(eta, batch, l2, bias, w, grad, table, table_grad, held, list_, count)
            continue
        if h > 1.0:
            square = 1.0 + dot(x, x)
            for j in range(low, high):
                square += values[j] * values[j]
            delta = implicit_step(z, square, y[i], eta * h)
        else:
            delta = eta * h * (y[i] - sigmoid(z))
        _step_one(x, slots, values, low, high, delta, eta * h * l2, bias, w, table)
        count[STEPS] += 1
