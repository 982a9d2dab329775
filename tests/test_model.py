"""The Python face: what goes in, what comes out, what is kept in a file."""

import json
import math
import re
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

import onlogit
from bench.workloads import dense, drifting
from onlogit import (
    BeliefConfig,
    Config,
    DataError,
    LabelConfig,
    MonitorConfig,
    OnlineLogit,
    OnlogitError,
    Schema,
    SgdConfig,
)
from onlogit.config import to_mapping
from onlogit.encoding.buffers import batch_of_table
from onlogit.errors import ConfigError, SchemaError, StateError
from onlogit.model import of_bytes, to_batch
from onlogit.steps import Step
from onlogit.storage import arrays

TABLE = drifting(500).table
DROP = ["id", "at", "known_at"]


class Frame:
    """A data frame of somebody else's library: all that is known of it is the Arrow PyCapsule interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


class Array:
    """Likewise, one record batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self._batch.__arrow_c_array__(requested_schema)


@pytest.mark.parametrize("wrap", [lambda t: t, Frame, lambda t: Array(t.combine_chunks().to_batches()[0])])
def test_whatever_speaks_arrow_goes_in(wrap: Any) -> None:
    model, plain = OnlineLogit("y", drop=DROP), OnlineLogit("y", drop=DROP)
    np.testing.assert_array_equal(model.step(wrap(TABLE)).p, plain.step(TABLE).p)
    np.testing.assert_array_equal(model.predict_proba(wrap(TABLE)), plain.predict_proba(TABLE))


def test_chunked_tables_and_dictionaries_that_differ_by_chunk_go_in() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 200), TABLE.slice(200, 0), TABLE.slice(200)])
    model, plain = OnlineLogit("y", drop=DROP), OnlineLogit("y", drop=DROP)
    np.testing.assert_array_equal(model.step(chunked).p, plain.step(TABLE).p)


def test_what_does_not_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="found dict; accepted is an Arrow record batch or table"):
        OnlineLogit("y").step({"a": [1]})


@pytest.mark.parametrize("one", [pa.array([1, 2]), pa.chunked_array([[1, 2]]), Frame(pa.chunked_array([[1, 2]]))])
def test_a_column_by_itself_is_refused_by_name(one: Any) -> None:
    model = OnlineLogit("y", drop=DROP)
    model.step(TABLE)
    for use in (model.step, model.score, model.predict_proba, model.outcomes):
        with pytest.raises(
            DataError, match=rf"found {type(one).__name__}, which .*; accepted is an Arrow record batch"
        ):
            use(one)


def test_a_table_too_large_for_one_batch_is_refused() -> None:
    class Joined:
        """A table of two chunks, as Arrow leaves one of more than 2 GiB of text; such a one would take that much memory."""

        def combine_chunks(self) -> pa.Table:
            return pa.table({"text": pa.chunked_array([["a"], ["b"]]), "y": [0, 1]})

    with pytest.raises(DataError, match="more than 2 GiB; give it in parts"):
        batch_of_table(Joined())
    words = [pa.array([f"{part}{k}" for k in range(100)]) for part in "ab"]
    codes = [each.dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())) for each in words]
    with pytest.raises(DataError, match=r"cannot be made one batch: .*; give it in parts"):
        to_batch(pa.table({"text": pa.chunked_array(codes)}))


def test_outcomes_with_a_column_twice_are_refused_by_name() -> None:
    model = OnlineLogit("y", key="k")
    model.step(pa.table({"k": [1, 2], "x": [0.5, 1.5], "y": pa.array([None, None], pa.bool_())}))
    for twice in "ky":
        names = ["k", "y", twice]
        arrays = [pa.array([True]) if name == "y" else pa.array([1]) for name in names]
        with pytest.raises(SchemaError, match=f"two columns named '{twice}'; rename one"):
            model.outcomes(pa.RecordBatch.from_arrays(arrays, names))


def test_a_step_as_arrow() -> None:
    model = OnlineLogit("y", drop=DROP, config=Config(learner="sgd"))
    batch = model.step(TABLE).to_arrow()
    assert batch.schema.names == ["event", "p", "z", "z_sd", "label"]
    assert batch["event"].to_pylist() == list(range(500))
    assert batch["label"].to_pylist() == TABLE["y"].to_pylist()
    assert batch["z_sd"].null_count == 500  # sgd has no belief
    believing = OnlineLogit("y", drop=DROP).step(TABLE).to_arrow()
    assert believing["z_sd"].null_count == 0


def test_save_and_load(tmp_path: Path) -> None:
    model = OnlineLogit("y", key="id", drop=["at", "known_at"])
    model.step(TABLE.slice(0, 300))
    model.save(tmp_path / "a.model")
    again = onlogit.load(tmp_path / "a.model")
    assert again.schema == model.schema
    assert again.config == model.config
    assert again.counts == model.counts
    np.testing.assert_array_equal(again.step(TABLE.slice(300)).p, model.step(TABLE.slice(300)).p)
    assert again.to_bytes() == model.to_bytes()


@pytest.mark.parametrize("way", [copy, deepcopy])
def test_a_copy_learns_for_itself(way: Any) -> None:
    table = drifting(800).table
    model = OnlineLogit("y", drop=["id", "at", "known_at"], config=Config(slot_bits=8))
    assert not way(model).settled
    assert way(model).roles == model.roles
    model.step(table.slice(0, 500))
    before = model.to_bytes()
    other = way(model)
    step = other.step(table.slice(500))
    assert model.to_bytes() == before
    np.testing.assert_array_equal(model.step(table.slice(500)).p, step.p)
    assert model.to_bytes() == other.to_bytes()


def test_nothing_to_say_before_the_first_batch(tmp_path: Path) -> None:
    model = OnlineLogit("y")
    with pytest.raises(ConfigError, match="has seen no data yet"):
        model.predict_proba(TABLE)
    with pytest.raises(ConfigError, match="has seen no data yet"):
        model.save(tmp_path / "x.model")
    assert list(tmp_path.iterdir()) == []


def test_a_model_file_that_is_not_one(tmp_path: Path) -> None:
    with pytest.raises(OnlogitError, match=r"absent\.model"):
        onlogit.load(tmp_path / "absent.model")
    model = OnlineLogit("y", drop=DROP)
    model.step(TABLE)
    good, header, state = tmp_path / "good.model", model.header(), model.state()
    model.save(good)
    damaged = bytearray(good.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "flipped.model").write_bytes(damaged)
    (tmp_path / "short.model").write_bytes(good.read_bytes()[:-100])
    arrays.save(tmp_path / "other.model", {"kind": "something"}, {})
    arrays.save(tmp_path / "headless.model", {"kind": header["kind"]}, state)
    arrays.save(tmp_path / "armless.model", header, {k: v for k, v in state.items() if k != "learner.u"})
    arrays.save(tmp_path / "wild.model", header, {**state, "learner.slots": state["learner.slots"] + 10**9})
    for name in ("flipped", "short", "other", "headless", "armless", "wild"):
        with pytest.raises(StateError, match=rf"{name}\.model"):
            onlogit.load(tmp_path / f"{name}.model")


@pytest.mark.parametrize("size", [1e-50, 1e39])
def test_what_single_precision_does_not_hold_is_out_of_range(size: float) -> None:
    for name in ("priors", "lasting_priors"):
        for pair in ((size, 1.0), (1.0, size)):
            with pytest.raises(ConfigError, match=f"{name} = .* is out of range"):
                onlogit.BeliefConfig(**{name: (pair, pair)})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"stacking_prior = .*1e-30 to 10,000"):
        onlogit.BeliefConfig(stacking_prior=size)
    with pytest.raises(ConfigError, match=r"rate = .*1e-30 to 1,000,000, or 0"):
        SgdConfig(rate=size)
    with pytest.raises(ConfigError, match=r"half_lives = .*1e-30 or more"):
        onlogit.BeliefConfig(half_lives=(1e-40,))


@pytest.mark.parametrize("size", [1e-30, 1e4])
@pytest.mark.filterwarnings("error")
def test_the_ends_of_the_ranges_can_be_learned_with_and_saved(size: float) -> None:
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=2000), "c": rng.integers(0, 50, 2000).astype(str), "y": rng.random(2000) < 0.3}
    batch = pa.record_batch(columns | {"w": 2.0 ** rng.integers(-16, 21, 2000)})
    pairs = ((size, size),)
    belief = onlogit.BeliefConfig((1e-30, 40.0, math.inf), pairs, pairs, stacking_prior=size)
    for config in (
        Config(slot_bits=6, belief=belief),
        Config(slot_bits=6, learner="ftrl", sgd=SgdConfig(rate=1e-30)),
        Config(slot_bits=6, learner="ftrl", sgd=SgdConfig(rate=1e-30, batch=7)),
    ):
        model = OnlineLogit("y", weight="w", config=config)
        for low in range(0, 2000, 500):
            assert np.isfinite(model.step(batch.slice(low, 500)).p).all()
            model = of_bytes(model.to_bytes())


def test_config_is_checked_when_it_is_made() -> None:
    from onlogit.config import from_mapping, to_mapping

    for make, says in (
        (lambda: Config(learner="magic"), "learner = 'magic'"),
        (lambda: SgdConfig(rate=-1.0), "rate = -1.0"),
        (lambda: Config(slot_bits=99), "slot_bits = 99"),
        (lambda: onlogit.BeliefConfig(priors=((1.0, math.nan),)), "priors = .*nan"),
        (lambda: onlogit.BeliefConfig(priors=((math.nan, 1.0),)), "priors = .*nan"),
        (lambda: onlogit.BeliefConfig(lasting_priors=((math.nan, 1.0),) * 2), "lasting_priors = .*nan"),
        (lambda: onlogit.BeliefConfig(priors=((1.0, 1.0),)), "lasting_priors = .* and 1 of them as there"),
        (lambda: onlogit.BeliefConfig(half_lives=(math.nan,)), "half_lives = .*nan"),
        (lambda: from_mapping(Config, {"slotbits": 3}), "unknown setting 'slotbits'"),
        (
            lambda: from_mapping(Config, {"sgd": {"rate": "fast"}}),
            r"config\.sgd\.rate: found 'fast', expected a number",
        ),
        (lambda: from_mapping(Config, {"sgd": 3}), r"config\.sgd: found 3, expected a table"),
        (lambda: from_mapping(Config, {"slot_bits": True}), "expected int"),
    ):
        with pytest.raises(ConfigError, match=says):
            make()
    for config in (Config(), Config(learner="sgd", sgd=SgdConfig(rate=0.5, l2=1e-3))):
        assert from_mapping(Config, to_mapping(config)) == config


def test_settings_and_roles_have_the_types_that_a_file_may_give() -> None:
    label: Any = onlogit.config.LabelConfig
    monitor: Any = MonitorConfig
    model: Any = OnlineLogit
    make: Any
    for make, given, says in (
        (label, {"delay": "a"}, "delay: found 'a', expected int"),
        (label, {"delay": 1.5}, "delay: found 1.5, expected int"),
        (SgdConfig, {"rate": "a"}, "rate: found 'a', expected a number"),
        (onlogit.BeliefConfig, {"half_lives": 5}, "half_lives: found 5, expected a list"),
        (onlogit.config.LabelNoise, {"fp": None}, "fp: found None, expected a number"),
        (Config, {"sgd": 5}, "sgd: found 5, expected a table of settings"),
        (monitor, {"patience": "90x"}, "patience = 90x: a number of events from 1 to 1e15, or a time like 90d"),
        (monitor, {"patience": None}, "patience: found None, expected a number"),
        (monitor, {"by": [1]}, r"by = \(1\.0,\) is out of range: names of columns"),
        (model, {"config": {"slot_bits": 3}}, "config: found {'slot_bits': 3}, expected a Config"),
        (model, {"label": 5}, "label = 5; expected the name of a column"),
        (model, {"drop": 5}, "drop = 5; expected a list of texts"),
        (model, {"features": [5]}, r"features = \(5,\); expected a list of texts"),
        (model, {"positive": [1]}, r"positive = \[1\]; expected a text, a number, true or false"),
    ):
        with pytest.raises(ConfigError, match=says):
            make(**given)
    assert monitor(patience="90d") == MonitorConfig(patience=90.0, unit="days")
    assert monitor(by="carrier") == MonitorConfig(by=("carrier",))
    assert hash(onlogit.BeliefConfig(half_lives=[40])) == hash(onlogit.BeliefConfig(half_lives=(40.0,)))  # type: ignore[arg-type]
    assert model("y", positive=np.int64(1)).roles["positive"] == 1


def test_help_names_every_field_and_the_errors() -> None:
    parts = (
        onlogit.BeliefConfig,
        SgdConfig,
        MonitorConfig,
        onlogit.config.LabelConfig,
        onlogit.config.LabelNoise,
        Config,
    )
    for kind in (*parts, Step):
        fields = kind._fields if kind is Step else kind.__match_args__
        assert [name for name in fields if not re.search(rf"\b{name}\b.*: ", kind.__doc__ or "")] == []
    for method in (OnlineLogit.step, OnlineLogit.score, OnlineLogit.outcomes):
        assert "Errors: DataError" in (method.__doc__ or "")
    assert OnlineLogit.schema.__doc__


def test_costs_may_be_whole_numbers() -> None:
    whole, costs = MonitorConfig(costs=(1, 2)), MonitorConfig(costs=(1.0, 2.0))
    assert json.dumps(to_mapping(whole)) == json.dumps(to_mapping(costs))
    for wrong in ((True, 2), (0, 2), (1, 2, 3), ("1", 2), (1, math.nan)):
        with pytest.raises(ConfigError, match="costs"):
            MonitorConfig(costs=wrong)  # type: ignore[arg-type]


def test_a_label_time_needs_a_time() -> None:
    model = OnlineLogit("y", label_time="known_at", drop=["id", "at"])
    with pytest.raises(ConfigError, match="events need one: name a time column"):
        model.step(TABLE)
    model.step(TABLE, now=0)
    assert model.counts.learned == 0
    model.step(TABLE.slice(0, 1), now=2**60)
    assert model.counts.learned == 500
    with pytest.raises(ConfigError, match="contradict each other"):
        OnlineLogit(
            "y", time="at", label_time="known_at", config=Config(labels=onlogit.config.LabelConfig(delay=3))
        ).begin(TABLE.schema)


def test_unknown_columns_are_named() -> None:
    with pytest.raises(SchemaError, match=r"no column 'yy' .*near: y"):
        OnlineLogit("yy").step(TABLE)
    assert Schema.of(TABLE.schema, label="y", drop=DROP).with_role("label")


@pytest.mark.parametrize("learner", ["belief", "sgd"])
def test_coefficients_recover_the_weights_that_made_the_labels(learner: str) -> None:
    work = dense(30_000, numbers=5, seed=8)
    model = OnlineLogit("y", config=Config(learner=learner))
    model.step(work.table)
    truth = np.random.default_rng(8)
    truth.standard_normal((30_000, 5), dtype=np.float32)
    weights = truth.normal(0.0, 0.3, 5)
    found = model.coefficients()
    np.testing.assert_allclose(found.dense, weights, atol=0.1 if learner == "belief" else 0.3)
    quality = model.quality()
    assert quality.log_loss is not None
    assert quality.log_loss < work.bayes_loss + (0.004 if learner == "belief" else 0.02)
    if learner == "belief":
        assert (np.abs(found.dense - weights) < 4 * found.dense_sd).all()


def test_numbers_beyond_the_dense_block_are_learned_too() -> None:
    work = dense(8_000, numbers=6, seed=9)
    full, narrow = (
        OnlineLogit("y", config=Config(belief=onlogit.BeliefConfig(dense_limit=limit))) for limit in (64, 2)
    )
    for model in (full, narrow):
        model.step(work.table)
    a, b = full.coefficients(), narrow.coefficients()
    np.testing.assert_allclose(a.dense, b.dense, atol=0.05)
    assert np.isfinite(b.dense_sd).all()


def test_settings_may_be_numpys() -> None:
    bits, delay, patience, lives, priors = (
        np.int64(10),
        np.int32(5),
        np.float32(2000),
        np.array([100.0, 10.0]),
        np.ones((1, 2)),
    )
    labels, monitor, belief, whole = (cast(Any, kind) for kind in (LabelConfig, MonitorConfig, BeliefConfig, Config))
    config = whole(slot_bits=bits, labels=labels(delay=delay), monitor=monitor(patience), belief=belief(lives, priors))
    assert config == Config(
        slot_bits=10, labels=LabelConfig(delay=5), monitor=MonitorConfig(2000.0),
        belief=BeliefConfig((100.0, 10.0), ((1.0, 1.0),)),
    )  # fmt: skip
    assert type(config.labels.delay) is int
