"""Slices, decisions and drift in the fold: told by name, the same for every cut, kept in the state, nothing where not asked."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from onlogit import Config, MonitorConfig, OnlineLogit
from onlogit.cli import cli
from onlogit.config import LabelConfig, from_mapping, to_mapping
from onlogit.decisions.costs import DecisionConfig
from onlogit.decisions.decider import watched
from onlogit.errors import ConfigError, DataError, SchemaError, StateError
from onlogit.model import of_bytes
from onlogit.monitor.alarms import Alarm
from onlogit.report.gathering import of_model
from onlogit.report.page import page
from onlogit.report.plain import report_text
from onlogit.report.text import ASCII

N, BREAK = 12_000, 6_000


def stream(broken: bool = True) -> pa.RecordBatch:
    """From BREAK on, outcomes in town t3 are more frequent; a fifth of x is missing in the wrong there."""
    rng = np.random.default_rng(3)
    x, town = rng.normal(size=N), rng.integers(0, 8, N)
    late = broken & (np.arange(N) >= BREAK) & (town == 3)
    y = rng.random(N) < 1 / (1 + np.exp(-(-1.0 + x + 2.5 * late)))
    return pa.record_batch({"k": np.arange(N), "x": x, "town": [f"t{t}" for t in town], "y": y})


def model(delay: int = 0, **monitor: object) -> OnlineLogit:
    told = {"patience": 5_000.0, "reference": 2_000, **monitor}
    config = Config(slot_bits=4, names=0, monitor=MonitorConfig(**told), labels=LabelConfig(delay=delay))  # type: ignore[arg-type]
    return OnlineLogit(label="y", key="k", drop=["town"], config=config)


@pytest.mark.parametrize("told", [{"by": ("town", "street")}, {"features": True}])
def test_a_batch_with_damaged_codes_changes_nothing(told: dict[str, object]) -> None:
    """The damaged column is the second, behind one with a value that is new."""
    config = Config(slot_bits=4, monitor=MonitorConfig(**told))  # type: ignore[arg-type]
    learner = OnlineLogit(label="y", config=config)

    def batch(town: str, code: int) -> pa.RecordBatch:
        street = pa.DictionaryArray.from_arrays(pa.array([0, None, code], pa.int8()), pa.array(["a", "b"]), safe=False)
        return pa.record_batch({"town": [town] * 3, "street": street, "y": [True, False, True]})

    learner.step(batch("one", 1))
    before = learner.to_bytes()
    for code in (2, -1):
        with pytest.raises(DataError, match="column 'street': a dictionary code points outside its dictionary"):
            learner.step(batch("two", code))
        assert learner.to_bytes() == before
    assert len(learner.score(batch("two", 2)).p) == 3  # where nothing is watched such a code is null
    learner.step(batch("two", 0))


def fold(learner: OnlineLogit, bounds: list[int], batch: pa.RecordBatch) -> tuple[OnlineLogit, list[Alarm]]:
    """Step by step, by way of a file each time."""
    alarms: list[Alarm] = []
    for a, b in pairwise(bounds):
        alarms += learner.step(batch[a:b]).alarms
        learner = of_bytes(learner.to_bytes()) if learner._pipeline else learner
    return learner, alarms


def test_the_slice_that_broke_is_named_though_its_column_is_no_feature() -> None:
    learner = model(by=("town",), features=True, costs=(1.0, 3.0))
    alarms = learner.step(stream()).alarms
    first = next(alarm for alarm in alarms if alarm.kind == "slice")
    assert first.slice == "town=t3"
    assert BREAK < first.event < BREAK + 1_000
    assert learner.schema.by_name["town"].role == "slice"
    assert "town" not in {column.name for column in learner.schema.features}
    assert learner.pipeline.beside is not None
    told = learner.pipeline.beside.figures()
    assert told["slices"][0]["value"] == "t3"
    (decision,) = told["decisions"]
    assert decision["threshold"] == 0.25
    assert decision["realised_cost"] > 0
    assert learner.predict_proba(pa.record_batch({"x": [0.0]})).shape == (1,)  # scoring needs no slice
    found = of_model(learner, "m", "model", None, [])
    assert "town=t3" in page(found)
    assert any("town=t3" in line for line in report_text(found, ASCII))
    json.dumps(found.to_json()["watched"], allow_nan=False)
    learner.acknowledge()
    assert learner.pipeline.beside.figures()["slices"][0]["evidence"] == 0.0


def test_alarms_say_what_moved_and_what_it_costs() -> None:
    rng = np.random.default_rng(1)
    x, late = rng.normal(size=N), np.arange(N) >= BREAK
    lost = late & (rng.random(N) < 0.3)
    y = rng.random(N) < 1 / (1 + np.exp(-(-1.0 + 2.0 * x + 2.0 * lost)))
    batch = pa.record_batch({"k": np.arange(N), "town": ["a"] * N, "x": pa.array(x, mask=lost), "y": y})
    learner = model(features=True, costs=(1.0, 3.0))
    first = learner.step(batch[:5_000])
    learner.freeze()
    alarms = first.alarms + learner.step(batch[5_000:]).alarms
    alarm = next(alarm for alarm in alarms if alarm.kind == "calibration")
    assert alarm.features[0][0] == "x in missing"
    assert alarm.what == "pipeline"
    assert "where x comes from" in alarm.advice
    assert alarm.cost is not None
    assert {a.features[0][0] for a in alarms if a.kind == "drift"} == {"x", "probability"}
    assert len(alarm.text().splitlines()) == 2


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, N), max_size=3), st.sampled_from([0, 40]), st.sampled_from(["warn", "recalibrate"]))
def test_any_cut_does_the_same(cuts: list[int], delay: int, on_alarm: str) -> None:
    batch = stream()
    asked = {"by": ("town", "x"), "slices": 5, "features": True, "thresholds": (0.5,), "on_alarm": on_alarm}
    whole, alarms = fold(model(delay, **asked), [0, N], batch)
    pieces, found = fold(model(delay, **asked), [0, *sorted(cuts), N], batch)
    assert pieces.to_bytes() == whole.to_bytes()
    assert sorted(map(repr, found)) == sorted(map(repr, alarms))


def test_rows_of_no_weight_belong_to_no_slice_in_any_cut() -> None:
    batch = pa.record_batch({
        "k": pa.array([1, 2, 3]), "x": pa.array([0.0, 1.0, 2.0]), "town": ["a", "b", "b"], "w": [1.0, 0.0, 1.0],
        "y": pa.array([None] * 3, pa.bool_()),
    })  # fmt: skip
    held = []
    for bounds in ([0, 3], [0, 2, 3], [0, 1, 2, 3]):
        config = Config(monitor=MonitorConfig(by=("town",)))
        waits, _ = fold(OnlineLogit("y", key="k", weight="w", drop=["town"], config=config), bounds, batch)
        held.append(waits.to_bytes())
    assert held[0] == held[1] == held[2]


def test_decisions_are_counted_when_they_are_taken_and_paid_for_when_settled() -> None:
    learner, batch = model(delay=1_500, costs=(1.0, 3.0)), stream()
    step = learner.step(batch[:2_000])
    assert learner.pipeline.beside is not None
    found = learner.pipeline.beside.figures()
    (decision,) = found["decisions"]
    assert decision["events"] == 2_000
    assert decision["action_rate"] == pytest.approx(np.mean(step.p >= 0.25))
    assert decision["known"] == 500
    assert found["outlook"]["unknown"] == pytest.approx(0.75)
    y = np.array(batch.column("y")[:500])
    acted = step.p[:500] >= 0.25
    assert decision["realised_cost"] == pytest.approx(1e3 * np.where(acted, 1.0 * ~y, 3.0 * y).mean())


def test_nothing_where_nothing_is_asked() -> None:
    learner = model()
    learner.step(stream()[:100])
    assert (learner.pipeline.beside, learner.pipeline.predictions) == (None, None)
    assert learner.schema.by_name["town"].role == "dropped"
    assert not [name for name in learner.state() if name.startswith(("beside", "predictions"))]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.timestamp("s")])
def test_where_no_feature_can_be_watched_what_is_stated_is(kind: pa.DataType) -> None:
    count = np.arange(N)
    values = [[k % 5] for k in count.tolist()] if pa.types.is_list(kind) else count
    batch = pa.record_batch({"k": count, "a": pa.array(values, kind), "town": ["a"] * N, "y": count % 5 < 2})
    whole, _ = fold(model(features=True), [0, N], batch)
    pieces, _ = fold(model(features=True), [0, 1_500, 7_000, N], batch)
    assert whole.pipeline.features is None
    assert whole.pipeline.beside is not None
    assert [each["feature"] for each in whole.pipeline.beside.figures()["features"]] == ["probability"]
    assert pieces.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("told", [{"by": ("town",), "slices": 1}, {"features": True}])
def test_texts_that_are_not_utf8_are_values_like_others_in_any_cut(told: dict[str, object]) -> None:
    offsets, data = np.arange(N + 1, dtype=np.int32), (b"\xff\xfe\xfft" * N)[:N]
    town = pa.StringArray.from_buffers(N, pa.py_buffer(offsets), pa.py_buffer(data))
    batch = pa.record_batch({"town": town, "y": np.arange(N) % 3 < 1})
    config = Config(slot_bits=4, monitor=MonitorConfig(reference=2_000, **told))  # type: ignore[arg-type]
    whole, _ = fold(OnlineLogit("y", config=config), [0, N], batch)
    pieces, _ = fold(OnlineLogit("y", config=config), [0, 1, 2, 3_001, N], batch)
    assert pieces.to_bytes() == whole.to_bytes()


def test_costs_may_change_at_any_time() -> None:
    learner, batch = model(), stream()
    learner.step(batch[:3_000])
    learner.price((), (1.0, 1.0))
    learner.step(batch[3_000:5_000])
    assert learner.pipeline.beside is not None
    (found,) = learner.pipeline.beside.decisions.read()
    assert (found.threshold, found.events) == (0.5, 2_000)
    again = of_bytes(learner.to_bytes())
    again.price((0.2,), ())
    again.step(batch[5_000:5_010])
    assert again.pipeline.beside is not None
    assert [each.threshold for each in again.pipeline.beside.decisions.read()] == [0.2]


def test_costs_of_decisions() -> None:
    told = DecisionConfig.of({"costs": {"call": [3.0, 1.0], "wait": [1.0, 9.0]}})
    assert watched(told) == {"costs": (2.0, 8.0), "thresholds": ()}
    tiers = DecisionConfig.of({"tiers": {"look": 0.2, "stop": 0.7}})
    assert watched(tiers) == {"costs": (), "thresholds": (0.2, 0.7)}
    three = DecisionConfig.of({"costs": {"allow": [0, 10], "ask": [2, 2], "block": [50, 0]}})
    assert watched(three)["thresholds"] == pytest.approx((0.2, 0.96))
    assert watched(None) == {"costs": (), "thresholds": ()}


def test_bad_settings_and_states() -> None:
    for bad in ({"by": ("a", "a")}, {"slices": 0}, {"thresholds": (1.5,)}, {"costs": (1.0,)}, {"costs": (1.0, -1.0)}):
        with pytest.raises(ConfigError):
            MonitorConfig(**bad)
    config = Config(monitor=MonitorConfig(by=("town",), costs=(1.0, 2.0)))
    assert from_mapping(Config, json.loads(json.dumps(to_mapping(config)))) == config
    with pytest.raises(SchemaError, match="by: there is no column 'twon'"):
        model(by=("twon",)).step(stream()[:10])
    with pytest.raises(SchemaError, match="by: column 'y' is a label"):
        model(by=("y",)).step(stream()[:10])
    learner = model(5, by=("town",))
    learner.step(stream()[:100])
    state = learner.state()
    assert state["beside.held_slices"].shape == (1, 5)
    for bad_codes in (np.zeros((2, 5), np.int32), np.full((1, 5), -1, np.int32), np.zeros((1, 4), np.int32)):
        with pytest.raises(StateError, match="beside"):
            learner.pipeline.restore(state | {"beside.held_slices": bad_codes})


def test_learn_reads_costs_of_the_table_of_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.Table.from_batches([stream()]), tmp_path / "s.parquet")
    lines = (
        'label = "y"',
        'drop = ["k"]',
        "[monitor]",
        'by = ["town"]',
        "[decisions]",
        "cost_fp = 1.0",
        "cost_fn = 4.0",
    )
    (tmp_path / "c.toml").write_text("\n".join(lines))
    args = ["learn", str(tmp_path / "s.parquet"), "--config", str(tmp_path / "c.toml"), "--json"]
    found = []
    for rows in ("200", "65536"):  # small batches are encoded and judged in threads of their own
        cli.main([*args, "--batch-rows", rows], standalone_mode=False)
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        found.append((sorted(map(str, told[:-1])), *(told[-1][name] for name in ("slices", "decisions", "faded"))))
    assert found[0] == found[1]
    assert told[-1]["decisions"][0]["threshold"] == 0.2
    assert {each["column"] for each in told[-1]["slices"]} == {"town"}
    assert told[-1]["lately"]["slope"] == pytest.approx(1.0, abs=0.3)
    assert sum(each["examples"] for each in told[-1]["faded"]["bins"]) > 1_000
