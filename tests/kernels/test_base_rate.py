"""The running rate beside the learner, against its slow twin, and what it promises."""

import math
from typing import Any

import naive
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import Config, LabelConfig, OnlineLogit
from onlogit.kernels import base_rate
from onlogit.kernels.flips import NO_FLIPS, Flips, flips_of
from onlogit.learners.protocol import BOTH, LEARN, SCORE, Tape

F = npt.NDArray[Any]


def log_loss(z: F, y: F) -> float:
    return float(np.sum(np.logaddexp(0.0, z) - y * z))


def walk(
    word: F, odds: F, y: F, weight: F, tape: Tape, counts: F | None = None, flips: Flips = NO_FLIPS
) -> tuple[F, F]:
    """What is stated, and the state after it. `counts`: what a label counts as evidence, where that is not its weight."""
    counts = weight[tape.row] if counts is None else counts
    z, rate = word.copy(), np.array([base_rate.START, 0.0])
    memo = np.zeros((len(y), 5), np.float32)
    memo[:, 3] = odds
    base_rate.walk(tape.row, tape.act, weight, counts, y, memo, rate, z, flips)
    assert (memo[:, :3] == 0).all()
    return z, rate


@pytest.mark.parametrize("flips", [(0.0, 0.0), (0.2, 0.0), (0.1, 0.3)])
@pytest.mark.parametrize("delay", [0, 40])
@pytest.mark.parametrize("scale", [0.3, 8.0])
def test_walk_equals_its_twin(delay: int, scale: float, flips: tuple[float, float]) -> None:
    random, n = np.random.default_rng(3), 500
    word = np.clip(random.normal(-1.0, scale, n), -13, 13).astype(np.float32).astype(float)
    y = (random.random(n) < 0.2).astype(float)
    weight = random.choice([1.0, 0.0, 0.5, 3.0], n)
    less = 1.0 if delay == 0 else 0.15
    odds = np.exp(random.normal(-1.0, 1.0, n)).astype(np.float32)
    row, act, twin, wanted, said = [], [], naive.BaseRate(flips), [], []
    for i in range(n + delay):
        if i < n:
            row.append(i)
            act.append(SCORE)
            said.append(twin.voices(word[i], float(odds[i])))
            wanted.append(twin.state(said[i]))
        if i >= delay:
            row.append(i - delay)
            act.append(LEARN)
            twin.learn(said[i - delay], y[i - delay], weight[i - delay] * less)
    tape = Tape(np.array(row), np.array(act, np.uint8), np.zeros(len(row), np.int64))
    z, rate = walk(word, odds, y, weight, tape, weight[tape.row] * less, flips_of(*flips))
    np.testing.assert_allclose(z, wanted, rtol=1e-5, atol=1e-5)
    assert base_rate.LOW <= rate[0] < base_rate.HIGH
    assert math.log(rate[0]) - 64 * math.log(2) * rate[1] == pytest.approx(twin.evidence, rel=1e-4, abs=1e-3)


def test_bounds_of_regret_hold_on_any_stream() -> None:
    """ln 50 nats beyond the running rate and ln 50/49 beyond the learner, whatever the learner says."""
    random, n = np.random.default_rng(5), 3000
    for share in (0.0, 0.01, 0.5, 1.0):
        y = (random.random(n) < share).astype(float)
        known = np.cumsum(y) - y
        base = np.log((known + 0.5) / (np.arange(n) - known + 0.5))
        for word in (
            random.normal(0, 3, n),
            base + random.normal(0, 0.2, n),
            np.where(y > 0, 4.0, -4.0),
            np.full(n, 13.0),
        ):
            z, _ = walk(word, np.exp(base), y, np.ones(n), Tape.of(n, BOTH))
            assert log_loss(z, y) <= log_loss(base, y) + math.log(50) + 1e-3
            assert log_loss(z, y) <= log_loss(word, y) + math.log(50 / 49) + 1e-3


def test_a_learner_that_has_won_is_left_alone() -> None:
    y = np.tile([0.0, 1.0], 100)
    word = np.where(y > 0, 2.0, -2.0)
    z, rate = walk(word, np.ones(200), y, np.ones(200), Tape.of(200, BOTH))
    assert rate[1] > 0
    np.testing.assert_array_equal(z[150:], word[150:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "delay", "excess"),
    [(0.001, 0, 1e-4), (0.01, 0, 1e-4), (0.3, 0, 1e-4), (0.001, 1000, 1e-3), (0.01, 1000, 1.1e-3), (0.3, 1000, 2e-3)],
)
def test_on_pure_noise_the_default_learner_is_about_as_good_as_the_running_rate(
    rate: float, delay: int, excess: float
) -> None:
    """20 numbers and 1,000 categories that mean nothing, 50,000 events; at most 1e-4 an event with fresh labels. With late
    ones noise is learned before it is told from signal."""
    n, random = 50_000, np.random.default_rng(0)
    x = random.standard_normal((n, 20)).astype(np.float32)
    columns: dict[str, Any] = {f"x{j}": np.ascontiguousarray(x[:, j]) for j in range(20)}
    columns["c"] = pa.array([f"v{k}" for k in range(1000)]).take(pa.array(random.integers(0, 1000, n)))
    columns["y"] = y = random.random(n) < rate
    z = OnlineLogit("y", config=Config(labels=LabelConfig(delay=delay))).step(pa.table(columns)).z
    known = np.concatenate([[0], np.cumsum(y)])[np.maximum(np.arange(n) - delay, 0)]
    labels = np.maximum(np.arange(n) - delay, 0)
    base = np.log((known + 0.5) / (labels - known + 0.5))
    assert (log_loss(z, y) - log_loss(base, y)) / n <= excess
