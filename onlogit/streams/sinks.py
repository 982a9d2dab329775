"""Where batches go: one file written in one go, one appended to, a folder of parts, or a pipe.

- In one go (`WholeSink`): the file has its name only once it is whole; after an error or `abort` there is no trace.
- Resumable (`AppendSink`, `PartsSink`): `commit` makes what was written durable and says where it ends; `seek` cuts
  back to there after a crash, so that the output of a run killed and resumed is that of one that never was. A format
  that cannot be cut (Parquet, IPC file) is written as a folder of parts, one finished by each commit.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import ConfigError, OutputError, SchemaError
from onlogit.storage.atomic import AtomicFile, Bytes, sync_folder, write_all, writing
from onlogit.streams import arrow, csv, ndjson, parquet
from onlogit.streams.channels import Channel, OutFile
from onlogit.streams.passes import first_line
from onlogit.streams.protocols import Position


class Text(Protocol):
    """A format that is bytes after bytes: `head` once, `encode` of each batch, `tail` once."""

    head: bytes
    tail: bytes

    def encode(self, batch: pa.RecordBatch) -> Bytes: ...


TEXTS: dict[str, Callable[[pa.Schema], Text]] = {
    "arrow": arrow.StreamText,
    "csv": csv.CsvText,
    "ndjson": ndjson.NdjsonText,
}
WRITERS: dict[str, Callable[[Any, pa.Schema], Any]] = {
    "arrow-file": arrow.FileWriter,
    "parquet": parquet.FileWriter,
}
PART_ENDINGS = {"arrow-file": ".feather", "parquet": ".parquet"}


class TextWriter:
    """A `Text` format as a writer."""

    def __init__(self, file: OutFile, text: Text) -> None:
        self._file, self._text = file, text
        file.write(text.head)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._file.write(self._text.encode(batch))

    def close(self) -> None:
        self._file.write(self._text.tail)


def check_schema(batch: pa.RecordBatch, schema: pa.Schema, name: str) -> None:
    if not batch.schema.equals(schema):
        found, opened = (", ".join(f"{f.name} {f.type}" for f in each) for each in (batch.schema, schema))
        raise SchemaError(f"{name} was opened for the columns {opened}; the batch has {found}")


@contextmanager
def encoding(name: str) -> Iterator[None]:
    """Turns a complaint of Arrow about what is to be written into an OutputError."""
    try:
        yield
    except pa.ArrowException as error:
        raise OutputError(f"cannot write {name}: {first_line(error)}") from error


class WholeSink:
    """Any format, written from start to end. Nothing can be cut back: `commit` only counts rows."""

    def __init__(self, channel: Channel, format: str, schema: pa.Schema) -> None:
        self._channel, self._schema, self._rows = channel, schema, 0
        self._file = OutFile(channel)
        try:
            with encoding(channel.name):
                if format in TEXTS:
                    self._writer: Any = TextWriter(self._file, TEXTS[format](schema))
                else:
                    self._writer = WRITERS[format](self._file, schema)
        except BaseException:
            self.abort()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        check_schema(batch, self._schema, self._channel.name)
        try:
            with encoding(self._channel.name):
                self._writer.write_batch(batch)
        except BaseException:
            self.abort()
            raise
        self._rows += batch.num_rows

    def commit(self) -> Position:
        return {"row": self._rows}

    def seek(self, position: Position) -> None:
        if position.get("row", 0) != self._rows:
            raise ConfigError(f"{self._channel.name} is written in one go and cannot be continued from a checkpoint")

    def close(self) -> None:
        if self._file.closed:
            return
        try:
            with encoding(self._channel.name):
                self._writer.close()
            self._channel.finish()
        except BaseException:
            self.abort()
            raise
        self._file.close()

    def abort(self) -> None:
        if not self._file.closed:
            self._file.close()
            self._channel.abort()


class AppendSink:
    """A text format, appended in place. A position is the byte and the row where the output ended.

    Nothing of an older file is touched before `seek`, `write` or `commit`; without a `seek` it is begun anew.
    """

    def __init__(self, where: str, format: str, schema: pa.Schema) -> None:
        self.where, self._schema, self._text = where, schema, TEXTS[format](schema)
        self._started = False
        self._rows = 0
        if os.path.exists(where) and not os.path.isfile(where):
            raise ConfigError(f"{where} is not a regular file: output that can be continued needs one")
        with writing(where):
            self._descriptor: int | None = os.open(where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            sync_folder(Path(where).absolute().parent)

    def _begun(self) -> int:
        """The descriptor, of a file that is begun."""
        if self._descriptor is None:
            raise OutputError(f"{self.where} is closed")
        if not self._started:
            self.seek({})
        return self._descriptor

    def write(self, batch: pa.RecordBatch) -> None:
        check_schema(batch, self._schema, self.where)
        with writing(self.where), encoding(self.where):
            write_all(self._begun(), self._text.encode(batch))
        self._rows += batch.num_rows

    def commit(self) -> Position:
        descriptor = self._begun()
        with writing(self.where):
            os.fsync(descriptor)
            return {"byte": os.lseek(descriptor, 0, os.SEEK_CUR), "row": self._rows}

    def seek(self, position: Position) -> None:
        byte, head = int(position.get("byte", 0)), self._text.head
        if self._descriptor is None:
            raise OutputError(f"{self.where} is closed")
        with writing(self.where):
            size = os.fstat(self._descriptor).st_size
            if byte > size:
                raise OutputError(f"{self.where} has {size} bytes, but {byte} were written before: it is another file")
            if byte and os.pread(self._descriptor, len(head), 0) != head:
                raise OutputError(f"{self.where} has other columns than it would be continued with")
            os.ftruncate(self._descriptor, byte)
            os.lseek(self._descriptor, byte, os.SEEK_SET)
            if not byte:
                write_all(self._descriptor, head)
        self._rows = int(position.get("row", 0))
        self._started = True

    def close(self) -> None:
        if self._descriptor is None:
            return
        try:
            with writing(self.where):
                if self._started or os.fstat(self._descriptor).st_size == 0:
                    write_all(self._begun(), self._text.tail)
                    os.fsync(self._descriptor)
        finally:
            self.abort()

    def abort(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class PartsSink:
    """A folder of files `part-000000001.parquet`, ..., one for each commit that had rows. A position is the last one.

    As for an AppendSink, older parts are left alone until `seek`, `write` or `commit`.
    """

    def __init__(self, where: str, format: str, schema: pa.Schema) -> None:
        self.where, self._format, self._schema = Path(where), format, schema
        self._part = self._rows = 0
        self._started = False
        self._sink: WholeSink | None = None
        with writing(where):
            if self.where.exists() and not self.where.is_dir():
                raise FileExistsError(17, "output that can be continued is a folder of parts, and this is a file")
            self.where.mkdir(exist_ok=True)
            sync_folder(self.where.absolute().parent)

    def _path(self, part: int) -> Path:
        return self.where / f"part-{part:09d}{PART_ENDINGS[self._format]}"

    def write(self, batch: pa.RecordBatch) -> None:
        check_schema(batch, self._schema, str(self.where))
        if not self._started:
            self.seek({})
        if not batch.num_rows:
            return
        if self._sink is None:
            self._sink = WholeSink(AtomicFile(self._path(self._part + 1)), self._format, self._schema)
        self._sink.write(batch)
        self._rows += batch.num_rows

    def commit(self) -> Position:
        if not self._started:
            self.seek({})
        if self._sink is not None:
            self._sink.close()
            self._sink = None
            self._part += 1
        return {"part": self._part, "row": self._rows}

    def seek(self, position: Position) -> None:
        self.abort()
        self._part, self._rows = int(position.get("part", 0)), int(position.get("row", 0))
        pattern = re.compile(r"part-(\d+)\.(?:parquet|feather)|\.part-\d+\..*\.tmp")
        with writing(str(self.where)):
            for name in os.listdir(self.where):
                found = pattern.fullmatch(name)
                if found and (found[1] is None or int(found[1]) > self._part):
                    (self.where / name).unlink()
            sync_folder(self.where)
        self._started = True

    def close(self) -> None:
        if self._started:
            self.commit()

    def abort(self) -> None:
        if self._sink is not None:
            self._sink.abort()
            self._sink = None
