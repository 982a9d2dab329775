"""A source of what is in memory already: anything that speaks the Arrow PyCapsule interface.

A pyarrow table, batch or reader, a polars or pandas data frame, a DuckDB relation; none of these libraries is imported.
"""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import ConfigError
from onlogit.streams.files import after, cut, rows_of
from onlogit.streams.passes import names_wanted, reading, settled
from onlogit.streams.protocols import Position

NAME = "the data in memory"


def speaks_arrow(data: object) -> bool:
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


class MemorySource:
    """The rows of `data`, in order; a position is the number of rows read. A reader can be read once only."""

    def __init__(self, data: Any, batch_rows: int, columns: tuple[str, ...] | None) -> None:
        self._data, self._batch_rows, self._columns = data, batch_rows, columns
        self._start(0)

    def _start(self, skip: int) -> None:
        with reading(NAME, "Arrow data"):
            if hasattr(self._data, "__arrow_c_stream__"):
                reader = pa.RecordBatchReader.from_stream(self._data)
            else:
                batch = pa.record_batch(self._data)
                reader = pa.RecordBatchReader.from_batches(batch.schema, [batch])
        names = names_wanted(reader.schema, self._columns, NAME)
        if self._columns is None:  # pandas sends an index that has no name along under one of its own
            names = [name for name in names if not re.fullmatch(r"__index_level_\d+__", name)]
        self.schema = settled(pa.schema([reader.schema.field(name) for name in names]))
        self._rows = skip
        rows = rows_of(self._batch_rows, len(names))
        self._batches: Iterator[pa.RecordBatch] = cut(after(reader, skip, NAME), rows)

    def read(self) -> tuple[pa.RecordBatch, Position] | None:
        with reading(NAME, "Arrow data"):
            batch = next(self._batches, None)
            if batch is None:
                return None
            batch = batch.select(self.schema.names).cast(self.schema)
        self._rows += batch.num_rows
        return batch, {"row": self._rows}

    def seek(self, position: Position) -> None:
        row = int(position.get("row", 0))
        if row == self._rows:
            return
        if isinstance(self._data, pa.RecordBatchReader) and self._rows:
            raise ConfigError("a reader can be read once only: pass a table to seek in it")
        self._start(row)

    def close(self) -> None:
        self._batches = iter(())
