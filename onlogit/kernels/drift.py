"""Evidence that features are no longer distributed as in a reference window: one e-detector a column, over bins.

For each column the true shares of its bins at the reference are known to lie in [low_j, high_j], Σ = 1. With q the shares
of late, p is the admissible distribution nearest to q (least KL(q, p)): p_j = q_j / λ held to [low_j, high_j], with λ such
that Σ p_j = 1. Then q_j / p_j has an expectation of at most 1 under every admissible distribution (the reverse information
projection: Grünwald, de Heide, Koolen 2024; Lardy, Grünwald, Harremoës 2024), and

    R <- (R + s) q_j / p_j            a warning when R >= patience

so R - t is a supermartingale. An event starts evidence by what q can tell: s = min(1, 50 KL(q, p)), times the time since
the last event where patience is a time. (With s = 1 and q admissible, R would count its way to a warning.) A fixed
q_j / (upper bound of the reference share) would do as well, and sees only far larger changes: its bounds add up to more
than 1, and every event pays for that.

q is 9 parts of the decayed histogram (half-life 1,000 events) and 1 part of the reference. It and p are settled every 128
events, from past events only. Cost: 4 ns an event and column, with its bin given; 1.5 kB a column.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, kernel

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

BINS = 32  # room for those of monitor/bins.py
EVERY = 128
KEPT = 2.0 ** (-EVERY / 1000.0)
START = 50.0
PRIOR = 200.0  # events of the reference that the histogram begins with
MIX = 0.1
EVIDENCE, PEAK = range(2)
NEVER = -1e300  # a clock may stand below 0: time is counted from 1970


class Drift(NamedTuple):
    """Detectors of C columns; every field is changed in place."""

    level: F64  # [C, 2] R and its highest value
    ratio: F64  # [C, BINS] q / p, as settled
    telling: F64  # [C] min(1, START KL(q, p)), likewise
    late: F64  # [C, BINS] decayed counts
    shares: F64  # [C, BINS] of the reference, above 0 for every bin that there is
    low: F64  # [C, BINS] bounds of the true shares at the reference
    high: F64  # [C, BINS]
    warned: F64  # [C] clock at the last warning; NEVER before the first
    due: I64  # [C] 1 where a warning is due
    clock: F64  # [3] events; shared clock; Σ of squared weights in `late`


def new_drift(columns: int) -> Drift:
    """Detectors without a reference: `begin` gives them one."""
    return Drift(
        np.zeros((columns, 2)),
        np.ones((columns, BINS)),
        np.zeros(columns),
        np.zeros((columns, BINS)),
        np.zeros((columns, BINS)),
        np.zeros((columns, BINS)),
        np.ones((columns, BINS)),
        np.full(columns, NEVER),
        np.zeros(columns, np.int64),
        np.zeros(3),
    )


def begin(state: Drift, counted: F64, shares: F64, low: F64, high: F64) -> None:
    """Set the reference: [C, BINS] each; shares as counted, and as mixed into q; Σ low <= 1 <= Σ high in every row."""
    state.shares[...], state.low[...], state.high[...] = shares, low, high
    state.late[...] = PRIOR * counted
    state.clock[2] = PRIOR


@inline
def _settle(state: Drift, c: int) -> None:
    """q from the past, p its projection: λ by bisection, on a scale where each step halves the error."""
    total = 0.0
    for j in range(BINS):
        total += state.late[c, j]
    q = state.ratio[c]
    for j in range(BINS):
        q[j] = (1.0 - MIX) * state.late[c, j] / total + MIX * state.shares[c, j]
    bottom, top = 0.0, 1.0  # of 1/λ; no admissible p needs more than high_j / q_j, so widen until it is enough
    for _ in range(60):
        mass = 0.0
        for j in range(BINS):
            mass += min(max(q[j] * top, state.low[c, j]), state.high[c, j])
        if mass >= 1.0:
            break
        top *= 2.0
    for _ in range(50):
        middle = 0.5 * (bottom + top)
        mass = 0.0
        for j in range(BINS):
            mass += min(max(q[j] * middle, state.low[c, j]), state.high[c, j])
        if mass < 1.0:
            bottom = middle
        else:
            top = middle
    told = 0.0
    for j in range(BINS):
        p = min(max(q[j] * top, state.low[c, j]), state.high[c, j])
        ratio = q[j] / p if p > 0.0 else 1.0
        told += q[j] * math.log(ratio) if q[j] > 0.0 else 0.0
        q[j] = ratio
    state.telling[c] = min(1.0, START * max(told, 0.0))


@kernel
def gather_drift(state: Drift, patience: float, code: I32, weight: F64, elapsed: F64, row: int) -> int:
    """Fold rows `row`.. into the state; the row at which warnings are `due`, or -1.

    code: int32[C, n], each below BINS; weight: float64[n], rows of weight 0 are passed over; elapsed: float64[n], or [0]
    where patience is in events. A column that warned less than `patience` ago restarts in silence.
    """
    for i in range(row, weight.size):
        if not weight[i] > 0.0:
            continue
        if state.clock[0] % EVERY == 0.0:
            for c in range(code.shape[0]):
                for j in range(BINS):
                    state.late[c, j] = state.late[c, j] * KEPT if state.late[c, j] > 1e-30 else 0.0
                _settle(state, c)
            state.clock[2] *= KEPT * KEPT
        start = 1.0
        if elapsed.size > 0:
            start = max(elapsed[i] - state.clock[1], 0.0) if state.clock[0] > 0.0 else 0.0
            state.clock[1] = max(elapsed[i], state.clock[1]) if state.clock[0] > 0.0 else elapsed[i]
        else:
            state.clock[1] += 1.0
        state.clock[0] += 1.0
        state.clock[2] += 1.0
        any_due = False
        for c in range(code.shape[0]):
            j = code[c, i]
            r = (state.level[c, EVIDENCE] + start * state.telling[c]) * state.ratio[c, j]
            state.late[c, j] += 1.0
            state.level[c, PEAK] = max(state.level[c, PEAK], r)
            if r >= patience:
                if state.clock[1] - state.warned[c] >= patience:
                    state.due[c] = 1
                    state.warned[c] = state.clock[1]
                    any_due = True
                else:
                    r = 0.0
            state.level[c, EVIDENCE] = r
        if any_due:
            return i
    return -1


@kernel
def add_residuals(residuals: F64, code: I32, p: F64, y: npt.NDArray[np.int8], weight: F64) -> None:
    """residuals[c, j] += (y - p, p(1-p)) of the labelled rows whose column c is in bin j. residuals: float64[C, BINS, 2]."""
    for i in range(p.size):
        if y[i] >= 0 and weight[i] > 0.0:
            rest = (1.0 if y[i] == 1 else 0.0) - p[i]
            v = p[i] * (1.0 - p[i])
            for c in range(code.shape[0]):
                j = code[c, i]
                residuals[c, j, 0] += rest
                residuals[c, j, 1] += v
