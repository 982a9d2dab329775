"""The link: worked values, accuracy against math and NumPy, and the ends of the double range."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlogit.kernels import link
from onlogit.kernels.jit import kernel
from onlogit.kernels.link import exponential, probabilities

F64 = npt.NDArray[np.float64]
LARGEST = float(np.finfo(np.float64).max)
ANY_Z = st.floats(allow_nan=False, allow_infinity=False)


@kernel
def exponentials(x: F64, out: F64) -> None:
    for i in range(x.size):
        out[i] = exponential(x[i])


@kernel
def sigmoid(z: float) -> float:
    return link.sigmoid(z)


@kernel
def logit(p: float) -> float:
    return link.logit(p)


@kernel
def log_loss(y: float, z: float) -> float:
    return link.log_loss(y, z)


@kernel
def softplus(x: F64, out: F64) -> None:
    for i in range(x.size):
        out[i] = link.log_loss(0.0, x[i])


def over(function: Callable[[F64, F64], None], x: F64) -> F64:
    out = np.empty_like(x)
    function(x, out)
    return out


@pytest.mark.parametrize(
    ("z", "p", "within"),
    [
        (1.1, 0.7503, 5e-5),
        (8.0, 0.99966, 5e-6),
        (7.0, 0.99909, 5e-6),
        (0.4, 0.5987, 5e-5),
        (-0.4, 0.4013, 5e-5),
        (0.06, 0.515, 5e-4),
        (3.2, 0.961, 5e-4),
        (0.0, 0.5, 0.0),
    ],
)
def test_worked_sigmoid(z: float, p: float, within: float) -> None:
    assert abs(sigmoid(z) - p) <= within


def test_worked_scores() -> None:
    assert sigmoid(-1.2 + 0.8 * 2 - 0.5 * 1 + 0.3 * 4) == pytest.approx(0.7503, abs=5e-5)
    assert sigmoid(-2 + float(np.dot([0.12, 0.40, 0.90, 0.70], [8, 1, 0, 1]))) == pytest.approx(0.515, abs=5e-4)
    assert sigmoid(-2 + float(np.dot([0.12, 0.40, 0.90, 0.70], [20, 3, 1, 1]))) == pytest.approx(0.961, abs=5e-4)


@pytest.mark.parametrize(("p", "loss"), [(0.6, 0.5108), (0.95, 0.0513)])
def test_worked_losses(p: float, loss: float) -> None:
    assert log_loss(1.0, logit(p)) == pytest.approx(loss, abs=5e-5)
    assert log_loss(0.0, logit(1 - p)) == pytest.approx(loss, abs=5e-5)


def test_exponential_accuracy() -> None:
    x = np.concatenate([np.linspace(-708, 709, 200_001), np.linspace(-1, 1, 20_001)])
    assert np.max(np.abs(over(exponentials, x) / np.exp(x) - 1)) < 1e-15


def test_exponential_holds_its_ends() -> None:
    got = over(exponentials, np.array([-LARGEST, -709.5, 709.5, LARGEST, np.inf, -np.inf]))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, np.exp([-708.0, -708, 709, 709, 709, -708]), rtol=1e-13)


def test_sigmoid_and_softplus_against_numpy() -> None:
    x = np.concatenate([np.linspace(-700, 700, 100_001), np.linspace(-2, 2, 10_001)])
    np.testing.assert_allclose(over(probabilities, x), np.exp(-np.logaddexp(0, -x)), rtol=3e-13)
    np.testing.assert_allclose(over(softplus, x), np.logaddexp(0, x), rtol=2e-15)


@given(ANY_Z)
def test_probabilities_are_probabilities(z: float) -> None:
    p, other = sigmoid(z), sigmoid(-z)
    assert 0.0 < p <= 1.0
    assert p + other == pytest.approx(1.0, abs=3e-16)


@given(ANY_Z, st.sampled_from([0.0, 1.0]))
def test_loss_is_finite_and_sums_to_softplus(z: float, y: float) -> None:
    loss = log_loss(y, z)
    assert 0.0 <= loss < math.inf
    assert loss == pytest.approx(np.logaddexp(0.0, -z if y == 1 else z), rel=2e-15, abs=1e-300)


@given(st.floats(1e-300, 1.0, exclude_max=True))
def test_logit_inverts(p: float) -> None:
    assert sigmoid(logit(p)) == pytest.approx(p, rel=1e-12)


@given(ANY_Z, st.floats(0, 1e3))
def test_monotone(z: float, more: float) -> None:
    assert sigmoid(z + more) >= sigmoid(z) * (1 - 4e-16)


def test_logit_ends() -> None:
    assert logit(0.0) == -math.inf
    assert logit(1.0) == math.inf
