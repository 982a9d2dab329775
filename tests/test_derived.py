"""Derived terms and list columns over batches: what they give, when they are silent, and the laws."""

import datetime as dt
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import bucket_of, hash_of_bytes, hats_of, mix64, quantile_knots, scaled_lists, slot_of_text, standardise

from onlogit import BeliefConfig, Config, OnlineLogit, SgdConfig
from onlogit.encoding import Encoded, Encoder
from onlogit.errors import DataError, SchemaError, StateError
from onlogit.kernels import hashing
from onlogit.model import of_bytes
from onlogit.schema import Schema

BITS = 24
TERMS = (
    "x*n", "c*x", "c*x*n", "c*hour(t)", "poly(x, 3)", "log(x)", "log(x)*b", "month(t)", "sparse(i, v)",
    "bucket(x, 4)", "spline(n, 5)", "bucket(log(x), 3)*c", "bucket(x*n, 4)*bucket(x, 4)", "poly(log(hidden), 2)",
    "category*b", "spline(hidden, 3)", "category(n)", "category(x)*c", "category(b)",
)  # fmt: skip
N = 1500
ARROW = pa.schema(
    [
        ("x", pa.float64()),
        ("n", pa.int32()),
        ("c", pa.string()),
        ("b", pa.bool_()),
        ("t", pa.timestamp("us", "UTC")),
        ("hidden", pa.float32()),
        ("category", pa.dictionary(pa.int8(), pa.string())),
        ("i", pa.list_(pa.int64())),
        ("v", pa.list_(pa.float64())),
        ("s", pa.list_(pa.string())),
        ("w", pa.float64()),
        ("y", pa.bool_()),
    ]
)


def events() -> list[dict[str, Any]]:
    """Rows with everything odd among them."""
    random = np.random.default_rng(5)
    rows = []
    for k in range(N):
        size = int(random.integers(0, 4))
        rows.append(
            {
                "x": [None, 0.0, -1.0, math.nan, math.inf][k % 5] if k % 7 == 0 else float(random.lognormal()),
                "n": None if k % 11 == 0 else int(random.integers(0, 30)),
                "c": [None, "a", "b", "c"][int(random.integers(0, 4))],
                "b": [None, True, False][int(random.integers(0, 3))],
                "t": dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=7 * k),
                "hidden": None if k % 13 == 0 else float(random.normal(3.0)),
                "category": ["p", "q", None][int(random.integers(0, 3))],
                "i": None if k % 17 == 0 else [int(j) for j in random.integers(-5, 50, size)],
                "v": None if k % 17 == 0 else [float(v) for v in random.normal(0.0, 0.1, size)],
                "s": None if k % 19 == 0 else ["u", "v", "u", None][:size],
                "w": [1.0, 1.0, 0.0, 2.0][k % 4] if k % 3 == 0 else 1.0,
                "y": bool(random.random() < 0.4),
            }
        )
    return rows


ROWS = events()
TABLE = pa.RecordBatch.from_pylist(ROWS, schema=ARROW)
ROLES: dict[str, Any] = {"label": "y", "weight": "w", "drop": ["hidden", "category"]}
SCHEMA = Schema.of(ARROW, **ROLES, features=TERMS)


def encoder() -> Encoder:
    return Encoder(SCHEMA, BITS)


def state_bytes(e: Encoder) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in e.state().items()}


def flat(parts: list[Encoded]) -> list[bytes]:
    arrays = [[part.rows.dense, np.diff(part.rows.starts), part.rows.slots, part.rows.values] for part in parts]
    return [np.concatenate(same).tobytes() for same in zip(*arrays, strict=True)]


def lit(rows: Any, i: int) -> dict[int, float]:
    own = slice(rows.starts[i], rows.starts[i + 1])
    return dict(zip(rows.slots[own].tolist(), rows.values[own].tolist(), strict=True))


def one(kind: pa.DataType, values: list[Any], *features: str, **more: Any) -> tuple[Encoder, Encoded]:
    """A stream of the column x (with others, by name) and these terms."""
    columns = {"x": pa.array(values, kind), **more}
    batch = pa.record_batch(columns)
    e = Encoder(Schema.of(batch.schema, features=features), BITS)
    return e, e.encode(batch)


WHOLE = encoder()
ENCODED = WHOLE.encode(TABLE)


# ---- what terms give


def test_names_of_coordinates() -> None:
    assert WHOLE.dense_names == ["x", "n", "x*n", "x^2", "x^3", "log(x)", "log(hidden)^2"]
    assert WHOLE.slot_names == [
        "c", "b", "hour(t)", "weekday(t)", "month(t)", "category(n)", "category(b)", "s",
        "sparse(i, v)", "c*x", "c*x*n", "c*hour(t)", "log(x)",
        "log(x)*b", "bucket(x, 4)", "spline(n, 5)", "bucket(log(x), 3)*c", "bucket(x*n, 4)*bucket(x, 4)",
        "category*b", "spline(hidden, 3)", "category(x)*c",
    ]  # fmt: skip
    assert WHOLE.moments()[0].shape == ENCODED.rows.dense.shape[1:]


def test_numbers_are_what_the_formulas_say() -> None:
    few = ROWS[:250]
    rows, weight = encoder().encode(TABLE.slice(0, 250)).rows, [row["w"] for row in few]
    fine = {
        name: [v if v is not None and math.isfinite(v) else None for v in (row[name] for row in few)]
        for name in ("x", "n", "hidden")
    }

    def standard(values: list[float | None]) -> list[float | None]:
        z, missing, _ = standardise(values, weight)
        return [None if m else v for v, m in zip(z, missing, strict=True)]

    def product(*factors: list[float | None]) -> list[float | None]:
        return [None if None in row else math.prod(row) for row in zip(*factors, strict=True)]

    def log(values: list[float | None]) -> list[float | None]:
        return [math.log(v) if v is not None and v > 0 else None for v in values]

    x, n, log_hidden = standard(fine["x"]), standard(fine["n"]), standard(log(fine["hidden"]))
    raw = [product(x, n), product(x, x), product(x, x, x), log(fine["x"]), product(log_hidden, log_hidden)]
    for j, wanted in enumerate([x, n, *map(standard, raw)]):
        np.testing.assert_allclose(rows.dense[:, j], [v or 0.0 for v in wanted], rtol=1e-4, atol=1e-4)
    xn, log_x = standard(raw[0]), standard(raw[3])
    for i, row in enumerate(few):
        found = lit(rows, i)
        for name, value, key in (
            ("c*x", x[i], (row["c"],)),
            ("c*x*n", xn[i], (row["c"],)),
            ("log(x)*b", log_x[i], (row["b"],)),
        ):
            assert found.get(WHOLE.slot_of(name, key), 0.0) == pytest.approx(value or 0.0, abs=1e-4)
        assert (WHOLE.slot_of("log(x)", None) in found) == (raw[3][i] is None)
        assert found[WHOLE.slot_of("c*hour(t)", (row["c"], row["t"].hour))] == 1
        assert found[WHOLE.slot_of("category*b", (row["category"], row["b"]))] == 1
        assert found[WHOLE.slot_of("month(t)", row["t"].month)] == 1
        assert slot_of_text("hidden", None, BITS) not in found
        assert found[slot_of_text("category(n)", None if row["n"] is None else str(row["n"]), BITS)] == 1
        assert found[slot_of_text("category(b)", {None: None, True: "true", False: "false"}[row["b"]], BITS)] == 1
        assert found[WHOLE.slot_of("category(x)*c", (row["x"], row["c"]))] == 1


def test_hashes_of_products_and_entries_are_as_defined() -> None:
    def hashed(name: str, text: str) -> int:
        return hash_of_bytes(text.encode(), hash_of_bytes(name.encode(), 0))

    joined = hash_of_bytes(b"c*hour(t)", 0)
    for factor in (hashed("c", "a"), hashed("hour(t)", "7")):
        joined = mix64(joined ^ factor)
    assert WHOLE.slot_of("c*hour(t)", ("a", 7)) == joined % 2**BITS
    entry = mix64(hash_of_bytes(b"sparse(i, v)", 0) ^ mix64(2**64 - 3))
    assert WHOLE.slot_of("sparse(i, v)", -3) == entry % 2**BITS
    assert WHOLE.slot_of("s", "u") == slot_of_text("s", "u", BITS)
    with pytest.raises(SchemaError, match="has 2 categories; 1 values"):
        WHOLE.slot_of("c*hour(t)", "a")


CODES = [7, 0, -3, None, 123_456_789_012, 2**53, 7]


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.decimal128(38, 2), pa.dictionary(pa.int8(), pa.int64())])
def test_a_code_is_the_same_category_in_whatever_type(kind: pa.DataType) -> None:
    """The slot of its digits; the column alone has no coordinate once it is dropped."""
    codes = pa.array(CODES, pa.int64())
    codes = codes.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else codes.cast(kind)
    batch = pa.record_batch({"x": codes})
    e = Encoder(Schema.of(batch.schema, drop=["x"], features=["category(x)"]), BITS)
    rows = e.encode(batch).rows
    assert (e.dense_names, e.slot_names) == ([], ["category(x)"])
    texts = [None if code is None else str(code) for code in CODES]
    assert rows.slots.tolist() == [slot_of_text("category(x)", text, BITS) for text in texts]
    assert [e.slot_of("category(x)", code) for code in CODES] == rows.slots.tolist()
    assert e.counts["null"] == 1


def test_fractions_and_oddities_are_categories_too() -> None:
    values = [0.5, -0.0, math.nan, math.inf, 1e300, None]
    e, encoded = one(pa.float64(), values, "category(x)")
    rows = encoded.rows
    texts = ["0.5", "0", None, "inf", "1e+300", None]
    for i, (value, text) in enumerate(zip(values, texts, strict=True)):
        slot = slot_of_text("category(x)", text, BITS)
        assert lit(rows, i)[slot] == 1
        assert e.slot_of("category(x)", value) == slot


def test_buckets_and_splines_wake_after_their_warm_up() -> None:
    """Edges from the numbers of the first 1,024 rows of weight > 0; nothing before the row after those."""
    counted = [k for k, row in enumerate(ROWS) if row["w"] > 0]
    wake = counted[1023] + 1
    x = [row["x"] if row["x"] is not None and math.isfinite(row["x"]) else None for row in ROWS]
    n = [row["n"] for row in ROWS]
    edges = quantile_knots([x[k] for k in counted[:1024] if x[k] is not None], "bucket", 4)  # type: ignore[misc]
    knots = quantile_knots([n[k] for k in counted[:1024] if n[k] is not None], "spline", 5)
    assert WHOLE.knots()["bucket(x, 4)"].tolist() == edges
    assert WHOLE.knots()["spline(n, 5)"].tolist() == knots
    buckets = {WHOLE.slot_of("bucket(x, 4)", b): b for b in (None, 0, 1, 2, 3)}
    hats = {WHOLE.slot_of("spline(n, 5)", b): b for b in (None, 0, 1, 2, 3, 4)}
    for i in range(N):
        found = lit(ENCODED.rows, i)
        got_bucket = {buckets[slot]: v for slot, v in found.items() if slot in buckets}
        got_hats = {hats[slot]: v for slot, v in found.items() if slot in hats}
        if i < wake:
            assert not got_bucket
            assert not got_hats
            continue
        xi, ni = x[i], n[i]
        assert got_bucket == {None if xi is None else bucket_of(xi, edges): 1.0}
        assert got_hats == pytest.approx({None: 1.0} if ni is None else hats_of(ni, knots), abs=1e-6)
        cross = WHOLE.slot_of("bucket(x*n, 4)*bucket(x, 4)", (None, None))
        assert (cross in found) == (xi is None)


def test_a_bucket_of_a_heavy_value_has_it_alone() -> None:
    e, got = one(pa.float64(), [0.0, 0.0, 0.0, 1.0, 2.0] * 300, "bucket(x, 4)")
    assert e.knots()["bucket(x, 4)"].tolist() == [0.0, 1.0]
    assert lit(got.rows, 1495) == {e.slot_of("bucket(x, 4)", 0): 1.0}
    assert lit(got.rows, 1499) == {e.slot_of("bucket(x, 4)", 2): 1.0}


@pytest.mark.parametrize(("kind", "value"), [(pa.float64(), 3.5), (pa.float32(), None), (pa.null(), None)])
def test_constant_and_null_columns_break_no_term(kind: pa.DataType, value: float | None) -> None:
    terms = ["bucket(x, 4)", "spline(x, 4)", "log(x)", "poly(x, 3)", "x*x", "bucket(x, 4)*c"]
    e, got = one(kind, [value] * 1300, *terms, c=pa.array(["a"] * 1300))
    assert not got.rows.dense.any()
    assert np.isfinite(got.rows.values).all()
    if value is None:  # a warm-up without numbers goes on, until they come
        assert e.knots() == {}
        assert len(lit(got.rows, 1299)) == 3  # c, and that x and log(x) are missing
        e.encode(pa.record_batch({"x": pa.array(np.arange(256.0)), "c": pa.array(["a"] * 256)}))
    assert set(e.knots()) == {"bucket(x, 4)", "spline(x, 4)"}


def test_terms_that_share_a_power_share_a_coordinate() -> None:
    e, got = one(pa.float64(), [1.0, 2.0, 3.0], "poly(x, 2)", "poly(x, 3)")
    assert e.dense_names == ["x", "x^2", "x^3"]
    assert got.rows.dense.shape == (3, 3)


def test_numbers_not_above_zero_are_counted_under_a_log() -> None:
    counts = one(pa.float64(), [1.0, 0.0, -2.0, None, math.nan, 1e30], "log(x)")[0].counts
    assert counts == {"null": 1, "nan": 1, "infinite": 0, "far": 0, "not_positive": 2}


# ---- lists


INTEGERS = [[3, 1], [], None, [7, 7, 7], [2**62, -1], [None, 4]]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int64())])
def test_a_list_is_a_set_of_categories(kind: pa.DataType) -> None:
    e, got = one(kind, INTEGERS)
    assert e.slot_names == ["x"]
    for i, entries in enumerate(INTEGERS):
        wanted = [e.slot_of("x", v) for v in ([None] if entries is None else entries)]
        assert lit(got.rows, i) == {slot: float(wanted.count(slot)) for slot in wanted}
    assert e.counts["null"] == 2
    sliced = Encoder(e.schema, BITS).encode(pa.record_batch([pa.array(INTEGERS, kind)], ["x"]).slice(1, 4)).rows
    assert [lit(sliced, i) for i in range(4)] == [lit(got.rows, i + 1) for i in range(4)]


def test_lists_of_every_width_give_the_same_slots() -> None:
    values = [[1, 2], None, [3, 3]]
    wanted = flat([one(pa.list_(pa.int64()), values)[1]])
    for inner in (pa.int8(), pa.uint16(), pa.uint64()):
        assert flat([one(pa.list_(inner), values)[1]]) == wanted
    assert flat([one(pa.list_(pa.int32(), 2), values)[1]]) == wanted


def test_lists_of_strings_and_of_their_dictionary() -> None:
    texts = [["u", "v"], None, ["u", None, "u"], []]
    e, got = one(pa.list_(pa.string()), texts)
    assert lit(got.rows, 2) == {slot_of_text("x", "u", BITS): 2.0, slot_of_text("x", None, BITS): 1.0}
    other = pa.array(texts, pa.list_(pa.string()))
    codes = other.values.dictionary_encode()
    coded = pa.ListArray.from_arrays(other.offsets, codes, mask=pa.array([False, True, False, False]))
    views = coded.cast(pa.list_(pa.dictionary(codes.type.index_type, pa.string_view())))
    for array in (coded, views, other.cast(pa.large_list(pa.large_string()))):
        assert flat([Encoder(e.schema, BITS).encode(pa.record_batch([array], ["x"]))]) == flat([got])


def test_lists_of_nothing_may_become_either_kind() -> None:
    e, got = one(pa.list_(pa.null()), [[], None])
    assert lit(got.rows, 1) == {e.slot_of("x", None): 1.0}
    kinds: list[Any] = [[[1]], [["a"]], None]
    for later in kinds:
        array = pa.nulls(2) if later is None else pa.array(later)
        rows = e.encode(pa.record_batch([array], ["x"])).rows
        assert [lit(rows, i) for i in range(len(array))] == [
            {e.slot_of("x", entry): 1.0} for entry in ([None, None] if later is None else later[0])
        ]
    with pytest.raises(SchemaError, match=r"column 'x' has type list<.*double>, the schema says nulls"):
        e.encode(pa.record_batch([pa.array([[1.5]])], ["x"]))
    numbers = one(pa.list_(pa.int8()), [[1]])[0]
    numbers.encode(pa.record_batch([pa.array([[], []], pa.list_(pa.null()))], ["x"]))
    with pytest.raises(SchemaError, match="the schema says integers"):
        numbers.encode(pa.record_batch([pa.array([["a"]])], ["x"]))


@pytest.mark.parametrize("values", [[[1]], [["a"]]])
def test_lists_may_become_nothing_of_any_type(values: list[Any]) -> None:
    e = one(pa.array(values).type, values)[0]
    for nothing in (pa.nulls(2), pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), pa.nulls(0))):
        rows = e.encode(pa.record_batch([nothing], ["x"])).rows
        assert [lit(rows, i) for i in range(2)] == [{e.slot_of("x", None): 1.0}] * 2


def test_extents_of_null_lists_are_not_read() -> None:
    """Arrow lets a null list have entries."""
    offsets = pa.array([0, 2, 4], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array([1, 2, 3, 4]), mask=pa.array([True, False]))
    values = pa.array([None, [0.5, 0.5]], pa.list_(pa.float32()))
    batch = pa.record_batch({"i": lists, "v": values})
    e = Encoder(Schema.of(batch.schema, features=["sparse(i, v)"]), BITS)
    rows = e.encode(batch).rows
    assert lit(rows, 0) == {e.slot_of("sparse(i, v)", None): 1.0}
    assert lit(rows, 1) == {e.slot_of("sparse(i, v)", 3): 1.0, e.slot_of("sparse(i, v)", 4): 1.0}


def test_values_that_are_whole_are_numbers() -> None:
    indices, counts = pa.array([[1, 2], None, [3, 2]]), [[1, 2], None, [4, None]]
    rows = []
    for first, second in ((pa.int64(), pa.int8()), (pa.int64(), pa.float64()), (pa.float64(), pa.int64())):
        parts = [pa.record_batch({"i": indices, "v": pa.array(counts, pa.list_(kind))}) for kind in (first, second)]
        e = Encoder(Schema.of(parts[0].schema, features=["sparse(i, v)"]), BITS)
        rows.append(flat([e.encode(part) for part in parts]))
    assert rows[0] == rows[1] == rows[2]


def test_a_pair_gives_values_in_units_of_their_rms() -> None:
    values: list[list[float | None]] = [[0.1, -0.2], [0.3, math.nan, None, 1e30], [5e-324, 0.0], []] * 30
    indices: list[list[int]] = [[9, 5], [5, 6, 7, 8], [1, 1], []] * 30
    e, got = one(pa.list_(pa.int32()), indices, "sparse(x, v)", v=pa.array(values, pa.list_(pa.float64())))
    wanted = scaled_lists([[math.nan if v is None else v for v in row] for row in values], [1.0] * 120)
    for i in range(120):
        sums: dict[int, float] = {}
        for index, value in zip(indices[i], wanted[i], strict=True):
            slot = e.slot_of("sparse(x, v)", index)
            sums[slot] = sums.get(slot, 0.0) + value
        found = lit(got.rows, i)
        assert set(found) <= set(sums)
        assert [found.get(slot, 0.0) for slot in sums] == pytest.approx(list(sums.values()), rel=1e-4, abs=1e-6)
    assert e.counts["nan"] == e.counts["null"] == 30
    assert e.slot_names == ["sparse(x, v)"]


def test_oddities_that_are_learned_while_others_are_scored_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    e, alone = encoder(), encoder()
    place = hashing.place_lists

    def beside(*given: Any) -> Any:
        """Another thread learns just then."""
        monkeypatch.undo()
        e.encode(TABLE)
        return place(*given)

    monkeypatch.setattr(hashing, "place_lists", beside)
    e.encode(TABLE, update=False)
    alone.encode(TABLE)
    assert e.counts == alone.counts


@pytest.mark.parametrize("values", [[[1.0], [1.0]], [[1.0], [1.0, 2.0, 3.0]], [[1.0], None]])
def test_pairs_of_unequal_length_are_refused_and_change_nothing(values: list[Any]) -> None:
    batch = pa.record_batch({"i": pa.array([[1], [2, 3]]), "v": pa.array(values, pa.list_(pa.float32()))})
    e = Encoder(Schema.of(batch.schema, features=["sparse(i, v)"]), BITS)
    before = state_bytes(e)
    got = len(values[1] or [])
    with pytest.raises(
        DataError, match=rf"column 'v', row 41 \(counting from 0\): {got} values for 2 indices in column 'i'"
    ):
        e.encode(batch, first_event=40)
    assert state_bytes(e) == before


def test_a_long_list_in_one_row() -> None:
    long = np.random.default_rng(0).integers(0, 5000, 10_000)
    e, got = one(pa.list_(pa.int64()), [[1], long.tolist(), [], [3] * 10_000])
    assert len(lit(got.rows, 1)) == len({e.slot_of("x", int(v)) for v in long})
    assert got.rows.values[: got.rows.starts[2]].sum() == 10_001
    assert lit(got.rows, 3) == {e.slot_of("x", 3): 100.0}  # held


def test_damaged_offsets_are_cut_off() -> None:
    data = pa.array([1, 2, 3], pa.int32())
    offsets = np.array([0, 5, -2, 2**31 - 1, 3], np.int32)
    array = pa.Array.from_buffers(pa.list_(pa.int32()), 4, [None, pa.py_buffer(offsets)], children=[data])
    e = Encoder(Schema.of(pa.schema([("x", array.type)])), BITS)
    try:
        rows = e.encode(pa.record_batch([array], ["x"])).rows
    except DataError:
        return
    assert len(rows.slots) <= 3


# ---- laws


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, N) | st.integers(1080, 1200), max_size=5))
def test_any_cut_gives_the_same_rows_and_state_to_the_byte(cuts: list[int]) -> None:
    cut = encoder()
    edges = [0, *sorted(cuts), N]
    parts = [cut.encode(TABLE.slice(a, b - a), first_event=a) for a, b in itertools.pairwise(edges)]
    assert flat(parts) == flat([ENCODED])
    assert state_bytes(cut) == state_bytes(WHOLE)


def test_one_row_at_a_time() -> None:
    single = encoder()
    parts = [single.encode(TABLE.slice(i, 1)) for i in range(N)]
    assert flat(parts) == flat([ENCODED])
    assert state_bytes(single) == state_bytes(WHOLE)


@pytest.mark.parametrize("at", [0, 500, 1100, 1400])
def test_scoring_weight_zero_and_restoring(at: int) -> None:
    e = encoder()
    e.encode(TABLE.slice(0, at))
    before = state_bytes(e)
    rest = TABLE.slice(at)
    scored = e.encode(rest.drop_columns(["w", "y"]), update=False)
    assert state_bytes(e) == before
    weightless = rest.set_column(rest.schema.get_field_index("w"), "w", pa.array(np.zeros(len(rest))))
    assert flat([e.encode(weightless)]) == flat([scored])
    assert state_bytes(e) == before
    resumed = encoder()
    resumed.restore(e.state())
    assert flat([resumed.encode(rest)]) == flat([e.encode(rest)])
    assert state_bytes(resumed) == state_bytes(e) == state_bytes(WHOLE)


def test_a_score_that_began_before_a_warm_up_ended_leaves_the_knots(monkeypatch: pytest.MonkeyPatch) -> None:
    e, alone = encoder(), encoder()
    for each in (e, alone):
        each.encode(TABLE.slice(0, 1000))
    knots, rest = e._derived.knots, TABLE.slice(1000)
    of = knots.of

    def once_behind(term: Any) -> Any:
        """As it was before another thread learned what ends the warm-up."""
        found = of(term)
        monkeypatch.undo()
        e.encode(rest)
        return found

    monkeypatch.setattr(knots, "of", once_behind)
    e.encode(rest, update=False)
    alone.encode(rest)
    assert e.knots()
    assert state_bytes(e) == state_bytes(alone)


def test_rows_of_weight_zero_leave_no_trace() -> None:
    without = encoder()
    without.encode(TABLE.filter(pa.array([row["w"] > 0 for row in ROWS])))
    assert state_bytes(without) == state_bytes(WHOLE)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("warmed", (0, 0), -1),
        ("warmed", (0, 1), 1025),
        ("warmed", (0, 1), -1),
        ("warmed", (0, 2), 0),
        ("warmed", (0, 2), 5),
        ("warmed", (1, 2), -1),
        ("knots", (0, 0), math.nan),
        ("knots", (0, 0), 1e9),
        ("held", (0, 0), math.inf),
        ("term_moments", (0, 1), math.nan),
        ("list_moments", (0, 2), -1.0),
    ],
)
def test_damaged_state_is_refused_and_changes_nothing(name: str, at: tuple[int, int], value: float) -> None:
    e = encoder()
    e.encode(TABLE.slice(0, 700))
    before, damaged = state_bytes(e), WHOLE.state()
    damaged[name][at] = value
    with pytest.raises(StateError, match="encoder"):
        e.restore(damaged)
    assert state_bytes(e) == before


def test_a_warm_up_with_more_numbers_than_rows_is_refused() -> None:
    state = encoder().state()
    state["warmed"][0] = (0, 200, -1)  # 1,024 further rows would not fit behind them
    with pytest.raises(StateError, match="warm-up"):
        encoder().restore(state)


SMALL = BeliefConfig(half_lives=(math.inf, 200.0), priors=((0.1, 1.0), (1.0, 10.0)))


def model(learner: str = "belief") -> OnlineLogit:
    config = Config(learner=learner, slot_bits=10, belief=SMALL, sgd=SgdConfig(rate=0.02))
    return OnlineLogit(**ROLES, features=TERMS, config=config)


@pytest.mark.parametrize("learner", ["belief", "sgd"])
def test_the_fold_with_terms_in_any_cut_and_after_saving(learner: str) -> None:
    whole, cut = model(learner), model(learner)
    p = whole.step(TABLE).p
    first = cut.step(TABLE.slice(0, 1111)).p
    cut = of_bytes(cut.to_bytes())
    assert cut.schema.terms == SCHEMA.terms
    second = cut.step(TABLE.slice(1111)).p
    assert np.concatenate([first, second]).tobytes() == p.tobytes()
    assert cut.to_bytes() == whole.to_bytes()
    assert np.isfinite(p).all()


WILD = st.sampled_from([math.nan, math.inf, 1e30, -1e30, 1e308, 5e-324, 0.0, None])


@pytest.mark.parametrize("learner", ["belief", "sgd"])
@settings(max_examples=12, deadline=None)
@given(wild=st.lists(st.tuples(st.integers(0, 99), WILD, st.integers(0, 50)), min_size=1, max_size=20))
def test_nothing_unseen_breaks_terms(learner: str, wild: list[tuple[int, Any, int]]) -> None:
    n = 3500
    random = np.random.default_rng(0)
    a, c = random.standard_normal(n), random.integers(0, 3, n)
    y = random.random(n) < 1 / (1 + np.exp(-3 * np.where(c == 0, a, -a)))
    columns: dict[str, list[Any]] = {
        "a": a.tolist(), "c": [f"c{k}" for k in c], "i": [[int(k), 9] for k in c], "v": [[0.5, 0.5]] * n, "y": y.tolist(),
    }  # fmt: skip
    for row, value, many in wild:
        columns["a"][row], columns["c"][row] = value, None
        columns["i"][row], columns["v"][row] = [row] * many, [value] * many
    table = pa.table({
        "a": pa.array(columns["a"], pa.float64()), "c": pa.array(columns["c"]), "i": pa.array(columns["i"]),
        "v": pa.array(columns["v"], pa.list_(pa.float64())), "y": pa.array(columns["y"]),
    })  # fmt: skip
    terms = ["c*a", "poly(a, 6)", "log(a)", "bucket(a, 5)*c", "spline(a, 5)", "a*a", "sparse(i, v)"]
    m = OnlineLogit("y", features=terms, config=Config(learner=learner, belief=SMALL, slot_bits=12))
    p: npt.NDArray[np.float64] = m.step(table).p
    assert np.isfinite(p).all()
    assert all(np.isfinite(moments).all() for moments in m.pipeline.encoder.moments())
    assert np.mean((p[3000:] > 0.5) == y[3000:]) > 0.75  # .84 without; a fifth of the first rows may be junk
