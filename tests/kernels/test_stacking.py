"""The last word against its slow twin, and that it mends what all experts share."""

from typing import Any

import naive
import numpy as np
import numpy.typing as npt
import pytest

from onlogit.kernels import covariance, stacking
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import NO_FLIPS, Flips, flips_of
from onlogit.learners.protocol import BOTH, Tape

F = npt.NDArray[Any]


def walk(
    experts: F, z: F, y: F, counts: F, half_life: float, flips: Flips = NO_FLIPS, noted: F | None = None,
    live: bool = True,
) -> tuple[F, F]:  # fmt: skip
    """What is stated, and the mean of its weights."""
    n, k = experts.shape
    lanes = -(-k // LANES) * LANES
    memo = np.zeros((n, 2 * lanes + LANES + 1), np.float32)
    memo[:, :k], memo[:, 2 * lanes] = experts, z
    memo[:, 2 * lanes + LANES - 1] = 7.0  # the odds of the rate lie where the input is 1
    if noted is not None:
        memo[:, 2 * lanes + 1 : 2 * lanes + 7] = noted
    used = np.append(np.arange(k), lanes + np.arange(LANES))
    prior, mean = np.zeros((2, lanes + LANES), np.float32)
    prior[used], mean[lanes] = 0.01, 1.0
    cov = np.diag(prior)
    out = np.zeros(n)
    tape = Tape.of(n, BOTH)
    rate = np.log(2) / half_life
    scales = covariance.unscaled(LANES)
    stacking.walk(tape.row, tape.act, counts, y, memo, live, rate, prior, mean, cov, scales, out, flips)
    unused = np.setdiff1d(np.arange(lanes + LANES), used)
    assert (mean[unused] == 0).all()
    return out, mean[np.concatenate([[lanes + 7], lanes + np.arange(7), np.arange(k)])]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("flips", [(0.0, 0.0), (0.2, 0.0), (0.1, 0.3)])
def test_walk_equals_its_twin(flips: tuple[float, float], live: bool) -> None:
    random = np.random.default_rng(1)
    n, k = 400, 3
    z = random.normal(0, 2, n).astype(np.float32)
    experts = (z[:, None] + random.normal(0, 1.5, (n, k))).astype(np.float32)
    y, weight = (random.random(n) < 0.4).astype(float), random.choice([1.0, 0.0, 0.5, 3.0], n)
    noted = random.normal(0, 1, (n, 6)).astype(np.float32)
    out, mean = walk(experts, z, y, weight, 100.0, flips_of(*flips), noted, live)
    if not live:
        noted[:, :5] = 0.0  # residuals; the gap to the running rate is heard
    twin = naive.Stack(k + 8, 100.0, 0.01, flips)
    for i in range(n):
        x = twin.inputs(float(z[i]), experts[i].astype(float), noted[i].astype(float))
        assert out[i] == pytest.approx(twin.state(x), rel=1e-5, abs=1e-5)
        twin.learn(x, y[i], weight[i])
    np.testing.assert_allclose(mean, twin.mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("level", "slope"), [(0.4, 1.0), (0.0, 0.6), (-0.3, 1.4)])
def test_it_mends_a_level_and_a_slope_that_all_experts_share(level: float, slope: float) -> None:
    random = np.random.default_rng(7)
    n = 20_000
    z = random.normal(0, 1.5, n)
    y = (random.random(n) < 1 / (1 + np.exp(-(level + slope * z)))).astype(float)
    out, _ = walk(z[:, None], z, y, np.ones(n), np.inf)
    late = slice(n // 2, n)
    assert np.mean(np.abs(out[late] - level - slope * z[late])) < 0.1


def test_extremes_stay_finite() -> None:
    experts = np.array([[1e30, -1e30], [3e38, 3e38], [0.0, -90.0]])
    out, mean = walk(experts, np.array([11.0, -11.0, 0.0]), np.array([0.0, 1.0, 1.0]), np.full(3, 1e6), 10.0)
    assert np.isfinite(out).all()
    assert np.isfinite(mean).all()
