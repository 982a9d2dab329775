"""Rows of plain values are those of a record batch, to the bit, whatever the columns are."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.daemon.json_rows import RowReader
from onlogit.encoding import Encoder
from onlogit.schema import Schema

TERMS = (
    "sparse(li, lv)", "hour(at)*town", "bucket(x, 4)*b", "log(n)", "spline(x, 4)", "category(n)", "category(n)*b",
    "weekday(day)*x", "month(at)", "poly(x, 3)", "x*n", "town*b",
)  # fmt: skip
COLUMNS = pa.schema([
    ("x", pa.float64()), ("town", pa.string()), ("n", pa.int64()), ("f", pa.float32()), ("b", pa.bool_()),
    ("at", pa.timestamp("us")), ("day", pa.date32()), ("li", pa.list_(pa.int64())), ("lv", pa.list_(pa.float64())),
    ("tags", pa.list_(pa.string())),
])  # fmt: skip
FEATURES: tuple[tuple[Sequence[str], Sequence[str]], ...] = (
    (COLUMNS.names, TERMS), (["x", "f"], ()), (["x", "town", "b"], ()), (["f", "x", "n"], ["x*n", "poly(f, 2)"]),
    (["town"], ()), (["x", "b"], ["bucket(x, 3)", "log(x)"]),
)  # fmt: skip

number = st.one_of(st.none(), st.floats(-9, 9), st.sampled_from([0.0, -0.0, 1e12, -1e300, 5e-324]))
lists = st.integers(0, 3).flatmap(
    lambda size: st.tuples(
        st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=size, max_size=size),
        st.lists(number, min_size=size, max_size=size),
    )
)
event = st.builds(
    lambda told, pair: {**told, "li": pair[0], "lv": pair[1]},
    st.fixed_dictionaries({
        "x": number, "town": st.one_of(st.none(), st.text(max_size=12)), "n": st.one_of(st.none(), st.integers(-5, 99)),
        "f": number, "b": st.one_of(st.none(), st.booleans()),
        "at": st.one_of(st.none(), st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2100, 1, 1))),
        "day": st.one_of(st.none(), st.dates(dt.date(1950, 1, 1), dt.date(2100, 1, 1))),
        "tags": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=3)),
    }),
    lists,
)  # fmt: skip


def learned(names: Sequence[str], terms: Sequence[str]) -> Encoder:
    """An encoder that has seen some rows, so that moments, knots and edges are there."""
    draw = np.random.default_rng(3)
    n = 3000
    at = np.datetime64("2024-03-01T00:00", "us") + np.arange(n) * np.timedelta64(7919, "s")
    batch = pa.record_batch({
        "x": draw.normal(2.0, 3.0, n), "town": [f"t{k % 7}" for k in range(n)], "n": pa.array(np.arange(n) % 12),
        "f": pa.array(draw.normal(size=n).astype(np.float32)), "b": pa.array(np.arange(n) % 3 == 0),
        "at": pa.array(at), "day": pa.array(at).cast(pa.date32()),
        "li": pa.array([[k % 4] for k in range(n)]), "lv": pa.array([[0.5 * k] for k in range(n)]),
        "tags": pa.array([["a", "b"][: k % 3] for k in range(n)]),
    }).select(list(names))  # fmt: skip
    encoder = Encoder(Schema.of(batch.schema, features=terms), 12)
    encoder.encode(batch)
    return encoder


ENCODERS = [learned(*told) for told in FEATURES]


@pytest.mark.parametrize("which", range(len(FEATURES)))
@settings(max_examples=60, deadline=None)
@given(events=st.lists(event, min_size=1, max_size=6))
def test_direct_rows_are_those_of_the_record_batch(which: int, events: list[dict[str, Any]]) -> None:
    encoder, names = ENCODERS[which], FEATURES[which][0]
    reader = RowReader(encoder.schema, "score")
    body = msgspec.json.encode([{name: row[name] for name in names} for row in events])
    decoded, _ = reader.decode(body, False)
    before = encoder.state()
    direct = reader.rows(decoded, encoder)
    boxed = encoder.encode(reader.batch(decoded), update=False).rows
    for one, other in zip(map(np.asarray, direct), map(np.asarray, boxed), strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    after = encoder.state()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_columns_may_come_in_another_order() -> None:
    """The reader's order of numbers is its own; names decide."""
    encoder = learned(["x", "f", "n"], ())
    values = np.array([[1.0, np.nan], [2.0, 3.0], [-1.0, 0.5]])
    batch = pa.record_batch({"x": [1.0, None], "f": pa.array([-1.0, 0.5], pa.float32()), "n": pa.array([2, 3])})
    direct = encoder.direct(["x", "n", "f"], {}).rows(values, [])
    boxed = encoder.encode(batch, update=False).rows
    assert all(
        np.array_equal(one, other) for one, other in zip(map(np.asarray, direct), map(np.asarray, boxed), strict=True)
    )


def test_a_text_that_is_not_unicode_is_an_error() -> None:
    encoder = learned(["town"], ())
    with pytest.raises(UnicodeEncodeError):
        encoder.direct([], {"town": pa.array}).rows(np.zeros((0, 1)), [["\ud800"]])
