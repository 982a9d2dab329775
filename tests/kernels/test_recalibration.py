"""The shadow's map and its evidence against their slow twin; the promise of the evidence under right probabilities."""

import math

import numpy as np
import pytest
from naive import NaiveRecalibration

from onlogit.kernels.flips import NO_FLIPS, flips_of
from onlogit.kernels.recalibration import NOTHING, PRIOR, log_evidence, weigh_and_learn

F64 = np.ndarray


def fresh() -> tuple[F64, F64, F64]:
    return np.array([0.0, 1.0]), np.array([PRIOR, 0.0, PRIOR]), np.array([NOTHING, 0.0])


@pytest.mark.parametrize("flips", [(0.0, 0.0), (0.2, 0.0), (0.1, 0.3)])
def test_as_its_twin(flips: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    n = 3_500
    raw, y = rng.normal(-1.0, 2.0, n), rng.integers(-1, 2, n).astype(np.int8)
    weight, judged = rng.choice([0.0, 1.0, 3.5, 400.0], n), rng.random(n) < 0.9
    stated, shadow = raw + rng.normal(0.0, 0.1, n), raw + rng.normal(0.0, 0.1, n)
    mean, cov, capital = fresh()
    for part in (slice(0, 1), slice(1, 1_200), slice(1_200, n)):
        rows = raw[part], stated[part], shadow[part], y[part], weight[part], judged[part]
        weigh_and_learn(*rows, mean, cov, capital, flips_of(*flips))
    twin = NaiveRecalibration(flips)
    for i in np.flatnonzero((y >= 0) & (weight > 0)):
        twin.step(raw[i], stated[i], shadow[i], int(y[i]), weight[i], bool(judged[i]))
    assert len(twin.strands) == 2
    assert mean == pytest.approx(twin.mean, abs=1e-4)
    assert cov == pytest.approx([twin.cov[0, 0], twin.cov[0, 1], twin.cov[1, 1]], abs=1e-5)
    assert math.exp(log_evidence(capital)) == pytest.approx(twin.evidence(), rel=1e-9)


def test_right_probabilities_seldom_lose_a_bet() -> None:
    """P(M ever >= 10) <= 10 %, against a shadow that is wrong by as much as a shadow is."""
    crossed, streams, stretch = 0, 400, 100
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        z = rng.normal(-1.5, 1.0, 6_000)
        y = (rng.random(z.size) < 1 / (1 + np.exp(-z))).astype(np.int8)
        shadow = z + rng.normal(0.0, 0.12)
        mean, cov, capital = fresh()
        highest = -math.inf
        for a in range(0, z.size, stretch):
            s = slice(a, a + stretch)
            weigh_and_learn(
                z[s], z[s], shadow[s], y[s], np.ones(stretch), np.ones(stretch, bool), mean, cov, capital, NO_FLIPS
            )
            highest = max(highest, log_evidence(capital))
        crossed += highest >= math.log(10.0)
    assert 0 < crossed <= 0.1 * streams
