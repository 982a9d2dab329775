"""Detectors of slices: their slow twin, the martingale, any cut of the stream, and the null over many slices."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import NaiveSlices

from onlogit.kernels.slices import EVIDENCE, Slices, arm_factors, arm_weights, gather_slices, new_block, new_slices

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
NONE = np.zeros(0)


def stream(seed: int, n: int, slices: int, shift: float = 0.0) -> tuple[I32, F64, I8]:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.0, 1.5, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-z - shift))).astype(np.int8)
    code = rng.integers(0, slices, n)
    _, first = np.unique(code, return_index=True)
    rank = np.empty(slices, np.int32)
    rank[code[np.sort(first)]] = np.arange(len(first))
    return rank[code], z, y


def run(
    state: Slices, code: I32, z: F64, y: I8, patience: float = 1e15, tolerance: float = 0.1, elapsed: F64 = NONE
) -> int:
    event = np.arange(z.size)
    return gather_slices(
        state, new_block(tolerance), arm_weights(tolerance), arm_factors(), patience, code, event, event, z, y, np.ones(z.size),
        elapsed, NONE, 0,
    )  # fmt: skip


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.4])
def test_slow_twin(tolerance: float) -> None:
    code, z, y = stream(1, 900, 7, 0.4)
    twin, state = NaiveSlices(tolerance), new_slices(7)
    for i in range(z.size):
        m = twin.step(int(code[i]), float(z[i]), int(y[i]))
        run(state, code[i : i + 1], z[i : i + 1], y[i : i + 1], tolerance=tolerance)
        assert state.level[code[i], EVIDENCE] == pytest.approx(m, rel=1e-9)
    for s, sums in twin.R.items():
        np.testing.assert_allclose(state.sums[s], sums, rtol=1e-9)


@pytest.mark.parametrize("truth", [-1.0, 0.0, 1.0])
def test_a_step_adds_no_more_than_the_clock_went_on(truth: float) -> None:
    """E[M_s after] <= M_s before + time since the slice's last event, from any state."""
    code, z, y = stream(2, 400, 5, 0.5)
    state = new_slices(5)
    run(state, code, z, y)
    for i, l in enumerate(np.random.default_rng(3).normal(-1.0, 3.0, 40)):
        s = i % 5
        p = 1 / (1 + math.exp(-(l + truth * 0.1)))
        expected = 0.0
        for label, chance in ((0, 1 - p), (1, p)):
            after = state._replace(**{name: array.copy() for name, array in state._asdict().items()})
            run(after, np.array([s], np.int32), np.array([l]), np.array([label], np.int8))
            expected += chance * after.level[s, EVIDENCE]
        allowed = state.clock[0] + 1 - state.level[s, 1]
        assert expected <= state.level[s, EVIDENCE] * (1 + 1e-12) + allowed + 1e-9


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 500), max_size=5), st.integers(0, 3))
def test_any_cut_gives_the_same_bytes(cuts: list[int], seed: int) -> None:
    code, z, y = stream(seed, 500, 9, 0.3)
    whole, pieces = new_slices(9), new_slices(9)
    event, w, f = np.arange(500), arm_weights(0.1), arm_factors()
    gather_slices(whole, new_block(0.1), w, f, 1e15, code, event, event, z, y, np.ones(500), NONE, NONE, 0)
    for a, b in pairwise([0, *sorted(cuts), 500]):
        gather_slices(
            pieces,
            new_block(0.1),
            w,
            f,
            1e15,
            code[a:b],
            event[a:b],
            event[a:b],
            z[a:b],
            y[a:b],
            np.ones(b - a),
            NONE,
            NONE,
            0,
        )
    assert [x.tobytes() for x in whole] == [x.tobytes() for x in pieces]


@pytest.mark.parametrize("slices", [1, 30, 300])
def test_false_alarms_of_any_slice_within_the_promise(slices: int) -> None:
    """P(any slice alarms within T) <= T / patience, whatever their number, at the edge of the tolerance."""
    hits = 0
    for seed in range(150):
        code, z, y = stream(seed, 2_000, slices, 0.1)
        hits += run(new_slices(slices), code, z, y, patience=10_000.0) >= 0
    assert hits / 150 <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / 150)


def test_one_bad_slice_among_many_is_found() -> None:
    code, z, y = stream(5, 40_000, 50)
    bad = code == 17
    y[bad] = (np.random.default_rng(0).random(bad.sum()) < 1 / (1 + np.exp(-z[bad] - 1.0))).astype(np.int8)
    state = new_slices(50)
    row = run(state, code, z, y, patience=10_000.0)
    assert row >= 0
    assert code[row] == 17
    assert np.count_nonzero(state.level[:, EVIDENCE] > 500_000.0 * 0.5) == 1


def test_time_for_a_clock_is_events_where_they_are_regular() -> None:
    code, z, y = stream(6, 800, 4, 0.4)
    by_time, by_count = new_slices(4), new_slices(4)
    run(by_count, code, z, y)
    run(by_time, code, z, y, elapsed=np.arange(1.0, 801.0))
    # the first event of all starts nothing: how long the stream had been there before it is not known
    np.testing.assert_allclose(by_time.sums[1:], by_count.sums[1:], rtol=0.2)
