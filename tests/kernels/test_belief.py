"""The belief kernel against its slow twin, and what it promises of its own."""

import math
from typing import NamedTuple

import naive
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlogit.config import BeliefConfig
from onlogit.encoding import Rows
from onlogit.kernels import covariance, implicit
from onlogit.kernels.flips import flips_of
from onlogit.kernels.jit import kernel
from onlogit.learners.belief import STRETCH, BeliefLearner
from onlogit.learners.protocol import BOTH, LEARN, SCORE, Tape

CONFIG = BeliefConfig(half_lives=(math.inf, 1000.0, 30.0), priors=((0.05, 1.0), (1.0, 4.0)))


class Stream(NamedTuple):
    rows: Rows
    y: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]


def stream(n: int, d: int, slots: int, seed: int, weights: bool = False) -> Stream:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 4, n)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    chosen = [random.choice(slots, c, replace=False) for c in counts]
    rows = Rows(
        random.standard_normal((n, d)).astype(np.float32),
        starts,
        np.concatenate([*chosen, np.zeros(0, np.int64)]).astype(np.int32),
        random.choice([1.0, 1.0, 0.5, -2.0], starts[-1]).astype(np.float32),
    )
    z = rows.dense @ random.normal(0, 1, d) if d else np.zeros(n)
    y = (random.random(n) < 1 / (1 + np.exp(-z + 0.5))).astype(np.float64)
    weight = random.choice([1.0, 1.0, 0.0, 0.3, 2.5], n) if weights else np.ones(n)
    return Stream(rows, y, weight)


def slots_of(rows: Rows, i: int) -> dict[int, float]:
    part = slice(rows.starts[i], rows.starts[i + 1])
    return dict(zip(rows.slots[part].tolist(), rows.values[part].tolist(), strict=True))


def fresh(d: int, config: BeliefConfig = CONFIG) -> BeliefLearner:
    return BeliefLearner(config, d, slot_bits=6)


def memo_for(learner: BeliefLearner, n: int) -> npt.NDArray[np.float32]:
    return np.zeros((n, learner.memo_width), np.float32)


@pytest.mark.parametrize("flips", [(0.0, 0.0), (0.2, 0.0), (0.1, 0.3)])
@pytest.mark.parametrize(
    ("d", "weights"), [(0, False), (1, True), (5, True), (16, False), (25, True), (40, False), (64, False)]
)
def test_walk_equals_its_twin(d: int, weights: bool, flips: tuple[float, float]) -> None:
    n = 400
    s = stream(n, d, slots=20, seed=d, weights=weights)
    learner = BeliefLearner(CONFIG, d, 6, flips_of(*flips))
    memo = memo_for(learner, n)
    learner.learn(s.rows, Tape.of(n, BOTH), s.y, s.weight, memo)
    experts = [naive.Expert(*each, d, flips) for each in CONFIG.experts()]
    z, s2 = memo[:, : len(experts)], memo[:, learner.lanes : learner.lanes + len(experts)]
    for i in range(n):
        x, slots = s.rows.dense[i].astype(np.float64), slots_of(s.rows, i)
        twin = np.array([e.score(x, slots) for e in experts])
        np.testing.assert_allclose(z[i], twin[:, 0], rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(s2[i], twin[:, 1], rtol=5e-4, atol=1e-5)
        for e in experts:
            e.learn(x, slots, s.y[i], s.weight[i])


@pytest.mark.parametrize("d", [1, 5, 12, 20, 40, 64])
def test_an_expert_without_a_partner_is_as_beside_one(d: int) -> None:
    """Experts are walked two at a time. Not to the bit, as all take as many steps to a root as the one that needs most."""
    s, tape = stream(200, d, slots=20, seed=d, weights=True), Tape.of(200, BOTH)
    six, three = fresh(d), fresh(d, BeliefConfig(CONFIG.half_lives, CONFIG.priors[:1], CONFIG.lasting_priors[:1]))
    memos = [memo_for(learner, 200) for learner in (six, three)]
    for learner, memo in zip((six, three), memos, strict=True):
        learner.learn(s.rows, tape, s.y, s.weight, memo)
    np.testing.assert_allclose(memos[0][:, :6:2], memos[1][:, :3], rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(six._covariances()[::2], three._covariances(), rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(six.known.mean[::2], three.known.mean, rtol=1e-3, atol=2e-3)


def test_what_is_owed_is_right_however_heavy_or_light_a_label_is() -> None:
    n, d = 400, 4
    config = BeliefConfig(half_lives=(math.inf, 1e4, 40.0, 1.0), priors=((0.05, 1.0), (1.0, 10.0)))
    s = stream(n, d, slots=20, seed=8)
    weight = np.random.default_rng(8).choice([1.0, 1.0, 1e-3, 7.0, 150.0], n)
    learner = fresh(d, config)
    memo = memo_for(learner, n)
    learner.learn(s.rows, Tape.of(n, BOTH), s.y, weight, memo)
    experts = [naive.Expert(*each, d) for each in config.experts()]
    assert np.isfinite(memo).all()
    for i in range(n):
        x, slots = s.rows.dense[i].astype(np.float64), slots_of(s.rows, i)
        twin = np.array([e.score(x, slots) for e in experts])
        spread = 1e-3 * (1.0 + np.sqrt(twin[:, 1]))
        assert (np.abs(memo[i, : len(experts)] - twin[:, 0]) < spread).all(), i
        for e in experts:
            e.learn(x, slots, s.y[i], float(weight[i]))
    known = learner.known
    covs = covariance.whole(known.cov, known.scales, known.dense_prior)[:, : 1 + d, : 1 + d]
    for own, e in zip(covs, experts, strict=True):
        np.testing.assert_allclose(own, e.cov, rtol=0.01, atol=0.002 * e.cov.max())


def test_score_and_learn_apart_equal_both() -> None:
    n, d = 200, 4
    s = stream(n, d, slots=10, seed=3)
    together, apart = fresh(d), fresh(d)
    memos = memo_for(together, n), memo_for(apart, n)
    one = together.learn(s.rows, Tape.of(n, BOTH), s.y, s.weight, memos[0])
    row, act = np.repeat(np.arange(n), 2), np.tile(np.array([SCORE, LEARN], np.uint8), n)
    two = apart.learn(s.rows, Tape(row, act, np.zeros(2 * n, np.int64)), s.y, s.weight, memos[1])
    np.testing.assert_array_equal(one.z, two.z)
    assert all(np.array_equal(a, apart.state()[name]) for name, a in together.state().items())


def test_a_tape_whose_mixture_is_told_beside_equals_its_parts() -> None:
    n, d, delay = 2 * STRETCH + 100, 3, 50
    s = stream(n, d, slots=10, seed=4)
    long, short = fresh(d), fresh(d)
    memos = memo_for(long, n), memo_for(short, n)
    row = np.stack([np.arange(n), np.arange(n) - delay], 1).ravel()
    act = np.tile(np.array([SCORE, LEARN], np.uint8), n)[row >= 0]
    tape = Tape(row[row >= 0], act, np.full(len(act), delay))
    one = long.learn(s.rows, tape, s.y, s.weight, memos[0])
    z = np.full(n, np.nan)
    for a in range(0, len(act), 1000):
        part = Tape(tape.row[a : a + 1000], tape.act[a : a + 1000], tape.waiting[a : a + 1000])
        said = short.learn(s.rows, part, s.y, s.weight, memos[1]).z
        z = np.where(np.isnan(said), z, said)
    np.testing.assert_array_equal(one.z, z)
    np.testing.assert_array_equal(memos[0], memos[1])
    assert all(np.array_equal(a, short.state()[name]) for name, a in long.state().items())


def test_covariance_stays_symmetric_and_positive_over_a_long_collinear_stream() -> None:
    n, d = 60_000, 6
    random = np.random.default_rng(0)
    x = random.standard_normal((n, d)).astype(np.float32)
    x[:, 1] = x[:, 0]  # two columns that say the same, and one constant
    x[:, 2] = 1.0
    rows = Rows(x, np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    y = (random.random(n) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(np.float64)
    learner = fresh(
        d, BeliefConfig(half_lives=(math.inf, 1e4, 50.0), priors=((4.0, 10.0),), lasting_priors=((4.0, 10.0),))
    )
    scores = learner.learn(rows, Tape.of(n, BOTH), y, np.ones(n), memo_for(learner, n))
    assert np.isfinite(scores.z).all()
    assert np.isfinite(scores.z_sd).all()
    known = learner.known
    all_cov = covariance.whole(known.cov, known.scales, known.dense_prior)
    np.testing.assert_array_equal(all_cov, all_cov.transpose(0, 2, 1))
    for cov in all_cov[:, : 1 + d, : 1 + d].astype(np.float64):
        assert np.linalg.eigvalsh(cov).min() > -1e-5
    mean = learner.coefficients().dense
    assert mean[0] + mean[1] == pytest.approx(2.0, abs=0.1)
    assert mean[3:] == pytest.approx(np.zeros(3), abs=0.1)


@kernel
def steps(
    z: npt.NDArray[np.float64], s2: npt.NDArray[np.float64], y: float, h: float, out: npt.NDArray[np.float64]
) -> None:
    for i in range(z.size):
        out[i] = implicit.implicit_step(z[i], s2[i], y, h)


@given(
    st.floats(-30, 30), st.floats(0, 1e4), st.sampled_from([0.0, 1.0]), st.floats(1e-3, 1e4)
)  # fmt: skip
def test_implicit_step_stays_in_its_bracket_and_lowers_the_objective(z: float, s2: float, y: float, h: float) -> None:
    out = np.zeros(1)
    steps(np.array([z]), np.array([s2]), y, h, out)
    delta = float(out[0])
    assert min(0.0, h * (2 * y - 1)) <= delta <= max(0.0, h * (2 * y - 1))

    def objective(d: float) -> float:  # the negative log posterior along S x, whose minimum the root is
        t = z + s2 * d
        return 0.5 * s2 * d * d + h * (max(t, 0.0) + math.log1p(math.exp(-abs(t))) - y * t)

    assert objective(delta) <= objective(0.0) + 1e-9 * (1 + abs(objective(0.0)))


@pytest.mark.parametrize("reach", [1e-4, 0.01, 0.5, 0.99, 2.0, 3.99, 10.0, 99.0, 1e3, 1e5, 1e8])
def test_implicit_step_is_at_its_root(reach: float) -> None:
    z = np.concatenate([np.linspace(-8, 8, 49), -reach * np.linspace(0, 1.2, 25), np.linspace(-1e4, 1e4, 9)])
    out = np.zeros_like(z)
    for y in (0.0, 1.0):
        for h in (1.0, reach):
            s2 = reach / h
            steps(z, np.full_like(z, s2), y, h, out)
            roots = np.array([naive.implicit_root(v, s2, y, h) for v in z])
            near = (1e-6 if reach < 1.0 else 1e-4) + 1e-14 * (reach + np.abs(z))
            assert (s2 * np.abs(out - roots) <= near).all()


def test_weight_is_repeats_and_no_weight_is_nothing() -> None:
    d = 3
    s = stream(300, d, slots=8, seed=9)
    config = BeliefConfig(half_lives=(math.inf,), priors=((0.3, 1.0),), lasting_priors=((0.3, 1.0),))
    heavy, repeated, with_zeros = (fresh(d, config) for _ in range(3))
    n = len(s.y)
    heavy.learn(s.rows, Tape.of(n, BOTH), s.y, np.full(n, 3.0), memo_for(heavy, n))
    tape = Tape(np.repeat(np.arange(n), 3), np.full(3 * n, BOTH, np.uint8), np.zeros(3 * n, np.int64))
    repeated.learn(s.rows, tape, s.y, np.ones(n), memo_for(repeated, n))
    a, b = heavy.coefficients(), repeated.coefficients()
    np.testing.assert_allclose(a.dense, b.dense, atol=0.03)
    np.testing.assert_allclose(a.dense_sd, b.dense_sd, rtol=0.05)  # one implicit step of 3 is not quite 3 steps
    before = with_zeros.state()
    with_zeros.learn(s.rows, Tape.of(n, BOTH), s.y, np.zeros(n), memo_for(with_zeros, n))
    assert all(np.array_equal(array, with_zeros.state()[name]) for name, array in before.items())
