"""What was wrong of late, against its slow twin, and what the learner makes of it."""

from typing import Any

import naive
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import OnlineLogit
from onlogit.kernels import residuals
from onlogit.kernels.flips import NO_FLIPS, Flips, flips_of
from onlogit.learners.protocol import BOTH, LEARN, SCORE, Tape

F = npt.NDArray[Any]


def walk(z: F, y: F, weight: F, tape: Tape, counts: F, flips: Flips = NO_FLIPS) -> tuple[F, F]:
    """What was noted of each row: five residuals, gap and odds; and positives and labels."""
    memo, counted = np.zeros((len(y), 11), np.float32), np.zeros(2)
    memo[:, 2] = z
    residuals.walk(tape.row, tape.act, weight, counts, y, memo, 2, *residuals.fresh(), counted, flips)
    assert (memo[:, [0, 1, 10]] == 0).all()
    assert (memo[:, 2] == z).all()
    return memo[:, 3:10], counted


@pytest.mark.parametrize("flips", [(0.0, 0.0), (0.2, 0.0), (0.1, 0.3)])
@pytest.mark.parametrize("delay", [0, 40])
def test_walk_equals_its_twin(delay: int, flips: tuple[float, float]) -> None:
    random, n, less = np.random.default_rng(3), 300, 1.0 if delay == 0 else 0.15
    z = random.normal(-1.0, 3.0, n).astype(np.float32)
    y = (random.random(n) < 0.3).astype(float)
    weight = random.choice([1.0, 0.0, 0.5, 30.0], n)
    row, act, twin, wanted = [], [], naive.Residuals(residuals.HALF_LIVES, flips), []
    for i in range(n + delay):
        if i < n:
            row.append(i)
            act.append(SCORE)
            wanted.append([*twin.note(float(z[i])), twin.odds()])
        if i >= delay:
            k = i - delay
            row.append(k)
            act.append(LEARN)
            twin.learn(float(z[k]), y[k], weight[k], weight[k] * less)
    tape = Tape(np.array(row), np.array(act, np.uint8), np.zeros(len(row), np.int64))
    noted, counted = walk(z, y, weight, tape, weight[tape.row] * less, flips_of(*flips))
    np.testing.assert_allclose(noted, wanted, rtol=2e-4, atol=2e-5)
    assert counted.tolist() == [twin.positives, twin.labels]


def test_labels_of_any_weight_leave_finite_numbers() -> None:
    n = 1000
    weight = np.repeat([1e-300, 1e6, 1e-300, 1.0], n // 4)
    noted, _ = walk(np.zeros(n), np.tile([0.0, 1.0], n // 2), weight, Tape.of(n, BOTH), weight)
    assert np.isfinite(noted).all()
    assert (np.abs(noted[:, :5]) <= residuals.SCALE).all()


def test_outcomes_alike_to_their_neighbours_are_foretold_without_a_column_that_says_so() -> None:
    """Outcomes in runs of 20 on average, of which no column tells: the best that can be done is .199 nats an event."""
    random, n = np.random.default_rng(8), 20_000
    y = np.cumsum(random.random(n) < 0.05) % 2 == 1
    table = pa.table({"x": random.standard_normal(n), "y": y})
    z = OnlineLogit("y").step(table).z[n // 2 :]
    best = -(0.95 * np.log(0.95) + 0.05 * np.log(0.05))
    assert best < np.mean(np.logaddexp(0.0, z) - y[n // 2 :] * z) < best + 0.03
