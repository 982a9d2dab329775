"""Flipped labels: steps against their likelihood by plain arithmetic, at any score and any weight."""

import math

import naive
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlogit.kernels import covariance, flips, implicit
from onlogit.kernels.jit import kernel

F32 = npt.NDArray[np.float32]
RATES = [(0.0, 0.2), (0.2, 0.0), (0.1, 0.3), (0.49, 0.49)]


@kernel
def step_of(z: float, s2: float, y: float, h: float, rates: flips.Flips) -> float:
    return implicit.flipped_step(z, s2, y, h, rates)


@kernel
def steps_of(z: F32, s2: F32, y: float, h: float, out: F32, rates: flips.Flips) -> None:
    covariance.steps(z, s2, y, h, np.ones(8, np.float32), 0, out[0], out[1], out[2], rates)


@given(
    st.floats(-690, 690), st.floats(0, 1e4), st.sampled_from([0.0, 1.0]), st.floats(1e-3, 1e4), st.sampled_from(RATES)
)
def test_a_step_stays_in_its_bracket_and_never_lowers_the_posterior(
    z: float, s2: float, y: float, h: float, rates: tuple[float, float]
) -> None:
    """Generalised EM: the log posterior along S x of a label that may be flipped does not fall, however heavy the label.

    Up to |z| = 690, as `observed_log_odds`, by which the loss is told here, holds z at 700."""
    delta = step_of(z, s2, y, h, flips.flips_of(*rates))
    assert math.isfinite(delta)
    assert -h <= delta <= h
    assert delta * (2 * y - 1) >= -1e-9 * h

    def loss(d: float) -> float:
        log_odds = flips.observed_log_odds(np.array([z + s2 * d]), flips.flips_of(*rates))[0]
        return float(0.5 * s2 * d * d + h * np.logaddexp(0.0, -log_odds if y else log_odds))

    assert loss(delta) <= loss(0.0) + 1e-6 * (1 + abs(loss(0.0)))


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("h", [0.5, 1.0, 20.0])
def test_lanes_and_scalar_agree_with_the_twin(rates: tuple[float, float], h: float) -> None:
    z = np.array([-6, -2, -0.5, 0, 0.3, 1, 3, 6], np.float32)
    out = np.zeros((3, 8), np.float32)
    for s2 in (0.01, 0.5, 4.0):
        for y in (0.0, 1.0):
            steps_of(z, np.full(8, s2, np.float32), y, h, out, flips.flips_of(*rates))
            for k, each in enumerate(z.tolist()):
                delta = naive.implicit_root(each, s2, naive.soft_label(each, y, *rates), h)
                r = h * naive.information(each + s2 * delta, *rates)
                assert step_of(each, s2, y, h, flips.flips_of(*rates)) == pytest.approx(delta, abs=3e-3 * h)
                assert out[0, k] == pytest.approx(delta, abs=3e-3 * h)
                assert out[1, k] == pytest.approx(r / (1 + r * s2), rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("rates", RATES)
def test_the_farthest_scores_stay_finite(rates: tuple[float, float]) -> None:
    z = np.array([-1e6, -100, -90, -88, 88, 90, 100, 1e6], np.float32)
    out = np.zeros((3, 8), np.float32)
    for s2 in (0.0, 1e-3, 1e6):
        for y in (0.0, 1.0):
            steps_of(z, np.full(8, s2, np.float32), y, 1.0, out, flips.flips_of(*rates))
            assert np.isfinite(out).all()
            assert (out[1:] >= 0).all()


def test_what_labels_judge() -> None:
    z = np.array([-800.0, -3.0, 0.0, 2.0, 800.0])
    p = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    for fp, fn in RATES:
        found = flips.observed_log_odds(z, flips.flips_of(fp, fn))
        assert np.isfinite(found).all()
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), naive.of_label(p, fp, fn), atol=1e-12)
    assert flips.observed_log_odds(z, flips.flips_of(0.0, 0.0)) is z
    assert flips.true_odds(30.0, 100.0, flips.NO_FLIPS) == (30.5, 70.5)
    assert flips.true_odds(10.0, 100.0, flips.flips_of(0.2, 0.0)) == (0.5, 90.5)  # fewer than noise alone would give
