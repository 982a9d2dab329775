"""The SGD kernel against its slow twin, one example and mini-batch."""

import numpy as np
import pytest
from naive import Sgd

from onlogit.config import SgdConfig
from onlogit.encoding import Rows
from onlogit.learners.protocol import BOTH, Tape
from onlogit.learners.sgd import SgdLearner


def stream(n: int, d: int, seed: int) -> tuple[Rows, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    random = np.random.default_rng(seed)
    starts = np.arange(n + 1, dtype=np.int64) * 2
    slots = np.stack([random.integers(0, 8, n), random.integers(8, 30, n)], axis=1).ravel().astype(np.int32)
    rows = Rows(random.standard_normal((n, d)).astype(np.float32), starts, slots, np.ones(2 * n, np.float32))
    y = (random.random(n) < 1 / (1 + np.exp(-rows.dense.sum(axis=1)))).astype(np.float64)
    return rows, y


CASES = [
    SgdConfig(),
    SgdConfig(rate=0.5, schedule="sqrt"),
    SgdConfig(rate=0.5, schedule="inverse", l2=0.01),
    SgdConfig(rate=0.3, batch=7),
    SgdConfig(rate=0.3, batch=64, l2=0.1, schedule="sqrt"),
]


@pytest.mark.parametrize("config", CASES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_walk_equals_its_twin(config: SgdConfig, weighted: bool) -> None:
    n, d = 500, 3
    rows, y = stream(n, d, seed=4)
    weight = np.random.default_rng(5).choice([1.0, 0.0, 0.5, 4.0], n) if weighted else np.ones(n)
    learner = SgdLearner(config, d, slot_bits=5)
    scores = learner.learn(rows, Tape.of(n, BOTH), y, weight, np.zeros((n, 0), np.float32))
    twin = Sgd(d, config.rate, config.schedule, config.l2, config.batch)
    for i in range(n):
        x = rows.dense[i].astype(np.float64)
        slots = {int(s): 1.0 for s in rows.slots[rows.starts[i] : rows.starts[i + 1]]}
        assert scores.z[i] == pytest.approx(twin.score(x, slots), rel=1e-3, abs=1e-3)
        twin.learn(x, slots, y[i], weight[i])
    c = learner.coefficients()
    np.testing.assert_allclose(c.dense, twin.w, atol=1e-3)
    np.testing.assert_allclose(c.slot_weights, [twin.slots[int(s)] for s in c.slots], atol=1e-3)


def test_weight_is_repeats_with_a_small_rate() -> None:
    n, d = 2000, 3
    rows, y = stream(n, d, seed=6)
    heavy, repeated = (SgdLearner(SgdConfig(rate=0.01), d, slot_bits=5) for _ in range(2))
    memo = np.zeros((n, 0), np.float32)
    heavy.learn(rows, Tape.of(n, BOTH), y, np.full(n, 5.0), memo)
    tape = Tape(np.repeat(np.arange(n), 5), np.full(5 * n, BOTH, np.uint8), np.zeros(5 * n, np.int64))
    repeated.learn(rows, tape, y, np.ones(n), memo)
    np.testing.assert_allclose(heavy.coefficients().dense, repeated.coefficients().dense, atol=0.01)


def test_a_partial_mini_batch_is_part_of_the_state() -> None:
    n, d = 100, 3
    rows, y = stream(n, d, seed=7)
    memo = np.zeros((n, 0), np.float32)
    config = SgdConfig(rate=0.2, batch=32)
    whole, first = SgdLearner(config, d, slot_bits=5), SgdLearner(config, d, slot_bits=5)
    z = whole.learn(rows, Tape.of(n, BOTH), y, np.ones(n), memo).z
    first.learn(
        rows, Tape.of(n, BOTH)._replace(row=np.arange(45), act=np.full(45, BOTH, np.uint8)), y, np.ones(n), memo
    )
    second = SgdLearner(config, d, slot_bits=5)
    second.restore(first.state())
    rest = Tape(np.arange(45, n), np.full(n - 45, BOTH, np.uint8), np.zeros(n - 45, np.int64))
    np.testing.assert_array_equal(second.learn(rows, rest, y, np.ones(n), memo).z[45:], z[45:])
    assert all(np.array_equal(a, second.state()[name]) for name, a in whole.state().items())
