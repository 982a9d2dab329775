"""The mixture against its slow twin, and its regret against the theorem."""

from itertools import pairwise
from typing import Any

import naive
import numpy as np
import numpy.typing as npt
import pytest

from onlogit.kernels import mixture
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import NO_FLIPS, Flips, flips_of
from onlogit.learners.protocol import BOTH, Tape

F = npt.NDArray[Any]


def walk(
    z: F, s2: F, y: F, counts: F, switching: list[float], flips: Flips = NO_FLIPS, late: F | None = None,
    half_lives: F | None = None, cuts: tuple[int, ...] = (),
) -> tuple[F, F, F, F]:  # fmt: skip
    n, k = z.shape
    late = np.zeros(n) if late is None else late
    lanes = -(-k // LANES) * LANES
    used = np.append(np.arange(k), lanes + np.arange(k))
    uniform = np.zeros(2 * lanes, np.float32)
    uniform[used] = 1 / (2 * k)
    u, omega = np.tile(uniform, (len(switching), 1)), np.full(len(switching), 1 / len(switching))
    sd = np.zeros(n)
    memo = np.zeros((n, 2 * lanes + 1), np.float32)
    memo[:, :k], memo[:, lanes : lanes + k] = z, s2
    fading = np.zeros(lanes, np.float32)
    if half_lives is not None:
        fading[:k] = np.log(2) / half_lives
    tape = Tape.of(n, BOTH)
    for a, b in pairwise((0, *cuts, n)):
        mixture.walk(
            tape.row[a:b], tape.act[a:b], counts[a:b], late[a:b], y, memo, np.array(switching), uniform, fading, u, omega,
            sd, flips,
        )  # fmt: skip
    return memo[:, -1].astype(np.float64), sd, u[:, used], omega


@pytest.mark.parametrize("flips", [(0.0, 0.0), (0.2, 0.0), (0.1, 0.3)])
@pytest.mark.parametrize("seed", range(3))
def test_walk_equals_its_twin(seed: int, flips: tuple[float, float]) -> None:
    random = np.random.default_rng(seed)
    n, k, switching = 500, 4, [0.0, 1e-3, 0.05]
    z, s2 = random.normal(0, 2, (n, k)).astype(np.float32), random.gamma(1, 1, (n, k)).astype(np.float32)
    y, weight = (random.random(n) < 0.4).astype(float), random.choice([1.0, 0.0, 0.5, 3.0], n)
    out, sd, u, omega = walk(z, s2, y, weight, switching, flips_of(*flips))
    twin = naive.Mixture(k, switching, flips)
    for i in range(n):
        a, b = z[i].astype(float), s2[i].astype(float)
        np.testing.assert_allclose((out[i], sd[i]), twin.state(a, b), rtol=2e-5, atol=2e-5)
        twin.learn(a, b, y[i], weight[i])
    np.testing.assert_allclose(u, twin.u, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(omega, twin.omega, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("cuts", [(), (1,), (2, 3, 40)])
def test_with_labels_in_flight_voices_begin_by_their_half_lives(cuts: tuple[int, ...]) -> None:
    random = np.random.default_rng(7)
    n, k, switching, half_lives = 300, 4, [0.0, 1e-2], np.array([np.inf, 1e4, 600.0, 40.0])
    z, s2 = random.normal(0, 2, (n, k)).astype(np.float32), random.gamma(1, 1, (n, k)).astype(np.float32)
    z[0] = 0.0  # a label that tells no voice from another: they are still to begin
    y, late = (random.random(n) < 0.4).astype(float), np.linspace(900, 1100, n)
    counts = 1 / np.sqrt(1 + late)
    out, sd, u, omega = walk(z, s2, y, counts, switching, late=late, half_lives=half_lives, cuts=cuts)
    twin = naive.Mixture(k, switching, half_lives=half_lives)
    for i in range(n):
        a, b = z[i].astype(float), s2[i].astype(float)
        np.testing.assert_allclose((out[i], sd[i]), twin.state(a, b), rtol=2e-5, atol=2e-5)
        twin.learn(a, b, y[i], counts[i], late[i])
    np.testing.assert_allclose(u, twin.u, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(omega, twin.omega, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_regret_to_the_best_voice_is_at_most_the_log_of_their_number(seed: int) -> None:
    random = np.random.default_rng(seed)
    n, k = 3000, 6
    z = random.normal(0, 1, (n, k)) + np.linspace(-2, 2, k)
    s2 = random.gamma(1, 1, (n, k))
    p = 1 / (1 + np.exp(-z[:, 2]))
    y = (random.random(n) < p).astype(float)
    out, *_ = walk(z.astype(np.float32), s2.astype(np.float32), y, np.ones(n), [0.0, 1e-3])
    loss = np.sum(np.maximum(out, 0) - y * out + np.log1p(np.exp(-np.abs(out))))
    voices = np.array([naive.Mixture.voices(z[i], s2[i]) for i in range(n)])
    best = -np.log(np.where(y[:, None] == 1, voices, 1 - voices)).sum(axis=0).min()
    assert loss <= best + np.log(2 * k) + np.log(2) + 1e-3


def test_switching_follows_a_best_voice_that_changes_and_weights_return_from_nothing() -> None:
    n = 40_000
    half = np.arange(n) < n // 2
    z = np.stack([np.where(half, 4.0, -4.0), np.where(half, -4.0, 4.0)], axis=1).astype(np.float32)
    y = np.ones(n)
    out, _, u, omega = walk(z, np.zeros_like(z), y, np.ones(n), [0.0, 1e-2])
    late = out[n // 2 + 100 :]
    assert (late > 3.5).all()
    assert np.isfinite(u).all()
    assert (u > 0).all()
    assert (omega > 0).all()


def test_extremes_stay_finite() -> None:
    z = np.array([[1e6, -1e6], [1e6, 1e6], [0.0, -90.0]], np.float32)
    s2 = np.array([[0.0, 1e12], [1e12, 0.0], [0.0, 0.0]], np.float32)
    out, sd, u, omega = walk(z, s2, np.array([0.0, 0.0, 1.0]), np.ones(3), [0.0, 0.01])
    for array in (out, sd, u, omega):
        assert np.isfinite(array).all()
    assert np.abs(out).max() <= np.log((1 - 1e-5) / 1e-5) + 1e-5


def test_a_label_counts_less_the_more_are_in_flight_and_not_by_the_hour() -> None:
    n = 30_000
    hour = np.arange(n) % 1000
    waiting = np.where(hour < 500, 300, 20)  # many by day, few by night
    act = np.full(n, BOTH, np.uint8)
    weight = np.where(np.arange(n) % 7 == 0, 0.0, 2.0)
    (counts, mean), flight = np.zeros((2, n)), np.zeros(2)
    mixture.temper(np.arange(n), act, waiting, weight, flight, counts, mean)
    late = slice(n // 2, n)
    learned = weight[late] > 0
    np.testing.assert_allclose(counts[late][learned], 2 / np.sqrt(1 + 160), rtol=0.03)
    np.testing.assert_allclose(mean[late][learned], 160, rtol=0.06)
    assert (counts[late][~learned] == 0).all()
    fresh = np.zeros(n)
    mixture.temper(np.arange(n), act, np.zeros(n, np.int64), weight, np.zeros(2), fresh, np.zeros(n))
    np.testing.assert_array_equal(fresh, weight)
