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
it exactly. Cost: about 60 ns an event; 0.9 kB a slice.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.arms import BLOCK, likelihood, read_odds, read_terms
from onlogit.kernels.drift import NEVER
from onlogit.kernels.evidence import START, grow, judged_rows, opening, run_on
from onlogit.kernels.jit import inline, kernel, part
from onlogit.kernels.lanes import lanes, load, place, splat, store, total
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
    before: F64  # [S, ARMS, ARMS] totals as they stood just before the onset
    totals: F64  # [S, ARMS] n, Σy, Σp, Σv, Σ(y-p)ℓ, Σvℓ, Σvℓ² with v = p(1-p); the last place is 0
    slopes: F64  # [S, 4] e^((1-b) c) of the slope arms about the slice's pivot c, and their inverses
    level: F64  # [S, 4] M_s; shared clock at its last event; at its last alarm, or NEVER; highest M_s
    grade: I64  # [S] 0 below the patience, else 1 + log2(M_s / patience) rounded down
    grades: I64  # [CLASSES] how many slices are in each
    clock: F64  # [1] shared clock
    seen: I64  # [1] slices so far


class Block(NamedTuple):
    """Scratch for the rows on their way through: no state."""

    l: F64  # this and the next six as in arms.py
    t: F64
    happened: I64
    u: F64
    q: F64
    low: F64
    high: F64
    bent: F64  # [BLOCK] e^.6t
    ends: F64  # [2] e^-τ, e^τ
    terms: F64  # [BLOCK x ARMS] what the row adds to the totals
    opens: F64  # [ARMS] above 0 where an arm leaves its floor


def new_block(tolerance: float) -> Block:
    """Scratch for rows under a tolerance in logits."""
    return Block(
        l=np.zeros(BLOCK), t=np.zeros(BLOCK), happened=np.zeros(BLOCK, np.int64), u=np.zeros(BLOCK), q=np.zeros(BLOCK),
        low=np.zeros(BLOCK), high=np.zeros(BLOCK), bent=np.zeros(BLOCK), ends=np.exp([-tolerance, tolerance]),
        terms=np.zeros(BLOCK * ARMS), opens=np.zeros(ARMS),
    )  # fmt: skip


def new_slices(most: int) -> Slices:
    """Detectors for at most so many slices, which have seen nothing."""
    level = np.zeros((most, 4))
    level[:, ALARMED] = NEVER
    return Slices(
        np.zeros((most, ARMS)),
        np.zeros((most, ARMS)),
        np.zeros((most, ARMS), np.int64),
        np.zeros((most, ARMS), np.int64),
        np.zeros((most, ARMS, ARMS)),
        np.zeros((most, ARMS)),
        np.ones((most, 4)),
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


def arm_factors() -> F64:
    """What a level multiplies the odds of what did not happen by, [2 x ARMS], second half y = 1; 1 for slopes."""
    shifts = np.array([*LEVELS, *(0.0 for _ in SLOPES)])
    factors: F64 = np.exp(np.concatenate([shifts, -shifts]))
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
            shift = (1.0 - SLOPES[i]) * pivot
            state.slopes[s, i], state.slopes[s, 2 + i] = exponential(shift), exponential(-shift)


@part
def _likelihood(
    u: float, bent: float, factors: F64, slopes: F64, happened: int, s: int, low: float, high: float
) -> Any:
    """L of each arm of slice s: u or bent = u^.6, times what the arm makes of it."""
    like = lanes(0.0, ARMS)
    odds = u * load(factors, happened * ARMS, like)
    odds = place(odds, len(LEVELS), bent * slopes[s, 2 * happened])
    odds = place(odds, len(LEVELS) + 1, u * bent * slopes[s, 2 * happened + 1])
    return likelihood(odds, low, high)


@part
def _recur(
    state: Slices, out: Block, weights: F64, factors: F64, patience: float, code: I32, event: I64, time: I64,
    elapsed: F64, rows: I64, r: int, n: int,
) -> int:  # fmt: skip
    """Take R, C and the totals through rows r.. of the block; where to go on.

    It stops after a row whose slice has its pivot or grade to set, and before one whose slice is new.
    """
    sums, runs, totals, before, level = state.sums, state.runs, state.totals, state.before, state.level
    onset_event, onset_time, clock, slopes = state.onset_event, state.onset_time, state.clock, state.slopes
    u, bent, low, high, happened, terms = out.u, out.bent, out.low, out.high, out.happened, out.terms
    seen, grade, opens = state.seen[0], state.grade, out.opens
    while r < n:
        i = rows[r]
        s = code[i]
        if s >= seen:
            break
        clock[0] = max(elapsed[i], clock[0]) if elapsed.size > 0 else clock[0] + 1.0
        start = min(1.0, START * terms[r * ARMS + 3]) * (clock[0] - level[s, AT])
        ratio = _likelihood(u[r], bent[r], factors, slopes, happened[r], s, low[r], high[r])
        grown = grow(load(sums, s * ARMS, ratio), ratio, start)
        store(sums, s * ARMS, grown)
        m = total(grown * load(weights, 0, ratio))
        level[s, AT], level[s, EVIDENCE], level[s, PEAK] = clock[0], m, max(level[s, PEAK], m)
        so_far, ran = load(totals, s * ARMS, ratio), load(runs, s * ARMS, ratio)
        store(runs, s * ARMS, run_on(ran, ratio))
        store(opens, 0, opening(ran, ratio, splat(0.0, ratio), 1))
        for k in range(ARMS):
            if opens[k] > 0.0:
                onset_event[s, k], onset_time[s, k] = event[i], time[i]
                store(before, (s * ARMS + k) * ARMS, so_far)
        store(totals, s * ARMS, so_far + load(terms, r * ARMS, ratio))
        r += 1
        count = int(totals[s, 0])
        if m >= patience or grade[s] > 0 or (count & (count - 1) == 0 and count >= FIRST_SETTLE):
            break
    return r


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


@inline
def _open(state: Slices, s: int) -> None:
    """Slices up to s are seen from now on."""
    state.grades[0] += s + 1 - state.seen[0]
    for new in range(state.seen[0], s + 1):
        state.level[new, AT] = state.clock[0]
    state.seen[0] = s + 1


@part
def _alarms(state: Slices, s: int, patience: float) -> bool:
    """Note the power of two of patience that M has come to; whether slices alarm. One that did lately restarts."""
    grade, before = _grade_of(state.level[s, EVIDENCE], patience), state.grade[s]
    state.grades[before] -= 1
    state.grades[grade] += 1
    state.grade[s] = grade
    if grade <= before:
        return False
    if state.clock[0] - state.level[s, ALARMED] < patience:
        restart(state, s)
        return False
    return _due(state)


@kernel
def gather_slices(
    state: Slices,
    out: Block,
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

    out: scratch, `new_block` of the tolerance; code: int32[n], the row's slice; elapsed: float64[n], the shared clock, or
    [0]: it counts the rows that are judged. The other columns, and slack, are as in `gather_evidence`. A slice that alarmed
    less than `patience` ago and passes it again restarts in silence.
    """
    rows = np.empty(BLOCK, np.int64)
    n = judged_rows(y, weight, row, rows)
    if n > 0 and state.seen[0] == 0 and elapsed.size > 0:
        state.clock[0] = elapsed[rows[0]]
    while n > 0:
        read_odds(z, y, slack, rows, n, out)
        read_terms(n, out)
        for r in range(n):
            out.bent[r] = exponential(0.6 * out.t[r])
        r = 0
        while r < n:
            if code[rows[r]] >= state.seen[0]:
                _open(state, code[rows[r]])
            r = _recur(state, out, weights, factors, patience, code, event, time, elapsed, rows, r, n)
            s = code[rows[r - 1]]
            _settle(state, s, int(state.totals[s, 0]))
            if _alarms(state, s, patience):
                return int(rows[r - 1])
        n = judged_rows(y, weight, rows[n - 1] + 1, rows)
    return -1
