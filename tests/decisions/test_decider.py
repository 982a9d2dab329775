"""Costs, tiers, review, abstaining: worked values and refusals; the capacity against its twin, hindsight and any cut."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import within_capacity

from onlogit.decisions.costs import DecisionConfig, read_decisions, two_actions
from onlogit.decisions.decider import Decider, reason, rule_of, steps_of
from onlogit.errors import ConfigError, DataError, StateError

FRAUD = DecisionConfig.of({"costs": {"allow": [0, 10], "block": [50, 0]}})
CHURN = DecisionConfig.of({"tiers": {"nudge": 0.6, "offer": 0.95}})


def logit(p: Any) -> Any:
    return np.log(p) - np.log1p(-np.asarray(p))


def actions(config: DecisionConfig, p: Any, z_sd: Any = 0.0) -> list[str]:
    z = np.atleast_1d(logit(p))
    decided = Decider(config).decide(z, np.broadcast_to(np.asarray(z_sd, float), z.shape))
    return [decided.names[code] for code in decided.action]


def test_worked_value_of_costs() -> None:
    found = reason(FRAUD, 0.30)
    assert found.expected_costs == pytest.approx({"block": 35.0, "allow": 3.0})
    assert found.action == found.cheapest == "allow"
    assert found.thresholds == pytest.approx([0.8333], abs=5e-5)
    assert found.why == "it costs 3 on average, 32 less than block"


def test_worked_value_of_churn() -> None:
    w = np.array([0.12, 0.40, 0.90, 0.70])
    z = np.array([[8, 1, 0, 1], [20, 3, 1, 1]]) @ w - 2
    decided = Decider(CHURN).decide(z, np.zeros(2))
    assert 1 / (1 + np.exp(-z)) == pytest.approx([0.515, 0.961], abs=5e-4)
    assert [decided.names[code] for code in decided.action] == ["none", "offer"]
    assert np.isnan(decided.expected_cost).all()


def test_a_tier_begins_at_its_p_and_costs_that_tie_leave_things_at_rest() -> None:
    assert reason(CHURN, 0.6).action == "nudge"
    assert reason(CHURN, math.nextafter(0.6, 0)).action == "none"
    assert reason(DecisionConfig(costs=two_actions(1, 1)), 0.5).action == "none"
    assert reason(DecisionConfig(costs=two_actions(0, 1)), 0.0).action == "none"
    assert reason(DecisionConfig(costs=two_actions(0, 1)), 1e-9).action == "act"


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=6),
    st.floats(0, 1),
)
def test_the_action_is_the_cheapest_one(pairs: list[tuple[int, int]], p: float) -> None:
    if not any(max(pair) for pair in pairs):
        return
    config = DecisionConfig(costs=tuple((f"a{j}", float(c0), float(c1)) for j, (c0, c1) in enumerate(pairs)))
    rule = rule_of(config)
    assert (np.diff(rule.cuts) >= 0).all()
    found = reason(config, p)
    assert found.expected_costs[found.action] <= min(found.expected_costs.values()) + 1e-12
    never = {step["action"] for step in steps_of(config) if step.get("never")}
    assert never == {name for name, *_ in config.costs} - set(rule.steps)


def test_expected_cost_is_that_of_what_is_done() -> None:
    config = DecisionConfig.of({"cost_fp": 50, "cost_fn": 10, "review": 0.05, "abstain": 1.0})
    decided = Decider(config).decide(logit(np.array([0.3, 0.9, 0.85, 0.9])), np.array([0.1, 0.1, 0.1, 1.5]))
    assert [decided.names[code] for code in decided.action] == ["none", "act", "review", "abstain"]
    np.testing.assert_allclose(decided.expected_cost, [3.0, 5.0, np.nan, np.nan])


def test_a_review_or_an_abstention_with_a_price_has_a_cost() -> None:
    config = DecisionConfig.of({"costs": {"no": [0, 10], "yes": [50, 0], "abstain": [7, 9]}, "abstain": 1.0})
    decided = Decider(config).decide(logit(np.array([0.5])), np.array([2.0]))
    assert decided.names[decided.action[0]] == "abstain"
    assert decided.expected_cost[0] == pytest.approx(8.0)


def test_abstaining_comes_before_review_and_takes_no_capacity() -> None:
    config = DecisionConfig.of({"cost_fp": 1, "cost_fn": 1, "review": 0.1, "abstain": 1.0, "capacity": "1/4"})
    assert actions(config, [0.55, 0.9, 0.1, 0.9], [2.0, 0, 0, 0]).count("abstain") == 1
    assert actions(config, [0.55, 0.9, 0.1, 0.9], math.nan).count("abstain") == 0


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "decisions need costs, tiers or a capacity"),
        ({"cost_fp": -1, "cost_fn": 1}, "cost_fp = -1.0 is out of range"),
        ({"cost_fp": math.nan, "cost_fn": 1}, "cost_fp = nan"),
        ({"cost_fp": 1}, "cost_fp and cost_fn go together"),
        ({"cost_fp": 0, "cost_fn": 0}, "not all of them zero"),
        ({"costs": {"a": [1, math.inf], "b": [0, 1]}}, "positive and finite"),
        ({"costs": {"a": [1, 2]}}, "no choice in one"),
        ({"costs": {"a": [1], "b": [0, 1]}}, "expected two costs"),
        ({"costs": {"a": ["1", 2], "b": [0, 1]}}, "expected a number"),
        ({"costs": 3}, "expected a table"),
        ({"tiers": {"offer": 0.95, "nudge": 0.6}}, "in rising order"),
        ({"tiers": {"nudge": 1.0}}, "between 0 and 1"),
        ({"tiers": {"none": 0.4}}, "names other than 'none'"),
        ({"tiers": {"a": 0.5}, "cost_fp": 1, "cost_fn": 1}, "contradict each other"),
        ({"capacity": "0/100"}, "1 or more"),
        ({"capacity": "5/0"}, "a window of one event"),
        ({"capacity": "100/100"}, "fewer than its 100 events"),
        ({"capacity": "many"}, "accepted is COUNT/EVENTS or COUNT/TIME"),
        ({"capacity": "10/5 weeks"}, "accepted is COUNT/EVENTS or COUNT/TIME"),
        ({"cost_fp": 1, "cost_fn": 1, "review": -0.1}, "review = -0.1"),
        ({"cost_fp": 1, "cost_fn": 1, "abstain": 0}, "abstain = 0.0"),
        ({"cost_fp": 1, "cost_fn": 1, "threshold": 0.4}, "unknown setting 'threshold'"),
    ],
)
def test_what_cannot_be_meant_is_refused(told: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DecisionConfig.of(told)


def test_a_file_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('[decisions]\ncost_fp = 50\ncost_fn = 10\ncapacity = "20/15m"\n')
    assert DecisionConfig.of(read_decisions(str(tmp_path / "d.toml"))) == DecisionConfig(
        costs=two_actions(50, 10), capacity=20, seconds=900
    )
    (tmp_path / "e.toml").write_text("[decision]\n")
    with pytest.raises(ConfigError, match=r"no table \[decisions\]"):
        read_decisions(str(tmp_path / "e.toml"))
    (tmp_path / "f.toml").write_text("[decisions\n")
    with pytest.raises(ConfigError, match=r"f\.toml is not TOML"):
        read_decisions(str(tmp_path / "f.toml"))


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="z of row 1 is NaN"):
        Decider(FRAUD).decide(np.array([0.0, np.nan]), np.zeros(2))
    with pytest.raises(DataError, match="needs the time"):
        Decider(DecisionConfig(capacity=3, seconds=3600)).decide(np.zeros(1), np.zeros(1))
    with pytest.raises(ConfigError, match=r"p = 1.5: a probability"):
        reason(FRAUD, 1.5)


# ---- capacity


@given(
    st.lists(st.tuples(st.sampled_from([-30.0, -1.0, 0.0, 0.004, 2.5, 40.0, -math.inf]), st.booleans()), max_size=60),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_capacity_is_that_of_its_twin(rows: list[tuple[float, bool]], budget: int, timed: bool, seed: int) -> None:
    z, wanted = [row[0] for row in rows], np.array([row[1] for row in rows], np.bool_)
    draw = np.random.default_rng(seed)
    time = draw.integers(0, 400_000, len(rows)).cumsum() - draw.integers(0, 2) * 300_000
    window, seconds = (0, 1) if timed else (7, 0)
    config = DecisionConfig(tiers=(("act", 0.5),), capacity=budget, window=window, seconds=seconds)
    decider = Decider(config)
    kept = decider._within_capacity(np.array(z, float), time, wanted)
    clock = time.tolist() if timed else list(range(len(rows)))
    half_life = 10_000.0 if timed else 2_000.0
    assert kept.tolist() == within_capacity(z, clock, wanted.tolist(), budget, 1_000_000 if timed else 7, half_life)


@given(st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_any_cut_gives_the_same_actions_and_state(cuts: list[int], timed: bool) -> None:
    draw = np.random.default_rng(4)
    z, time = draw.normal(size=400), draw.integers(0, 90_000, 400).cumsum()
    window, seconds = (0, 2) if timed else (50, 0)
    config = DecisionConfig(costs=two_actions(2, 1), capacity=6, window=window, seconds=seconds)
    whole = Decider(config)
    expected = whole.decide(z, np.zeros(400), time)
    found, decider = [], Decider(config)
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 400], strict=True):
        found.append(decider.decide(z[low:high], np.zeros(high - low), time[low:high]).action)
        onward = Decider(config)
        onward.restore(decider.state())
        decider = onward
    assert np.concatenate(found).tolist() == expected.action.tolist()
    assert {name: a.tobytes() for name, a in decider.state().items()} == {
        name: a.tobytes() for name, a in whole.state().items()
    }


@pytest.mark.parametrize(("budget", "window"), [(100, 10_000), (1_500, 10_000)])
def test_every_window_is_within_its_budget_at_the_recall_of_hindsight(budget: int, window: int) -> None:
    draw = np.random.default_rng(3)
    n = 1_000_000
    z = draw.normal(-3, 1.5, n) + np.linspace(0, 1, n)
    y = draw.random(n) < 1 / (1 + np.exp(-z))
    taken = Decider(DecisionConfig(capacity=budget, window=window)).decide(z, np.zeros(n)).action.reshape(-1, window)
    assert (taken.sum(axis=1) <= budget).all()
    assert (taken[1:].sum(axis=1) >= 0.95 * budget).all()
    highest = np.argsort(-z.reshape(-1, window), axis=1, kind="stable")[:, :budget]
    hindsight = np.take_along_axis(y.reshape(-1, window), highest, axis=1).sum()
    assert (taken * y.reshape(-1, window)).sum() >= 0.95 * hindsight


def test_equal_scores_keep_to_the_budget_too() -> None:
    taken = Decider(DecisionConfig(capacity=50, window=1000)).decide(np.zeros(20_000), np.zeros(20_000)).action
    assert (taken.reshape(-1, 1000).sum(axis=1) >= 48).all()
    assert (taken.reshape(-1, 1000)[:, :500].sum(axis=1) > 10).all()  # spread over the window, not its first events


def test_a_window_of_time_keeps_its_cap() -> None:
    draw = np.random.default_rng(5)
    time = (draw.exponential(1 / (20 + 15 * np.sin(np.arange(40_000) / 3000))) * 1e6).astype(np.int64).cumsum()
    config = DecisionConfig(capacity=30, seconds=60)
    taken = Decider(config).decide(draw.normal(size=40_000), np.zeros(40_000), time).action
    used = np.bincount(time // 60_000_000, taken)[1:-1]
    assert (used <= 30).all()
    assert (used >= 24).all()
    assert used.mean() > 28.5


def test_weights_that_grow_large_are_scaled_back() -> None:
    z = np.random.default_rng(6).normal(size=800_000)
    decider = Decider(DecisionConfig(capacity=10, window=1000))
    taken = decider.decide(z, np.zeros(len(z))).action.reshape(-1, 1000)
    assert decider.state()["sums"][0] < 1e100
    assert (taken[1:].sum(axis=1) == 10).all()


def test_a_state_of_something_else_is_refused_and_another_window_begins_anew() -> None:
    config = DecisionConfig(capacity=3, window=10)
    decider = Decider(config)
    decider.decide(np.arange(25.0), np.zeros(25))
    state = decider.state()
    for name, bad in (("tree", state["tree"][1:]), ("mass", state["mass"] - 1), ("sums", state["sums"] * np.nan)):
        with pytest.raises(StateError, match=f"the capacity: the array '{name}'"):
            Decider(config).restore(state | {name: bad})
    other = Decider(replace(config, window=11))
    other.restore(state)
    assert other.state()["counts"].tolist() == [0, -1, 0, 0]
    assert Decider(FRAUD).state() == {}
    Decider(FRAUD).restore(state)
