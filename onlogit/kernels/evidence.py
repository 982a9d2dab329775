"""Evidence that stated probabilities stopped matching outcomes: 34 arms of a Shiryaev-Roberts e-detector.

With ℓ the stated log-odds, arm k says that the true probability is q_k: 8 levels σ(ℓ ± a), 6 slopes σ(c + b(ℓ - c))
about two pivots c, and 20 regions, σ(ℓ ± .6) inside one of ten score bins and p elsewhere. Each family has a third of
the weight w_k. Per event, with tolerance τ:

    p0  = clip(q_k, σ(ℓ-τ), σ(ℓ+τ))             the nearest probability that the user would not mind
    L_k = q_k/p0 if y else (1-q_k)/(1-p0)
    R_k <- (R_k + s_k) L_k                       M = Σ w_k R_k, an alarm when M >= patience
    C_k <- max(C_k, 1) L_k                       the onset of arm k is the event at which C_k last stood at its floor

Promise. Under "P(y=1 | past) lies within τ of ℓ", M_t - t is a supermartingale, so the mean number of events to a
false alarm is at least the patience and P(alarm within T) <= T/patience (Shin, Ramdas, Rinaldo 2023). This needs
Σ w_k s_k <= 1 with s_k known before y, no more. An event starts evidence by what it can tell: s = min(1, 20 p(1-p)),
but 0 for an arm whose q_k the tolerance covers, and 10 s or 0 for a region arm as ℓ is inside its bin or not.
With s = 1 throughout, a stream of p = 1e-6, or a score that never varies, would count its way to an alarm without one
odd outcome. Score bins are deciles of ℓ, and the second pivot is its mean weighted by p(1-p); both are settled
anew from past events only, after 64 judged events and at each doubling, at most 65,536 apart.

Time. With `elapsed` given, starts are counted in its unit and not in events: an arm starts with the time since it last
did, times min(1, 20 p(1-p)). So Σ s_k <= elapsed for every arm, M - elapsed is a supermartingale, and patience is in that
unit. Under `elapsed` = 0 throughout and sums of 1 at the outset nothing starts later: M is a plain e-process, and
P(M ever >= 1/α) <= α (Ville).

Slack. With `slack` given, the null has a width of its own for each row, e^τ_i in place of e^τ: this serves a null
that was estimated.

Range. ℓ is held to ±40. R needs no logarithm: it restarts at each alarm, so it stays below patience/w times one step's
e^25; R_k >= s L_k keeps it clear of denormals where it matters. C_k <= R_k/s. A weight above 0 counts once; rows with
weight 0 or without label are skipped. Cost: about 27 ns an event on one core; 6 kB.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.arms import (
    ARMS,
    BLOCK,
    FIRST_REGION,
    LANES,
    REGIONS,
    SHIFTED_DOWN,
    SHIFTED_UP,
    TERMS,
    WIDE,
    Block,
    read_ratios,
    read_rows,
    read_terms,
    set_slopes,
)
from onlogit.kernels.jit import inline, kernel, part, unsigned
from onlogit.kernels.lanes import fma, lanes, larger, load, place, splat, store, total, two_of, where_above, where_equal

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]


CELLS = 256  # of the histogram of ℓ on ±16 from which deciles are taken
FIRST_SETTLE = 64
SETTLE_EVERY = 65536
START = 20.0  # s = min(1, START p(1-p)): full from p = .053 up

JUDGED, NEXT_SETTLE, LAST_ALARM, REPEATS = range(4)
NOW, PEAK, ALARMED, LATELY = range(4)
EVERYWHERE = REGIONS  # in `started`: the arms that every event concerns


class Evidence(NamedTuple):
    """The detector's whole state; every field is changed in place."""

    sums: F64  # [ARMS] R_k, Shiryaev-Roberts sums
    runs: F64  # [ARMS] C_k, likelihood ratio since the arm's onset
    onset_event: I64  # [ARMS] event number of the onset
    onset_time: I64  # [ARMS] its time in microseconds, 0 where the stream has no time
    before: F64  # [ARMS, TERMS] totals as they stood just before the onset
    totals: F64  # [1 + REGIONS, TERMS] sums over all judged events, and over those of each score bin
    cells: F64  # [CELLS] histogram of ℓ, halved at each settling
    edges: F64  # [REGIONS - 1] rising edges of the score bins, log-odds
    pivots: F64  # [4] the slope arms' pivots in log-odds, 0 and the weighted mean of ℓ; its Σv and Σvℓ, halved likewise
    clock: I64  # [4] judged events; when to settle next; judged events at the last alarm or -1; alarms held back since
    level: (
        F64  # [4] M now, its highest so far, elapsed time at the last alarm, and the highest M since it was last read
    )
    started: F64  # [REGIONS + 1] elapsed time at which the arms of each score bin, and the wide ones, last started


def new_evidence() -> Evidence:
    """Evidence that has seen nothing."""
    edges = np.array([-4.0, -2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5, 4.0])
    return Evidence(
        sums=np.zeros(ARMS),
        runs=np.zeros(ARMS),
        onset_event=np.zeros(ARMS, np.int64),
        onset_time=np.zeros(ARMS, np.int64),
        before=np.zeros((ARMS, TERMS)),
        totals=np.zeros((1 + REGIONS, TERMS)),
        cells=np.zeros(CELLS),
        edges=edges,
        pivots=np.zeros(4),
        clock=np.array([0, FIRST_SETTLE, -1, 0], np.int64),
        level=np.zeros(4),
        started=np.zeros(REGIONS + 1),
    )


@kernel
def restart(state: Evidence) -> None:
    """Begin anew from no evidence; what is known of the scores, and the clock, stay."""
    state.sums[:] = 0.0
    state.runs[:] = 0.0
    state.level[NOW] = 0.0


@part
def settle(state: Evidence) -> None:
    """Set score bins and pivot from past events; the next is at twice the count, at most SETTLE_EVERY on."""
    total = 0.0
    for i in range(CELLS):
        total += state.cells[i]
    below = 0.0
    j = 0
    for i in range(CELLS):
        share = state.cells[i]
        while j < REGIONS - 1 and below + share >= total * (j + 1) / REGIONS:
            state.edges[j] = (i + (total * (j + 1) / REGIONS - below) / share) / 8.0 - 16.0
            j += 1
        below += share
        state.cells[i] = share * 0.5
    if state.pivots[2] > 0.0:
        state.pivots[1] = min(max(state.pivots[3] / state.pivots[2], -16.0), 16.0)
    state.pivots[2] *= 0.5
    state.pivots[3] *= 0.5
    state.clock[NEXT_SETTLE] += min(state.clock[NEXT_SETTLE], SETTLE_EVERY)


@inline
def grow(sums: Any, ratio: Any, start: float) -> Any:
    """(R_k + s_k) L_k of lanes of arms. Where the tolerance covers q, s_k = 0."""
    begun = where_equal(ratio, 1.0, 0.0, start)
    return (sums + begun) * ratio


@inline
def opening(runs: Any, ratio: Any, last: Any, row: int) -> Any:
    """The last row at which an arm left its floor: this one, if it does so here."""
    one = splat(1.0, ratio)
    return where_above(runs, one, last, where_above(ratio, one, float(row), last))


@inline
def run_on(runs: Any, ratio: Any) -> Any:
    """max(C_k, 1) L_k."""
    return larger(runs, 1.0) * ratio


@part
def note_before(state: Evidence, out: Block) -> None:
    """Keep what `recur` changes, to take it back. (By slices it takes 1 ns an event more.)"""
    for k in range(ARMS):
        out.sums_before[k], out.runs_before[k] = state.sums[k], state.runs[k]
    for j in range(1 + REGIONS):
        out.started_before[j] = state.started[j]


@part
def take_back(state: Evidence, out: Block) -> None:
    """Be where `note_before` was."""
    for k in range(ARMS):
        state.sums[k], state.runs[k] = out.sums_before[k], out.runs_before[k]
    for j in range(1 + REGIONS):
        state.started[j] = out.started_before[j]


@part
def recur(state: Evidence, elapsed: F64, rows: I64, n: int, out: Block) -> float:
    """Take R and C through the rows of a block whose ratios are read, and see what M is after each; the highest M.

    In three loops, that of the ratios before it, this one, and one of sums: in one loop each row waited for the division and
    the sums of the row before, for a quarter as long again.
    """
    sums, runs = state.sums, state.runs
    for k in range(FIRST_REGION):
        out.sums[k], out.runs[k] = sums[k], runs[k]
    for k in range(FIRST_REGION, WIDE):
        out.sums[k], out.runs[k] = 0.0, 0.0
    for j in range(2 * LANES):
        out.region[j] = 0.0
    for j in range(REGIONS):
        k = FIRST_REGION + 2 * j
        out.region[j] = out.region_weight[0] * (sums[k] + sums[k + 1])
    for k in range(ARMS):
        out.opened[k] = -1.0
    like, pair = lanes(0.0, LANES), lanes(0.0, 2)
    level_sums, level_runs, level_opened = load(out.sums, 0, like), load(out.runs, 0, like), lanes(-1.0, LANES)
    slope_sums, slope_runs, slope_opened = load(out.sums, LANES, like), load(out.runs, LANES, like), lanes(-1.0, LANES)
    near, far = load(out.region, 0, like), load(out.region, LANES, like)
    for r in range(n):
        j = out.bins[r]
        told = min(1.0, START * out.terms[r * LANES + 3])
        start, start_here = told, told * REGIONS
        if elapsed.size > 0:
            now = elapsed[rows[r]]
            start = told * max(now - state.started[EVERYWHERE], 0.0)
            start_here = told * max(now - state.started[j], 0.0)
            state.started[EVERYWHERE] = max(state.started[EVERYWHERE], now)
            state.started[j] = max(state.started[j], now)
        ratio = load(out.ratios, r * WIDE, like)
        level_sums, level_opened = grow(level_sums, ratio, start), opening(level_runs, ratio, level_opened, r)
        level_runs = run_on(level_runs, ratio)
        local = two_of(ratio, SHIFTED_UP, SHIFTED_DOWN)
        ratio = load(out.ratios, r * WIDE + LANES, like)
        slope_sums, slope_opened = grow(slope_sums, ratio, start), opening(slope_runs, ratio, slope_opened, r)
        slope_runs = run_on(slope_runs, ratio)
        k = FIRST_REGION + 2 * j
        own = grow(load(sums, k, pair), local, start_here)
        before = load(runs, k, pair)
        store(out.opened, k, opening(before, local, load(out.opened, k, pair), r))
        store(runs, k, run_on(before, local))
        store(sums, k, own)
        there = out.region_weight[0] * total(own)
        near, far = place(near, j, there), place(far, j - LANES, there)
        wide = fma(level_sums, load(out.weights, 0, like), near)
        store(out.shares, r * LANES, fma(slope_sums, load(out.weights, LANES, like), wide) + far)
    peak = 0.0
    for r in range(n):
        out.m[r] = total(load(out.shares, r * LANES, like))
        peak = max(peak, out.m[r])
    store(out.sums, 0, level_sums)
    store(out.sums, LANES, slope_sums)
    store(out.runs, 0, level_runs)
    store(out.runs, LANES, slope_runs)
    for k in range(FIRST_REGION):
        sums[k], runs[k] = out.sums[k], out.runs[k]
    store(out.sums, 0, level_opened)
    store(out.sums, LANES, slope_opened)
    for k in range(FIRST_REGION):
        out.opened[k] = out.sums[k]
    return peak


@inline
def reach(m: F64, n: int, patience: float) -> int:
    """How many of these n rows come up to the first at which M reaches the patience; n where none does."""
    for r in range(n):
        if m[r] >= patience:
            return r + 1
    return n


@part
def add_up(state: Evidence, rows: I64, n: int, event: I64, time: I64, out: Block) -> None:
    """Totals and histogram of the rows that were taken; where an arm left its floor, note when, and the totals then."""
    weight, moment = state.pivots[2], state.pivots[3]
    for j in range(1 + REGIONS):
        for c in range(TERMS):
            out.totals[j * LANES + c] = state.totals[j, c]
    like = lanes(0.0, LANES)
    everywhere = load(out.totals, 0, like)
    for r in range(n):
        at, bin_at = 2 * r * LANES, (1 + out.bins[r]) * LANES
        terms, inside = load(out.terms, r * LANES, like), load(out.totals, bin_at, like)
        store(out.before, at, everywhere)
        store(out.before, at + LANES, inside)
        everywhere = everywhere + terms
        store(out.totals, bin_at, inside + terms)
        weight += out.terms[r * LANES + 3]
        moment += out.terms[r * LANES + 5]
        state.cells[unsigned(int((min(max(out.l[r], -15.99), 15.99) + 16.0) * 8.0))] += 1.0
    store(out.totals, 0, everywhere)
    for j in range(1 + REGIONS):
        for c in range(TERMS):
            state.totals[j, c] = out.totals[j * LANES + c]
    state.pivots[2], state.pivots[3] = weight, moment
    for arm in range(ARMS):
        r = int(out.opened[arm])
        if r >= 0:
            state.onset_event[arm] = event[rows[r]]
            state.onset_time[arm] = time[rows[r]]
            for c in range(TERMS):
                state.before[arm, c] = out.before[(2 * r + (0 if arm < FIRST_REGION else 1)) * LANES + c]
    state.clock[JUDGED] += n


@inline
def judged_rows(y: I8, weight: F64, row: int, rows: I64) -> int:
    """Put the next rows that have an outcome and a weight, a block at most, into `rows`; how many."""
    n = 0
    while n < BLOCK and row < y.size:
        if y[unsigned(row)] >= 0 and weight[unsigned(row)] > 0.0:
            rows[n] = row
            n += 1
        row += 1
    return n


@kernel
def gather_evidence(
    state: Evidence,
    out: Block,
    patience: float,
    event: I64,
    time: I64,
    z: F64,
    y: I8,
    weight: F64,
    elapsed: F64,
    slack: F64,
    row: int,
) -> int:
    """Fold rows `row`.. into the state; the row at which an alarm is due (state left as it stood there), or -1.

    out: scratch, `arms.new_block` of the tolerance; event, time: int64[n]; z: float64[n] log-odds as stated, not NaN;
    y: int8[n], 1, 0 or -1; weight: float64[n];
    elapsed: float64[n], which starts nothing where it falls, and slack: float64[n], 1 or more; each also [0] for none.
    After an alarm the caller reads the state, calls `restart`, and goes on from the next row. Passing patience again within
    `patience` judged events (or of elapsed time) of the last alarm restarts and counts, and is no new alarm.
    """
    rows, most = np.empty(BLOCK, np.int64), BLOCK
    set_slopes(state.pivots, out.slopes)
    while True:
        n = judged_rows(y, weight, row, rows)
        if n == 0:
            return -1
        if state.clock[JUDGED] == state.clock[NEXT_SETTLE]:
            settle(state)
            set_slopes(state.pivots, out.slopes)
        n = min(n, most, state.clock[NEXT_SETTLE] - state.clock[JUDGED])
        if elapsed.size > 0 and state.clock[JUDGED] == 0:
            state.started[:] = elapsed[rows[0]]
        read_rows(z, y, slack, rows, state.edges, n, out)
        read_terms(n, out)
        read_ratios(n, out)
        note_before(state, out)
        peak = recur(state, elapsed, rows, n, out)
        if peak >= patience:
            most = reach(out.m, n, patience)
            if most < n:
                take_back(state, out)  # and go no farther than the row at which an alarm is due
                continue
        state.level[NOW] = out.m[n - 1]
        state.level[PEAK], state.level[LATELY] = max(state.level[PEAK], peak), max(state.level[LATELY], peak)
        add_up(state, rows, n, event, time, out)
        row, most = rows[n - 1] + 1, BLOCK
        if state.level[NOW] >= patience:
            last, since = state.clock[LAST_ALARM], float(state.clock[JUDGED] - state.clock[LAST_ALARM])
            if elapsed.size > 0:
                since = elapsed[row - 1] - state.level[ALARMED]
            if last < 0 or since >= patience:
                state.clock[LAST_ALARM] = state.clock[JUDGED]
                if elapsed.size > 0:
                    state.level[ALARMED] = elapsed[row - 1]
                return row - 1
            state.clock[REPEATS] += 1
            restart(state)
