"""The default learner as a whole, with labels in flight, against its slow twin."""

import math
import threading
from typing import Any

import naive
import numpy as np
import numpy.typing as npt
import pytest

from onlogit.config import BeliefConfig
from onlogit.encoding import Rows
from onlogit.kernels import residuals, stating
from onlogit.learners.belief import STRETCH, BeliefLearner
from onlogit.learners.protocol import BOTH, LEARN, SCORE, Tape

F64 = npt.NDArray[np.float64]
CONFIG = BeliefConfig(half_lives=(math.inf, 1000.0, 30.0), priors=((0.05, 1.0), (1.0, 4.0)))
D = 4


def test_experts_that_never_forget_have_priors_of_their_own() -> None:
    config = BeliefConfig((500.0, math.inf), ((0.1, 1.0), (2.0, 3.0)), ((0.5, 4.0), (5.0, 6.0)))
    wanted = [(500.0, 0.1, 1.0), (500.0, 2.0, 3.0), (math.inf, 0.5, 4.0), (math.inf, 5.0, 6.0)]
    assert config.experts() == wanted
    known = BeliefLearner(config, D, 4).known
    np.testing.assert_allclose(known.dense_prior[:, :2], [(bias, weight) for _, weight, bias in wanted])
    np.testing.assert_allclose(known.slot_prior[:4], [weight for _, weight, _ in wanted])


def stream(n: int) -> tuple[Rows, F64, F64]:
    random = np.random.default_rng(5)
    x = random.standard_normal((n, D)).astype(np.float32)
    y = (random.random(n) < 1 / (1 + np.exp(-2.0 * x[:, 0] - 1.0))).astype(np.float64)
    rows = Rows(x, np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    return rows, y, random.choice([1.0, 1.0, 0.0, 0.5, 2.0], n)


def late_tape(n: int, delay: int) -> Tape:
    """Every event is scored, and its label is learned so many events later."""
    row = np.stack([np.arange(n) - delay, np.arange(n)], 1).ravel()
    act = np.tile(np.array([LEARN, SCORE], np.uint8), n)[row >= 0]
    row = row[row >= 0]
    return Tape(row, act, np.minimum(np.cumsum(np.where(act == SCORE, 1, -1)), delay))


def said_by_the_twin(rows: Rows, y: F64, weight: F64, tape: Tape) -> F64:
    """z as it is stated. Labels of what was stated before the first label are weighed by what experts say when they come."""
    lives = np.array([life for life, _, _ in CONFIG.experts()])
    experts = [naive.Expert(*each, D) for each in CONFIG.experts()]
    mixture = naive.Mixture(len(experts), list(CONFIG.switching), half_lives=lives)
    stack = naive.Stack(len(experts) + 8, CONFIG.stacking_half_life, CONFIG.stacking_prior)
    noted, rate = naive.Residuals(residuals.HALF_LIVES), naive.BaseRate()
    untold, late, learned = True, 0.0, 0
    notes, out = {}, np.full(len(y), np.nan)
    for i, act, waiting in zip(*(each.tolist() for each in tape), strict=True):
        said = np.array([e.score(rows.dense[i].astype(float), {}) for e in experts]).T
        if act == SCORE:
            middle, _ = mixture.state(*said)
            x = stack.inputs(middle, said[0], noted.note(middle))
            voices = rate.voices(stack.state(x), noted.odds())
            notes[i] = untold, said, middle, x, voices
            out[i] = rate.state(voices)
        elif weight[i] > 0:
            learned += 1
            late += (waiting - late) / learned
            counts = weight[i] / math.sqrt(1 + late)
            again, stated, middle, x, voices = notes[i]
            for e in experts:
                e.learn(rows.dense[i].astype(float), {}, y[i], weight[i])
            if again and learned > 1:
                mixture.learn(said[0], said[1], y[i], min(counts, 16 * weight[i] / (1 + late)), late)
            else:
                mixture.learn(stated[0], stated[1], y[i], counts, late)
                stack.learn(x, y[i], counts)
            noted.learn(middle, y[i], weight[i], counts)
            rate.learn(voices, y[i], counts)
            untold = False
    return out


@pytest.mark.parametrize("delay", [1, 60, 400])
def test_with_labels_in_flight_it_equals_its_twin(delay: int) -> None:
    n = max(300, 2 * delay)
    rows, y, weight = stream(n)
    learner, tape = BeliefLearner(CONFIG, D, 4), late_tape(n, delay)
    scores = learner.learn(rows, tape, y, weight, np.zeros((n, learner.memo_width), np.float32))
    np.testing.assert_allclose(scores.z, said_by_the_twin(rows, y, weight, tape), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("delay", [50, STRETCH + 100])
def test_how_a_tape_with_labels_in_flight_is_cut_does_not_matter(delay: int) -> None:
    """In one walk, with the mixture in a thread of its own, and in short ones without."""
    n = 2 * STRETCH
    rows, y, weight = stream(n)
    long, short, tape = BeliefLearner(CONFIG, D, 4), BeliefLearner(CONFIG, D, 4), late_tape(n, delay)
    memos = np.zeros((2, n, long.memo_width), np.float32)
    one, z = long.learn(rows, tape, y, weight, memos[0]).z, np.full(n, np.nan)
    for a in range(0, len(tape.row), 997):
        part = Tape(tape.row[a : a + 997], tape.act[a : a + 997], tape.waiting[a : a + 997])
        said = short.learn(rows, part, y, weight, memos[1]).z
        z = np.where(np.isnan(said), z, said)
    np.testing.assert_array_equal(one, z)
    assert all(np.array_equal(a, short.state()[name]) for name, a in long.state().items())


def test_labels_of_events_stated_before_any_tell_the_mixture_apart() -> None:
    n = 1000
    rows, y, _ = stream(2 * n)
    learner, tape = BeliefLearner(CONFIG, D, 4), late_tape(2 * n, n)
    memo = np.zeros((2 * n, learner.memo_width), np.float32)
    before, acts = learner._share(), tape.act.copy()
    learner.learn(rows, tape, y, np.ones(2 * n), memo)
    assert learner._share()[1] > 1.2 * before[1]  # the wide prior, as weights are large
    assert np.array_equal(tape.act, acts)


def test_the_experts_may_be_on_the_next_tape_before_the_mixture_is_done_with_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n = STRETCH + 300
    may, weigh = threading.Event(), stating.weigh

    def late(*args: Any) -> None:
        assert may.wait(20.0)
        weigh(*args)

    (rows, y, weight), tape = stream(n), Tape.of(n, BOTH)
    learner, other = BeliefLearner(CONFIG, D, 4), BeliefLearner(CONFIG, D, 4)
    memos = np.zeros((6, n, learner.memo_width), np.float32)
    expected = [other.learn(rows, tape, y, weight, memos[k]).z for k in range(3)]
    monkeypatch.setattr(stating, "weigh", late)
    begun = [learner.begin(rows, tape, y, weight, memos[3 + k]) for k in range(3)]
    np.testing.assert_array_equal(learner.known.mean, other.known.mean)  # all is learned, and nothing weighed
    may.set()
    for asked, z in zip(begun, expected, strict=True):
        np.testing.assert_array_equal(asked().z, z)
    assert all(np.array_equal(a, other.state()[name]) for name, a in learner.state().items())
    np.testing.assert_array_equal(memos[:3], memos[3:])
