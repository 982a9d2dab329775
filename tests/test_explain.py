"""Pushes add up and mean what they say; weights, intervals and pairs against what made the data; names of slots."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import forks
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet as pq

import onlogit as ol
from onlogit.config import BeliefConfig, Config
from onlogit.errors import DataError, SchemaError
from onlogit.explain import REST, explain_event, explain_model
from onlogit.learners.pushes import LastWord, Rate, Said, Voices, split, stated
from onlogit.model import of_bytes

F64 = npt.NDArray[np.float64]
ONE = BeliefConfig(
    half_lives=(math.inf,), priors=((1.0, 10.0),), lasting_priors=((1.0, 10.0),), switching=(0.0,), stacking_prior=1e-12
)
TERMS = ["town*make", "bucket(x, 4)", "spline(size, 4)", "log(size)", "town*size", "bucket(size, 3)*make", "month(at)"]


def stream(n: int, seed: int = 1) -> pa.Table:
    """Events with every kind of coordinate."""
    draw = np.random.default_rng(seed)
    x, size = draw.normal(size=n), draw.exponential(size=n)
    town, make = draw.integers(0, 4, n), draw.integers(0, 3, n)
    late = draw.random(n) < 1 / (1 + np.exp(1.5 - x - 0.8 * (town == 2) + 0.5 * (make == 0) * (town == 1)))
    at = np.datetime64("2024-01-01T00:00", "us") + np.arange(n) * np.timedelta64(5 * 3600, "s")
    return pa.table({
        "x": pa.array(x, mask=draw.random(n) < 0.05), "size": size, "flag": draw.random(n) < 0.5,
        "town": pa.array([None if t == 3 else f"town {t}" for t in town]),
        "make": pa.array([f"m{m}" for m in make]).dictionary_encode(),
        "at": at, "tags": pa.array([[f"t{k}" for k in range(j % 3)] if j % 7 else None for j in range(n)]),
        "late": late,
    })  # fmt: skip


def learned(n: int = 4000, terms: list[str] | None = None, **config: Any) -> ol.OnlineLogit:
    model = ol.OnlineLogit(label="late", features=terms or [], config=Config(slot_bits=12, **config))
    model.step(stream(n))
    return model


def batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


@pytest.mark.parametrize("learner", ["belief", "sgd", "ftrl"])
def test_pushes_add_up_to_what_is_stated(learner: str) -> None:
    model = learned(terms=TERMS, learner=learner)
    rows = batch(stream(30, seed=2))
    step = model.score(rows)
    for i in range(30):
        story = explain_event(model, rows.slice(i, 1))
        assert story.z == pytest.approx(step.z[i], abs=1e-12)
        assert abs(story.baseline + math.fsum(push.push for push in story.pushes) - story.z) < 1e-9
        *named, rest = story.pushes
        assert rest.term == REST
        assert abs(rest.push) < 2e-3
        assert [abs(push.push) for push in named] == sorted((abs(push.push) for push in named), reverse=True)
        assert not any(push.term.startswith("slot ") for push in named), "every slot has a name"
        if learner == "belief":
            assert story.p_low is not None
            assert story.p_high is not None
            assert story.p_low < story.p < story.p_high
        json.dumps(story.to_json(), allow_nan=False)


def test_of_one_expert_a_push_is_weight_times_value() -> None:
    table = stream(3000)
    model = ol.OnlineLogit(label="late", config=Config(belief=ONE))
    model.step(table.select(["x", "size", "late"]))
    row = batch(table.select(["x", "size"]).slice(100, 1))
    story = explain_event(model, row)
    weights = {each.term: each for each in explain_model(model).weights if each.value is None}
    mean, sd = model.pipeline.encoder.moments()
    assert model.pipeline.encoder.dense_names == ["x", "size"]
    pushes = {push.term: push.push for push in story.pushes}
    for j, name in enumerate(("x", "size")):
        value = (row.column(name)[0].as_py() - mean[j]) / sd[j]
        assert pushes[name] == pytest.approx(weights[name].weight * value, rel=1e-3)
        assert weights[name].raw == pytest.approx(weights[name].weight / sd[j])


def test_pushes_are_the_integral_along_the_line() -> None:
    draw = np.random.default_rng(3)
    experts, terms = 3, 4
    said = Said(draw.normal(size=experts), draw.normal(size=(experts, terms)), draw.exponential(size=experts))
    word = LastWord(0.1, 1.05, 0.2, draw.normal(0, 0.1, experts))
    voices = Voices(draw.dirichlet(np.ones(2 * experts)), word, Rate(0.3, 0.2))
    z = stated(said.bias + said.terms.sum(axis=1), said.variance, voices)
    told = split(said, voices, 2, z)
    expected, points = np.zeros(terms), 4000
    for k in range(points):  # each term moves a little after the other, and gets what that changes
        at = said.bias + said.terms.sum(axis=1) * (k + 0.5) / points
        for j in range(terms):
            step = said.terms[:, j] / points
            low, high = at - step / 2, at + step / 2
            expected[j] += stated(high, said.variance, voices) - stated(low, said.variance, voices)
    np.testing.assert_allclose(np.concatenate([told.dense, told.slots]), expected, atol=1e-3)
    assert abs(told.rest) < 1e-3


def test_what_is_new_rare_missing_or_far_is_said() -> None:
    model = learned()
    row = batch(stream(1).drop_columns(["late"]))
    odd = row.set_column(row.schema.get_field_index("town"), "town", pa.array(["nowhere"]))
    odd = odd.set_column(odd.schema.get_field_index("size"), "size", pa.array([1e6]))
    odd = odd.set_column(odd.schema.get_field_index("x"), "x", pa.array([None], pa.float64()))
    story = explain_event(model, odd)
    at = model.pipeline.encoder.dense_names.index("size")
    mean, sd = (float(moments[at]) for moments in model.pipeline.encoder.moments())
    for far in (4.5, 5.1):
        one = odd.set_column(odd.schema.get_field_index("size"), "size", pa.array([mean + far * sd]))
        note = next(push.note for push in explain_event(model, one).pushes if push.term == "size")
        assert note == f"{far} sd from its mean of {mean:.4g}, read as 3"
        assert model.pipeline.encoder.encode(one, update=False).rows.dense[0, at] == 3.0
    notes = {(push.term, push.value): push.note for push in story.pushes}
    assert notes["town", "nowhere"] == "new: never seen before"
    assert notes["size", "1e+06"].endswith(f"sd from its mean of {mean:.4g}, read as 3")
    assert ("x", "missing") in notes
    low, high, sd = model.pipeline.encoder.seen_numbers()["size"]
    size = stream(4000)["size"].to_numpy()
    assert (low, high) == (size.min(), size.max())
    beyond = (1e6 - high) / sd
    assert story.notes == [
        "new categories, of which nothing was learned: town", "numbers far outside of what is usual: size",
        f"size = 1e+06 is above what was seen, {low:.6g} to {high:.6g}, {beyond:.3g} sd beyond it",
    ]  # fmt: skip
    assert (story.reaches[0].column, story.reaches[0].outside) == ("size", 1e6 - high)
    assert "rare" in {(p.term, p.value): p.note for p in explain_event(learned(100), row).pushes}["hour(at)", "0"]


def test_a_long_category_shares_its_slot_with_none() -> None:
    long = [letter * 250 for letter in "uv"]
    model = ol.OnlineLogit(label="late")
    model.step(pa.table({"url": long * 50, "late": [True, False, False, True] * 25}))
    notes = [push.note for text in long for push in explain_event(model, pa.record_batch({"url": [text]})).pushes]
    assert notes == [""] * 4


def test_pushes_beyond_all_bounds_have_odds() -> None:
    draw = np.random.default_rng(0)
    model = ol.OnlineLogit(label="late", config=Config(learner="sgd", sgd=ol.SgdConfig(rate=1e6)))
    table = pa.table({"x": draw.normal(size=500), "late": draw.random(500) < 0.5})
    model.step(table)
    told = [explain_event(model, batch(table.slice(k, 1).select(["x"]))).to_json() for k in range(20)]
    assert max(abs(push["push"]) for story in told for push in story["pushes"]) > 710
    assert all(math.isfinite(push["odds"]) for story in told for push in story["pushes"])


def test_how_far_outside_of_what_was_seen_a_number_is() -> None:
    """Of columns that only terms read as well; rows of weight 0, missing and infinite values were not seen."""
    table = pa.table({
        "a": pa.array([1.0, 3.0, None, float("inf"), float("nan"), 100.0]), "b": pa.array([5, 7, 9, 6, 8, -50], pa.int64()),
        "w": [1.0, 2.0, 1.0, 1.0, 1.0, 0.0], "late": [True, False, True, False, True, False],
    })  # fmt: skip
    model = ol.OnlineLogit(label="late", weight="w", drop="b", features=("log(b)",))
    for low, high in ((0, 2), (2, 6)):
        model.step(table.slice(low, high - low))
    merged = ol.OnlineLogit.merge([model])
    for each in (model, of_bytes(model.to_bytes()), merged):
        assert {k: v[:2] for k, v in each.pipeline.encoder.seen_numbers().items()} == {"a": (1.0, 3.0), "b": (5.0, 9.0)}
        told = explain_event(each, batch(pa.table({"a": [3.0], "b": [2]})))
        b, a = told.reaches
        assert (a.column, a.low, a.high, a.outside, a.outside_sd) == ("a", 1.0, 3.0, 0.0, 0.0)
        assert (b.column, b.low, b.high, b.outside) == ("b", 5.0, 9.0, -3.0)
        sd = np.sqrt(np.average((np.array([5, 7, 9, 6, 8]) - 7) ** 2, weights=[1, 2, 1, 1, 1]))
        assert b.outside_sd == pytest.approx(-3.0 / sd)
        assert f"b = 2 is below what was seen, 5 to 9, {3 / sd:.3g} sd beyond it" in told.notes
        assert told.to_json()["reaches"][0]["outside"] == -3.0
    model.freeze()
    model.step(table.slice(5, 1).set_column(2, "w", pa.array([1.0])))
    assert model.pipeline.encoder.seen_numbers()["a"].high == 3.0
    nothing = explain_event(learned(1), batch(stream(1).drop_columns(["late"])))
    assert all(each.outside == 0.0 for each in nothing.reaches)


def test_names_come_back_with_their_counts() -> None:
    model, table = learned(terms=TERMS), stream(4000)
    story = explain_model(model)
    assert story.unnamed == 0
    events = {(each.term, each.value): each.events for each in story.weights}
    town = table["town"].to_pylist()
    assert events["town", "town 1"] == town.count("town 1")
    assert events["town", "missing"] == town.count(None)
    assert events["flag", "true"] == table["flag"].to_pylist().count(True)
    assert events["tags", "t1"] == sum("t1" in (tags or []) for tags in table["tags"].to_pylist())
    pairs = list(zip(town, table["make"].to_pylist(), strict=True))
    assert events["town*make", "town 0*m1"] == pairs.count(("town 0", "m1"))
    assert {("month(at)", "1"), ("hour(at)", "5"), ("weekday(at)", "6"), ("spline(size, 4)", "0")} <= set(events)
    assert {f"bucket(x, 4) {k}" for k in range(4)} <= {f"{term} {value}" for term, value in events}
    typical = [each.typical for each in story.weights]
    assert typical == sorted(typical, reverse=True)


@pytest.mark.parametrize("cuts", [[1], [700, 701, 2000], [1024]])
def test_names_do_not_depend_on_how_the_stream_was_cut(cuts: list[int]) -> None:
    table = stream(2500)
    config = Config(slot_bits=5, names=20)  # collisions, and a registry that fills up
    whole = ol.OnlineLogit(label="late", features=[*TERMS, "bucket(x*size, 3)"], config=config)
    whole.step(table)
    parts = ol.OnlineLogit(label="late", features=[*TERMS, "bucket(x*size, 3)"], config=config)
    for low, high in zip([0, *cuts], [*cuts, 2500], strict=True):
        parts.step(table.slice(low, high - low))
        parts = ol.model.of_bytes(parts.to_bytes())
    assert parts.to_bytes() == whole.to_bytes()
    assert len(whole.pipeline.encoder.names.values) == 20


def test_a_model_without_names_says_so() -> None:
    story = explain_model(learned(names=0))
    assert all(each.value is None for each in story.weights)
    assert "this model keeps no names" in " ".join(story.notes)
    assert story.unnamed > 0
    full = explain_model(learned(names=3))
    assert "learned slots have no name: the registry holds the first 3" in " ".join(full.notes)


@pytest.mark.parametrize("learner", ["belief", "sgd"])
def test_an_event_whose_column_has_no_named_value_is_explained(learner: str) -> None:
    """Columns of which none, or only the first, has a name; and a model that has seen no event that counts."""
    table = pa.table({c: [f"{c}{k % 3}" for k in range(60)] for c in "abc"} | {"late": [k % 2 == 0 for k in range(60)]})
    row = batch(table.slice(7, 1).select(["a", "b", "c"]))
    for names, weight in ((0, 1.0), (1, 1.0), (2, 1.0), (8, 1.0), (8, 0.0)):
        model = ol.OnlineLogit(label="late", weight="w", config=Config(learner=learner, slot_bits=12, names=names))
        model.step(table.append_column("w", pa.array([weight] * 60)))
        told = explain_event(model, row)
        assert told.baseline + sum(push.push for push in told.pushes) == pytest.approx(told.z, abs=1e-3)


def test_weights_that_cannot_be_told_apart_are_named_together() -> None:
    draw = np.random.default_rng(4)
    a = draw.normal(size=3000)
    b = a + 0.05 * draw.normal(size=3000)
    late = draw.random(3000) < 1 / (1 + np.exp(-a))
    model = ol.OnlineLogit(label="late", config=Config(belief=ONE))
    model.step(pa.table({"a": a, "b": b, "c": draw.normal(size=3000), "late": late}))
    (pair,) = explain_model(model).pairs
    assert (pair.first, pair.second, pair.together) == ("a", "b", "sum")
    assert pair.correlation < -0.9
    assert abs(pair.push - 1.0) < 4 * pair.push_sd < 0.4


def test_few_positives_are_said_aloud() -> None:
    model = ol.OnlineLogit(label="late")
    model.step(pa.table({"x": np.zeros(200), "late": np.arange(200) < 5}))
    assert "all of this rests on 5 positives only" in explain_model(model).notes


def test_a_record_that_does_not_fit_is_refused() -> None:
    model = learned(500)
    with pytest.raises(DataError, match="accepted is one"):
        explain_event(model, batch(stream(2)))
    with pytest.raises(SchemaError, match="town"):
        explain_event(model, batch(stream(1).drop_columns(["town"])))


@pytest.mark.slow
def test_intervals_of_one_expert_cover_the_truth() -> None:
    """93 to 97 % of 95 % intervals on stationary data, one expert that forgets nothing: 250 runs, 4 weights."""
    held = total = 0
    truth = np.array([0.8, -0.5, 0.3, 0.0])
    for seed in range(250):
        draw = np.random.default_rng(1000 + seed)
        x = draw.normal(size=(600, 4))
        late = draw.random(600) < 1 / (1 + np.exp(1.0 - x @ truth))
        model = ol.OnlineLogit(label="late", config=Config(belief=ONE, slot_bits=4))
        model.step(pa.table({**{f"x{j}": x[:, j] for j in range(4)}, "late": late}))
        for each in explain_model(model).weights:
            j = int(each.term[1:])
            assert each.odds_low is not None
            assert each.odds_high is not None
            held += math.log(each.odds_low) <= truth[j] * x[:, j].std() <= math.log(each.odds_high)
            total += 1
    assert 0.93 <= held / total <= 0.97, held / total


def test_the_command(tmp_path: Path) -> None:
    table = stream(1500)
    pq.write_table(table, tmp_path / "in.parquet")
    model = learned(1500)
    model.save(tmp_path / "m")

    def call(*args: str) -> "subprocess.CompletedProcess[str]":
        return forks.run([*forks.COMMAND, "explain", *args], cwd=tmp_path, capture_output=True, text=True)

    told = call("m", "in.parquet", "--event", "7")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("p = ")
    answer = json.loads(call("m", "in.parquet", "--event", "7", "--json").stdout)
    assert answer["baseline"] + sum(push["push"] for push in answer["pushes"]) == pytest.approx(answer["z"], abs=1e-9)
    assert call("m", "--row", '{"x": 1}', "--html", "x.html").returncode == 3
    assert not (tmp_path / "x.html").exists()
    assert call("m", "in.parquet", "--event", "7", "--html", "x.html").returncode == 0
    assert "From the baseline to the log-odds" in (tmp_path / "x.html").read_text()
    believed = call("m")
    assert believed.returncode == 0
    assert "baseline" in believed.stdout
    assert json.loads(call("m", "--json").stdout)["learner"] == "belief"
    row = '{"x": 1.5, "size": 2, "flag": true, "town": "town 1", "make": "m0", "at": "2024-05-01T10:00:00", "tags": []}'
    told = call("m", "--row", row, "--json")
    assert told.returncode == 0, told.stderr
    assert {p["value"] for p in json.loads(told.stdout)["pushes"] if p["term"] == "hour(at)"} == {"10"}
    for args, code, message in (
        (("m", "in.parquet"), 2, "--event"),
        (("m", "in.parquet", "--event", "5000"), 3, "has 1500 records"),
        (("m", "--html", "x.html"), 2, "onlogit report MODEL"),
        (("m", "--row", "{"), 3, "--row is no JSON"),
        (("m", "--row", "[1]"), 3, "no JSON object"),
        (("m", "--row", '{"sise": 2}'), 3, "the model has no column 'sise'; near or known: size"),
        (("m", "--row", row.replace("1.5", '"big"')), 3, "'x'"),
        (("m", "--row", '{"x": 1}'), 3, "missing"),
        (("absent", "--row", row), 3, "no such file"),
    ):
        told = call(*args)
        assert (told.returncode, message in told.stderr) == (code, True), (args, told.stderr)
