"""Parquet: reading and writing. Reading from a row on skips the row groups before it."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet as pq

from onlogit.streams.passes import Pass, Settings, names_wanted

GROUP_ROWS = 1 << 17
BUFFER = 1 << 18  # bytes read ahead of a column; without it a row group is read as a whole


def read(file: BinaryIO, where: str, settings: Settings) -> Pass:
    """A pass over a Parquet file, from the start of the row group that holds row `settings.skip`."""
    reader = pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
    metadata = reader.metadata
    ends = list(accumulate(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)))
    first = next((group for group, end in enumerate(ends) if end > settings.skip), len(ends))
    found = reader.schema_arrow  # made anew each time it is asked for
    names = names_wanted(found, settings.columns, where)
    schema = pa.schema([found.field(name) for name in names])
    skipped = ends[first - 1] if first else 0
    return Pass(schema, group_batches(reader, range(first, len(ends)), names, schema, settings.batch_rows), skipped)


def group_batches(
    reader: Any, groups: range, names: list[str], schema: pa.Schema, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    for group in groups:  # one at a time: a reader of several keeps what it has read of each
        for batch in reader.iter_batches(batch_rows, row_groups=[group], columns=names):
            yield batch.select(schema.names)


class FileWriter:
    """A writer of a Parquet file, which gathers batches into row groups of a useful size."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches, self._rows = [], 0

    def close(self) -> None:
        self._write_group()
        self._writer.close()
