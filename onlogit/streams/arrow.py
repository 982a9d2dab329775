"""Arrow IPC, as a stream and as a file: reading and writing."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import ipc

from onlogit.errors import DataError
from onlogit.streams.passes import Pass, Settings, first_line

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The end marker of an IPC stream; a stream that ends at a batch without one is whole as well."""


def read_stream(file: BinaryIO, where: str, settings: Settings) -> Pass:
    """A pass over an IPC stream, from its first row."""
    reader = ipc.open_stream(file)
    return Pass(reader.schema, stream_batches(reader, where))


def stream_batches(reader: Any, where: str) -> Iterator[pa.RecordBatch]:
    batches = rows = 0
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise DataError(
                f"{where} is truncated or damaged after {batches} batches / {rows} rows: {first_line(error)}"
            ) from error
        yield batch
        batches += 1
        rows += batch.num_rows


def read_file(file: BinaryIO, where: str, settings: Settings) -> Pass:
    """A pass over an IPC file, from its first row."""
    reader = ipc.open_file(file)
    return Pass(reader.schema, file_batches(reader))


def file_batches(reader: Any) -> Iterator[pa.RecordBatch]:
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


class StreamText:
    """The bytes of an IPC stream in three parts: `head` once, `encode` of each batch, `tail` once."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.head = bytes(self._stream(None)[: -len(END)])
        self.tail = END

    def encode(self, batch: pa.RecordBatch) -> memoryview:
        """One batch with the dictionaries that it needs, so that the stream can be cut after any batch."""
        return self._stream(batch)[len(self.head) : -len(END)]

    def _stream(self, batch: pa.RecordBatch | None) -> memoryview:
        return memoryview(_stream(self.schema, batch))


def stream_of(batch: pa.RecordBatch) -> bytes:
    """A batch with its schema, as a whole IPC stream."""
    return bytes(_stream(batch.schema, batch))


def _stream(schema: pa.Schema, batch: pa.RecordBatch | None) -> pa.Buffer:
    out = pa.BufferOutputStream()
    with ipc.new_stream(out, schema) as writer:
        if batch is not None:
            writer.write_batch(batch)
    return out.getvalue()


class FileWriter:
    """A writer of an IPC file. Dictionaries are decoded: an IPC file has one for a column, a stream may change it."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema]
        self._schema = pa.schema(fields)
        self._writer = ipc.new_file(file, self._schema)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch.cast(self._schema))

    def close(self) -> None:
        self._writer.close()
