"""The laws of the house as properties: each holds for every way in which labels come, and for every learner."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.workloads import drifting
from onlogit import BeliefConfig, Config, DataError, LabelConfig, MonitorConfig, OnlineLogit, SgdConfig
from onlogit.model import of_bytes

SMALL = BeliefConfig(half_lives=(math.inf, 200.0), priors=((0.1, 1.0), (1.0, 10.0)))
LEARNERS = ["belief", "sgd", "adagrad", "ftrl"]


def with_due(table: pa.Table) -> pa.Table:
    """A due time half an hour or two hours after each event, and none for some."""
    n = np.arange(table.num_rows)
    wait = pa.array(np.where(n % 2, 1800, 7200).astype("timedelta64[s]"))
    return table.append_column("due", pc.if_else(pa.array(n % 50 != 7), pc.add(table["at"], wait), None))


TABLE = with_due(drifting(400).table)
HARD = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def config(learner: str = "belief", **labels: Any) -> Config:
    return Config(
        learner=learner, slot_bits=8, belief=SMALL, sgd=SgdConfig(batch=3),
        monitor=MonitorConfig(patience=50.0, warm_up=20), labels=LabelConfig(**labels),
    )  # fmt: skip


def at_once(learner: str = "belief") -> OnlineLogit:
    return OnlineLogit("y", drop=["id", "at", "known_at", "due"], config=config(learner))


def delayed(learner: str = "belief") -> OnlineLogit:
    return OnlineLogit("y", drop=["id", "at", "known_at", "due"], config=config(learner, delay=7))


def timed(learner: str = "belief") -> OnlineLogit:
    return OnlineLogit("y", time="at", label_time="known_at", drop=["id", "due"], config=config(learner))


def forgetful(learner: str = "belief") -> OnlineLogit:
    return OnlineLogit("y", time="at", label_time="known_at", drop=["id", "due"], config=config(learner, remember=30))


def keyed(learner: str = "belief") -> OnlineLogit:
    return OnlineLogit("y", key="id", drop=["at", "known_at", "due"], config=config(learner, remember=150))


def due(learner: str = "belief") -> OnlineLogit:
    return OnlineLogit("y", time="at", label_time="known_at", due="due", drop=["id"], config=config(learner))


def due_by_key(learner: str = "belief") -> OnlineLogit:
    settings = config(learner, remember=150)
    return OnlineLogit("y", time="at", key="id", due="due", drop=["known_at"], config=settings)


def horizon(learner: str = "belief") -> OnlineLogit:
    settings = config(learner, horizon="90m", unresolved="negative")
    return OnlineLogit("y", time="at", label_time="known_at", drop=["id", "due"], config=settings)


def horizon_by_key(learner: str = "belief") -> OnlineLogit:
    settings = config(learner, horizon="40m", unresolved="negative", remember=45)
    return OnlineLogit("y", time="at", key="id", drop=["known_at", "due"], config=settings)


WAYS = [at_once, delayed, timed, forgetful, keyed, due, due_by_key, horizon, horizon_by_key]
Way = Callable[..., OnlineLogit]


def fold(model: OnlineLogit, table: pa.Table, cuts: list[int]) -> dict[str, npt.NDArray[Any]]:
    """Fold the table cut at these rows; what was stated, and the events at which alarms were raised."""
    edges = [0, *sorted(cuts), table.num_rows]
    p, alarms = [np.zeros(0)], [0]
    for low, high in itertools.pairwise(edges):
        step = model.step(table.slice(low, high - low))
        p.append(step.p)
        alarms += [alarm.event for alarm in step.alarms]
    return {"p": np.concatenate(p), "alarms": np.array(alarms)}


def same(a: dict[str, npt.NDArray[Any]], b: dict[str, npt.NDArray[Any]]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert array.dtype == b[name].dtype, name
        assert array.tobytes() == b[name].tobytes(), name


CUTS = st.lists(st.integers(0, TABLE.num_rows), max_size=12)


def labels_missing(table: pa.Table) -> pa.Table:
    """Every third label is not known yet."""
    known = pa.array(np.arange(table.num_rows) % 3 != 0)
    return table.set_column(
        table.schema.get_field_index("y"), "y", pc.if_else(known, table["y"], pa.scalar(None, pa.bool_()))
    )


PARTLY = labels_missing(TABLE)
WHOLE = {way: way() for way in WAYS}
STATED = {way: fold(model, PARTLY, []) for way, model in WHOLE.items()}


@pytest.mark.parametrize("way", WAYS)
@settings(HARD, max_examples=15)
@given(cuts=CUTS)
def test_law_1_any_cut_gives_the_same_bytes(way: Way, cuts: list[int]) -> None:
    model = way()
    same(fold(model, PARTLY, cuts), STATED[way])
    same(model.state(), WHOLE[way].state())


@pytest.mark.parametrize("way", WAYS)
def test_law_1_one_row_at_a_time(way: Way) -> None:
    for learner in LEARNERS:
        whole, single = way(learner), way(learner)
        same(fold(single, PARTLY, list(range(1, PARTLY.num_rows))), fold(whole, PARTLY, []))
        assert single.finish() == whole.finish()
        same(single.state(), whole.state())


@pytest.mark.parametrize("way", WAYS)
def test_law_2_a_label_changes_nothing_that_was_stated_before_it(way: Way) -> None:
    n = TABLE.num_rows
    turned = pa.array(np.where(np.arange(n) >= n // 2, ~TABLE["y"].to_numpy(), TABLE["y"].to_numpy()))
    other = TABLE.set_column(TABLE.schema.get_field_index("y"), "y", turned)
    a, b = fold(way(), TABLE, [])["p"], fold(way(), other, [])["p"]
    np.testing.assert_array_equal(a[: n // 2 + 1], b[: n // 2 + 1])
    assert (a[n // 2 + 60 :] != b[n // 2 + 60 :]).any()


def test_law_2_a_label_is_learned_only_when_it_is_known() -> None:
    """With the stream's time before every label time, p never moves from what a fresh model says."""
    late = TABLE.set_column(TABLE.schema.get_field_index("known_at"), "known_at", pa.array(
        np.full(TABLE.num_rows, np.datetime64("2100-01-01", "us")), pa.timestamp("us", tz="UTC")))  # fmt: skip
    model = timed()
    assert fold(model, late, [])["p"].tolist() == [0.5] * TABLE.num_rows
    model.finish()
    assert model.counts.learned == TABLE.num_rows


@pytest.mark.parametrize("way", [at_once, delayed, timed, due, horizon])
def test_law_3_a_row_of_no_weight_changes_nothing(way: Way) -> None:
    n = TABLE.num_rows
    weight = np.where(np.arange(n) % 2 == 1, 1.0, 0.0)
    weighted = TABLE.append_column("w", pa.array(weight))

    def fresh() -> OnlineLogit:
        m = way()
        m.roles["weight"] = "w"
        return m

    with_zeros, without = fresh(), fresh()
    p = fold(with_zeros, weighted, [])["p"]
    kept = weighted.filter(pa.array(weight > 0))
    np.testing.assert_array_equal(p[1::2], fold(without, kept, [])["p"])
    for model in (with_zeros, without):
        model.finish()
    for part in ("encoder", "learner", "monitor.tally"):
        a = {k: v for k, v in with_zeros.state().items() if k.startswith(part)}
        same(a, {k: v for k, v in without.state().items() if k.startswith(part)})
    assert with_zeros.counts.no_weight == n // 2
    assert with_zeros.counts.learned == without.counts.learned
    assert with_zeros.counts.unresolved == without.counts.unresolved
    assert with_zeros.counts.learned + with_zeros.counts.unresolved + without.pipeline.memory.waiting >= n // 2


@pytest.mark.parametrize("learner", LEARNERS)
def test_law_3_a_weight_of_h_is_h_repeats(learner: str) -> None:
    """To .03 in probability after 400 rows, for one expert whose last word is "what it says". A mixture judges what was
    stated before a row, and the last word what was wrong of late, so to them three equal rows in a row also show who learns
    by heart fastest, and that outcomes come in threes: there repeats say more than a weight can."""
    one = BeliefConfig(half_lives=(math.inf,), priors=((0.1, 1.0),), lasting_priors=((0.1, 1.0),), stacking_prior=1e-9)
    roles: dict[str, Any] = {"drop": ["id", "at", "known_at", "due"], "config": Config(learner=learner, belief=one)}
    heavy, repeated = OnlineLogit("y", weight="w", **roles), OnlineLogit("y", **roles)
    fold(heavy, TABLE.append_column("w", pa.array(np.full(TABLE.num_rows, 3.0))), [])
    fold(repeated, TABLE.take(pa.array(np.repeat(np.arange(TABLE.num_rows), 3))), [])
    np.testing.assert_allclose(heavy.predict_proba(TABLE), repeated.predict_proba(TABLE), atol=0.03)
    assert heavy.quality().examples == repeated.quality().examples == 3 * TABLE.num_rows


@pytest.mark.parametrize("way", WAYS)
def test_law_4_same_stream_same_bytes(way: Way) -> None:
    one, two = way(), way()
    same(fold(one, PARTLY, [100]), fold(two, PARTLY, [100]))
    assert one.to_bytes() == two.to_bytes()


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=3, deadline=None)
@given(at=st.integers(0, TABLE.num_rows))
def test_law_5_saving_never_changes_behaviour(way: Way, learner: str, at: int) -> None:
    through, saved = way(learner), way(learner)
    whole = fold(through, PARTLY, [at])
    before = fold(saved, PARTLY.slice(0, at), [])
    saved = of_bytes(saved.to_bytes())
    after = fold(saved, PARTLY.slice(at), [])
    np.testing.assert_array_equal(np.concatenate([before["p"], after["p"]]), whole["p"])
    same(saved.state(), through.state())


@pytest.mark.parametrize("way", WAYS)
def test_scoring_changes_nothing_and_says_what_the_fold_would_say(way: Way) -> None:
    model = way()
    fold(model, PARTLY.slice(0, 200), [])
    before = model.to_bytes()
    scored = model.predict_proba(TABLE.slice(200, 150).drop_columns(["y"]))
    assert model.to_bytes() == before
    assert np.isfinite(scored).all()
    assert scored.shape == (150,)


WILD = st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e30, 1e308, 5e-324, 0.0, 1e12, None])


@pytest.mark.parametrize("learner", LEARNERS)
@HARD
@given(wild=st.lists(st.tuples(st.integers(0, 59), WILD, WILD), min_size=1, max_size=30), one_class=st.booleans())
def test_law_6_nothing_unseen_breaks_it(learner: str, wild: list[tuple[int, Any, Any]], one_class: bool) -> None:
    n = 3000
    random = np.random.default_rng(0)
    a, b = random.standard_normal(n), random.standard_normal(n)
    y = random.random(n) < 1 / (1 + np.exp(-2 * a))
    columns: dict[str, list[Any]] = {"a": a.tolist(), "b": b.tolist(), "c": ["x"] * n, "y": y.tolist()}
    for row, va, vb in wild:
        columns["a"][row], columns["b"][row], columns["c"][row] = va, vb, None if va is None else f"new{row}"
    if one_class:
        columns["y"][:100] = [True] * 100
    model = OnlineLogit("y", config=Config(learner=learner, belief=SMALL, slot_bits=8, sgd=SgdConfig(rate=0.05)))
    table = pa.table(
        columns, pa.schema([("a", pa.float64()), ("b", pa.float64()), ("c", pa.string()), ("y", pa.bool_())])
    )
    p = fold(model, table, [0, 0, 7])["p"]
    assert np.isfinite(p).all()
    assert ((p >= 0) & (p <= 1)).all()
    floats = {k: v for k, v in model.state().items() if v.dtype.kind == "f" and not k.startswith("encoder")}
    assert all(np.isfinite(array).all() for array in [*floats.values(), *model.pipeline.encoder.moments()])
    touched = {row for row, *_ in wild}
    numbers = [columns[name][row] for row in touched for name in ("a", "b")]
    odd = sum(v is None or not math.isfinite(v) for v in numbers)
    texts = sum(columns["c"][row] is None for row in touched)
    counts = model.pipeline.encoder.counts
    assert counts["null"] + counts["nan"] + counts["infinite"] == odd + texts
    late = np.mean((p[2000:] > 0.5) == y[2000:])
    assert late > 0.7  # later examples are learned from as if nothing had happened


def test_law_6_an_empty_batch() -> None:
    model = at_once()
    before = model.step(TABLE.slice(0, 0))
    assert len(before.p) == 0
    fold(model, TABLE, [])
    state = model.state()
    model.step(TABLE.slice(0, 0))
    same(state, model.state())


@pytest.mark.parametrize("way", WAYS)
def test_law_7_a_refused_batch_leaves_everything_as_it_was(way: Way) -> None:
    n = TABLE.num_rows
    number = pc.cast(TABLE["y"], pa.int64())
    table = TABLE.set_column(TABLE.schema.get_field_index("y"), "y", number)
    third = pc.if_else(pa.array(np.arange(n) == 350), pa.scalar(2), number)
    bad = table.set_column(table.schema.get_field_index("y"), "y", third)
    model = way()
    fold(model, table.slice(0, 300), [])
    before = model.state()
    with pytest.raises(DataError, match=r"'y', row 350 .*label 2"):
        model.step(bad.slice(300))
    same(before, model.state())
    model.step(table.slice(300))


def test_a_repeated_key_is_refused_while_its_event_waits() -> None:
    model = keyed()
    rows = PARTLY.slice(0, 10)
    model.step(rows)
    before = model.state()
    with pytest.raises(DataError, match=r"'id', row 10 .* earlier event"):
        model.step(PARTLY.slice(0, 1))
    with pytest.raises(DataError, match=r"'id', row 11 "):
        model.step(pa.concat_tables([PARTLY.slice(30, 1), PARTLY.slice(30, 1)]))
    same(before, model.state())


def keyed_delayed() -> OnlineLogit:
    return OnlineLogit("y", key="id", drop=["at", "known_at", "due"], config=config(delay=2, remember=5))


def keyed_timed() -> OnlineLogit:
    return OnlineLogit(
        "y", time="at", label_time="known_at", key="id", drop=["due"], config=config("sgd", remember=150)
    )


def keyed_forgetful() -> OnlineLogit:
    return OnlineLogit("y", key="id", drop=["at", "known_at", "due"], config=config(remember=4))


def outcome_of(model: OnlineLogit, table: pa.Table, cuts: list[int]) -> dict[str, npt.NDArray[Any]] | str:
    """The state after these batches, or what refused one of them."""
    model.roles["weight"] = "w"
    try:
        fold(model, table, cuts)
    except DataError as error:
        return str(error)
    return model.state()


@pytest.mark.parametrize("way", [keyed, keyed_forgetful, keyed_delayed, keyed_timed, due_by_key, horizon_by_key])
def test_law_1_keys_that_repeat_are_refused_or_not_in_any_cut(way: Way) -> None:
    n, refused = 24, 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        keys = pa.array(random.integers(0, 40, n) + 1000 * (np.arange(n) // random.integers(4, 30)))
        table = PARTLY.slice(0, n).set_column(PARTLY.schema.get_field_index("id"), "id", keys)
        table = table.append_column("w", pa.array(random.choice([0.0, 1.0, 2.0], n)))
        whole = outcome_of(way(), table, [])
        refused += isinstance(whole, str)
        for cuts in ([cut] for cut in range(1, n)):
            told = outcome_of(way(), table, cuts)
            assert isinstance(whole, dict) == isinstance(told, dict), (seed, cuts, whole, told)
            if isinstance(whole, dict) and isinstance(told, dict):
                same(whole, told)
            else:
                assert whole == told, (seed, cuts)
    assert 0 < refused < 12


def test_a_key_may_repeat_once_its_event_waits_no_more() -> None:
    labelled, unlabelled, model = TABLE.slice(0, 1), PARTLY.slice(0, 1), keyed()
    model.roles["weight"] = "w"
    rows = pa.concat_tables([labelled, unlabelled, unlabelled, unlabelled, labelled])
    model.step(rows.append_column("w", pa.array([1.0, 0.0, 1.0, 0.0, 1.0])))
    assert (model.counts.learned, model.counts.no_weight, model.pipeline.memory.waiting) == (2, 2, 1)
    forgetful = keyed_forgetful()
    with pytest.raises(DataError, match=r"row 4 .* earlier event"):
        forgetful.step(pa.concat_tables([PARTLY.slice(0, 4), unlabelled]))
    forgetful.step(
        pa.concat_tables([PARTLY.slice(0, 5), unlabelled])
    )  # of the first event the label would be unknown by now
    assert forgetful.counts.expired == 1


@settings(max_examples=20, deadline=None)
@given(cut=st.lists(st.integers(1, 99), max_size=5), seed=st.integers(0, 5))
def test_outcomes_by_key_in_any_cut(cut: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(100)
    events = TABLE.slice(0, 100)
    unlabelled = events.set_column(events.schema.get_field_index("y"), "y", pa.nulls(100, pa.bool_()))
    outcomes = events.select(["id", "y"]).take(pa.array(order))
    models = keyed(), keyed()
    for model, cuts in zip(models, ([], cut), strict=True):
        model.step(unlabelled)
        edges = [0, *sorted(cuts), 100]
        for low, high in itertools.pairwise(edges):
            model.outcomes(outcomes.slice(low, high - low))
    same(models[0].state(), models[1].state())
    counts = models[0].counts
    assert (counts.learned, counts.unknown, counts.outcomes) == (100, 0, 100)
    assert models[0].quality().examples == 100
    models[0].outcomes(outcomes.slice(0, 3))
    assert models[0].counts.unknown == 3


@pytest.mark.parametrize("way", [due_by_key, horizon_by_key])
@settings(max_examples=10, deadline=None)
@given(cuts=CUTS, seed=st.integers(0, 3))
def test_law_1_outcomes_before_and_after_they_are_due(way: Way, cuts: list[int], seed: int) -> None:
    """Outcomes come every 20 events, of any event so far; records are cut anywhere between, and the model is reloaded."""
    random, n = np.random.default_rng(seed), PARTLY.num_rows
    told = {
        at: TABLE.select(["id", "y"]).take(pa.array(random.integers(max(at - 120, 0), at, 12)))
        for at in range(20, n, 20)
    }
    whole, cut = way(), way()
    for model, edges in ((whole, [0, *told, n]), (cut, sorted({0, *told, *cuts, n}))):
        current = model
        for low, high in itertools.pairwise(edges):
            current.step(PARTLY.slice(low, high - low))
            if high in told:
                current.outcomes(told[high])
            if current is not whole and high in cuts:
                current = of_bytes(current.to_bytes())
        current.finish()
        model._pipeline = current._pipeline
    same(whole.state(), cut.state())
    counts = whole.counts
    assert counts.outcomes == 12 * len(told)
    assert min(counts.late, counts.unknown, counts.unresolved, counts.learned) > 0
    remember = whole.config.labels.remember  # memory is bounded: what waits, and keys of what came to be due unresolved
    assert whole.pipeline.memory.waiting <= remember
    assert 0 < len(whole.state()["memory.missed_key"]) <= 2 * remember


def test_expired_events_are_counted_and_their_outcomes_unknown() -> None:
    model = keyed()
    unlabelled = TABLE.set_column(TABLE.schema.get_field_index("y"), "y", pa.nulls(TABLE.num_rows, pa.bool_()))
    model.step(unlabelled)
    assert model.counts.expired == TABLE.num_rows - 150
    assert model.pipeline.memory.waiting == 150
    model.outcomes(TABLE.select(["id", "y"]))
    assert model.counts.unknown == TABLE.num_rows - 150
    assert model.counts.learned == 150


@pytest.mark.parametrize("way", [timed, due])
def test_a_frozen_model_watches_and_learns_nothing(way: Way) -> None:
    model = way()
    fold(model, TABLE.slice(0, 200), [])
    model.freeze()
    before = {k: v for k, v in model.state().items() if k.startswith(("learner", "encoder"))}
    judged = model.quality().examples
    fold(model, TABLE.slice(200), [])
    model.finish()
    same(before, {k: v for k, v in model.state().items() if k.startswith(("learner", "encoder"))})
    assert model.quality().examples == TABLE.num_rows - model.counts.unresolved > judged
