"""Batches to rows: the laws (any cut, nothing unseen breaks it, labels settled) and what each type becomes."""

import datetime as dt
import itertools
import math
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import hash_of_bytes, mix64, slot_of_text, standardise

from onlogit.encoding import Encoded, Encoder
from onlogit.errors import ConfigError, DataError, SchemaError, StateError
from onlogit.schema import Schema

UTC = dt.UTC
EVENTS = pa.schema(
    [
        ("key", pa.string()),
        ("when", pa.timestamp("us", "UTC")),
        ("x", pa.float64()),
        ("f", pa.float32()),
        ("n", pa.int64()),
        ("c", pa.string()),
        ("b", pa.bool_()),
        ("d", pa.date32()),
        ("w", pa.float64()),
        ("y", pa.string()),
        ("known", pa.timestamp("us")),
    ]
)
TOLD: dict[str, Any] = {
    "label": "y",
    "positive": "yes",
    "weight": "w",
    "key": "key",
    "time": "when",
    "label_time": "known",
}
odd_number = st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, 1e12, 1e30, -1e308, 5e-324])
# no two so close together that rounding decides how far they are apart
moderate = st.floats(-9, 9, width=16)
instant = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
event = st.fixed_dictionaries(
    {
        "key": st.text(max_size=9),
        "when": instant.map(lambda t: t.replace(tzinfo=UTC)),
        "x": st.one_of(odd_number, moderate),
        "f": st.one_of(st.none(), st.floats(width=32)),
        "n": st.one_of(
            st.none(), st.sampled_from([-(2**63), 2**63 - 1]), st.integers(-(10**6), 10**6), st.integers(0, 3)
        ),
        "c": st.one_of(st.none(), st.text(max_size=12), st.sampled_from("ab")),
        "b": st.one_of(st.none(), st.booleans()),
        "d": st.one_of(st.none(), instant.map(lambda t: t.date())),
        "w": st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        "y": st.sampled_from(["yes", "no", None]),
        "known": st.one_of(st.none(), instant),
    }
)
events = st.lists(event, max_size=25)


def batch_of(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=EVENTS)


def encoder(slot_bits: int = 12) -> Encoder:
    return Encoder(Schema.of(EVENTS, **TOLD), slot_bits)


def state_bytes(e: Encoder) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in e.state().items()}


def flat(parts: list[Encoded]) -> list[bytes]:
    """All arrays of some encoded batches, put together again."""
    arrays: list[list[np.ndarray[Any, Any]]] = []
    for part in parts:
        rows = part.rows
        assert part.key is not None
        assert part.time is not None
        assert part.label_time is not None
        arrays.append(
            [
                rows.dense,
                np.diff(rows.starts),
                rows.slots,
                rows.values,
                part.y,
                part.weight,
                part.key,
                part.time,
                part.label_time,
            ]
        )
    return [np.concatenate(same).tobytes() for same in zip(*arrays, strict=True)]


def one_column(array: pa.Array, name: str = "x", slot_bits: int = 18) -> tuple[Encoder, Encoded]:
    e = Encoder(Schema.of(pa.schema([(name, array.type)])), slot_bits)
    return e, e.encode(pa.record_batch([array], [name]))


def slots_of(array: pa.Array, name: str = "x") -> list[list[int]]:
    rows = one_column(array, name)[1].rows
    return [rows.slots[rows.starts[i] : rows.starts[i + 1]].tolist() for i in range(len(array))]


# ---- laws


@settings(deadline=None, max_examples=60)
@given(events, st.lists(st.integers(0, 25), max_size=4))
def test_any_cut_gives_the_same_rows_and_state_to_the_byte(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    batch = batch_of(rows)
    whole, cut = encoder(), encoder()
    edges = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    parts = [cut.encode(batch.slice(a, b - a), first_event=a) for a, b in itertools.pairwise(edges)]
    assert flat(parts) == flat([whole.encode(batch)])
    assert state_bytes(cut) == state_bytes(whole)


@settings(deadline=None, max_examples=60)
@given(events)
def test_rows_are_what_the_formulas_say(rows: list[dict[str, Any]]) -> None:
    e = encoder()
    got = e.encode(batch_of(rows))
    weight = [row["w"] for row in rows]
    assert e.dense_names == ["x", "f", "n"]
    lost = {}
    for j, name in enumerate(e.dense_names):
        values = [None if row[name] is None else float(row[name]) for row in rows]
        wanted, lost[name], _ = standardise(values, weight)
        np.testing.assert_allclose(got.rows.dense[:, j], wanted, rtol=1e-4, atol=1e-4)
    for i, row in enumerate(rows):
        texts = {"hour(when)": str(row["when"].hour), "weekday(when)": str(row["when"].weekday()), "c": row["c"]}
        texts["b"] = None if row["b"] is None else str(row["b"]).lower()
        texts["weekday(d)"] = None if row["d"] is None else str(row["d"].weekday())
        wanted_slots = [slot_of_text(name, text, 12) for name, text in texts.items()]
        wanted_slots += [slot_of_text(name, None, 12) for name in e.dense_names if lost[name][i]]
        start, stop = got.rows.starts[i], got.rows.starts[i + 1]
        found = dict(zip(got.rows.slots[start:stop].tolist(), got.rows.values[start:stop].tolist(), strict=True))
        assert found == {slot: float(wanted_slots.count(slot)) for slot in wanted_slots}
    assert got.y.tolist() == [{"yes": 1, "no": 0, None: -1}[row["y"]] for row in rows]
    assert got.weight.tolist() == weight
    assert got.key is not None
    assert got.key.tolist() == [hash_of_bytes(row["key"].encode(), 0) for row in rows]


@settings(deadline=None, max_examples=40)
@given(events, events)
def test_scoring_and_weight_zero_leave_the_state_untouched(
    first: list[dict[str, Any]], then: list[dict[str, Any]]
) -> None:
    e = encoder()
    e.encode(batch_of(first))
    before = state_bytes(e)
    scored = e.encode(batch_of(then), update=False)
    assert scored.weight.tolist() == [row["w"] for row in then]
    assert state_bytes(e) == before
    weightless = e.encode(batch_of([{**row, "w": 0.0} for row in then]))
    assert state_bytes(e) == before
    assert weightless.rows.dense.tobytes() == scored.rows.dense.tobytes()
    bare = e.encode(batch_of(then).drop_columns(["w", "y", "key", "known"]), update=False)
    assert bare.rows.slots.tobytes() == scored.rows.slots.tobytes()
    assert bare.key is None
    assert bare.label_time is None
    assert (bare.y == -1).all()


def test_rows_of_weight_zero_among_others_leave_no_trace() -> None:
    good = {"key": "k", "when": dt.datetime(2024, 5, 6, tzinfo=UTC), "x": 1.0, "f": 2.0, "n": 3, "c": "a", "w": 1.0}
    ghost = {**good, "w": 0.0, "x": None, "f": math.nan, "n": None, "c": "unseen", "b": True, "d": dt.date(2024, 1, 1)}
    with_ghost, without = encoder(), encoder()
    with_ghost.encode(batch_of([good, ghost, good]))
    without.encode(batch_of([good, good]))
    assert state_bytes(with_ghost) == state_bytes(without)


@settings(deadline=None, max_examples=30)
@given(events, events)
def test_restored_state_continues_to_the_byte(first: list[dict[str, Any]], then: list[dict[str, Any]]) -> None:
    kept, resumed = encoder(), encoder()
    kept.encode(batch_of(first))
    resumed.restore(kept.state())
    assert flat([resumed.encode(batch_of(then))]) == flat([kept.encode(batch_of(then))])
    assert state_bytes(resumed) == state_bytes(kept)


@settings(deadline=None, max_examples=30)
@given(events)
def test_other_files_of_the_same_events_give_the_same_bytes(rows: list[dict[str, Any]]) -> None:
    plain, other = encoder(), encoder()
    batch = batch_of(rows)
    cast = {
        "c": batch["c"].dictionary_encode(),
        "y": batch["y"].cast(pa.large_string()),
        "b": batch["b"].dictionary_encode(),
    }
    cast["key"] = batch["key"].cast(pa.dictionary(pa.uint32(), pa.string_view()))
    cast["known"] = (
        batch["known"].cast(pa.timestamp("ns"))
        if all(r["known"] is None or 1700 < r["known"].year < 2200 for r in rows)
        else batch["known"]
    )
    cast["y"] = batch["y"].dictionary_encode()
    names = list(reversed(batch.schema.names))
    shuffled = pa.record_batch([cast.get(name, batch[name]) for name in names], names)
    assert flat([other.encode(shuffled)]) == flat([plain.encode(batch)])
    assert state_bytes(other) == state_bytes(plain)
    table = pa.Table.from_batches([batch.slice(0, 3), batch.slice(3)])
    assert flat([encoder().encode(table)]) == flat([encoder().encode(batch)])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "y",
            "maybe",
            r"column 'y', row 12 \(counting from 0\): label maybe; accepted are yes \(positive\), no \(negative",
        ),
        ("w", None, r"column 'w', row 12 \(counting from 0\): null; accepted is a weight of 0, or from 0.00001526"),
        ("w", math.nan, "'w', row 12 .*: nan"),
        ("w", -1.0, "'w', row 12 .*: -1.0"),
        ("w", math.inf, "'w', row 12 .*: inf"),
        ("key", None, r"'key', row 12 \(counting from 0\): null; accepted is a key in every row"),
        ("when", None, r"'when', row 12 \(counting from 0\): null; accepted is a time in every row"),
    ],
)
def test_refused_rows_are_named_and_leave_the_state_untouched(column: str, value: object, message: str) -> None:
    e = encoder()
    good = {"key": "k", "when": dt.datetime(2024, 5, 6, tzinfo=UTC), "x": 1.0, "w": 1.0, "y": "no", "c": "a"}
    e.encode(batch_of([good] * 10))
    before = state_bytes(e)
    with pytest.raises(DataError, match=message):
        e.encode(batch_of([good, good, {**good, column: value}, good]), first_event=10)
    with pytest.raises(SchemaError, match="'x' is missing"):
        e.encode(batch_of([good]).drop_columns(["x"]))
    assert state_bytes(e) == before


# ---- numbers


@pytest.mark.parametrize(
    "kind",
    [getattr(pa, name)() for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")]
    + [pa.float16(), pa.float32(), pa.float64(), pa.decimal128(9, 2), pa.decimal256(40, 3)],
)
def test_every_number_type_is_standardised_alike(kind: pa.DataType) -> None:
    values = [3, None, 1, 4, 1, 5, None, 9, 2, 6]
    array = (
        pa.array([None if v is None else Decimal(v) for v in values]) if pa.types.is_decimal(kind) else pa.array(values)
    )
    rows = one_column(array.cast(kind).slice(1))[1].rows
    np.testing.assert_allclose(rows.dense[:, 0], standardise(values[1:], [1.0] * 9)[0], rtol=1e-6)  # type: ignore[arg-type]
    assert rows.slots.tolist() == [slot_of_text("x", None, 18)] * 2


def test_unsigned_numbers_beyond_int64_stay_positive() -> None:
    e, _ = one_column(pa.array([2**64 - 1, 0], pa.uint64()))
    assert e.moments()[0][0] == pytest.approx(2**63)


def test_counts_say_what_was_odd() -> None:
    e, got = one_column(pa.array([1.0, None, math.nan, math.inf, -math.inf, *range(40), 1e9]))
    assert e.counts == {"null": 1, "nan": 1, "infinite": 2, "far": 1}
    assert np.isfinite(got.rows.dense).all()


def test_moments_turn_a_row_back_into_raw_units() -> None:
    e, got = one_column(pa.array(np.random.default_rng(0).normal(5, 2, 400)))
    mean, sd = e.moments()
    last = e.encode(pa.record_batch([pa.array([7.0])], ["x"]), update=False).rows.dense[0, 0]
    assert mean[0] + last * sd[0] == pytest.approx(7.0, rel=1e-6)
    assert got.rows.dense.flags.c_contiguous


def test_null_columns_are_missing_numbers_until_numbers_come() -> None:
    e, got = one_column(pa.nulls(3))
    assert not got.rows.dense.any()
    assert e.counts["null"] == 3
    later = e.encode(pa.record_batch([pa.array([1, 2, 3], pa.int16())], ["x"]))
    assert later.rows.dense.any()


# ---- categories and instants


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("index", [None, pa.int8(), pa.int32(), pa.uint64()])
def test_strings_and_their_dictionaries_share_slots(kind: pa.DataType, index: pa.DataType | None) -> None:
    texts = ["red", None, "", "crimson and clover", "red", "ünï", "null"] * 3
    array = pa.array(texts, kind)
    if index is not None:
        array = (
            pa.array(texts).cast(pa.dictionary(index, kind))
            if index != pa.int32()
            else array.cast(pa.large_string()).dictionary_encode()
        )
    assert slots_of(array.slice(2)) == [[slot_of_text("x", text, 18)] for text in texts[2:]]


def test_nulls_inside_a_dictionary_are_nulls() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", None]))
    null = [slot_of_text("x", None, 18)]
    assert slots_of(array) == [[slot_of_text("x", "a", 18)], null, null]


def test_dictionaries_of_numbers_are_categories_by_their_text() -> None:
    assert slots_of(pa.array([5, 7, 5]).dictionary_encode()) == slots_of(pa.array(["5", "7", "5"]))


def test_codes_outside_their_dictionary_are_read_as_null() -> None:
    bad = pa.DictionaryArray.from_arrays(pa.array([0, 9, -4], pa.int32()), pa.array(["a"]), safe=False)
    null = [slot_of_text("x", None, 18)]
    assert slots_of(bad) == [[slot_of_text("x", "a", 18)], null, null]


def test_bools_are_the_texts_true_and_false() -> None:
    bools = pa.array([True, False, None] * 7)
    assert slots_of(bools.slice(4)) == slots_of(pa.array(["true", "false", None] * 7).slice(4))
    assert slots_of(bools.dictionary_encode()) == slots_of(bools)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    ("zone", "hour", "day"), [(None, 23, 6), ("UTC", 23, 6), ("Asia/Kolkata", 5, 0), ("+01:00", 0, 0)]
)
def test_instants_are_hours_and_weekdays_of_their_own_zone(unit: str, zone: str | None, hour: int, day: int) -> None:
    at = dt.datetime(1969, 12, 28, 23, 59, tzinfo=UTC)  # a Sunday before the epoch
    array = pa.array([None, at, None], pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone))
    wanted = [slot_of_text("hour(x)", str(hour), 18), slot_of_text("weekday(x)", str(day), 18)]
    nulls = [slot_of_text("hour(x)", None, 18), slot_of_text("weekday(x)", None, 18)]
    assert slots_of(array) == [nulls, wanted, nulls]


def test_unknown_time_zones_are_named() -> None:
    with pytest.raises(SchemaError, match="column 'x': time zone 'Mars/Olympus' is not known here"):
        slots_of(pa.array([0], pa.timestamp("s", "Mars/Olympus")))


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_dates_are_weekdays(kind: pa.DataType) -> None:
    array = pa.array([dt.date(2024, 2, 29), None, dt.date(1969, 12, 29)], pa.date32()).cast(kind)
    texts = ["3", None, "0"]
    assert slots_of(array) == [[slot_of_text("weekday(x)", text, 18)] for text in texts]


def test_a_batch_of_nothing_but_nulls_may_have_null_type() -> None:
    for array in (pa.array(["a"]), pa.array([True]), pa.array([0], pa.timestamp("s")), pa.array([0], pa.date32())):
        e, _ = one_column(array)
        got = e.encode(pa.record_batch([pa.nulls(2)], ["x"]))
        assert set(got.rows.slots.tolist()) == {e.slot_of(name, None) for name in e.slot_names}


def test_slot_of_finds_what_rows_hold() -> None:
    e = encoder()
    assert e.slot_names == ["hour(when)", "weekday(when)", "c", "b", "weekday(d)"]
    assert e.slot_of("c", "a") == slot_of_text("c", "a", 12)
    assert e.slot_of("c", None) == slot_of_text("c", None, 12)
    assert e.slot_of("b", True) == slot_of_text("b", "true", 12)
    assert e.slot_of("hour(when)", 13) == slot_of_text("hour(when)", "13", 12)
    assert e.slot_of("x", None) == slot_of_text("x", None, 12)
    for column, value in (("x", 3.0), ("cc", "a")):
        with pytest.raises(SchemaError, match="has no categories"):
            e.slot_of(column, value)


def test_a_column_may_be_named_like_a_part_of_another() -> None:
    names = ["t", "hour(t)"]
    schema = Schema.of(pa.schema([("t", pa.timestamp("s")), ("hour(t)", pa.string())]))
    batch = pa.record_batch([pa.array([3600 * 5], pa.timestamp("s")), pa.array(["7"])], names)
    wanted = {slot_of_text("hour(t)", "5", 18), slot_of_text("hour(t)", "7", 18), slot_of_text("weekday(t)", "3", 18)}
    assert set(Encoder(schema).encode(batch).rows.slots.tolist()) == wanted


def test_duplicate_slots_are_summed_and_collisions_counted() -> None:
    names = [f"c{i}" for i in range(20)]
    e = Encoder(Schema.of(pa.schema([(name, pa.string()) for name in names])), slot_bits=2)
    rows = e.encode(pa.record_batch([pa.array(["a"])] * 20, names)).rows
    assert rows.values.sum() == 20
    assert len(set(rows.slots.tolist())) == len(rows.slots)
    seen, shared = e.collisions()
    assert seen == len(rows.slots)
    assert shared == seen
    roomy = Encoder(e.schema, slot_bits=24)
    roomy.encode(pa.record_batch([pa.array(["a"])] * 20, names))
    assert roomy.collisions() == (20, 0)


# ---- keys, times, labels


def test_integer_keys_are_mixed_whatever_their_width() -> None:
    for kind in (pa.int8(), pa.int64(), pa.uint16(), pa.uint64()):
        e = Encoder(Schema.of(pa.schema([("k", kind)]), key="k"))
        key = e.encode(pa.record_batch([pa.array([1, 2, 100], kind)], ["k"])).key
        assert key is not None
        assert key.tolist() == [mix64(1), mix64(2), mix64(100)]
    big = e.encode(pa.record_batch([pa.array([2**64 - 1], pa.uint64())], ["k"])).key
    assert big is not None
    assert big.tolist() == [mix64(2**64 - 1)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_microseconds(unit: str) -> None:
    e = Encoder(
        Schema.of(pa.schema([("t", pa.timestamp(unit)), ("l", pa.date32())]), time="t", label_time="l", drop=["t"])
    )
    at = pa.array([dt.datetime(1969, 12, 31, 23, 59, 59), dt.datetime(2024, 1, 1)], pa.timestamp(unit))
    got = e.encode(pa.record_batch([at, pa.array([None, 1], pa.date32())], ["t", "l"]))
    assert got.time is not None
    assert got.time.tolist() == [-(10**6), 1_704_067_200 * 10**6]
    assert got.label_time is not None
    assert got.label_time.tolist() == [2**63 - 1, 86_400 * 10**6]


def test_times_beyond_64_bits_of_microseconds_are_named() -> None:
    e = Encoder(Schema.of(pa.schema([("t", pa.timestamp("s"))]), time="t"))
    with pytest.raises(DataError, match=r"column 't', row 8 \(counting from 0\): time .* is beyond"):
        e.encode(pa.record_batch([pa.array([0, 2**62], pa.timestamp("s"))], ["t"]), first_event=7)


def labels(values: pa.Array, positive: object = None, weight: list[float] | None = None) -> list[int]:
    w = pa.array([1.0] * len(values) if weight is None else weight)
    schema = Schema.of(pa.schema([("y", values.type), ("w", pa.float64())]), label="y", positive=positive, weight="w")  # type: ignore[arg-type]
    whole, single = Encoder(schema), Encoder(schema)
    batch = pa.record_batch([values, w], ["y", "w"])
    single_y: list[int] = []
    failed: DataError | None = None
    for i in range(len(values)):
        try:
            single_y += single.encode(batch.slice(i, 1), first_event=i).y.tolist()
        except DataError as error:
            failed = error
            break
    if failed is not None:  # the same row and words whether it comes alone or among others
        with pytest.raises(DataError, match=f"^{re.escape(str(failed))}$"):
            whole.encode(batch)
        raise failed
    y = whole.encode(batch).y.tolist()
    assert y == single_y
    assert state_bytes(whole) == state_bytes(single)
    return [int(v) for v in y]


@pytest.mark.parametrize(
    ("values", "positive", "wanted"),
    [
        (pa.array([True, False, None]), None, [1, 0, -1]),
        (pa.array([True, False, None]), False, [0, 1, -1]),
        (pa.array([True, False]).dictionary_encode(), None, [1, 0]),
        (pa.array([0, 1, None, 0], pa.int8()), None, [0, 1, -1, 0]),
        (pa.array([-1.0, 1.0, -1.0]), None, [0, 1, 0]),
        (pa.array([1, 1]), None, [1, 1]),
        (pa.array([-0.0, 0.0, 1.0]), None, [0, 0, 1]),
        (pa.array([2, 1, 2, None]), 2, [1, 0, 1, -1]),
        (pa.array([Decimal("1.0"), Decimal("0.0")]), None, [1, 0]),
        (pa.array(["no", "yes", None]), "yes", [0, 1, -1]),
        (pa.array(["no", "yes", None], pa.string_view()), "yes", [0, 1, -1]),
        (pa.array(["", "yes"]).dictionary_encode(), "yes", [0, 1]),
        (pa.array(["no", "yes", None]).cast(pa.dictionary(pa.uint8(), pa.string_view())), "yes", [0, 1, -1]),
        (pa.array([0, 1, 1]).dictionary_encode(), 1, [0, 1, 1]),
        (pa.nulls(2), None, [-1, -1]),
    ],
)
def test_labels_are_read(values: pa.Array, positive: object, wanted: list[int]) -> None:
    assert labels(values, positive) == wanted


@pytest.mark.parametrize(
    ("values", "positive", "message"),
    [
        (
            pa.array([1.0, 0.5]),
            None,
            r"row 1 \(counting from 0\): label 0.5; accepted are 1 \(positive\), 0 or -1 \(neg",
        ),
        (pa.array([0, 1, -1]), None, r"row 2 \(counting from 0\): label -1.0; .*, 0.0 \(negative\)"),
        (pa.array([math.nan]), None, "label nan"),
        (pa.array([math.nan]), 3, "label nan"),
        (pa.array([3, 2, 1]), 3, r"row 2 .*label 1.0; accepted are 3 \(positive\), 2.0 \(negative\)"),
        (pa.array(["no", "yes", "maybe", "huh"]), "yes", "row 2 .*label maybe"),
        (pa.array([2, 3]), None, "row 0 .*label 2.0"),
    ],
)
def test_a_third_label_is_refused_by_name(values: pa.Array, positive: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        labels(values, positive)


def test_rows_of_weight_zero_settle_no_label() -> None:
    assert labels(pa.array(["a", "b", "yes"]), "yes", [0.0, 1.0, 1.0]) == [0, 0, 1]
    with pytest.raises(DataError, match=r"row 2 .*label a"):
        labels(pa.array(["a", "b", "a"]), "yes", [0.0, 1.0, 0.0])


# ---- state, size


def test_foreign_state_is_refused_and_changes_nothing() -> None:
    e = encoder()
    before, good = state_bytes(e), e.state()
    nan = good["moments"].copy()
    nan[0, 1] = math.nan
    for name, array in {
        "moments": nan,
        "odd": good["odd"][:1],
        "nulls": good["nulls"].astype(np.int32),
        "tags": np.zeros(4, np.uint8),
        "negative": np.array([255, 254], np.uint8),
    }.items():
        with pytest.raises(StateError, match="encoder"):
            e.restore({**good, name: array})
    with pytest.raises(StateError, match="expected the arrays"):
        e.restore({"moments": good["moments"]})
    assert state_bytes(e) == before


@pytest.mark.parametrize("bits", [0, 31])
def test_slot_bits_have_bounds(bits: int) -> None:
    with pytest.raises(ConfigError, match="1 to 30"):
        Encoder(Schema(()), bits)


def test_a_stream_without_features_has_empty_rows() -> None:
    e = Encoder(Schema.of(pa.schema([("y", pa.bool_())]), label="y"))
    got = e.encode(pa.record_batch([pa.array([True, None])], ["y"]))
    assert got.rows.dense.shape == (2, 0)
    assert got.rows.starts.tolist() == [0, 0, 0]
    assert got.y.tolist() == [1, -1]


def test_ten_thousand_columns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 10_000)).astype(np.float32)
    names = [f"x{j}" for j in range(10_000)]
    e = Encoder(Schema.of(pa.schema([(name, pa.float32()) for name in names])))
    rows = e.encode(pa.record_batch([pa.array(x[:, j]) for j in range(10_000)], names)).rows
    assert rows.dense[:, 1234].tolist() == pytest.approx(standardise(x[:, 1234].tolist(), [1.0] * 50)[0], rel=1e-5)
