"""Decisions and what they cost, against their definitions; what can be said before outcomes are there."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.errors import ConfigError, StateError
from onlogit.monitor.decisions import Costs, DecisionMonitor

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]


def stream(seed: int, n: int, mean: float = -1.0) -> tuple[F64, I8, F64]:
    rng = np.random.default_rng(seed)
    z = rng.normal(mean, 1.0, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8)
    y[rng.random(n) < 0.3] = -1
    return z, y, (rng.random(n) < 0.9).astype(np.float64)


def monitor(window: int = 1 << 20, reference: int = 1_000) -> DecisionMonitor:
    return DecisionMonitor((0.4,), Costs(50.0, 10.0), window, reference)


def take(found: DecisionMonitor, z: F64, y: I8, weight: F64) -> None:
    """Scored and settled at once."""
    found.score(z, weight)
    found.settle(z, y, weight)


def test_figures_by_definition() -> None:
    z, y, weight = stream(1, 5_000)
    found = monitor()
    take(found, z, y, weight)
    told, own = found.read()
    kept = weight > 0
    z, y = z[kept], y[kept]
    p, known = 1 / (1 + np.exp(-z)), y >= 0
    assert own.threshold == pytest.approx(50 / 60)
    assert told.events == z.size
    assert told.known == known.sum()
    assert told.action_rate == pytest.approx((p >= 0.4).mean())
    assert told.action_rate_reference == pytest.approx((p[:1_000] >= 0.4).mean())
    assert told.near == pytest.approx((np.abs(z - np.log(0.4 / 0.6)) <= 0.5).mean())
    assert told.expected_true == pytest.approx(np.where(p >= 0.4, p, 0).mean(), abs=1e-8)
    assert told.expected_false == pytest.approx(np.where(p >= 0.4, 1 - p, 0).mean(), abs=1e-8)
    assert told.expected_missed == pytest.approx(np.where(p < 0.4, p, 0).mean(), abs=1e-8)
    cost = np.where(p >= 0.4, (y == 0) * 50.0, (y == 1) * 10.0)[known].mean() * 1e3
    promised = np.where(p >= 0.4, (1 - p) * 50.0, p * 10.0)
    assert told.realised_cost == pytest.approx(cost)
    assert told.expected_cost == pytest.approx(promised.mean() * 1e3, rel=1e-6)
    assert told.expected_cost_known == pytest.approx(promised[known].mean() * 1e3, rel=1e-6)


def test_the_last_events_only() -> None:
    found = monitor(window=800, reference=500)
    for mean, n in ((-3.0, 5_000), (3.0, 1_000)):
        z, y, _ = stream(2, n, mean)
        take(found, z, y, np.ones(n))
    told = found.read()[0]
    assert told.events == 700
    assert told.action_rate > 0.98
    assert told.action_rate_reference is not None
    assert told.action_rate_reference < 0.05


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 2_000), max_size=4))
def test_any_cut_gives_the_same_bytes(cuts: list[int]) -> None:
    z, y, weight = stream(3, 2_000)
    whole, pieces = monitor(300, 1_000), monitor(300, 1_000)
    take(whole, z, y, weight)
    for a, b in pairwise([0, *sorted(cuts), 2_000]):
        take(pieces, z[a:b], y[a:b], weight[a:b])
    assert all(whole.state()[name].tobytes() == array.tobytes() for name, array in pieces.state().items())
    taken_up = monitor(300, 1_000)
    taken_up.restore(whole.state())
    assert taken_up.read() == whole.read()


def test_the_outlook_takes_known_rates_to_todays_mix() -> None:
    """Stated .2 comes true in half of the cases: seen where outcomes are known, and expected where they are not yet."""
    rng = np.random.default_rng(0)
    found = monitor(window=8_000)
    z = np.full(20_000, np.log(0.2 / 0.8))
    take(found, z, (rng.random(z.size) < 0.5).astype(np.int8), np.ones(z.size))
    take(found, z[:8_000], np.full(8_000, -1, np.int8), np.ones(8_000))
    outlook = found.outlook()
    assert outlook is not None
    assert outlook.unknown == 1.0
    assert outlook.rate == pytest.approx(0.5, abs=0.02)
    assert found.read()[0].realised_cost is None
    assert found.excess() is None


def test_decisions_are_seen_before_their_outcomes() -> None:
    """Acted on more and more while outcomes of the first events only are there: rates move, costs are those of the settled."""
    found = monitor(window=800, reference=500)
    z, y, _ = stream(4, 3_000)
    y = np.maximum(y, 0)
    found.score(z, np.ones(z.size))
    found.settle(z[:1_000], y[:1_000], np.ones(1_000))
    told, own = found.read()
    before = found.excess()
    found.score(z + 3.0, np.ones(z.size))
    moved = found.read()[0]
    assert moved.action_rate > told.action_rate + 0.3
    assert moved.action_rate_reference == told.action_rate_reference
    assert (moved.known, moved.realised_cost, found.excess()) == (told.known, told.realised_cost, before)
    last = slice(1_000 - told.known, 1_000)  # the last that are settled
    acted = 1 / (1 + np.exp(-z[last])) >= 0.4
    paid = np.where(acted, (y[last] == 0) * 50.0, (y[last] == 1) * 10.0).mean() * 1e3
    assert told.realised_cost == pytest.approx(paid)
    assert (told.known, own.known) == (700, 700)
    outlook = found.outlook()
    assert outlook is not None
    assert outlook.unknown == 1.0


def test_nothing_yet() -> None:
    assert monitor().read() == []
    assert monitor().outlook() is None
    assert monitor().excess() is None


def test_settings_and_states_out_of_range() -> None:
    with pytest.raises(ConfigError, match="a probability between 0 and 1"):
        DecisionMonitor((1.0,), None, 100, 100)
    with pytest.raises(StateError, match="decisions: the array 'scored_seen'"):
        monitor().restore(monitor().state() | {"scored_seen": np.array([-1, 0])})
