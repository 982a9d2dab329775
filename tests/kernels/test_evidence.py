"""The e-detector: its slow twin, any cut of the stream, its null and its power, and the ends of the range."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import NaiveDetector

from onlogit.kernels.arms import arm_weights, new_block
from onlogit.kernels.evidence import LAST_ALARM, NOW, PEAK, REPEATS, Evidence, gather_evidence, new_evidence, restart

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
Stream = tuple[F64, I8, F64]
NONE = np.zeros(0)


def honest(seed: int, n: int, mean: float = -2.45, sd: float = 1.0) -> tuple[F64, F64, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.normal(mean, sd, n), rng.random(n), rng


def outcomes(z: F64, u: F64) -> I8:
    with np.errstate(over="ignore"):
        return (u < 1 / (1 + np.exp(-z))).astype(np.int8)


def run(
    state: Evidence,
    z: F64,
    y: I8,
    weight: F64 | None = None,
    *,
    patience: float = 1e15,
    tolerance: float = 0.1,
    first: int = 0,
) -> list[int]:
    """All rows, restarting after each alarm; the event numbers of the alarms."""
    block = new_block(tolerance)
    event = np.arange(first, first + z.size)
    weight = np.ones(z.size) if weight is None else weight
    row, alarms = 0, []
    while row < z.size:
        row = gather_evidence(state, block, patience, event, event * 1000, z, y, weight, NONE, NONE, row)
        if row < 0:
            break
        alarms.append(int(event[row]))
        restart(state)
        row += 1
    return alarms


def content(state: Evidence) -> list[bytes]:
    return [array.tobytes() for array in state]


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.2])
@pytest.mark.parametrize(("mean", "sd"), [(-2.45, 1.0), (0.0, 0.05), (1.0, 4.0), (-5.0, 0.3)])
def test_slow_twin(tolerance: float, mean: float, sd: float) -> None:
    z, u, _ = honest(3, 600, mean, sd)
    y = outcomes(z + 0.4, u)
    twin, state, block = NaiveDetector(tolerance), new_evidence(), new_block(tolerance)
    np.testing.assert_allclose(arm_weights(tolerance), twin.weights, rtol=1e-15)
    for i in range(z.size):
        m = twin.step(i, float(z[i]), int(y[i]))
        at = np.array([i])
        gather_evidence(state, block, 1e15, at, at, z[i : i + 1], y[i : i + 1], np.ones(1), NONE, NONE, 0)
        assert state.level[NOW] == pytest.approx(m, rel=1e-9)
    np.testing.assert_allclose(state.sums, twin.R, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(state.runs[twin.C > 0], twin.C[twin.C > 0], rtol=1e-9)
    np.testing.assert_allclose(state.edges, twin.edges, rtol=1e-9, atol=1e-9)
    up = twin.C > 1 + 1e-9
    np.testing.assert_array_equal(state.onset_event[up], twin.onset[up])


@pytest.mark.parametrize("slack", [0.0, 0.25])
def test_slow_twin_by_time_and_with_slack(slack: float) -> None:
    z, u, rng = honest(4, 400, -1.5, 1.2)
    y = outcomes(z + 0.5, u)
    elapsed = np.cumsum(rng.exponential(0.01, z.size)) + 7.0
    slacks = np.exp(slack + 0.2 * rng.random(z.size)) if slack else NONE
    twin, state, block = NaiveDetector(0.1), new_evidence(), new_block(0.1)
    for i in range(z.size):
        own = math.log(slacks[i]) if slack else 0.0
        m = twin.step(i, float(z[i]), int(y[i]), float(elapsed[i]), own)
        part, at = slice(i, i + 1), np.array([i])
        gather_evidence(state, block, 1e15, at, at, z[part], y[part], np.ones(1), elapsed[part], slacks[part], 0)
        assert state.level[NOW] == pytest.approx(m, rel=1e-9, abs=1e-15)
    np.testing.assert_allclose(state.sums, twin.R, rtol=1e-9, atol=1e-15)
    whole = new_evidence()
    event = np.arange(z.size)
    gather_evidence(whole, block, 1e15, event, event, z, y, np.ones(z.size), elapsed, slacks, 0)
    assert content(whole) == content(state)


def test_weights_and_starts_add_to_one() -> None:
    for tolerance in (0.0, 0.1, 0.15, 0.5):
        weights = arm_weights(tolerance)
        assert weights[:8].sum() == pytest.approx(1 / 3)
        assert weights[8:14].sum() == pytest.approx(1 / 3)
        for j in range(10):
            assert 10 * weights[14 + 2 * j : 16 + 2 * j].sum() == pytest.approx(1 / 3)


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("truth", [-1.0, 0.0, 1.0])
def test_one_step_is_a_supermartingale(tolerance: float, truth: float) -> None:
    """E[M after] <= M before + 1 for any true probability within the tolerance, from any state."""
    z, u, rng = honest(11, 400, -1.0, 2.0)
    state = new_evidence()
    run(state, z, outcomes(z + 0.5, u), tolerance=tolerance)
    block, at = new_block(tolerance), np.zeros(1, np.int64)
    for l in rng.normal(-1.0, 4.0, 50):
        p = 1 / (1 + math.exp(-(l + truth * tolerance)))
        expected = 0.0
        for y, chance in ((0, 1 - p), (1, p)):
            after = state._replace(**{name: array.copy() for name, array in state._asdict().items()})
            row = np.array([l]), np.array([y], np.int8), np.ones(1)
            gather_evidence(after, block, 1e15, at, at, *row, NONE, NONE, 0)
            expected += chance * after.level[NOW]
        assert expected <= state.level[NOW] * (1 + 1e-12) + 1 + 1e-12


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=6), st.sampled_from([3.0, 50.0, 1e6]), st.integers(0, 3))
def test_any_cut_gives_the_same_bytes(cuts: list[int], patience: float, seed: int) -> None:
    z, u, rng = honest(seed, 700, -1.0, 1.5)
    y = outcomes(z - 1.0, u)
    y[rng.random(z.size) < 0.2] = -1
    weight = rng.choice([0.0, 0.5, 3.0], z.size)
    whole, pieces = new_evidence(), new_evidence()
    alarms = run(whole, z, y, weight, patience=patience)
    bounds = [0, *sorted(cuts), z.size]
    found: list[int] = []
    for a, b in pairwise(bounds):
        found += run(pieces, z[a:b], y[a:b], weight[a:b], patience=patience, first=a)
    assert found == alarms
    assert content(pieces) == content(whole)


def test_weight_counts_once_or_not_at_all() -> None:
    z, u, _ = honest(5, 300)
    y = outcomes(z, u)
    skip = np.arange(300) % 3 == 0
    weight = np.where(skip, 0.0, 7.0)
    weighted, bare = new_evidence(), new_evidence()
    run(weighted, z, y, weight)
    run(bare, z[~skip], y[~skip])
    np.testing.assert_array_equal(weighted.sums, bare.sums)
    unlabelled = new_evidence()
    run(unlabelled, z, np.where(skip, np.int8(-1), y).astype(np.int8))
    assert content(unlabelled) == content(weighted)


@pytest.mark.parametrize(
    ("z", "y", "patience"),
    [(1e308, 0, 1e12), (-1e308, 1, 1e12), (math.inf, 1, 1e15), (-math.inf, 0, 1e15), (27.6, 0, 1e12), (-27.6, 0, 1e12)],
)
def test_extremes_stay_finite(z: float, y: int, patience: float) -> None:
    state = new_evidence()
    alarms = run(state, np.full(3000, z), np.full(3000, y, np.int8), patience=patience)
    assert all(np.isfinite(array).all() for array in state)
    assert bool(alarms) == ((y == 1) != (z > 0)), "what was stated as impossible happened, again and again"


def test_events_without_information_raise_nothing() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(-14.0, 0.3, 300_000)
    state = new_evidence()
    assert run(state, z, np.zeros(z.size, np.int8), patience=10_000) == []
    assert state.level[PEAK] < 100


@pytest.mark.slow
def test_a_score_that_never_varies_raises_nothing_within_tolerance() -> None:
    z, u, _ = honest(8, 200_000, -1.4, 1e-3)
    state = new_evidence()
    assert run(state, z, outcomes(z, u), patience=100_000) == []


def test_repeats_are_held_back_for_as_long_as_the_patience() -> None:
    z, u, _ = honest(2, 20_000, 0.0, 1.0)
    state = new_evidence()
    alarms = run(state, z, outcomes(z + 2.0, u), patience=5_000)
    assert len(alarms) >= 3
    assert min(np.diff(alarms)) >= 5_000
    assert state.clock[REPEATS] > 10
    assert state.clock[LAST_ALARM] == alarms[-1] + 1


def share_alarmed(streams: int, length: int, patience: float, tolerance: float, mean: float, shift: float) -> float:
    hits = 0
    for seed in range(streams):
        z, u, _ = honest(seed, length, mean)
        hits += bool(run(new_evidence(), z, outcomes(z + shift, u), patience=patience, tolerance=tolerance))
    return hits / streams


@pytest.mark.parametrize(
    ("tolerance", "mean", "shift"), [(0.0, -2.45, 0.0), (0.1, -2.45, 0.1), (0.1, 0.0, -0.1), (0.0, -5.0, 0.0)]
)
def test_false_alarms_within_the_promise(tolerance: float, mean: float, shift: float) -> None:
    """P(alarm within T) <= T / patience, at the very edge of the tolerance too; 3 sd of room for 200 streams."""
    bound = 2_000 / 10_000
    share = share_alarmed(200, 2_000, 10_000, tolerance, mean, shift)
    assert share <= bound + 3 * math.sqrt(bound * (1 - bound) / 200)


@pytest.mark.slow
@pytest.mark.parametrize(("tolerance", "shift"), [(0.0, 0.0), (0.1, 0.1)])
def test_false_alarms_within_the_promise_long(tolerance: float, shift: float) -> None:
    bound = 20_000 / 100_000
    assert share_alarmed(400, 20_000, 100_000, tolerance, -2.45, shift) <= bound


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "pilot"), [("level up", 1903), ("level down", 2250), ("slope", 1337), ("top decile", 1505)]
)
def test_delays_near_the_pilot(change: str, pilot: int) -> None:
    """Median delay at the false-alarm budget of the pilot (10 % of null streams within 20,000), change at 5,000."""
    delays = []
    for seed in range(60):
        z, u, _ = honest(seed, 25_000)
        moved = {
            "level up": z + 0.3,
            "level down": z - 0.3,
            "slope": -1.8 + 0.65 * (z + 1.8),
            "top decile": np.where(z > -2.45 + 1.2816, z - 0.8, z),
        }[change]
        y = outcomes(np.where(np.arange(z.size) < 5_000, z, moved), u)
        alarms = [a for a in run(new_evidence(), z, y, patience=13_500) if a >= 5_000]
        delays.append(alarms[0] - 5_000 if alarms else 20_000)
    assert np.median(delays) == pytest.approx(pilot, rel=0.25)
