"""The SGD kernel against its slow twin; what a heavy example is; exact zeros; who pays for penalties."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import Sgd

from onlogit.kernels import sgd
from onlogit.kernels.belief import LEARN, SCORE
from onlogit.kernels.flips import NO_FLIPS, Flips, flips_of
from onlogit.kernels.jit import kernel

F64 = npt.NDArray[np.float64]
RULES = {"sgd": sgd.SGD, "averaged": sgd.AVERAGED, "adagrad": sgd.ADAGRAD, "ftrl": sgd.FTRL}
SCHEDULES = {"constant": sgd.CONSTANT, "sqrt": sgd.SQRT, "inverse": sgd.INVERSE}
D, H = 3, 64


class Stream:
    """n rows of D numbers and two slots, one of them with a value of its own."""

    def __init__(self, n: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.dense = random.standard_normal((n, D)).astype(np.float32)
        self.starts = np.arange(n + 1, dtype=np.int64) * 2
        self.slots = np.stack([random.integers(0, 8, n), random.integers(8, 30, n)], axis=1).ravel().astype(np.int32)
        self.values = np.where(np.arange(2 * n) % 2, random.random(2 * n), 1.0).astype(np.float32)
        self.y = (random.random(n) < 1 / (1 + np.exp(-self.dense.sum(axis=1)))).astype(np.float64)
        self.n = n

    def row(self, i: int) -> dict[object, float]:
        """Row i as its slow twin takes it."""
        numbers: dict[object, float] = {None: 1.0} | {j: float(self.dense[i, j]) for j in range(D)}
        return numbers | {f"s{self.slots[k]}": float(self.values[k]) for k in (2 * i, 2 * i + 1)}

    def walk(self, state: sgd.State, settings: sgd.Settings, weight: F64, row: list[int] | None = None) -> F64:
        order = np.arange(self.n) if row is None else np.array(row, np.int64)
        z, act = np.full(self.n, np.nan), np.full(len(order), SCORE | LEARN, np.uint8)
        sgd.walk(order, act, self.dense, self.starts, self.slots, self.values, self.y, weight, settings, state, z)
        return z


class Case(NamedTuple):
    rate: float = 0.3
    schedule: str = "constant"
    l1: float = 0.0
    l2: float = 0.0
    batch: int = 1


def told(kind: str, case: Case, flips: Flips = NO_FLIPS) -> sgd.Settings:
    return sgd.Settings(RULES[kind], case.rate, SCHEDULES[case.schedule], case.l1, case.l2, case.batch, flips)


def same(a: sgd.State, b: sgd.State) -> None:
    for name, array in a._asdict().items():
        np.testing.assert_array_equal(array, getattr(b, name), err_msg=name)


CASES = [
    Case(rate=0.3), Case(rate=0.3, schedule="sqrt"), Case(rate=0.3, schedule="inverse", l2=0.01),
    Case(rate=0.1, l1=0.2, l2=0.1), Case(rate=0.3, batch=7),
    Case(rate=0.3, batch=64, l1=0.01, l2=0.1, schedule="sqrt"),
]  # fmt: skip


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0, 0.5, 4.0, 2.5]], ids=["ones", "weights"])
def test_walk_equals_its_twin(kind: str, case: Case, weights: list[float]) -> None:
    check_twin(kind, case, weights, (0.0, 0.0))


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("flips", [(0.2, 0.0), (0.1, 0.3)])
def test_walk_equals_its_twin_where_labels_are_flipped(kind: str, flips: tuple[float, float]) -> None:
    for case in (CASES[0], CASES[4]):
        check_twin(kind, case, [1.0, 0.0, 0.5, 4.0, 2.5], flips)


def check_twin(kind: str, case: Case, weights: list[float], flips: tuple[float, float]) -> None:
    stream, settings = Stream(400, seed=4), told(kind, case, flips_of(*flips))
    weight = np.random.default_rng(5).choice(weights, stream.n)
    state = sgd.new_state(settings.rule, D, H)
    z = stream.walk(state, settings, weight)
    name, averaged = ("sgd", True) if kind == "averaged" else (kind, False)
    twin = Sgd(name, *case, averaged)
    twin.flips = flips
    for i in range(stream.n):
        assert z[i] == pytest.approx(twin.score(stream.row(i)), rel=1e-3, abs=1e-3)
        twin.learn(stream.row(i), stream.y[i], weight[i])
    assert state.bias[0, 0] == pytest.approx(twin.w[None], abs=1e-4)
    np.testing.assert_allclose(state.dense[0, :D], [twin.w[j] for j in range(D)], atol=1e-3)
    np.testing.assert_allclose(state.table[0], [twin.w.get(f"s{s}", 0.0) for s in range(H)], atol=1e-3)
    assert state.clock[sgd.LEARNED] + state.clock[sgd.HELD] == pytest.approx(weight.sum())
    assert not state.dense[0, D:].any()  # the padding learns nothing


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("batch", [1, 7])
def test_a_whole_weight_is_so_many_repeats_to_the_bit(kind: str, batch: int) -> None:
    stream, settings = (
        Stream(200, seed=6),
        told(kind, Case(schedule="sqrt" if kind != "ftrl" else "constant", batch=batch, l1=0.01)),
    )
    times = np.random.default_rng(7).integers(0, 6, stream.n)
    heavy, repeated = (sgd.new_state(settings.rule, D, H) for _ in range(2))
    stream.walk(heavy, settings, times.astype(np.float64))
    stream.walk(repeated, settings, np.ones(stream.n), row=np.repeat(np.arange(stream.n), times).tolist())
    if batch == 1:
        same(heavy, repeated)
    else:  # c g in one addition, or g in c of them
        np.testing.assert_allclose(heavy.dense, repeated.dense, atol=1e-5)
        np.testing.assert_allclose(heavy.table, repeated.table, atol=1e-5)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_a_very_heavy_example_is_nearly_its_repeats(kind: str, rate: float) -> None:
    """A weight of 500 on one row of a learned model: z within .06 logits of where 500 repeats take it."""
    stream, settings = Stream(300, seed=8), told(kind, Case(rate))
    states = [sgd.new_state(settings.rule, D, H) for _ in range(2)]
    for state in states:
        stream.walk(state, settings, np.ones(stream.n))
    stream.y[0] = 1 - stream.y[0]
    stream.walk(states[0], settings, np.full(stream.n, 500.0), row=[0])
    stream.walk(states[1], settings, np.ones(stream.n), row=[0] * 500)
    x = stream.row(0)
    z = [sum(v * (s.bias[0, 0] if j is None else s.dense[0, j] if isinstance(j, int) else s.table[0, int(str(j)[1:])])
             for j, v in x.items()) for s in states]  # fmt: skip
    assert z[0] == pytest.approx(z[1], abs=0.06)


@pytest.mark.parametrize("kind", RULES)
def test_the_heaviest_example_overshoots_nothing(kind: str) -> None:
    stream, settings = Stream(50, seed=9), told(kind, Case(rate=10.0))
    state = sgd.new_state(settings.rule, D, H)
    stream.walk(state, settings, np.full(stream.n, 2.0**20))
    assert np.isfinite(state.dense).all()
    assert np.isfinite(state.table).all()
    assert np.abs(state.dense[0]).max() < 1e3


def test_ftrl_gives_exact_zeros_and_the_others_do_too_where_a_penalty_holds() -> None:
    stream = Stream(2000, seed=10)
    zeros = {}
    for kind, l1 in itertools.product(RULES, (0.0, 3.0)):
        settings = told(kind, Case(rate=0.1, l1=l1))
        state = sgd.new_state(settings.rule, D, H)
        stream.walk(state, settings, np.ones(stream.n))
        zeros[kind, l1] = int((state.table[0, :30] == 0).sum())
    assert all(zeros[kind, 0.0] == 0 for kind in RULES)
    assert zeros["ftrl", 3.0] >= 10
    assert all(zeros[kind, 3.0] == 30 for kind in ("sgd", "adagrad"))  # 3 a step drowns any gradient


@pytest.mark.parametrize("kind", RULES)
def test_penalties_leave_the_bias_alone(kind: str) -> None:
    stream = Stream(3000, seed=11)
    stream.y[:] = np.random.default_rng(12).random(stream.n) < 0.2
    state = sgd.new_state(RULES[kind], D, H)
    stream.walk(state, told(kind, Case(rate=0.05, l1=1e3, l2=0.1)), np.ones(stream.n))
    assert not state.dense[0].any()
    assert not state.table[0].any()
    assert 1 / (1 + math.exp(-state.bias[0, 0])) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize(("rate", "l2", "heavy"), [(0.05, 0.1, 2.0**20), (0.05, 250.0, 1.0), (100.0, 1e30, 3.0)])
def test_a_penalty_never_moves_a_weight_past_zero(kind: str, rate: float, l2: float, heavy: float) -> None:
    """A step that took it by its gradient would grow from rate x weight x l2 = 2 on."""
    stream, weight = Stream(400, seed=17), np.ones(400)
    weight[100] = heavy
    free, held = (sgd.new_state(RULES[kind], D, H) for _ in range(2))
    stream.walk(free, told(kind, Case(rate=rate)), weight)
    stream.walk(held, told(kind, Case(rate=rate, l2=l2)), weight)
    assert np.isfinite(held.bias).all()
    for name in ("dense", "table"):
        assert np.isfinite(getattr(held, name)).all()
        assert np.abs(getattr(held, name)[0]).max() <= max(np.abs(getattr(free, name)[0]).max(), 3.0)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("batch", [1, 32])
def test_any_cut_of_the_tape_gives_the_same_bits(kind: str, batch: int) -> None:
    stream, settings = Stream(100, seed=13), told(kind, Case(batch=batch))
    whole, cut = (sgd.new_state(settings.rule, D, H) for _ in range(2))
    z = stream.walk(whole, settings, np.ones(stream.n))
    first = stream.walk(cut, settings, np.ones(stream.n), row=list(range(45)))
    second = stream.walk(cut, settings, np.ones(stream.n), row=list(range(45, 100)))
    np.testing.assert_array_equal(z, np.where(np.isnan(first), second, first))
    same(whole, cut)


@pytest.mark.parametrize("kind", RULES)
def test_rows_are_scored_alone_as_on_a_tape(kind: str) -> None:
    stream, settings = Stream(150, seed=14), told(kind, Case())
    state = sgd.new_state(settings.rule, D, H)
    stream.walk(state, settings, np.ones(stream.n), row=list(range(100)))
    before = [array.copy() for array in state]
    z, on_tape = np.empty(stream.n), np.empty(stream.n)
    columns = stream.dense, stream.starts, stream.slots, stream.values
    sgd.score(*columns, settings, state, z)
    act = np.full(stream.n, SCORE, np.uint8)
    sgd.walk(np.arange(stream.n), act, *columns, stream.y, np.ones(stream.n), settings, state, on_tape)
    np.testing.assert_array_equal(z, on_tape)
    assert len(np.unique(z)) > 100
    for array, old in zip(state, before, strict=True):
        np.testing.assert_array_equal(array, old)


@kernel
def residual(z: float, y: float) -> float:
    return sgd.residual(z, y)


@given(z=st.floats(-1e308, 1e308), y=st.sampled_from([0.0, 1.0]))
def test_residual(z: float, y: float) -> None:
    held = min(max(z, -40.0), 40.0)
    p = 1 / (1 + math.exp(-held))
    assert residual(z, y) == pytest.approx(p - y, rel=1e-8, abs=2e-8 * p)
