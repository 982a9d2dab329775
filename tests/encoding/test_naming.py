"""Every slot that a row lights has a name, whatever types columns have; what cannot be named hinders nothing."""

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.encoding import Encoder
from onlogit.encoding.naming import Name
from onlogit.errors import StateError
from onlogit.schema import Schema

N = 2500
TERMS = (
    "sparse(li, lv)", "hour(tz)*ds", "bucket(inf, 4)*b", "bucket(log(i8), 3)", "log(f32)", "bucket(dec, 5)*dict*ds",
    "spline(f32, 4)", "category(i8)", "category(dec)*b", "weekday(d32)*f32", "month(sec)", "poly(f32, 3)", "f32*i8",
)  # fmt: skip


def given(encoder: Encoder) -> list[Name]:
    """All names, in the order in which they were given."""
    names = [encoder.names.of(slot) for slot in encoder.names.slots.tolist()]
    return [name for name in names if name is not None]


def views_coded(texts: list[str]) -> pa.DictionaryArray:
    """A dictionary of string views, as polars exports its Categorical."""
    codes = pa.array(texts).dictionary_encode()
    return pa.DictionaryArray.from_arrays(codes.indices.cast(pa.uint32()), codes.dictionary.cast(pa.string_view()))


def every_type() -> pa.RecordBatch:
    draw = np.random.default_rng(0)
    at = np.datetime64("2024-03-01T00:00", "us") + np.arange(N) * np.timedelta64(7919, "s")
    days = pa.array(at.astype("datetime64[D]").astype(object))
    texts = [f"é{k % 3}" for k in range(N)]
    return pa.record_batch({
        "d32": days, "d64": days.cast(pa.date64()), "sec": pa.array(at.astype("datetime64[s]")),
        "tz": pa.array(at, pa.timestamp("us")).cast(pa.timestamp("ns", "Europe/Paris")),
        "dict": pa.array(draw.integers(0, 5, N)).dictionary_encode(),
        "ds": pa.array([None if k % 9 == 0 else text for k, text in enumerate(texts)]).dictionary_encode(),
        "big": pa.array(texts, pa.large_string()), "view": pa.array(texts, pa.string_view()),
        "coded": views_coded(texts), "coded lists": pa.FixedSizeListArray.from_arrays(views_coded(texts), 1),
        "b": pa.array([None if k % 11 == 0 else k % 2 == 0 for k in range(N)]),
        "dec": pa.array([float(k % 100) for k in range(N)]).cast(pa.decimal128(10, 2)),
        "li": pa.array([list(range(k % 4)) if k % 13 else None for k in range(N)]),
        "lv": pa.array([[0.5 * j for j in range(k % 4)] if k % 13 else None for k in range(N)]),
        "tags": pa.array([["a", None, "é"][: k % 4] for k in range(N)]),
        "views": pa.array([["v"] if k % 5 else [] for k in range(N)], pa.list_(pa.string_view())),
        "i8": pa.array((np.arange(N) % 7).astype(np.int8)),
        "f32": pa.array(draw.normal(size=N).astype(np.float32), mask=draw.random(N) < 0.1),
        "inf": pa.array(np.where(np.arange(N) % 50 == 0, np.inf, draw.normal(size=N))),
    })  # fmt: skip


def test_every_lit_slot_has_its_name() -> None:
    batch = every_type()
    encoder = Encoder(Schema.of(batch.schema, drop=["li"], features=TERMS), 16, names=1000)
    for low in range(0, N, 500):
        rows = encoder.name(encoder.encode(batch.slice(low, 500))).rows
    for i, names in enumerate(encoder.names_of(batch.slice(N - 500))):
        lit = rows.slots[rows.starts[i] : rows.starts[i + 1]].tolist()
        assert set(lit) <= set(names)
        for slot in lit:
            assert encoder.names.of(slot) in names[slot] or encoder.shared(slot)
    known = {
        (name.coordinate, name.value): slot
        for name, slot in zip(given(encoder), encoder.names.slots.tolist(), strict=True)
    }
    assert ("tags", "é") in known
    assert ("tags", None) in known
    assert ("views", "v") in known
    for coordinate, value in (
        ("view", "é1"),
        ("coded", "é1"),
        ("coded lists", "é2"),
        ("tags", "a"),
        ("hour(tz)", "3"),
        ("month(sec)", "4"),
        ("f32", None),
        ("category(i8)", "3"),
    ):
        assert known[coordinate, value] == encoder.slot_of(coordinate, value)
    assert not (encoder.names._marks < 0).any()


def test_names_are_the_same_where_encoding_is_a_batch_ahead() -> None:
    """Products come to many slots that a bucket or spline, still silent there, would have in their stead."""
    draw = np.random.default_rng(0)
    x, c, d = draw.normal(size=N), *draw.integers(0, 2000, (2, N)).astype(str)
    batch = pa.record_batch({"x": x, "c": c, "d": d})
    silent = [f"{term}(x, {k})" for term in ("spline", "bucket") for k in range(200, 210)]
    schema = Schema.of(batch.schema, drop=["c", "d"], features=[*silent, "c*d"])
    together, ahead = Encoder(schema, 10, names=1024), Encoder(schema, 10, names=1024)
    parts = [batch.slice(low, 1000) for low in range(0, N, 1000)]
    for part in parts:
        together.name(together.encode(part))
    encoded = [ahead.encode(part) for part in parts]
    for each in encoded:
        ahead.name(each)
    assert given(ahead) == given(together)
    assert ahead.names.counts.tolist() == together.names.counts.tolist()


def test_strings_that_are_not_utf8_hinder_nothing() -> None:
    data = pa.py_buffer(b"ok\xff\xfeok")
    offsets = pa.py_buffer(np.array([0, 2, 4, 6], np.int32))
    batch = pa.record_batch({"x": pa.StringArray.from_buffers(3, offsets, data)})
    encoder = Encoder(Schema.of(batch.schema), 10, names=10)
    encoder.name(encoder.encode(batch))
    assert given(encoder) == [Name("x", "ok"), Name("x", "\ufffd\ufffd")]
    assert encoder.names.counts[:2].tolist() == [2, 1]


def test_a_column_that_cannot_be_named_hinders_no_other() -> None:
    bad = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int32()), pa.array(["a"]), safe=False)
    batch = pa.record_batch({"bad": bad, "x": pa.array(["u", "v"])})
    encoder = Encoder(Schema.of(batch.schema, features=["bad*x"]), 10, names=10)
    encoder.name(encoder.encode(batch))
    assert given(encoder) == [Name("x", "u"), Name("x", "v")]


def test_a_registry_that_contradicts_itself_is_refused() -> None:
    batch = every_type().select(["big", "f32"])
    encoder = Encoder(Schema.of(batch.schema), 10, names=10)
    encoder.name(encoder.encode(batch))
    state = encoder.state()
    other = Encoder(Schema.of(batch.schema), 10, names=10)
    other.restore(state)
    assert given(other) == given(encoder)
    slots, sizes = state["name_slots"], state["name_sizes"]
    for name, bad in (
        ("name_slots", slots[:-1]), ("name_slots", slots * 0), ("name_slots", slots + (1 << 10)),
        ("name_counts", -1 - state["name_counts"]), ("name_coordinates", state["name_coordinates"] + 7),
        ("name_sizes", sizes + 1),
        ("name_sizes", sizes[:0]), ("name_sizes", sizes + (1 << 62)),
        ("name_values", state["name_values"][1:]), ("nameless", slots[:1]),
        ("name_counts", state["name_counts"].astype(float)),
    ):  # fmt: skip
        with pytest.raises(StateError, match="encoder: "):
            Encoder(Schema.of(batch.schema), 10, names=10).restore(state | {name: bad})
    with pytest.raises(StateError, match="contradicts itself"):
        Encoder(Schema.of(batch.schema), 10, names=2).restore(state)
