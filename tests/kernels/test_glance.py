"""A look at slots against the same in NumPy."""

import numpy as np
import pytest

from onlogit.kernels import glance


@pytest.mark.parametrize("slots", [0, 1, 40])
def test_mix_equals_its_twin(slots: int) -> None:
    random = np.random.default_rng(slots)
    table = random.normal(size=(slots, 2, 8)).astype(np.float32)
    table[:, 1] = np.abs(table[:, 1])
    table[::3, 1, 2] = 0.0  # a variance that came to nothing
    touched, share = random.choice([0.0, 5.0], slots), random.dirichlet(np.ones(3))
    prior = np.array([0.5, 0.1, 0.9, *[0.0] * 5], np.float32)
    weights, gain = np.empty((2, slots))
    glance.mix(table, touched, share, prior, weights, gain)
    mean, variance = table[:, :, :3].astype(float).transpose(1, 0, 2)
    gained = np.maximum(1.0 / np.maximum(variance, 1e-300) - 1.0 / prior[:3].astype(float), 0.0)
    np.testing.assert_allclose(weights, mean @ share, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gain, np.where(touched > 0.0, gained @ share, 0.0), rtol=1e-12)


@pytest.mark.parametrize("slots", [0, 1, 60])
def test_centre_equals_its_twin(slots: int) -> None:
    random = np.random.default_rng(slots)
    group, gain = random.integers(-1, 5, slots), random.gamma(1.0, size=slots)
    gain[group == 3] = 0.0  # of which nothing is known
    weights = random.normal(size=slots)
    found = weights.copy()
    level = glance.centre(group, gain, found)
    wanted, levels = weights.copy(), 0.0
    for g in range(5):
        own = group == g
        if gain[own].sum() > 0.0:
            mean = gain[own] @ weights[own] / gain[own].sum()
            wanted[own] -= mean
            levels += mean
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    assert level == pytest.approx(levels)
