"""Arrow IPC streams from the network: checked before anything is allocated from their claims.

The bytes of an uncompressed stream are all there, so reading it allocates next to nothing. A compressed buffer begins
with the length that it claims to have; these are added up from the stream's own metadata (the Message and RecordBatch
tables of Arrow's format, read with bounds) before Arrow sees the body. Rows and columns are counted before they are
looked at, since an array of nulls has no bytes. Then every offset and every string is checked (streams/validity.py).
"""

import struct
from collections.abc import Iterator

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import ipc

from onlogit.daemon.refusals import Refusal
from onlogit.daemon.settings import ServerSettings
from onlogit.errors import DataError
from onlogit.schema import Schema, is_text
from onlogit.streams.validity import check

CONTINUATION = 0xFFFFFFFF
DICTIONARY, RECORD_BATCH = 2, 3  # MessageHeader in Arrow's Message.fbs


def read_stream(body: bytes | memoryview, limits: ServerSettings) -> pa.RecordBatch:
    """The rows of an IPC stream as one batch. Refusal 400 where it is damaged, 413 where it is too large."""
    try:
        claimed = sum(claims(body))
    except (struct.error, IndexError, OverflowError) as error:
        raise Refusal(400, f"the body is not an Arrow IPC stream: {error}") from error
    if claimed > limits.max_body:
        raise Refusal(413, f"the body claims {claimed} bytes once decompressed; accepted are {limits.max_body}")
    try:
        with ipc.open_stream(pa.BufferReader(body)) as reader:
            if len(reader.schema) > limits.max_columns:
                raise Refusal(413, f"{len(reader.schema)} columns; accepted are {limits.max_columns}")
            _ = reader.schema.names  # Arrow does not look whether they are UTF-8
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > limits.max_rows:
                    raise Refusal(413, f"more than {limits.max_rows} rows; send them in several requests")
                check(batch)
                batches.append(batch)
            if len(batches) == 1:
                return batches[0]
            whole = pa.Table.from_batches(batches, reader.schema).combine_chunks().to_batches()
            return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=reader.schema)
    except (pa.ArrowException, OSError, ValueError, TypeError, UnicodeError, MemoryError) as error:
        raise Refusal(400, f"the body is not a whole Arrow IPC stream: {str(error)[:300]}") from error


def claims(body: bytes | memoryview) -> Iterator[int]:
    """What each compressed buffer claims to hold, in bytes."""
    view, at = memoryview(body), 0
    while at + 8 <= len(view):
        first, size = struct.unpack_from("<Ii", view, at)
        at += 8
        if first != CONTINUATION:
            raise struct.error("no message begins where one should")
        if size == 0:
            return
        if size < 0 or at + size > len(view):
            raise struct.error("a message is longer than the body")
        message, start = view[at : at + size], at + size
        root = struct.unpack_from("<I", message, 0)[0]
        kind, length = _scalar(message, root, 1, "<B"), _scalar(message, root, 3, "<q")
        if length < 0 or start + length > len(view):
            raise struct.error("a message's buffers are longer than the body")
        if kind in (DICTIONARY, RECORD_BATCH):
            batch = _table(message, root, 2)
            batch = _table(message, batch, 1) if kind == DICTIONARY and batch else batch
            if batch and _field(message, batch, 3):
                yield from _buffers(message, batch, view[start : start + length])
        at = start + length


def _buffers(message: memoryview, batch: int, data: memoryview) -> Iterator[int]:
    at = _field(message, batch, 2)
    if not at:
        return
    at += struct.unpack_from("<I", message, at)[0]
    count = struct.unpack_from("<I", message, at)[0]
    for k in range(count):
        offset, length = struct.unpack_from("<qq", message, at + 4 + 16 * k)
        if length >= 8:
            if offset < 0 or offset + length > len(data):
                raise struct.error("a buffer lies outside its message")
            claimed = struct.unpack_from("<q", data, offset)[0]
            yield length - 8 if claimed < 0 else claimed  # -1: not compressed after all


def _field(message: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffers table is; 0 where it is absent."""
    vtable = table - struct.unpack_from("<i", message, table)[0]
    if vtable < 0:
        raise struct.error("a table lies outside its message")
    size = struct.unpack_from("<H", message, vtable)[0]
    if 4 + 2 * number + 2 > size:
        return 0
    offset = struct.unpack_from("<H", message, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0


def _scalar(message: memoryview, table: int, number: int, form: str) -> int:
    at = _field(message, table, number)
    return int(struct.unpack_from(form, message, at)[0]) if at else 0


def _table(message: memoryview, table: int, number: int) -> int:
    at = _field(message, table, number)
    return int(at + struct.unpack_from("<I", message, at)[0]) if at else 0


def fitted(batch: pa.RecordBatch, schema: Schema, purpose: str) -> pa.RecordBatch:
    """A batch as the journal keeps it: columns of use in the schema's order, dictionaries as values, an absent label as
    nulls. Refusal 422 where Arrow cannot."""
    try:
        return _fitted(batch, schema, purpose)
    except (pa.ArrowException, UnicodeError, ValueError, TypeError, OverflowError) as error:
        raise Refusal(422, f"the columns cannot be read: {str(error)[:300]}") from error


def _fitted(batch: pa.RecordBatch, schema: Schema, purpose: str) -> pa.RecordBatch:
    names = batch.schema.names
    order = {column.name: place for place, column in enumerate(schema.columns)}
    used = [
        name for name in sorted(names, key=lambda name: order.get(name, len(order)))
        if (column := schema.by_name.get(name)) is None or column.role != "dropped" or name in schema.operands
    ]  # fmt: skip
    if purpose == "score":
        by = schema.by_name
        used = [n for n in used if n not in by or by[n].feature or n in schema.operands]
    elif purpose == "outcomes":
        used = [n for n in used if n in schema.by_name and schema.by_name[n].role in ("key", "label")]
    if used != names and len(set(names)) == len(names):
        batch = batch.select(used)
    batch = without_dictionaries(batch)
    if any(field.metadata or not field.nullable for field in batch.schema):
        plain = pa.schema([pa.field(field.name, field.type) for field in batch.schema])
        batch = pa.RecordBatch.from_arrays(batch.columns, schema=plain)
    if purpose == "events":
        for role in ("label", "label_time"):
            column = schema.with_role(role)
            if column is not None and column.name not in names:
                batch = batch.append_column(column.name, pa.nulls(batch.num_rows))
    return batch


def without_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Dictionary columns as the texts that they stand for (bools stay bools): an entry of the journal stands alone."""
    if not any(map(_has_dictionary, batch.schema.types)):
        return batch
    try:
        arrays = [array.cast(_plain(array.type)) if _has_dictionary(array.type) else array for array in batch.columns]
    except pa.ArrowException as error:
        raise DataError(f"a dictionary column cannot be read as text: {error}") from error
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _has_dictionary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind)) or any(
        _has_dictionary(kind.field(k).type) for k in range(kind.num_fields)
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries, as far down as a schema takes lists."""
    if pa.types.is_dictionary(kind):
        inner = kind.value_type
        same = is_text(inner) or pa.types.is_boolean(inner) or pa.types.is_null(inner)
        return inner if same else pa.string()
    return pa.list_(_plain(kind.value_type)) if kind.num_fields == 1 and hasattr(kind, "value_type") else kind
