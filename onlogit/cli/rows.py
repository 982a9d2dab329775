"""Records for a model: one from JSON on the command line, one picked out of a stream; and which types text has for it."""

import difflib
import json

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import DataError, SchemaError
from onlogit.model import OnlineLogit
from onlogit.schema import Column
from onlogit.streams import ndjson, open_source
from onlogit.streams.folder import is_folder

NUMBERS = ("number", "weight", "dropped")  # roles in which a number is the same with a fraction as without
TYPES = {"text": pa.string(), "texts": pa.list_(pa.string()), "date": pa.date32()}


def types_of(model: OnlineLogit, where: str | None = None, learning: bool = False) -> pa.Schema:
    """The types of columns that the model reads, for scores or for learning, where CSV or JSON would be taken for others: a
    text that looks like a date or a number, a date that looks like a time at midnight, a time whose zone is not written.
    Where `where` names many files, also a number that is whole throughout the first one."""
    wanted = model.schema.kept if learning else model.schema.read
    columns = [column for column in model.schema.columns if column.name in wanted]
    found = {column.name: _type(column) for column in columns}
    if where is not None and is_folder(where):
        found |= {column.name: pa.float64() for column in columns if column.kind == "number" and column.role in NUMBERS}
    return pa.schema([(name, kind) for name, kind in found.items() if kind is not None])


def _type(column: Column) -> pa.DataType | None:
    if column.kind == "timestamp" and column.zone != "UTC":
        return pa.timestamp("us", column.zone)
    return TYPES.get(column.kind)


def row_of_json(text: str, model: OnlineLogit) -> pa.RecordBatch:
    """The record as a batch of one row; a DataError where it is no JSON object, or names a column the model has not."""
    try:
        told = json.loads(text)
        line = json.dumps(told, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # half a pair of surrogates, thousands of brackets
        raise DataError(f"--row is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise DataError('--row is no JSON object; accepted is one such as {"amount": 12.5, "country": "FR"}')
    known = [column.name for column in model.schema.columns]
    for name in told:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or known[:8]
            raise SchemaError(f"--row: the model has no column {name!r}; near or known: {', '.join(near)}")
    schema = ndjson.settle(line, types_of(model), "--row")
    return _features(next(ndjson.parsed(iter([line]), schema, "error", "--row")), model)


def row_of_source(where: str, event: int, format: str | None, model: OnlineLogit) -> pa.RecordBatch:
    """Record number `event` of a stream, counted from 0; a DataError where it has fewer."""
    source, first = open_source(where, format=format, types=types_of(model, where)), 0
    try:
        while (item := source.read()) is not None:
            batch = item[0]
            if event < first + batch.num_rows:
                return _features(batch.slice(event - first, 1), model)
            first += batch.num_rows
    finally:
        source.close()
    raise DataError(f"{where} has {first} records; there is no record {event}, counting from 0")


def _features(batch: pa.RecordBatch, model: OnlineLogit) -> pa.RecordBatch:
    return batch.select([name for name in batch.schema.names if name in model.schema.read])
