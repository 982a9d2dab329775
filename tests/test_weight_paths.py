"""Paths of weights: points where they should be, whatever the cut; who is followed; what is told of them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import Config, LabelConfig, OnlineLogit
from onlogit.errors import StateError
from onlogit.explain import BASELINE, explain_model
from onlogit.model import of_bytes
from onlogit.report.gathering import of_model
from onlogit.report.page import page
from onlogit.report.reasons import model_text
from onlogit.weight_paths import POINTS, STRIDE, WeightPaths

TURN = 20_000


def stream(n: int, seed: int = 1, turn: int = TURN) -> pa.Table:
    """The effect of x turns around at an event; a category matters, and one of many values does not."""
    draw = np.random.default_rng(seed)
    x, town, shop = draw.normal(size=n), draw.integers(0, 4, n), draw.integers(0, 400, n)
    z = np.where(np.arange(n) < turn, 1.0, -1.0) * x + np.array([0.0, 1.0, -1.0, 0.5])[town]
    return pa.table({
        "x": x, "steady": draw.normal(size=n), "town": [f"t{k}" for k in town], "shop": [f"s{k}" for k in shop],
        "y": draw.random(n) < 1 / (1 + np.exp(-z)),
    })  # fmt: skip


def model(learner: str = "belief", delay: int = 0, names: int = 4096) -> OnlineLogit:
    return OnlineLogit("y", config=Config(learner=learner, slot_bits=12, names=names, labels=LabelConfig(delay=delay)))


@pytest.mark.parametrize("learner", ["belief", "sgd", "adagrad", "ftrl"])
@pytest.mark.parametrize("delay", [0, 50])
def test_any_cut_gives_the_same_points(learner: str, delay: int) -> None:
    n = 3 * STRIDE + 5
    table, whole, parts = stream(n), model(learner, delay, names=100), model(learner, delay, names=100)
    whole.step(table)
    for low, high in pairwise([0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 2 * STRIDE, 2 * STRIDE + 100, 3 * STRIDE + 1, n]):
        parts.step(table.slice(low, high - low))
        parts = of_bytes(parts.to_bytes())
    assert parts.to_bytes() == whole.to_bytes()
    past = whole.pipeline.paths.past(n, whole.pipeline.learner, whole.pipeline.named())
    assert past.event.tolist() == [STRIDE, 2 * STRIDE, 3 * STRIDE, n]


@pytest.mark.parametrize("from_nothing", [False, True])
def test_points_passed_over_in_a_long_batch_would_have_been_thinned_out(from_nothing: bool) -> None:
    n, table, cut = 70 * STRIDE + 5, stream(100 * STRIDE), 5 * STRIDE - 1
    begun = model("sgd", names=100)
    begun.step(table.slice(n, 1))
    if from_nothing:  # nobody is followed at its first point, which is no power of two
        halves = [model("sgd", names=100) for _ in range(2)]
        for half in halves:
            half.step(table.slice(n, 10 * STRIDE))
        begun = OnlineLogit.merge(halves)
    before, ways = begun.to_bytes(), []
    for sizes in ([n], [cut] * 14 + [n - 14 * cut], [STRIDE // 2] * 140 + [5]):
        learned, at = of_bytes(before), 0
        for size in sizes:
            learned.step(table.slice(at, size))
            at += size
        ways.append(learned.to_bytes())
    assert ways[0] == ways[1] == ways[2]
    event = learned.pipeline.paths.state()["event"].astype(np.int64)
    assert POINTS // 2 <= len(event) <= POINTS
    assert np.unique(np.diff(event)).tolist() == [8 * STRIDE]


@pytest.mark.parametrize("learner", ["belief", "sgd", "adagrad", "ftrl"])
def test_a_point_is_what_the_learner_believed_then(learner: str) -> None:
    many = 16 * STRIDE
    table, whole = stream(2 * many + 1), model(learner)
    whole.step(table)
    past = whole.pipeline.paths.past(len(table), whole.pipeline.learner, whole.pipeline.named())
    for k in (1, 2):
        then = model(learner)
        then.step(table.slice(0, k * many))
        at = past.event.tolist().index(k * many)
        found = then.coefficients()
        np.testing.assert_allclose(past.dense[at], found.dense[past.numbers], rtol=1e-5)
        raw = dict(zip(found.slots.tolist(), found.slot_weights, strict=True))
        town = [whole.pipeline.encoder.slot_of("town", f"t{j}") for j in range(4)]
        own = [past.weights[at, past.slots.tolist().index(slot)] for slot in town]
        np.testing.assert_allclose(np.diff(own), np.diff([raw[slot] for slot in town]), atol=1e-5)
        centred = {each.value: each.weight for each in explain_model(then).weights if each.term == "town"}
        np.testing.assert_allclose(own, [centred[f"t{j}"] for j in range(4)], atol=0.1)


class Idle:
    """A learner of which only a glance is asked."""

    def __init__(self, dense: list[float]) -> None:
        self.dense = np.array(dense)

    def glance(self, slots: Any) -> Any:
        from onlogit.learners.protocol import Glance

        return Glance(0.5, self.dense, np.zeros(len(slots)), np.zeros(len(slots)))


def note(paths: WeightPaths, event: int, learner: Any) -> None:
    """The point before an event, of a learner that has no slots."""
    from onlogit.weight_paths import NO_NAMES

    paths.until(event, event)
    slots = paths.wanted(event, NO_NAMES)
    if slots is not None:
        paths.take(event, slots, learner.glance(slots), NO_NAMES)


def test_points_are_thinned_and_stay_even() -> None:
    paths, learner, due = WeightPaths(), Idle([1.0, 2.0]), 0
    for _ in range(300):
        due = paths.following(due + 1)
        note(paths, due, learner)
        event = paths.state()["event"].astype(np.int64)
        assert len(event) <= POINTS
        assert len(np.unique(np.diff(event, prepend=0))) == 1
    assert len(event) >= POINTS // 2
    assert due > 1_000 * STRIDE


def test_who_comes_to_matter_is_followed_from_then_on() -> None:
    from onlogit.weight_paths import FOLLOWED, NO_NAMES

    paths, learner = WeightPaths(), Idle([1.0] * 2 * FOLLOWED)
    note(paths, STRIDE, learner)
    learner.dense[-1] = 2.0
    for k in (2, 3, 4):
        note(paths, k * STRIDE, learner)
    past = paths.past(5 * STRIDE, learner, NO_NAMES)  # type: ignore[arg-type]
    assert len(past.numbers) == FOLLOWED
    assert past.numbers[-1] == 2 * FOLLOWED - 1
    np.testing.assert_array_equal(past.dense[:, -1], [np.nan, 2.0, 2.0, 2.0, 2.0])
    np.testing.assert_array_equal(past.dense[:, 0], np.ones(5))


def test_which_weights_moved_is_told() -> None:
    learned = model()
    learned.step(stream(2 * TURN))
    story = explain_model(learned)
    first, x = story.paths[0], next(path for path in story.paths if path.term == "x")
    assert first is x
    assert x.at(1 / 3) == pytest.approx(1.0, abs=0.2)
    assert x.weights[-1] == pytest.approx(-1.0, abs=0.2)
    assert x.events[-1] == 2 * TURN
    assert x.moved == pytest.approx(2.0, abs=0.4)
    now = {(each.term, each.value): each.weight for each in story.weights} | {(BASELINE, None): story.baseline}
    for path in story.paths:
        assert path.weights[-1] == pytest.approx(now[path.term, path.value], abs=1e-6)
    assert {path.value for path in story.paths if path.term == "town"} == {"t0", "t1", "t2", "t3"}
    assert next(path for path in story.paths if path.term == "steady").moved < 0.3
    assert story.to_json()["paths"][0]["events"][:2] == [16 * STRIDE, 32 * STRIDE]
    text = "\n".join(model_text(story))
    assert "weights that moved most over the stream" in text
    html = page(of_model(learned, "a model", "model", None, []))
    assert "Which weights moved" in html
    assert html.index("Which weights moved") < html.index("Counters")


def test_before_the_first_point_there_is_nothing_to_tell() -> None:
    learned = model()
    learned.step(stream(STRIDE))
    assert explain_model(learned).paths == []
    assert "Which weights moved" not in page(of_model(learned, "a model", "model", None, []))


def test_a_merged_model_has_the_past_of_its_base() -> None:
    base = model(names=20)
    base.step(stream(2 * STRIDE + 10))
    parts = [of_bytes(base.to_bytes()) for _ in range(2)]
    for seed, part in enumerate(parts):
        part.step(stream(STRIDE + 10, seed))
    merged = OnlineLogit.merge(parts, base)
    told = {(path.term, path.value): path for path in explain_model(merged).paths}
    before = {(path.term, path.value): path for path in explain_model(base).paths}
    events = [STRIDE, 2 * STRIDE, merged.counts.events]
    assert [told[name, None].events for name in (BASELINE, "x")] == [events, events]
    np.testing.assert_allclose(np.diff(told["x", None].weights)[0], np.diff(before["x", None].weights)[0], atol=1e-6)
    merged.step(stream(2 * STRIDE, 3))
    assert explain_model(of_bytes(merged.to_bytes())).paths[0].events[:2] == events[:2]


def test_a_model_merged_from_nothing_begins_anew() -> None:
    parts = [model(), model()]
    for seed, part in enumerate(parts):
        part.step(stream(STRIDE + 10, seed))
    merged = OnlineLogit.merge(parts)
    assert explain_model(merged).paths == []
    merged.step(stream(STRIDE, 3))
    assert {len(path.events) for path in explain_model(merged).paths} == {2}


def test_a_damaged_state_is_refused() -> None:
    learned = model()
    learned.step(stream(STRIDE + 1))
    good = learned.pipeline.paths.state()
    for name, bad in [
        ("weights", good["weights"][:, :-1]), ("event", np.array([0])), ("stride", np.array([1])),
        ("slots", good["slots"][::-1]), ("numbers", good["numbers"].astype(np.int32)), ("members", good["members"][:0]),
    ]:  # fmt: skip
        with pytest.raises(StateError, match="paths of weights"):
            learned.pipeline.paths.restore(good | {name: bad})
    state = learned.state()
    state["paths.members"] = np.sort(
        np.append(good["members"].astype(np.int64), 4095 if 4095 not in good["members"] else 4094)
    )
    with pytest.raises(StateError, match="has no name"):
        learned.pipeline.restore(state)
