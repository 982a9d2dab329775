"""The SGD family behind the learner's protocol: settings, coefficients, state."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from onlogit.config import Config, SgdConfig
from onlogit.encoding import Rows
from onlogit.errors import ConfigError, StateError
from onlogit.learners import create
from onlogit.learners.protocol import BOTH, Tape
from onlogit.learners.sgd import SgdLearner

KINDS = [("sgd", False), ("sgd", True), ("adagrad", False), ("ftrl", False)]


def stream(n: int, seed: int) -> tuple[Rows, npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    slots = np.stack([random.integers(0, 8, n), random.integers(8, 30, n)], axis=1).ravel().astype(np.int32)
    dense = random.standard_normal((n, 3)).astype(np.float32)
    y = (random.random(n) < 1 / (1 + np.exp(-dense.sum(axis=1)))).astype(np.float64)
    return Rows(dense, np.arange(n + 1, dtype=np.int64) * 2, slots, np.ones(2 * n, np.float32)), y


def learner(kind: str, averaged: bool = False, batch: int = 1) -> SgdLearner:
    made = create(Config(learner=kind, slot_bits=6, sgd=SgdConfig(averaged=averaged, batch=batch)), 3)
    assert isinstance(made, SgdLearner)
    return made


def teach(pupil: SgdLearner, rows: Rows, y: npt.NDArray[np.float64], low: int, high: int) -> npt.NDArray[np.float64]:
    tape = Tape(np.arange(low, high), np.full(high - low, BOTH, np.uint8), np.zeros(high - low, np.int64))
    return pupil.learn(rows, tape, y, np.ones(len(y)), np.zeros((len(y), 0), np.float32)).z


@pytest.mark.parametrize(("kind", "averaged"), KINDS)
def test_coefficients_are_what_scores_are_made_of(kind: str, averaged: bool) -> None:
    rows, y = stream(500, seed=1)
    pupil = learner(kind, averaged)
    teach(pupil, rows, y, 0, 500)
    c = pupil.coefficients()
    table = np.zeros(64)
    table[c.slots] = c.slot_weights
    z = c.bias + rows.dense @ c.dense + table[rows.slots].reshape(-1, 2).sum(axis=1)
    before = pupil.state()
    np.testing.assert_allclose(pupil.score(rows).z, z, atol=1e-5)
    assert all(np.array_equal(a, pupil.state()[name]) for name, a in before.items())


@pytest.mark.parametrize(("kind", "averaged"), KINDS)
@pytest.mark.parametrize("batch", [1, 32])
def test_state_restored_goes_on_as_if_never_stopped(kind: str, averaged: bool, batch: int) -> None:
    rows, y = stream(100, seed=7)
    whole, first, second = (learner(kind, averaged, batch) for _ in range(3))
    z = teach(whole, rows, y, 0, 100)
    teach(first, rows, y, 0, 45)
    second.restore(first.state())
    np.testing.assert_array_equal(teach(second, rows, y, 45, 100)[45:], z[45:])
    assert all(np.array_equal(a, second.state()[name]) for name, a in whole.state().items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dense", np.zeros((1, 8))),
        ("bias", np.full((1, 1), np.nan)),
        ("table", np.zeros((1, 1), np.float32)),
        ("slots", np.array([64, 65])),
        ("slots", np.array([3, 3])),
        ("touched", np.array([-1], np.int32)),
        ("clock", None),
        ("clock", np.array([-1.0, 0.0])),
        ("clock", np.array([50.0, 2.0])),
        ("dense", np.full((1, 8), 3e38, np.float32)),
        ("grad", np.full(8, 1e20, np.float32)),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    name: str, value: npt.NDArray[np.generic] | None
) -> None:
    rows, y = stream(50, seed=3)
    pupil = learner("sgd")
    teach(pupil, rows, y, 0, 50)
    before = pupil.state()
    bad = {**before, name: value} if value is not None else {k: v for k, v in before.items() if k != name}
    if name in ("slots", "touched") and value is not None:
        partner = {"slots": "table", "touched": "table_grad"}[name]
        shape = (1, len(value)) if partner == "table" else (len(value),)
        bad[partner] = np.zeros(shape, np.float32)
    with pytest.raises(StateError):
        pupil.restore(bad)
    assert all(np.array_equal(a, pupil.state()[key]) for key, a in before.items())


def test_settings_that_a_kind_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="averaged"):
        learner("adagrad", averaged=True)
    with pytest.raises(ConfigError, match="schedule"):
        create(Config(learner="ftrl", sgd=SgdConfig(schedule="sqrt")), 3)
    with pytest.raises(ConfigError, match="adagrad"):
        Config(learner="adam")


def test_averaging_helps_on_a_stream_that_does_not_change() -> None:
    rows, y = stream(20_000, seed=2)
    loss: dict[bool, np.floating[Any]] = {}
    for averaged in (False, True):
        z = teach(create_with_rate(averaged), rows, y, 0, len(y))
        loss[averaged] = np.mean(np.logaddexp(0, z) - y * z)
    assert loss[True] < loss[False] - 0.005


def create_with_rate(averaged: bool) -> SgdLearner:
    return SgdLearner(SgdConfig(rate=0.05, averaged=averaged), 3, 6)
