"""What is stated of a few rows in one call is what the tape's kernels state of many, to the bit."""

import numpy as np
import pytest

from onlogit.config import BeliefConfig
from onlogit.encoding import Rows
from onlogit.kernels.flips import flips_of
from onlogit.learners.belief import FEW, BeliefLearner
from onlogit.learners.protocol import BOTH, Tape


@pytest.mark.parametrize("limit", [512, 3])
@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.1, 0.05)])
def test_a_few_rows_are_stated_as_many_are(rates: tuple[float, float], limit: int) -> None:
    draw = np.random.default_rng(5)
    n = 4 * FEW
    slots = draw.integers(0, 1 << 8, n).astype(np.int32)
    rows = Rows(draw.normal(size=(n, 5)).astype(np.float32), np.arange(n + 1), slots, np.ones(n, np.float32))
    learner = BeliefLearner(BeliefConfig(dense_limit=limit), 5, 8, flips_of(*rates))
    y, memo = (draw.random(n) < 0.3).astype(np.float64), np.empty((n, learner.memo_width), np.float32)
    learner.learn(rows, Tape.of(n, BOTH), y, np.ones(n), memo)
    before = learner.state()
    many = learner.score(rows)
    for first, count in ((0, 1), (7, 1), (11, FEW), (n - 3, 3)):
        part = Rows(
            rows.dense[first : first + count], np.arange(count + 1), slots[first : first + count], rows.values[:count]
        )
        few = learner.score(part)
        for one, other in zip(few, many, strict=True):
            assert one.tobytes() == other[first : first + count].tobytes()
    after = learner.state()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
