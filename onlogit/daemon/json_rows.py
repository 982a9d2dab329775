"""JSON rows -> record batches of a settled schema, and the schema that the first rows settle.

A body is one object, an array of objects, or NDJSON. Each schema has a decoder of its own, so that the parser itself
refuses an unknown field, an absent feature and a value of another type, by name, without building more than it must.
Cost of one row of 20 numbers: 13 us as a row to be scored, 65 us as a record batch.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.refusals import Refusal
from onlogit.encoding import Encoder, Rows
from onlogit.encoding.direct import DirectRows
from onlogit.errors import SchemaError
from onlogit.records import floats
from onlogit.schema import Column, Schema
from onlogit.streams import ndjson

Scalar = bool | int | float | str | None
Plain = dict[str, Scalar | list[int | float | str | None]]  # a row before there is a schema
F64 = npt.NDArray[np.float64]
Decoded = list[Any]  # rows as the decoder of one schema makes them

TYPES: dict[str, Any] = {
    "number": float | None, "integer": float | None, "null": float | None, "bool": bool | None, "text": str | None,
    "timestamp": str | None, "date": str | None, "integers": list[int | None] | None,
    "texts": list[str | None] | None, "numbers": list[float | None] | None, "nulls": list[str | None] | None,
    "any": Any,
}  # fmt: skip
ARROW: dict[str, pa.DataType] = {
    "number": pa.float64(), "integer": pa.float64(), "null": pa.float64(), "bool": pa.bool_(), "text": pa.string(),
    "integers": pa.list_(pa.int64()), "texts": pa.list_(pa.string()), "numbers": pa.list_(pa.float64()),
    "nulls": pa.list_(pa.string()),
}  # fmt: skip
FLOAT = pa.float64()
OPTIONAL = ("label", "label_time", "dropped")


class RowReader:
    """Reads JSON rows for one purpose: "events", "score" (features alone are needed), or "outcomes" (key and label)."""

    def __init__(self, schema: Schema, purpose: str) -> None:
        wanted = [column for column in schema.columns if _wanted(column, schema, purpose)]
        floats = [column for column in wanted if _python(column) == float | None]
        self.fields = floats + [column for column in wanted if column not in floats]
        self._floats = len(floats)
        others = [column for column in schema.columns if column not in wanted] if purpose != "outcomes" else []
        required = [
            c for c in self.fields if c.role not in OPTIONAL or c.name in schema.operands or purpose == "outcomes"
        ]
        names = {f"f{k}": column.name for k, column in enumerate([*self.fields, *others])}
        specs: list[Any] = []
        for k, column in enumerate(self.fields):
            kind = _python(column)
            specs.append((f"f{k}", kind) if column in required else (f"f{k}", kind | None, None))
        specs += [(f"f{len(self.fields) + k}", Any, None) for k in range(len(others))]
        row = msgspec.defstruct(
            "Row", specs, rename=lambda name: names[name], forbid_unknown_fields=True, kw_only=True, gc=False
        )
        self._one, self._many = msgspec.json.Decoder(row), msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._arrow = pa.schema([(column.name, _arrow(column)) for column in self.fields])
        self._inferred = any(column.role == "label" and column.kind == "null" for column in self.fields)
        self._converters = [_converter(column) for column in self.fields[self._floats :]]
        self._direct: tuple[Encoder, DirectRows] | None = None  # for the encoder that asked last

    def decode(self, body: bytes, lines: bool) -> tuple[Decoded, bool]:
        """The rows of a body, and whether it was one object alone. Refusal 400 or 422, naming the field."""
        return decode(body, lines, self._one, self._many)

    def values(self, rows: Decoded) -> tuple[F64, list[list[Any]]]:
        """Numbers, f64[columns, n] with NaN for null, and the values of each other column."""
        tuples = [msgspec.structs.astuple(row) for row in rows]
        n, width = len(rows), self._floats
        tile = np.array([row[:width] for row in tuples], np.float64).reshape(n, width).T
        return np.ascontiguousarray(tile), [[row[k] for row in tuples] for k in range(width, len(self.fields))]

    def rows(self, rows: Decoded, encoder: Encoder) -> Rows:
        """Rows for scores, the very same as `encoder` makes of the batch."""
        if self._direct is None or self._direct[0] is not encoder:
            names = [column.name for column in self.fields]
            others = dict(zip(names[self._floats :], self._converters, strict=True))
            self._direct = encoder, encoder.direct(names[: self._floats], others)
        return self._direct[1].rows(*self.values(rows))

    def batch(self, rows: Decoded) -> pa.RecordBatch:
        """Rows as one record batch; a SchemaError names the column of a value that is none."""
        n = len(rows)
        tile, others = self.values(rows)
        if np.isnan(tile).any():
            arrays = [floats(column) for column in tile]
        else:
            arrays = [pa.Array.from_buffers(FLOAT, n, [None, pa.py_buffer(column)]) for column in tile]
        arrays += [convert(values) for convert, values in zip(self._converters, others, strict=True)]
        if not arrays:
            return pa.RecordBatch.from_pylist([{}] * n, schema=self._arrow)
        schema = self._arrow
        if self._inferred:  # a label of no known kind yet
            schema = pa.schema([(c.name, array.type) for c, array in zip(self.fields, arrays, strict=True)])
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def decode(body: bytes, lines: bool, one: Any, many: Any) -> tuple[Decoded, bool]:
    """Rows by decoders of one row and of a list of rows."""
    head = body.lstrip()[:1]
    try:
        if head == b"[":
            return many.decode(body), False
        if not lines:
            try:
                return [one.decode(body)], True
            except msgspec.DecodeError as error:
                if isinstance(error, msgspec.ValidationError) or b"\n" not in body.strip():
                    raise
        return one.decode_lines(body), False
    except msgspec.ValidationError as error:
        raise Refusal(422, f"the rows do not fit the schema: {error}") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON rows (an object, an array of objects, or NDJSON): {error}") from error


PLAIN_ONE, PLAIN_MANY = msgspec.json.Decoder(Plain), msgspec.json.Decoder(list[Plain])


def settle(rows: list[Plain], label: str | None, most: int) -> pa.RecordBatch:
    """The first rows of a stream as a record batch, with types as they look; a label that is not there yet is null.
    Refusal 413 for more columns than `most`."""
    names = {name for row in rows for name in row}
    if len(names) > most:
        raise Refusal(413, f"{len(names)} columns; accepted are {most}")
    text = b"\n".join(msgspec.json.encode(row) for row in rows)
    types = ndjson.settle(text, pa.schema([]), "the first events")
    table = pa.Table.from_batches(ndjson.parse(text, types, "error"))
    batch = table.combine_chunks().to_batches()[0]
    if label and label not in batch.schema.names:
        batch = batch.append_column(label, pa.nulls(batch.num_rows))
    return batch


def _wanted(column: Column, schema: Schema, purpose: str) -> bool:
    if purpose == "outcomes":
        return column.role in ("key", "label")
    return column.name in (schema.kept if purpose == "events" else schema.read)


def _python(column: Column) -> Any:
    if column.role == "label":
        return {"null": Scalar, "integer": float | None}.get(column.kind, TYPES[column.kind])
    if column.role == "key":
        return int if column.kind == "integer" else str
    return TYPES[column.kind]


def _arrow(column: Column) -> pa.DataType:
    if column.role == "key":
        return pa.int64() if column.kind == "integer" else pa.string()
    if column.kind == "timestamp":
        return pa.timestamp("us", column.zone)
    return pa.date32() if column.kind == "date" else ARROW[column.kind]


OFFSET = re.compile(r"(?:[zZ]|[+-]\d\d(?::?\d\d)?)$")


def in_utc(text: str | None) -> str | None:
    """A time without an offset is one of UTC, as it is in a column without a zone."""
    if text is None or OFFSET.search(text, 10):
        return text
    return text + ("Z" if len(text) > 10 else "T00:00:00Z")


def _converter(column: Column) -> Callable[[Sequence[Any]], pa.Array]:
    """Values of one column as an Arrow array; a SchemaError names the column."""
    inferred = column.role == "label" and column.kind == "null"
    kind = None if inferred else _arrow(column)
    as_text = column.kind in ("timestamp", "date")
    as_utc = column.kind == "timestamp" and column.zone == "UTC"

    def convert(values: Sequence[Any]) -> pa.Array:
        try:
            values = [in_utc(value) for value in values] if as_utc else values
            array = pa.array(values, pa.string() if as_text else kind)
            return array.cast(kind) if as_text else array
        except (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError) as error:
            wanted = f"{column.kind} as ISO 8601 text" if as_text else column.kind
            raise SchemaError(f"column {column.name!r}: {str(error)[:200]}; the schema says {wanted}") from error

    return convert
