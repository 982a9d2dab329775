"""One record for a model: from JSON on the command line, or picked out of a stream."""

import difflib
import io
import json

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import json as arrow_json

from onlogit.errors import DataError, SchemaError
from onlogit.model import OnlineLogit
from onlogit.streams import open_source
from onlogit.streams.passes import first_line


def row_of_json(text: str, model: OnlineLogit) -> pa.RecordBatch:
    """The record as a batch of one row; a DataError where it is no JSON object, or names a column the model has not."""
    try:
        told = json.loads(text)
    except ValueError as error:
        raise DataError(f"--row is no JSON: {error}") from error
    if not isinstance(told, dict):
        raise DataError('--row is no JSON object; accepted is one such as {"amount": 12.5, "country": "FR"}')
    known = [column.name for column in model.schema.columns]
    for name in told:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or known[:8]
            raise SchemaError(f"--row: the model has no column {name!r}; near or known: {', '.join(near)}")
    try:
        table = arrow_json.read_json(io.BytesIO(json.dumps(told).encode()))
    except pa.ArrowException as error:
        raise DataError(f"--row cannot be read: {first_line(error)}") from error
    return _features(table.combine_chunks().to_batches()[0], model)


def row_of_source(where: str, event: int, format: str | None, model: OnlineLogit) -> pa.RecordBatch:
    """Record number `event` of a stream, counted from 0; a DataError where it has fewer."""
    source, first = open_source(where, format=format), 0
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
    """What the model reads of a record: its features, and the columns that its terms read."""
    wanted = {column.name for column in model.schema.features} | set(model.schema.operands)
    return batch.select([name for name in batch.schema.names if name in wanted])
