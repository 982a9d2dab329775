"""What each column of a stream means: number, category, instant, label, weight, key, time, label time, or dropped.

A Schema is settled once, from the stream's first batch and the user's words, is plain data (it goes into a model file
as JSON), and is what every later batch is checked against before anything is learned from it. Files written by
different tools differ in harmless ways: another order of columns, int32 for int64, string for large_string or
dictionary. Such batches pass; a column that is missing, unknown or of another kind is a SchemaError that says what to
do.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, cast, get_args

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import SchemaError, StateError

Role = Literal["number", "category", "instant", "label", "weight", "key", "time", "label_time", "dropped"]
Kind = Literal["number", "integer", "bool", "text", "timestamp", "date", "null", "any"]

FEATURE_ROLE: dict[Kind, Role] = {
    "number": "number",
    "integer": "number",
    "null": "number",  # nothing but nulls so far, as NDJSON may begin: a number that is missing
    "bool": "category",
    "text": "category",
    "timestamp": "instant",
    "date": "instant",
}
HOURS = [str(hour) for hour in range(24)]
WEEKDAYS = [str(day) for day in range(7)]  # Monday is 0
UTC_NAMES = {"UTC", "Etc/UTC", "Z", "+00:00", "GMT", "Etc/GMT"}
# what each special role accepts, and how to say it
ACCEPTED: dict[Role, tuple[set[Kind], str]] = {
    "label": ({"bool", "number", "integer", "text", "null"}, "a bool, 0/1, -1/1, or a text with a positive value"),
    "weight": ({"number", "integer"}, "a number"),
    "key": ({"integer", "text"}, "an integer or a string"),
    "time": ({"timestamp", "date"}, "a timestamp or a date"),
    "label_time": ({"timestamp", "date"}, "a timestamp or a date"),
}


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds strings: string, large_string or string_view."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def kind_of(kind: pa.DataType) -> Kind | None:
    """The kind of an Arrow type; None for one that onlogit does not take. A dictionary of numbers is text."""
    if pa.types.is_dictionary(kind):
        inner = kind_of(kind.value_type)
        return inner if inner in (None, "bool", "null") else "text"
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
    def coordinates(self) -> dict[str, list[str]]:
        """Names of a category's or instant's coordinates, each with the texts that it is limited to, if it is."""
        if self.kind in ("timestamp", "date"):
            hour = {f"hour({self.name})": HOURS} if self.kind == "timestamp" else {}
            return {**hour, f"weekday({self.name})": WEEKDAYS}
        return {self.name: ["false", "true"] if self.kind == "bool" else []}

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a batch may bring this column with that Arrow type."""
        found = kind_of(kind)
        if self.role == "dropped":
            return True
        if found is None:
            return False
        if found == "null":
            return True  # nulls of any kind; where a null means nothing, its row is an error
        if self.role == "label" and self.kind == "null":
            return found in ACCEPTED["label"][0]
        if self.role != "key" and self.kind in ("number", "integer", "null"):
            return found in ("number", "integer")
        return found == self.kind and (found != "timestamp" or zone_of(kind) == self.zone)


@dataclass(frozen=True)
class Schema:
    """The columns in the order of the first batch, and which value of the label is the positive one (as text)."""

    columns: tuple[Column, ...]
    positive: str | None = None

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
        drop: Iterable[str] = (),
    ) -> "Schema":
        """Give every column of an Arrow schema its role.

        All but the named columns are features, and so is `time` (its hour and weekday), unless they are in `drop`.
        SchemaError for an unknown name, a name used twice, a type that has no role, a text label without `positive`.
        """
        dropped = (drop,) if isinstance(drop, str) else tuple(drop)
        told = {"label": label, "weight": weight, "key": key, "time": time, "label_time": label_time}
        roles: dict[str, Role] = {}
        _no_duplicates(arrow.names)
        known = set(arrow.names)
        for what, name in [*told.items(), *(("drop", name) for name in dropped)]:
            if name is not None and name not in known:
                raise SchemaError(f"{what}: there is no column {name!r}{_near(name, arrow.names)}")
        for role, name in told.items():
            if name is None:
                continue
            if name in roles:
                raise SchemaError(f"column {name!r} cannot be both {roles[name]} and {role}; name two columns")
            roles[name] = cast(Role, role)
        unwanted = set(dropped)
        columns = tuple(_column(field, roles.get(field.name), field.name in unwanted) for field in arrow)
        schema = cls(columns, _as_text(positive))
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

    def with_role(self, role: Role) -> Column | None:
        """The column of a role that only one can have (label, weight, key, time, label_time)."""
        return next((column for column in self.columns if column.role == role), None)

    def check(self, arrow: pa.Schema, *, scoring: bool = False) -> None:
        """Refuse, by SchemaError, a batch whose columns are missing, unknown, doubled or of another kind.

        Dropped columns need not be there, of any type; for scoring, nor need label, weight, key and label time.
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
                f"{_columns(absent)} missing from the data; the schema has it as a {self._role(absent[0])}"
            )
        for name, kind in found.items():
            column = self.by_name[name]
            if not column.accepts(kind):
                zone = f" in {column.zone}" if column.kind == "timestamp" else ""
                raise SchemaError(
                    f"column {name!r} has type {kind}, the schema says {column.kind}{zone}; cast it to that"
                )

    def _may_lack(self, column: Column, scoring: bool) -> bool:
        return column.role == "dropped" or (scoring and not column.feature)

    def _role(self, name: str) -> str:
        column = self.by_name[name]
        return f"{column.role} ({column.kind})"

    def to_json(self) -> dict[str, object]:
        """This schema as JSON-able data; `from_json` reads it back."""
        return {"columns": [asdict(column) for column in self.columns], "positive": self.positive}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Schema":
        """The schema that `to_json` wrote; StateError for anything else."""
        columns, positive = data.get("columns"), data.get("positive")
        if not isinstance(columns, list) or not (positive is None or isinstance(positive, str)):
            raise StateError("schema: expected a list of columns and the positive label as text or null")
        schema = cls(tuple(_column_from_json(entry) for entry in columns), positive)
        if len(schema.by_name) != len(schema.columns):
            raise StateError("schema: two columns have one name")
        return schema


def _as_text(positive: str | float | bool | None) -> str | None:
    return positive if positive is None else str(positive).lower() if isinstance(positive, bool) else str(positive)


def _check_positive(schema: Schema) -> None:
    """A text label needs a positive value, a positive value needs a label, and has to be of its kind."""
    label, positive = schema.with_role("label"), schema.positive
    if label is None:
        if positive is not None:
            raise SchemaError(f"a positive value ({positive!r}) was given without a label column")
        return
    if positive is None:
        if label.kind == "text":
            raise SchemaError(f"label column {label.name!r} holds text: say which value is positive (--positive VALUE)")
        return
    if label.kind in ("number", "integer"):
        try:
            usable = float(positive) == float(positive)
        except ValueError:
            usable = False
        if not usable:
            raise SchemaError(f"label column {label.name!r} holds numbers: the positive value {positive!r} is not one")
    if label.kind == "bool" and positive.lower() not in ("true", "false"):
        raise SchemaError(f"label column {label.name!r} is bool: the positive value is true or false, not {positive!r}")


def _column(field: pa.Field, told: Role | None, dropped: bool) -> Column:
    kind = kind_of(field.type)
    if told is not None:
        kinds, wanted = ACCEPTED[told]
        if kind is None or kind not in kinds:
            raise SchemaError(f"{told} column {field.name!r} has type {field.type}; it has to be {wanted}: cast it")
        return Column(field.name, told, kind, told == "time" and not dropped, zone_of(field.type))
    if dropped:
        return Column(field.name, "dropped", "any", False)
    if kind is None:
        raise SchemaError(
            f"column {field.name!r} has type {field.type}, which cannot be a feature; drop it (--drop {field.name}), "
            "or cast it to a number, bool, string, dictionary, timestamp or date"
        )
    return Column(field.name, FEATURE_ROLE[kind], kind, True, zone_of(field.type))


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


def _columns(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"column {shown} is" if len(names) == 1 else f"columns {shown} are"
