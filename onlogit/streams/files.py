"""A source that reads one file, or stdin, in whichever format."""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import ConfigError, DataError
from onlogit.streams import arrow, csv, ndjson, parquet
from onlogit.streams.formats import LONGEST_MAGIC, format_of_content
from onlogit.streams.passes import Pass, Settings, names_wanted, reading, settled
from onlogit.streams.protocols import Position
from onlogit.streams.validity import check

READERS: dict[str, Callable[[BinaryIO, str, Settings], Pass]] = {
    "arrow": arrow.read_stream,
    "arrow-file": arrow.read_file,
    "parquet": parquet.read,
    "csv": csv.read,
    "ndjson": ndjson.read,
}
MOST_CELLS = 1 << 22  # of a batch: rows times columns
NEEDS_SEEKING = ("arrow-file", "parquet")
READ_BY_ARROW = ("arrow", "arrow-file", "parquet")  # without Python's file in between, so that other threads may run


class Rejoined(io.RawIOBase):
    """A pipe with the bytes put back that were read to learn its format."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(memoryview(buffer))
        data = self._head[:size] or self._rest.read1(size)
        self._head = self._head[size:]
        buffer[: len(data)] = data
        return len(data)


class FileSource:
    """The rows of one file, in order. Positions hold the file's name and the rows read of it.

    `where` is a path or `-` for stdin, which can be read once and not sought in; a pipe of another name likewise.
    `schema` is that of the batches given; `full_schema` has all columns of the file. Memory: one block or row group.
    """

    def __init__(self, where: str, format: str | None, settings: Settings) -> None:
        self.where = "stdin" if where == "-" else where
        self._path = None if where == "-" else Path(where)
        self._name = where if self._path is None else self._path.name
        self._given_format, self._settings = format, settings
        self._start(0)

    def _start(self, skip: int) -> None:
        with reading(self.where, "readable"):
            self._file: Any = sys.stdin.buffer if self._path is None else open(self._path, "rb")  # noqa: SIM115
        try:
            self._open_pass(skip)
        except BaseException:
            self.close()
            raise

    def _open_pass(self, skip: int) -> None:
        self._pipe = self._path is None or not self._file.seekable()
        with reading(self.where, "readable"):
            head = self._file.read(LONGEST_MAGIC)
        self.format = self._given_format or format_of_content(head, self.where)
        with reading(self.where, self.format):
            file: Any = self._file
            if not self._pipe and self.format in READ_BY_ARROW:
                self._file.close()
                file = self._file = pa.OSFile(str(self._path))
            elif not self._pipe:
                file.seek(0)
            elif self.format in NEEDS_SEEKING:
                file = io.BytesIO(head + file.read())
            else:
                file = io.BufferedReader(Rejoined(head, file), 1 << 16)
            settings = replace(self._settings, skip=skip, live=self._pipe)
            made = READERS[self.format](file, self.where, settings)
            self.full_schema = settled(made.schema)
            names = names_wanted(made.schema, settings.columns, self.where)
            self.schema = pa.schema([self.full_schema.field(name) for name in names])
        self._rows = skip
        self._batches: Iterator[pa.RecordBatch] = cut(
            after(valid(made.batches), skip - made.skipped, self.where), rows_of(settings.batch_rows, len(names))
        )

    def read(self) -> tuple[pa.RecordBatch, Position] | None:
        with reading(self.where, self.format):
            batch = next(self._batches, None)
            if batch is None:
                return None
            if not batch.schema.equals(self.schema, check_metadata=True):
                batch = batch.select(self.schema.names).cast(self.schema)
        self._rows += batch.num_rows
        return batch, {"file": self._name, "row": self._rows}

    def seek(self, position: Position) -> None:
        if position.get("file", self._name) != self._name:
            raise ConfigError(f"the position is one in {position['file']!r}, but the source is {self.where}")
        row = int(position.get("row", 0))
        if row == self._rows:
            return
        if self._pipe:
            raise ConfigError(f"{self.where} is a pipe and cannot be read again from row {row}: name a file instead")
        self.close()
        self._settings = replace(self._settings, schema=self.full_schema)
        self._start(row)

    def close(self) -> None:
        self._batches = iter(())
        self._rows = -1  # nowhere: a seek opens the file again
        if self._path is not None:
            self._file.close()


def valid(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, each validated in full (offsets, UTF-8): damaged ones could otherwise crash the process later."""
    for batch in batches:
        check(batch)
        yield batch


def after(batches: Iterator[pa.RecordBatch], rows: int, where: str) -> Iterator[pa.RecordBatch]:
    """The batches without their first `rows` rows. Errors: DataError where there are not so many."""
    left = rows
    for batch in batches:
        if left < batch.num_rows:
            yield batch.slice(left)
        left = max(left - batch.num_rows, 0)
    if left:
        raise DataError(f"{where} has {left} rows fewer than were read of it before: is it the same file?")


def rows_of(most: int, columns: int) -> int:
    """How many rows a batch of so many columns has: at most `most`, and so many that memory stays bounded."""
    return min(most, max(MOST_CELLS // max(columns, 1), 1))


def cut(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most `rows`, none of them empty."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)
