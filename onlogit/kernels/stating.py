"""What the default learner states: the kernels that walk a tape, one after the other, in one call.

A call from Python costs little by itself, but each takes the interpreter's lock when it returns, and waits for whoever has it.
"""

import numpy as np
import numpy.typing as npt

from onlogit.kernels import base_rate, belief, mixture, residuals, stacking
from onlogit.kernels.belief import SCORE
from onlogit.kernels.flips import Flips
from onlogit.kernels.jit import kernel

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

U8 = npt.NDArray[np.uint8]


@kernel
def weigh(
    row: I64, act: U8, weight: F64, counts: F64, late: F64, y: F64, memo: F32,
    switching: F64, uniform: F32, fading: F32, u: F32, omega: F64,
    kept: F32, sums: F32, weights: F32, counted: F64,
    live: bool, stack_pace: float, stack_prior: F32, stack_mean: F32, stack_cov: F32, stack_scales: F32,
    rate: F64, flips: Flips, z: F64, z_sd: F64,
) -> None:  # fmt: skip
    """Mixture, residuals, stacking and base rate after the experts; the arguments are those of the walks."""
    place = 2 * fading.size
    mixture.walk(row, act, counts, late, y, memo, switching, uniform, fading, u, omega, z_sd, flips)
    residuals.walk(row, act, weight, counts, y, memo, place, kept, sums, weights, counted, flips)
    stacking.walk(
        row, act, counts, y, memo, live, stack_pace, stack_prior, stack_mean, stack_cov, stack_scales, z, flips
    )
    base_rate.walk(row, act, weight, counts, y, memo, rate, z, flips)
    mixture.widen(row, act, memo, place, z, z_sd)


@kernel
def state(
    dense: F32, starts: I64, slots: I32, values: F32,
    pace: F32, slot_prior: F32, dense_prior: F32, clock: F64, mean: F32, cov: F32, scales: F32, table: F32,
    touched: F64,
    switching: F64, uniform: F32, fading: F32, u: F32, omega: F64,
    stack_pace: float, stack_prior: F32, stack_mean: F32, stack_cov: F32, stack_scales: F32,
    kept: F32, sums: F32, weights: F32, counted: F64, rate: F64, memo_width: int, flips: Flips, z: F64, z_sd: F64,
) -> None:  # fmt: skip
    """z and z_sd, f64[n] each, of rows that nothing is learned of; the arguments are those of the walks."""
    n = dense.shape[0]
    row, act, none = np.arange(n), np.full(n, np.uint8(SCORE)), np.zeros(n)
    memo = np.empty((n, memo_width), np.float32)
    belief.walk(
        row, act, dense, starts, slots, values, none, none, pace, slot_prior, dense_prior, clock, mean, cov, scales,
        table, touched, memo, flips,
    )  # fmt: skip
    weigh(
        row, act, none, none, none, none, memo, switching, uniform, fading, u, omega, kept, sums, weights, counted,
        False, stack_pace, stack_prior, stack_mean, stack_cov, stack_scales, rate, flips, z, z_sd,
    )  # fmt: skip
