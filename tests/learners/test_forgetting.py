"""The algebra of forgetting against dense textbook formulas, and what it leaves alone."""

import math

import numpy as np
import pytest

from onlogit.config import BeliefConfig
from onlogit.encoding import Rows
from onlogit.learners import forgetting
from onlogit.learners.belief import BeliefLearner
from onlogit.learners.protocol import BOTH, Tape


def test_discount_is_a_power_prior() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 4))
    prior = np.array([10.0, 1.0, 1.0, 1.0], np.float32)
    cov = np.linalg.inv(np.diag(1.0 / prior) + x.T @ x).astype(np.float32)
    expected = np.linalg.inv(np.diag(1.0 / prior) + 0.2 * x.T @ x)  # a fifth of what each example told
    forgetting.discount(cov, prior, 0.2)
    np.testing.assert_allclose(cov, expected, rtol=1e-4, atol=1e-7)
    assert (cov == cov.T).all()
    variance = np.array([[0.1, 0.01]], np.float32)
    forgetting.discount_slots(variance, np.array([1.0, 0.01], np.float32), np.array([0.5, 0.5]))
    np.testing.assert_allclose(variance, [[1 / (0.5 * 10 + 0.5), 0.01]], rtol=1e-6)


def test_held_is_the_sum_of_fading_weights() -> None:
    lives = np.array([math.inf, 600.0, 40.0])
    found = forgetting.held(lives, 1_000.0)
    expected = [1_000.0, *(sum(0.5 ** (i / life) for i in range(1_000)) for life in lives[1:])]
    np.testing.assert_allclose(found, expected, rtol=0.01)


def learned(half_lives: tuple[float, ...], seed: int = 1, turn: int = 2_000) -> tuple[BeliefLearner, Rows, np.ndarray]:
    """A learner after 3,000 examples, whose effects turn round at `turn`."""
    rng, n = np.random.default_rng(seed), 3_000
    x = rng.normal(size=(n, 3)).astype(np.float32)
    slots = rng.integers(0, 8, n).astype(np.int32)
    sign = np.where(np.arange(n) < turn, 1.0, -1.0)
    z = sign * (x @ [1.0, -1.0, 0.5] + 0.3 * (slots - 4))
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.float64)
    priors = BeliefConfig().priors
    learner = BeliefLearner(BeliefConfig(half_lives, priors, lasting_priors=priors), 3, 3)
    rows = Rows(x, np.arange(n + 1), slots, np.ones(n, np.float32))
    learner.learn(rows, Tape.of(n, BOTH), y, np.ones(n), np.empty((n, learner.memo_width), np.float32))
    return learner, rows, y


def test_experts_that_remember_more_take_over_the_trusted_belief() -> None:
    learner, _, _ = learned((math.inf, 300.0), turn=2_000)
    share = learner._share().reshape(2, 2).sum(axis=1)
    assert share[1] > share[0]
    assert (learner.known.mean[0] != learner.known.mean[2]).any()
    learner.forget(1_000.0, 3_000.0, None)
    assert (learner.known.mean[:2] == learner.known.mean[2:]).all()
    assert (learner.known.table[:, 0, :2] == learner.known.table[:, 0, 2:4]).all()


@pytest.mark.parametrize("shift", [None, 0.5])
def test_means_stay_and_variances_grow(shift: float | None) -> None:
    learner, rows, _ = learned((math.inf,), turn=9_999)
    before, z = learner.coefficients(), learner.score(rows)
    learner.forget(300.0, 3_000.0, shift)
    after, moved = learner.coefficients(), learner.score(rows)
    assert after.bias == before.bias
    np.testing.assert_allclose(after.dense, before.dense, rtol=1e-5)
    ratio = (after.dense_sd / before.dense_sd) ** 2
    np.testing.assert_allclose(ratio, 10.0 if shift is None else 1.0, rtol=0.1)
    assert ((after.slot_sd > 2.0 * before.slot_sd).all()) == (shift is None)
    assert (moved.z_sd > z.z_sd).all()
    assert (learner.known.cov[0, 0, 0] > 0.25) == (shift is not None)
