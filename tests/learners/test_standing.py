"""What experts count for an interval: the prior is what it says, the gap speaks for and against, and intervals hold the truth."""

import math

import numpy as np
import pytest

from bench.intervals import Case, Categories, held, held_categories
from onlogit.config import BeliefConfig
from onlogit.encoding import Rows
from onlogit.learners.belief import BeliefLearner
from onlogit.learners.protocol import BOTH, SCORE, Tape
from onlogit.learners.standing import MOST, PRIOR, shares

A, K, D = 3, 4, 2  # mixtures; experts: never forgetting with a narrow and a wide prior, then the same with a half-life
LIVES = np.array([math.inf, math.inf, 1e4, 1e4])
WIDTHS = np.array([0.01, 1.0, 0.01, 1.0])
SWITCHING = np.array([0.0, 1e-4, 1e-2])


def told(gap: float, u: np.ndarray, omega: np.ndarray, lives: np.ndarray = LIVES) -> np.ndarray:
    """Shares where the two of the wide prior differ by so many sds of what chance allows, in every weight."""
    cov = np.stack([v * np.eye(D) for v in (0.01, 0.02, 0.01, 0.06)])
    mean = np.zeros((K, D))
    mean[3] = gap * math.sqrt((0.06 - 0.02) / 2)
    return shares(u, omega, SWITCHING, lives, WIDTHS, mean, cov)


def test_before_any_label_a_world_that_stands_still_has_its_prior() -> None:
    """Where experts are one and the same, as they are then, there is no gap to speak of."""
    cov = np.tile(np.eye(D), (K, 1, 1))
    found = shares(np.full((A, K), 1 / K), np.full(A, 1 / A), SWITCHING, LIVES, WIDTHS, np.zeros((K, D)), cov)
    switching = (1.0 - PRIOR) * (A - 1) / A / K / (1 - 2 / K / A)  # each expert's part in mixtures that switch
    assert found[:2] == pytest.approx([0.0, PRIOR + 2 * switching])  # the wider one counts for both
    assert found.sum() == pytest.approx(1.0)


def test_the_gap_speaks_for_it_and_against_it() -> None:
    rng = np.random.default_rng(0)
    u, omega = rng.dirichlet(np.ones(K), A), rng.dirichlet(np.ones(A))
    cov = np.tile(np.eye(D), (K, 1, 1))
    neutral = shares(u, omega, SWITCHING, LIVES, WIDTHS, np.zeros((K, D)), cov)
    before = neutral[:2].sum() / neutral[2:].sum()
    for gap in (0.0, 1.0, 2.0, 4.0):
        found = told(gap, u, omega)
        odds = min(2.0**D * math.exp(-0.375 * D * gap**2), MOST)
        assert found.sum() == pytest.approx(1.0)
        assert found[:2].sum() / found[2:].sum() == pytest.approx(before * odds)
        assert found[0] == neutral[0] == 0.0
    assert told(4.0, u, omega)[:2].sum() < 0.02 < 0.3 < told(0.0, u, omega)[:2].sum()


def test_without_a_choice_there_is_what_the_mixture_says() -> None:
    rng = np.random.default_rng(1)
    u, omega = rng.dirichlet(np.ones(K), A), rng.dirichlet(np.ones(A))
    np.testing.assert_allclose(told(3.0, u, omega, np.full(K, 600.0)), omega @ u)
    assert told(3.0, u, omega, np.full(K, math.inf)).tolist() == [0.0, 1.0, 0.0, 0.0]  # of the widest, the first


def test_z_sd_is_that_of_the_mixture_about_what_is_stated() -> None:
    rng = np.random.default_rng(2)
    learner, n = BeliefLearner(BeliefConfig(), 3, 4), 500
    tile = Rows(rng.normal(size=(n, 3)).astype(np.float32), np.zeros(n + 1, np.int64), *np.zeros((2, 0), np.int32))
    tile = tile._replace(values=tile.values.astype(np.float32))
    memo = np.empty((n, learner.memo_width), np.float32)
    y = (rng.random(n) < 1 / (1 + np.exp(-tile.dense[:, 0]))).astype(np.float64)
    learner.learn(tile, Tape.of(n, BOTH), y, np.ones(n), memo)
    scores = learner.learn(tile, Tape.of(n, SCORE), y, np.ones(n), memo)
    k, e = learner.experts, learner.lanes
    z, s2, mixed = (each.astype(np.float64) for each in (memo[:, :k], memo[:, e : e + k], memo[:, 2 * e]))
    variance = (s2 + (z - mixed[:, None]) ** 2) @ learner._share() + (scores.z - mixed) ** 2
    np.testing.assert_allclose(scores.z_sd, np.sqrt(variance), rtol=1e-5)


@pytest.mark.slow
def test_intervals_of_the_default_learner_hold_the_truth() -> None:
    """93 to 97 % of them, of weights and of p: 130 runs each; docs/decisions.md has more kinds of streams, of 400."""
    cases = Case(600, 4), Case(1_000, 10, 0.5, 0.0), Case(5_000, 4, 0.0, -3.5)
    found = [
        [np.mean(each) for each in zip(*(held(case, seed)[:3] for seed in range(130)), strict=True)] for case in cases
    ]
    weights, explained, stated = np.mean(found, axis=0)
    assert 0.93 <= weights <= 0.97, found
    assert 0.93 <= explained <= 0.97, found
    assert stated >= 0.95, found


@pytest.mark.slow
def test_intervals_of_categories_hold_the_truth() -> None:
    """Of each category's difference from the mean of its column."""
    cases = Categories(3_000, (5,)), Categories(3_000, (5, 20))
    found = [np.mean(np.concatenate([held_categories(case, seed)[0] for seed in range(80)])) for case in cases]
    assert 0.93 <= np.mean(found) <= 0.97, found


@pytest.mark.slow
def test_intervals_hold_the_truth_of_now_after_a_turn() -> None:
    case = Case(2_000, 4, drift="turn round at half")
    assert np.mean([held(case, seed)[0] for seed in range(60)]) > 0.95
