"""Roles of columns, what a batch may bring, and messages that say what to do."""

import json

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.errors import SchemaError, StateError
from onlogit.schema import Schema

STREAM = pa.schema(
    [
        ("id", pa.int64()),
        ("when", pa.timestamp("us", "UTC")),
        ("amount", pa.float32()),
        ("count", pa.uint8()),
        ("price", pa.decimal128(9, 2)),
        ("country", pa.string()),
        ("device", pa.dictionary(pa.int8(), pa.string())),
        ("member", pa.bool_()),
        ("born", pa.date32()),
        ("nothing", pa.null()),
        ("w", pa.float64()),
        ("bought", pa.bool_()),
        ("known", pa.timestamp("ms")),
        ("tags", pa.list_(pa.struct([("name", pa.string())]))),
    ]
)


def stream_schema() -> Schema:
    return Schema.of(STREAM, label="bought", weight="w", key="id", time="when", label_time="known", drop=["tags"])


def test_every_column_gets_its_role() -> None:
    schema = stream_schema()
    assert {c.name: c.role for c in schema.columns} == {
        "id": "key",
        "when": "time",
        "amount": "number",
        "count": "number",
        "price": "number",
        "country": "category",
        "device": "category",
        "member": "category",
        "born": "instant",
        "nothing": "number",
        "w": "weight",
        "bought": "label",
        "known": "label_time",
        "tags": "dropped",
    }
    features = {c.name for c in schema.features}
    assert features == {"when", "amount", "count", "price", "country", "device", "member", "born", "nothing"}


def test_a_dropped_time_is_still_the_time() -> None:
    schema = Schema.of(STREAM, time="when", drop=["when", "tags"])
    time = schema.with_role("time")
    assert time is not None
    assert not time.feature


def test_json_gives_the_same_schema_back() -> None:
    schema = stream_schema()
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"columns": 3, "positive": None, "features": []},
        {"columns": [], "positive": 1, "features": []},
        {"columns": [], "positive": None},
        {"columns": [{"name": "x"}], "positive": None, "features": []},
        {
            "columns": [{"name": "x", "role": "king", "kind": "text", "feature": True, "zone": "UTC"}],
            "positive": None,
            "features": [],
        },
        {
            "columns": [{"name": "x", "role": "key", "kind": "text", "feature": 1, "zone": "UTC"}],
            "positive": None,
            "features": [],
        },
        {
            "columns": [{"name": "x", "role": [], "kind": "text", "feature": True, "zone": "UTC"}],
            "positive": None,
            "features": [],
        },
        {"columns": [stream_schema().to_json()["columns"][0]] * 2, "positive": None, "features": []},  # type: ignore[index]
    ],
)
def test_damaged_json_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(StateError, match="schema"):
        Schema.from_json(data)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"label": "bougth"}, r"label: there is no column 'bougth' \(near: bought\)"),
        ({"drop": ["tags", "contry"]}, r"drop: there is no column 'contry' \(near: country"),
        ({"weight": "zzz"}, "weight: there is no column 'zzz'; found are .*, country, "),
        ({"label": "bought", "weight": "bought"}, "'bought' cannot be both label and weight"),
        ({"drop": []}, r"column 'tags' has type list<.*>, which cannot be a feature; drop it \(--drop tags\), or cast"),
        ({"weight": "country"}, "weight column 'country' has type string; it has to be a number"),
        ({"key": "amount"}, "key column 'amount' has type float; it has to be an integer or a string"),
        ({"time": "count"}, "time column 'count' has type uint8; it has to be a timestamp or a date"),
        ({"label": "when"}, "label column 'when' has type timestamp.*bool, 0/1, -1/1"),
        ({"label": "tags"}, "label column 'tags' has type list"),
        ({"label": "country"}, r"label column 'country' holds text: say which value is positive \(--positive VALUE\)"),
        ({"label": "count", "positive": "yes"}, "'count' holds numbers: the positive value 'yes' is not one"),
        ({"label": "count", "positive": "nan"}, "'count' holds numbers"),
        ({"label": "member", "positive": "yes"}, "'member' is bool: the positive value is true or false"),
        ({"positive": "yes"}, "without a label column"),
    ],
)
def test_what_cannot_be_meant_is_refused(told: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.of(STREAM, **{"drop": ["tags"], **told})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.bool_()),
        pa.list_(pa.list_(pa.int8())),
        pa.dictionary(pa.int8(), pa.list_(pa.int8())),
        pa.struct([("a", pa.int8())]),
        pa.binary(),
        pa.duration("s"),
        pa.time32("s"),
        pa.dictionary(pa.int8(), pa.binary()),
        pa.map_(pa.string(), pa.int8()),
    ],
)
def test_types_without_a_meaning_name_the_way_out(kind: pa.DataType) -> None:
    with pytest.raises(SchemaError, match=r"column 'x' has type .* \(--drop x\)"):
        Schema.of(pa.schema([("x", kind)]))
    assert Schema.of(pa.schema([("x", kind)]), drop="x").features == ()


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(SchemaError, match="two columns are named 'x'"):
        Schema.of(pa.schema([("x", pa.int8()), ("y", pa.int8()), ("x", pa.int8())]))


def changed(name: str, kind: pa.DataType) -> pa.Schema:
    return STREAM.set(STREAM.get_field_index(name), pa.field(name, kind, nullable=kind == pa.null()))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("amount", pa.float64()),
        ("amount", pa.int32()),
        ("count", pa.decimal128(5, 1)),
        ("country", pa.large_string()),
        ("country", pa.string_view()),
        ("country", pa.dictionary(pa.int32(), pa.large_string())),
        ("country", pa.null()),
        ("device", pa.string()),
        ("member", pa.dictionary(pa.int32(), pa.bool_())),
        ("when", pa.timestamp("ns")),
        ("when", pa.timestamp("s", "Etc/UTC")),
        ("born", pa.date64()),
        ("nothing", pa.int8()),
        ("id", pa.uint32()),
        ("tags", pa.float32()),
    ],
)
def test_harmless_differences_pass(name: str, kind: pa.DataType) -> None:
    stream_schema().check(changed(name, kind))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("amount", pa.string()),
        ("country", pa.int64()),
        ("country", pa.bool_()),
        ("member", pa.string()),
        ("when", pa.timestamp("us", "Europe/Paris")),
        ("when", pa.date32()),
        ("id", pa.string()),
        ("id", pa.float64()),
        ("nothing", pa.string()),
        ("bought", pa.int8()),
        ("amount", pa.list_(pa.float32())),
    ],
)
def test_another_kind_is_refused(name: str, kind: pa.DataType) -> None:
    with pytest.raises(SchemaError, match=f"column '{name}' has type .*the schema says"):
        stream_schema().check(changed(name, kind))


def test_order_is_free_and_dropped_columns_may_be_absent() -> None:
    schema = stream_schema()
    schema.check(pa.schema(list(reversed(list(STREAM)))))
    schema.check(STREAM.remove(STREAM.get_field_index("tags")))


def test_missing_and_unknown_columns_are_named() -> None:
    schema = stream_schema()
    with pytest.raises(SchemaError, match=r"column 'amount' is missing from the data; .* number \(number\)"):
        schema.check(STREAM.remove(STREAM.get_field_index("amount")))
    with pytest.raises(SchemaError, match=r"columns 'amount', 'country' are missing .* has 'amount' as a number"):
        schema.check(pa.schema([field for field in STREAM if field.name not in ("amount", "country")]))
    with pytest.raises(SchemaError, match=r"column 'amout' is not in the schema \(near: amount"):
        schema.check(STREAM.append(pa.field("amout", pa.int8())))


@pytest.mark.parametrize("name", ["bought", "w", "id", "known"])
def test_scoring_needs_features_only(name: str) -> None:
    schema, cut = stream_schema(), STREAM.remove(STREAM.get_field_index(name))
    schema.check(cut, scoring=True)
    with pytest.raises(SchemaError, match=f"'{name}' is missing"):
        schema.check(cut)
    with pytest.raises(SchemaError, match="'country' is missing"):
        schema.check(cut.remove(cut.get_field_index("country")), scoring=True)


def test_a_due_time_is_no_feature_and_not_needed_for_scoring_unless_a_term_reads_it() -> None:
    columns = pa.schema([("x", pa.float64()), ("due", pa.date32()), ("y", pa.bool_())])
    bare = columns.remove(1).remove(1)
    plain = Schema.of(columns, label="y", due="due")
    assert [column.name for column in plain.features] == ["x"]
    plain.check(bare, scoring=True)
    with pytest.raises(SchemaError, match=r"'due', 'y' are missing .* due .date."):
        plain.check(bare)
    with pytest.raises(SchemaError, match="'due' is missing"):
        Schema.of(columns, label="y", due="due", features=["weekday(due)"]).check(bare, scoring=True)
    with pytest.raises(SchemaError, match="due column 'x' has type double; it has to be a timestamp or a date"):
        Schema.of(columns, label="y", due="x")
