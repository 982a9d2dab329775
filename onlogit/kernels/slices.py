"""Evidence for each slice of a stream: one small e-detector for every value of a column, on one shared clock.

Eight arms a slice: levels ℓ ± {.3, .6, 1.2}, and slopes .6 and 1.6 about the slice's own mean of ℓ (weighted by p(1-p),
settled anew at its 16th event and at each doubling). Per event of slice s, with L_k and p0 as in kernels/evidence.py:

    R_k <- (R_k + g (t - t_s)) L_k            t - t_s: what the shared clock went on since the slice's last event
    M_s  = Σ w_k R_k                          g = min(1, 20 p(1-p)), 0 where the tolerance covers the arm

Promise. Every slice starts at most as much as the shared clock goes on, so under the null M_s - t is a supermartingale
for each of the K slices seen so far, and so is their mean less t: a slice that appears later only lowers it, because K
never falls and is known before y. Slices are told apart by e-Benjamini-Hochberg: i of them alarm at once where each has
M_s >= K patience / i. Their mean is then at least the patience, so P(any slice alarms within T) <= T / patience whatever
the number of slices and however they depend on one another, and the expected share of false ones among those that alarm
is at most (expected time of the alarm) / patience (Shin, Ramdas, Rinaldo 2023; Wang, Ramdas 2022).

Here the rule is checked at levels of patience x 2^b only, at the cost of a comparison an event; the caller then applies
it exactly. Cost: about 55 ns an event; 1.3 kB a slice.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.arms import REACH, TERMS
from onlogit.kernels.evidence import START
from onlogit.kernels.jit import inline, kernel, reduction
from onlogit.kernels.link import exponential

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

LEVELS = (-1.2, -0.6, -0.3, 0.3, 0.6, 1.2)
SLOPES = (0.6, 1.6)
ARMS = len(LEVELS) + len(SLOPES)
FIRST_SETTLE = 16
CLASSES = 48  # of M by powers of two of patience
EVIDENCE, AT, ALARMED, PEAK = range(4)


class Slices(NamedTuple):
    """The detectors of one column's values; every field is changed in place. S: how many slices there may be."""

    sums: F64  # [S, ARMS] R_k
    runs: F64  # [S, ARMS] likelihood ratio since the arm's onset, C_k <- max(C_k, 1) L_k
    onset_event: I64  # [S, ARMS]
    onset_time: I64  # [S, ARMS] microseconds
    before: F64  # [S, ARMS, TERMS] totals as they stood just before the onset
    totals: F64  # [S, TERMS] n, Σy, Σp, Σv, Σ(y-p)ℓ, Σvℓ, Σvℓ² with v = p(1-p)
    slopes: F64  # [S, 2] e^((1-b) c) of the slope arms about the slice's pivot c
    level: F64  # [S, 4] M_s; shared clock at its last event; at its last alarm, or -1; highest M_s
    grade: I64  # [S] 0 below the patience, else 1 + log2(M_s / patience) rounded down
    grades: I64  # [CLASSES] how many slices are in each
    clock: F64  # [1] shared clock
    seen: I64  # [1] slices so far


def new_slices(most: int) -> Slices:
    """Detectors for at most so many slices, which have seen nothing."""
    level = np.zeros((most, 4))
    level[:, ALARMED] = -1.0
    return Slices(
        np.zeros((most, ARMS)),
        np.zeros((most, ARMS)),
        np.zeros((most, ARMS), np.int64),
        np.zeros((most, ARMS), np.int64),
        np.zeros((most, ARMS, TERMS)),
        np.zeros((most, TERMS)),
        np.ones((most, 2)),
        level,
        np.zeros(most, np.int64),
        np.zeros(CLASSES, np.int64),
        np.zeros(1),
        np.zeros(1, np.int64),
    )


def arm_weights(tolerance: float) -> F64:
    """w_k [ARMS]: equal over the arms that the tolerance does not cover."""
    telling = np.array([*(abs(level) > tolerance for level in LEVELS), *(True for _ in SLOPES)])
    weights: F64 = telling / telling.sum()
    return weights


def arm_factors(tolerance: float) -> F64:
    """What a level multiplies the odds of what did not happen by, [2, 8]: six levels, then e^-τ and e^τ; row 1: y = 1."""
    shifts = np.array(LEVELS)
    ends = np.array([-tolerance, tolerance])
    factors: F64 = np.exp(np.stack([np.concatenate([shifts, ends]), np.concatenate([-shifts, ends])]))
    return factors


@inline
def restart(state: Slices, s: int) -> None:
    """Begin slice s anew from no evidence."""
    state.sums[s] = 0.0
    state.runs[s] = 0.0
    state.level[s, EVIDENCE] = 0.0
    state.grades[state.grade[s]] -= 1
    state.grade[s] = 0
    state.grades[0] += 1


@inline
def _settle(state: Slices, s: int, n: int) -> None:
    """At 16, 32, 64, .. events put the pivot where the slice's scores are."""
    if n >= FIRST_SETTLE and n & (n - 1) == 0 and state.totals[s, 3] > 0.0:
        pivot = min(max(state.totals[s, 5] / state.totals[s, 3], -16.0), 16.0)
        for i in range(2):
            state.slopes[s, i] = exponential((1.0 - SLOPES[i]) * pivot)


@inline
def _weigh(
    factors: F64, slopes: F64, happened: int, u: float, bent: float, slack: float, odds: F64, ratio: F64
) -> None:
    """L of each arm, from the odds u of what did not happen and bent = u^.6. slack: e^τ of this row, 0 for that of all."""
    for k in range(6):
        odds[k] = u * factors[happened, k]
    first, second = slopes[0], slopes[1]
    odds[6] = bent / first if happened == 1 else bent * first
    odds[7] = u * bent / second if happened == 1 else u * bent * second
    low, high = u * factors[happened, 6], u * factors[happened, 7]
    if slack > 0.0:
        low, high = u / slack, u * slack
    for k in range(ratio.size):
        ratio[k] = (1.0 + min(max(odds[k], low), high)) / (1.0 + odds[k])


@reduction
def _update_sums(sums: F64, weights: F64, ratio: F64, start: float) -> float:
    """R_k <- (R_k + s_k) L_k ; gives Σ w_k R_k. Where the tolerance covers q, s_k = 0."""
    total = 0.0
    for k in range(sums.size):
        new = (sums[k] + (start if ratio[k] != 1.0 else 0.0)) * ratio[k]
        sums[k] = new
        total += weights[k] * new
    return total


@inline
def _update_runs(runs: F64, ratio: F64, opened: I64, r: int) -> None:
    """C_k <- max(C_k, 1) L_k; the arms that leave their floor note the row."""
    for k in range(ratio.size):
        opened[k] = r if (runs[k] <= 1.0) & (ratio[k] > 1.0) else opened[k]
        runs[k] = max(runs[k], 1.0) * ratio[k]


@inline
def _grade_of(m: float, patience: float) -> int:
    grade = 0
    while m >= patience and grade < CLASSES - 1:
        m *= 0.5
        grade += 1
    return grade


@inline
def _due(state: Slices) -> bool:
    """Whether for some b as many slices as it takes have M >= patience 2^b."""
    count = 0
    for i in range(CLASSES - 1):
        grade = CLASSES - 1 - i
        count += state.grades[grade]
        if count > 0 and count * 2.0 ** (grade - 1) >= state.seen[0]:
            return True
    return False


@kernel
def gather_slices(
    state: Slices,
    weights: F64,
    factors: F64,
    patience: float,
    code: I32,
    event: I64,
    time: I64,
    z: F64,
    y: I8,
    weight: F64,
    elapsed: F64,
    slack: F64,
    row: int,
) -> int:
    """Fold rows `row`.. into the state; the row after which slices alarm (the caller says which), or -1.

    code: int32[n], the row's slice; elapsed: float64[n], the shared clock, or [0]: it counts the rows that are judged. The
    other columns, and slack, are as in `gather_evidence`. A slice that alarmed less than `patience` ago and passes it
    again restarts in silence.
    """
    odds, ratio, opened = np.empty(ARMS), np.empty(ARMS), np.empty(ARMS, np.int64)
    for i in range(row, z.size):
        if y[i] < 0 or not weight[i] > 0.0:
            continue
        happened = 1 if y[i] == 1 else 0
        l = min(max(z[i], -REACH), REACH)
        t = -l if happened == 1 else l
        u = exponential(t)
        s = code[i]
        if state.seen[0] == 0 and elapsed.size > 0:
            state.clock[0] = elapsed[i]
        if s >= state.seen[0]:
            state.grades[0] += s + 1 - state.seen[0]
            for new in range(state.seen[0], s + 1):
                state.level[new, AT] = state.clock[0]
            state.seen[0] = s + 1
        state.clock[0] = max(elapsed[i], state.clock[0]) if elapsed.size > 0 else state.clock[0] + 1.0
        q = 1.0 / (1.0 + u)
        v = u * q * q
        start = min(1.0, START * v) * (state.clock[0] - state.level[s, AT])
        state.level[s, AT] = state.clock[0]
        own = slack[i] if slack.size > 0 else 0.0
        _weigh(factors, state.slopes[s], happened, u, exponential(0.6 * t), own, odds, ratio)
        m = _update_sums(state.sums[s], weights, ratio, start)
        opened[:] = -1
        _update_runs(state.runs[s], ratio, opened, s)
        for k in range(ARMS):
            if opened[k] >= 0:
                state.onset_event[s, k], state.onset_time[s, k] = event[i], time[i]
                state.before[s, k] = state.totals[s]
        totals = state.totals[s]
        totals[0] += 1.0
        totals[1] += happened
        totals[2] += q if happened == 1 else u * q
        totals[3] += v
        totals[4] += u * q * -t
        totals[5] += v * l
        totals[6] += v * l * l
        _settle(state, s, int(totals[0]))
        state.level[s, EVIDENCE] = m
        state.level[s, PEAK] = max(state.level[s, PEAK], m)
        grade = _grade_of(m, patience)
        if grade != state.grade[s]:
            rises = grade > state.grade[s]
            state.grades[state.grade[s]] -= 1
            state.grades[grade] += 1
            state.grade[s] = grade
            if rises and state.level[s, ALARMED] >= 0.0 and state.clock[0] - state.level[s, ALARMED] < patience:
                restart(state, s)
            elif rises and _due(state):
                return i
    return -1
