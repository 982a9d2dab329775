"""Plain stochastic gradient descent behind the learner's protocol. Fast, and with a rate to choose.

Weights are float32. It has no belief, so z_sd is NaN, and a remembered row needs no memo. Memory: 13 bytes a slot.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.config import SgdConfig
from onlogit.encoding import Rows
from onlogit.errors import StateError
from onlogit.kernels import sgd
from onlogit.learners.protocol import SCORE, Coefficients, Scores, Tape

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

SCHEDULES = {"constant": sgd.CONSTANT, "sqrt": sgd.SQRT, "inverse": sgd.INVERSE}


class Weights(NamedTuple):
    """Weights, and the gradient that a partial mini-batch holds. d numbers, H slots."""

    bias: F64  # [2] weight, held gradient
    w: F32  # [d] log-odds per standard deviation
    grad: F32  # [d] held gradient
    table: F32  # [H] log-odds per unit of a slot's value
    table_grad: F32  # [H] held gradient
    held: npt.NDArray[np.uint8]  # [H] 1 where table_grad is part of the mini-batch
    touched: npt.NDArray[np.int32]  # [H] the slots with held = 1, as far as counts[2] goes
    counts: npt.NDArray[np.int64]  # [3] steps made, examples held, slots held


class SgdLearner:
    """w <- w + η (y - p) x, one example or one mini-batch at a time."""

    memo_width = 0

    def __init__(self, config: SgdConfig, numbers: int, slot_bits: int) -> None:
        self.config = config
        slots = 1 << slot_bits
        self.weights = Weights(
            np.zeros(2), np.zeros(numbers, np.float32), np.zeros(numbers, np.float32), np.zeros(slots, np.float32),
            np.zeros(slots, np.float32), np.zeros(slots, np.uint8), np.zeros(slots, np.int32), np.zeros(3, np.int64),
        )  # fmt: skip

    def learn(self, rows: Rows, tape: Tape, y: F64, weight: F64, memo: F32) -> Scores:
        """Walk the tape; see `Learner.learn`."""
        c, w = self.config, self.weights
        scores = Scores(np.full(len(y), np.nan), np.full(len(y), np.nan))
        sgd.walk(
            tape.row, tape.act, rows.dense, rows.starts, rows.slots, rows.values, y, weight,
            c.rate, SCHEDULES[c.schedule], c.l2, c.batch,
            w.bias, w.w, w.grad, w.table, w.table_grad, w.held, w.touched, w.counts, scores.z,
        )  # fmt: skip
        return scores

    def score(self, rows: Rows) -> Scores:
        """Score every row; a tape without labels changes nothing."""
        n = len(rows.dense)
        return self.learn(rows, Tape.of(n, SCORE), np.zeros(n), np.ones(n), np.empty((n, 0), np.float32))

    def coefficients(self) -> Coefficients:
        """The weights as they are; a slot whose weight is exactly 0 is not listed."""
        seen = np.flatnonzero(self.weights.table)
        return Coefficients(
            float(self.weights.bias[0]), self.weights.w.astype(np.float64), np.full(len(self.weights.w), np.nan),
            seen, self.weights.table[seen].astype(np.float64), np.full(len(seen), np.nan),
        )  # fmt: skip

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Only slots with a weight or a held gradient are listed."""
        w = self.weights
        seen = np.flatnonzero((w.table != 0) | (w.held != 0))
        return {
            "bias": w.bias.copy(), "w": w.w.copy(), "grad": w.grad.copy(), "counts": w.counts.copy(), "slots": seen,
            "table": w.table[seen], "table_grad": w.table_grad[seen], "touched": w.touched[: w.counts[sgd.TOUCHED]].copy(),
        }  # fmt: skip

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Become the learner whose `state` this is; a StateError where an array is missing or of another shape."""
        w = self.weights
        for name in ("bias", "w", "grad", "counts"):
            own: npt.NDArray[np.generic] = getattr(w, name)
            if name not in state or state[name].shape != own.shape or state[name].dtype != own.dtype:
                raise StateError(f"the learner's array {name!r} is missing, or not {own.dtype} of shape {own.shape}")
            own[:] = state[name]
        seen, touched = state["slots"].astype(np.int64), state["touched"].astype(np.int64)
        if len(touched) != w.counts[sgd.TOUCHED] or any(
            len(s) and not (int(s.min()) >= 0 and int(s.max()) < len(w.table)) for s in (seen, touched)
        ):
            raise StateError("the learner's arrays 'slots' and 'touched' name slots outside its table")
        for table in (w.table, w.table_grad, w.held):
            table[:] = 0
        w.table[seen], w.table_grad[seen] = state["table"], state["table_grad"]
        w.held[touched] = 1
        w.touched[: len(touched)] = touched
