"""Evidence of drift: the projection, the martingale, any cut, and residual sums."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import naive_projection

from onlogit.kernels.drift import BINS, EVERY, EVIDENCE, Drift, add_residuals, begin, gather_drift, new_drift

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
NONE = np.zeros(0)
SHARES = np.array([0.01, 0.2, 0.3, 0.25, 0.2, 0.04])


def started(slack: float = 1.2) -> Drift:
    state = new_drift(1)
    shares = np.zeros((1, BINS))
    shares[0, : SHARES.size] = SHARES
    begin(state, shares, shares, shares / slack, np.minimum(shares * slack, 1.0))
    return state


def draw(seed: int, n: int, shares: F64 = SHARES) -> I32:
    return np.random.default_rng(seed).choice(shares.size, n, p=shares / shares.sum()).astype(np.int32)[None, :]


def run(state: Drift, code: I32, patience: float = 1e300) -> int:
    return gather_drift(state, patience, code, np.ones(code.shape[1]), NONE, 0)


def test_the_ratio_is_that_of_the_nearest_admissible_distribution() -> None:
    state = started()
    run(state, draw(1, 500, np.array([0.2, 0.2, 0.1, 0.25, 0.2, 0.05])))
    late = state.late[0].copy()
    while state.clock[0] % EVERY:
        run(state, draw(2, 1))
        late = state.late[0].copy()
    run(state, draw(3, 1))
    q = (0.9 * late / late.sum() + 0.1 * state.shares[0])[: SHARES.size]
    p = naive_projection(q, state.low[0, : SHARES.size], state.high[0, : SHARES.size])
    np.testing.assert_allclose(state.ratio[0, : SHARES.size], q / p, rtol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_step_adds_at_most_one_under_every_admissible_distribution(seed: int) -> None:
    state = started()
    run(state, draw(seed, 700, np.random.default_rng(seed).dirichlet(5 * SHARES + 0.1)))
    low, high = state.low[0, : SHARES.size], state.high[0, : SHARES.size]
    ratio = state.ratio[0, : SHARES.size]
    worst, left = low.copy(), 1.0 - low.sum()
    for j in np.argsort(-ratio):  # as much as allowed where the ratio is largest
        more = min(left, high[j] - low[j])
        worst[j] += more
        left -= more
    assert worst.sum() == pytest.approx(1.0)
    assert float(worst @ ratio) <= 1.0 + 1e-9


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 1500), max_size=5), st.integers(0, 3))
def test_any_cut_gives_the_same_bytes(cuts: list[int], seed: int) -> None:
    code = draw(seed, 1500, np.array([0.1, 0.1, 0.3, 0.25, 0.2, 0.05]))
    whole, pieces = started(), started()
    run(whole, code)
    for a, b in pairwise([0, *sorted(cuts), 1500]):
        run(pieces, np.ascontiguousarray(code[:, a:b]))
    assert [x.tobytes() for x in whole] == [x.tobytes() for x in pieces]


def test_what_stays_within_bounds_raises_nothing_for_long() -> None:
    state = started(1.3)
    assert run(state, draw(1, 300_000), 2_000.0) == -1
    assert state.level[0, EVIDENCE] < 200


def test_false_warnings_within_the_promise_at_the_edge() -> None:
    """True shares as far out as the bounds allow: P(warning within 2,000) <= .2."""
    edge = SHARES * np.array([1.2, 1.2, 1 / 1.2, 1.2, 1 / 1.2, 1.0])
    edge[3] += 1.0 - edge.sum()
    assert ((edge >= SHARES / 1.2 - 1e-12) & (edge <= SHARES * 1.2)).all()
    hits = sum(run(started(), draw(seed, 2_000, edge), 10_000.0) >= 0 for seed in range(200))
    assert hits / 200 <= 0.2 + 3 * 0.028


def test_a_change_is_found_and_warned_of_once_in_patience() -> None:
    code = draw(2, 30_000, np.array([0.1, 0.11, 0.3, 0.25, 0.2, 0.04]))
    state, rows, row = started(), [], 0
    while row >= 0:
        row = gather_drift(state, 5_000.0, code, np.ones(30_000), NONE, row)
        if row >= 0:
            rows.append(row)
            state.level[:, EVIDENCE], state.due[:] = 0.0, 0
            row += 1
    assert rows[0] < 1_000
    assert len(rows) >= 4
    assert min(np.diff(rows)) >= 5_000


def test_residuals_are_sums_by_bin() -> None:
    random = np.random.default_rng(0)
    code = np.stack([draw(1, 400)[0], draw(2, 400)[0]])
    p, y, weight = (
        random.random(400),
        random.integers(-1, 2, 400).astype(np.int8),
        random.integers(0, 2, 400).astype(float),
    )
    found = np.zeros((2, BINS, 2))
    add_residuals(found, code, p, y, weight)
    kept = (y >= 0) & (weight > 0)
    for c in range(2):
        for j in range(SHARES.size):
            here = kept & (code[c] == j)
            np.testing.assert_allclose(found[c, j], [(y - p)[here].sum(), (p * (1 - p))[here].sum()])
