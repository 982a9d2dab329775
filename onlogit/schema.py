"""What each column of a stream means: number, category, instant, set of categories, label, weight, key, time, label
time, due time, or dropped; and the terms that are derived from columns (onlogit/terms.py has their syntax).

A Schema is settled once, from the stream's first batch and the user's words, is plain data (it goes into a model file
as JSON), and is what every later batch is checked against before anything is learned from it. Files written by
different tools differ in harmless ways: another order of columns, int32 for int64, string for large_string or
dictionary. Such batches pass; a column that is missing, unknown or of another kind is a SchemaError that says what to
do.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Literal, cast, get_args

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import ConfigError, OnlogitError, SchemaError, StateError
from onlogit.terms import (
    EVERY,
    Calendar,
    Operand,
    Read,
    Sparse,
    Term,
    check,
    parse,
    parse_normal,
    spelled_out,
    text_of,
    walk,
)

Role = Literal[
    "number",
    "category",
    "instant",
    "set",
    "values",
    "label",
    "weight",
    "key",
    "time",
    "label_time",
    "due",
    "slice",
    "dropped",
]
Kind = Literal[
    "number", "integer", "bool", "text", "timestamp", "date", "null", "integers", "texts", "numbers", "nulls", "any"
]  # the plural ones are lists

FEATURE_ROLE: dict[Kind, Role] = {
    "number": "number",
    "integer": "number",
    "null": "number",  # nothing but nulls so far, as NDJSON may begin: a number that is missing
    "bool": "category",
    "text": "category",
    "timestamp": "instant",
    "date": "instant",
    "integers": "set",
    "texts": "set",
    "nulls": "set",
    "numbers": "values",  # no feature: the numbers that go with the indices of a set
}
OPERAND: dict[Role, Operand] = {"number": "number", "category": "category"}
MOST_TERMS = 1000
HOURS = [str(hour) for hour in range(24)]
WEEKDAYS = [str(day) for day in range(7)]  # Monday is 0
MONTHS = [str(month) for month in range(1, 13)]
CALENDAR = {"hour": HOURS, "weekday": WEEKDAYS, "month": MONTHS}
UTC_NAMES = {"UTC", "Etc/UTC", "Z", "+00:00", "GMT", "Etc/GMT"}
LISTS: dict[Kind | None, Kind] = {"integers": "integer", "texts": "text", "numbers": "number", "nulls": "null"}
SLICED: set[Kind] = {"bool", "number", "integer", "text", "null"}
# what each special role accepts, and how to say it
ACCEPTED: dict[Role, tuple[set[Kind], str]] = {
    "label": ({"bool", "number", "integer", "text", "null"}, "a bool, 0/1, -1/1, or a text with a positive value"),
    "weight": ({"number", "integer"}, "a number"),
    "key": ({"integer", "text"}, "an integer or a string"),
    "time": ({"timestamp", "date"}, "a timestamp or a date"),
    "label_time": ({"timestamp", "date"}, "a timestamp or a date"),
    "due": ({"timestamp", "date"}, "a timestamp or a date"),
    "slice": (SLICED, "a number, a bool, a string or a dictionary of them"),
}


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds strings: string, large_string or string_view."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def kind_of(kind: pa.DataType) -> Kind | None:
    """The kind of an Arrow type; None for one that onlogit does not take. A dictionary of numbers is text."""
    if pa.types.is_dictionary(kind):
        inner = kind_of(kind.value_type)
        return None if inner in LISTS else inner if inner in (None, "bool", "null") else "text"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = kind_of(kind.value_type)
        return next((lists for lists, values in LISTS.items() if values == inner), None)
    for test, answer in (
        (pa.types.is_integer, "integer"),
        (pa.types.is_floating, "number"),
        (pa.types.is_boolean, "bool"),
        (is_text, "text"),
        (pa.types.is_timestamp, "timestamp"),
        (pa.types.is_date, "date"),
        (pa.types.is_decimal, "number"),
        (pa.types.is_null, "null"),
    ):
        if test(kind):
            return cast(Kind, answer)
    return None


def kind_in_role(role: Role, name: str, kind: pa.DataType) -> Kind:
    """The kind of a column that has this role. SchemaError where it cannot have it."""
    kinds, wanted = ACCEPTED[role]
    found = kind_of(kind)
    if found is None or found not in kinds:
        raise SchemaError(f"{role} column {name!r} has type {kind}; it has to be {wanted}: cast it")
    return found


def zone_of(kind: pa.DataType) -> str:
    """The time zone of a timestamp type; "UTC" under its other names, without a zone, and for any other type."""
    zone = str(kind.tz or "UTC") if pa.types.is_timestamp(kind) else "UTC"
    return "UTC" if zone in UTC_NAMES else zone


@dataclass(frozen=True)
class Column:
    """One column: its name, its role, the kind of its values, and whether it is a feature."""

    name: str
    role: Role
    kind: Kind
    feature: bool
    zone: str = "UTC"  # of a timestamp

    @property
    def coordinates(self) -> tuple[Term, ...]:
        """The categories that a feature of this column gives by itself: its own, or the hour and weekday of an instant."""
        column = Read(self.name)
        if self.kind == "timestamp":
            return Calendar("hour", column), Calendar("weekday", column)
        if self.kind == "date":
            return (Calendar("weekday", column),)
        return (column,) if FEATURE_ROLE[self.kind] == "category" else ()

    @property
    def operand(self) -> Operand:
        """What a term may do with this column."""
        if self.role in ("label", "label_time", "weight", "key", "slice") or self.kind == "any":
            return "other"
        return OPERAND.get(FEATURE_ROLE[self.kind]) or cast(Operand, self.kind)

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a batch may bring this column with that Arrow type."""
        found = kind_of(kind)
        if self.role == "dropped" and self.kind == "any":
            return True
        if found is None:
            return False
        if found == "null":
            return True  # nulls of any kind; where a null means nothing, its row is an error
        if self.role == "label" and self.kind == "null":
            return found in ACCEPTED["label"][0]
        if self.kind in LISTS:
            both = {self.kind, found}
            if (self.kind, found) == ("numbers", "integers"):
                return True
            return both == {found} or ("nulls" in both and both <= set(LISTS) and found != "numbers")
        if self.role != "key" and self.kind in ("number", "integer", "null"):
            return found in ("number", "integer")
        return found == self.kind and (found != "timestamp" or zone_of(kind) == self.zone)


@dataclass(frozen=True)
class Schema:
    """The columns in the order of the first batch, which value of the label is the positive one (as text), and the
    derived terms in their normal spelling."""

    columns: tuple[Column, ...]
    positive: str | None = None
    terms: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        arrow: pa.Schema,
        *,
        label: str | None = None,
        positive: str | float | bool | None = None,
        weight: str | None = None,
        key: str | None = None,
        time: str | None = None,
        label_time: str | None = None,
        due: str | None = None,
        drop: Iterable[str] = (),
        features: Iterable[str] = (),
        by: Iterable[str] = (),
    ) -> "Schema":
        """Give every column of an Arrow schema its role.

        All but the named columns are features, and so is `time` (its hour and weekday), unless they are in `drop`.
        `features` are derived terms, which may read dropped columns; one that is there already is not added twice.
        `by` are columns whose values are watched one by one: a dropped one among them stays in the records.
        SchemaError for an unknown name, a name used twice, a type that has no role, a text label without `positive`;
        ConfigError or SchemaError for a term, pointing at the character.
        """
        dropped = (drop,) if isinstance(drop, str) else tuple(drop)
        told_terms = (features,) if isinstance(features, str) else tuple(features)
        _no_more_than_most(told_terms)
        terms = {text.strip(): term for text, term in [(each, parse(each)) for each in told_terms]}
        told = {"label": label, "weight": weight, "key": key, "time": time, "label_time": label_time, "due": due}
        roles: dict[str, Role] = {}
        _no_duplicates(arrow.names)
        known = set(arrow.names)
        for what, name in [*told.items(), *(("drop", name) for name in dropped)]:
            if name is not None and name not in known:
                near = _near(name, arrow.names)
                raise SchemaError(f"{what}: there is no column {name!r}{near}; found are {_shown(arrow.names)}")
        for role, name in told.items():
            if name is None:
                continue
            if name in roles:
                raise SchemaError(f"column {name!r} cannot be both {roles[name]} and {role}; name two columns")
            roles[name] = cast(Role, role)
        unwanted = set(dropped)
        roles |= {name: "slice" for name in by if name in unwanted and name not in roles}
        read = {part.column for term in terms.values() for part in walk(term) if isinstance(part, Read)}
        columns = tuple(
            _column(field, roles.get(field.name), field.name in unwanted, field.name in read) for field in arrow
        )
        operands = {column.name: column.operand for column in columns}
        plain: list[Term] = []
        for text, term in terms.items():
            for each in _spelled_out(term, columns):
                check(each, text, operands)
                plain.append(each)
        _no_more_than_most(plain)
        columns = _paired(columns, plain)
        schema = cls(columns, _as_text(positive))
        texts = dict.fromkeys(text_of(term) for term in plain)
        schema = replace(schema, terms=tuple(text for text in texts if text not in schema.coordinates))
        _check_positive(schema)
        return schema

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by their names."""
        return {column.name: column for column in self.columns}

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """The columns that the learner sees."""
        return tuple(column for column in self.columns if column.feature)

    @cached_property
    def coordinates(self) -> frozenset[str]:
        """The terms that columns give by themselves, in normal spelling: hour(at), weekday(at)."""
        return frozenset(text_of(term) for column in self.columns if column.feature for term in column.coordinates)

    @cached_property
    def parsed(self) -> tuple[Term, ...]:
        """The derived terms as trees."""
        return tuple(parse_normal(text) for text in self.terms)

    @cached_property
    def operands(self) -> frozenset[str]:
        """Names of the columns that derived terms read."""
        return frozenset(part.column for term in self.parsed for part in walk(term) if isinstance(part, Read))

    @cached_property
    def read(self) -> frozenset[str]:
        """Names of the columns that a score takes: features, and what derived terms read."""
        return self.operands.union(column.name for column in self.features)

    @cached_property
    def kept(self) -> frozenset[str]:
        """Names of the columns that learning takes: those, and label, weight, key, times and slices."""
        return self.operands.union(column.name for column in self.columns if column.role != "dropped")

    def spelled(self, features: Iterable[str]) -> tuple[str, ...]:
        """The derived terms of a schema with these columns that is given those texts."""
        terms = (each for text in features for each in _spelled_out(parse(text), self.columns))
        return tuple(text for text in dict.fromkeys(map(text_of, terms)) if text not in self.coordinates)

    def check_sliced(self, names: Iterable[str]) -> None:
        """SchemaError where one of these columns has no values that could be watched one by one."""
        for name in names:
            column = self.by_name.get(name)
            if column is None:
                raise SchemaError(f"by: there is no column {name!r}{_near(name, self.by_name)}")
            if column.role not in ("number", "category", "slice"):
                raise SchemaError(
                    f"by: column {name!r} is a {self._role(name)}; accepted is a number, a bool, a string or a dictionary, "
                    "that is a feature or dropped"
                )

    def with_role(self, role: Role) -> Column | None:
        """The column of a role that only one can have (label, weight, key, time, label_time, due)."""
        return next((column for column in self.columns if column.role == role), None)

    def check(self, arrow: pa.Schema, *, scoring: bool = False) -> None:
        """Refuse, by SchemaError, a batch whose columns are missing, unknown, doubled or of another kind.

        Dropped columns need not be there, of any type; for scoring, nor need label, weight, key, label time and due time.
        """
        _no_duplicates(arrow.names)
        found = {field.name: field.type for field in arrow}
        unknown = [name for name in arrow.names if name not in self.by_name]
        if unknown:
            raise SchemaError(
                f"{_columns(unknown)} not in the schema{_near(unknown[0], self.by_name)}; drop what is new from the "
                "data, or begin a model with it"
            )
        absent = [c.name for c in self.columns if c.name not in found and not self._may_lack(c, scoring)]
        if absent:
            raise SchemaError(
                f"{_columns(absent)} missing from the data; the schema has {absent[0]!r} as a {self._role(absent[0])}"
            )
        for name, kind in found.items():
            column = self.by_name[name]
            if not column.accepts(kind):
                zone = f" in {column.zone}" if column.kind == "timestamp" else ""
                raise SchemaError(
                    f"column {name!r} has type {kind}, the schema says {column.kind}{zone}; cast it to that"
                )

    def _may_lack(self, column: Column, scoring: bool) -> bool:
        unused = column.role == "dropped" or (scoring and not column.feature)
        return unused and column.name not in self.operands

    def _role(self, name: str) -> str:
        column = self.by_name[name]
        return f"{column.role} ({column.kind})"

    def to_json(self) -> dict[str, object]:
        """This schema as JSON-able data; `from_json` reads it back."""
        columns = [asdict(column) for column in self.columns]
        return {"columns": columns, "positive": self.positive, "features": list(self.terms)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Schema":
        """The schema that `to_json` wrote; StateError for anything else."""
        columns, positive, terms = data.get("columns"), data.get("positive"), data.get("features")
        if not isinstance(columns, list) or not (positive is None or isinstance(positive, str)):
            raise StateError("schema: expected a list of columns and the positive label as text or null")
        if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
            raise StateError("schema: expected a list of derived terms as text")
        schema = cls(tuple(_column_from_json(entry) for entry in columns), positive, tuple(terms))
        if len(schema.by_name) != len(schema.columns):
            raise StateError("schema: two columns have one name")
        _check_kept(schema)
        return schema


def _as_text(positive: str | float | bool | None) -> str | None:
    return positive if positive is None else str(positive).lower() if isinstance(positive, bool) else str(positive)


def _check_positive(schema: Schema) -> None:
    """A positive value needs a label, and has to be of its kind."""
    label = schema.with_role("label")
    if label is not None:
        check_positive(label.name, label.kind, schema.positive)
    elif schema.positive is not None:
        raise SchemaError(f"a positive value ({schema.positive!r}) was given without a label column")


def check_positive(name: str, kind: Kind | None, positive: str | None) -> None:
    """SchemaError where the positive value is none that a label column of this kind can hold; a text label needs one."""
    if positive is None:
        if kind == "text":
            raise SchemaError(f"label column {name!r} holds text: say which value is positive (--positive VALUE)")
        return
    if kind in ("number", "integer"):
        try:
            usable = float(positive) == float(positive)
        except ValueError:
            usable = False
        if not usable:
            raise SchemaError(f"label column {name!r} holds numbers: the positive value {positive!r} is not one")
    if kind == "bool" and positive.lower() not in ("true", "false"):
        raise SchemaError(f"label column {name!r} is bool: the positive value is true or false, not {positive!r}")


def _check_kept(schema: Schema) -> None:
    """Terms of a file have to be what `Schema.of` would have let in."""
    operands = {column.name: column.operand for column in schema.columns}
    try:
        for text, term in zip(schema.terms, schema.parsed, strict=True):
            check(term, text, operands)
    except OnlogitError as error:
        raise StateError(f"schema: {error}") from error
    normal = dict.fromkeys(text_of(term) for term in schema.parsed)
    if tuple(normal) != schema.terms or len(normal) > MOST_TERMS:
        raise StateError(f"schema: its derived terms are not at most {MOST_TERMS} different ones in normal spelling")


def _no_more_than_most(terms: Sequence[object]) -> None:
    if len(terms) > MOST_TERMS:
        raise ConfigError(f"{len(terms)} derived terms; accepted are at most {MOST_TERMS}")


def _spelled_out(term: Term, columns: tuple[Column, ...]) -> tuple[Term, ...]:
    """The term, or one for each number column where it says so and there are any; no column is called like that."""
    numbers = [column.name for column in columns if column.feature and column.operand == "number"]
    known = any(column.name == EVERY for column in columns)
    return (term,) if known or not numbers else spelled_out(term, numbers)


def _paired(columns: tuple[Column, ...], terms: Iterable[Term]) -> tuple[Column, ...]:
    """The columns with those that go into a `sparse` pair no features of their own; every list of numbers has to. What are
    values alone may be numbers with a fraction, though the first are whole."""
    pairs = [term for term in terms if isinstance(term, Sparse)]
    indices, values = {pair.indices.column for pair in pairs}, {pair.values.column for pair in pairs}
    paired = indices | values
    for column in columns:
        if column.role == "values" and column.name not in paired:
            sets = [c.name for c in columns if c.role == "set"]
            pair = text_of(Sparse(Read(sets[0] if sets else "indices"), Read(column.name)))
            raise SchemaError(
                f"column {column.name!r} is a list of numbers, which mean nothing by themselves; name the list of indices "
                f'that they go with (--feature "{pair}"), or drop it (--drop {column.name})'
            )
    columns = tuple(replace(column, feature=False) if column.name in paired else column for column in columns)
    return tuple(_valued(column) if column.name in values - indices else column for column in columns)


def _valued(column: Column) -> Column:
    role: Role = "dropped" if column.role == "dropped" else "values"
    return replace(column, kind="numbers", role=role)


def _column(field: pa.Field, told: Role | None, dropped: bool, read: bool) -> Column:
    kind = kind_of(field.type)
    if told is not None:
        kind = kind_in_role(told, field.name, field.type)
        return Column(field.name, told, kind, told == "time" and not dropped, zone_of(field.type))
    if dropped:
        kept: Kind = kind if read and kind is not None else "any"  # what a term reads has to stay of its kind
        return Column(field.name, "dropped", kept, False, zone_of(field.type) if read else "UTC")
    if kind is None:
        raise SchemaError(
            f"column {field.name!r} has type {field.type}, which cannot be a feature; drop it (--drop {field.name}), "
            "or cast it to a number, bool, string, dictionary, timestamp, date, or list of integers or strings"
        )
    role = FEATURE_ROLE[kind]
    return Column(field.name, role, kind, role != "values", zone_of(field.type))


def _column_from_json(entry: object) -> Column:
    if not isinstance(entry, dict) or set(entry) != {"name", "role", "kind", "feature", "zone"}:
        raise StateError(f"schema: not a column: {str(entry)[:200]}")
    named = isinstance(entry["name"], str) and isinstance(entry["zone"], str) and isinstance(entry["feature"], bool)
    if not named or entry["role"] not in get_args(Role) or entry["kind"] not in get_args(Kind):
        raise StateError(f"schema: not a column: {str(entry)[:200]}")
    return Column(**entry)


def _no_duplicates(names: list[str]) -> None:
    if len(set(names)) == len(names):
        return
    twice = next(name for i, name in enumerate(names) if name in names[:i])
    raise SchemaError(f"two columns are named {twice!r}; rename one")


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), 3)
    return f" (near: {', '.join(near)})" if near else ""


def _shown(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "none"


def _columns(names: list[str]) -> str:
    shown = _shown([repr(name) for name in names], 5)
    return f"column {shown} is" if len(names) == 1 else f"columns {shown} are"
