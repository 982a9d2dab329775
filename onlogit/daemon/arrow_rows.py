"""Arrow IPC streams from the network: checked before anything is allocated from their claims.

The bytes of an uncompressed stream are all there, so reading it allocates next to nothing. What compressed buffers claim to
hold is added up before Arrow sees the body (arrow_messages.py). Rows and columns are counted before they are
looked at, since an array of nulls has no bytes. Then every offset and every string is checked (streams/validity.py).
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import ipc

from onlogit.daemon.arrow_messages import RECORD_BATCH, Message, claims, is_native, messages
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.settings import ServerSettings
from onlogit.encoding.buffers import has_views, rows_without_views
from onlogit.errors import DataError
from onlogit.schema import Schema, is_text
from onlogit.streams.validity import check, has_texts

LONGEST, WAYS = 1 << 16, 64  # bytes of a schema's message that is known, and how many are


class Way(NamedTuple):
    """How batches of a schema that was met before are read."""

    schema: pa.Schema  # without metadata; every field may be null
    used: list[str] | None  # names in the order of the fold's schema; None for all as they are
    absent: list[str]  # names of columns of nulls to add
    texts: bool  # whether there are any to look at
    views: bool  # whether there are string views


class ArrowReader:
    """Reads bodies as the journal keeps them. Schemas are known by the bytes of their message, as a client sends the same
    one again and again."""

    def __init__(self, limits: ServerSettings) -> None:
        self._limits = limits
        self._schema: Schema | None = None
        self._ways: dict[tuple[str, bytes], Way] = {}

    def read(self, body: bytes | memoryview, schema: Schema, purpose: str) -> pa.RecordBatch:
        """The rows of an IPC stream; purpose: "events", "outcomes" or "score". Refusal 400 where it is damaged, 413 where it
        is too large, 422 where its columns cannot be read."""
        if schema is not self._schema:
            self._schema, self._ways = schema, {}
        found = checked_messages(body, self._limits)
        if len(found) != 2 or found[1].kind != RECORD_BATCH or found[1].start > LONGEST:
            return fitted(_whole(body, self._limits), schema, purpose)
        key = purpose, bytes(memoryview(body)[: found[1].start])
        way = self._ways.get(key)
        if way is not None:
            return self._on_its_way(memoryview(body)[found[1].start :], way)
        whole = _whole(body, self._limits)
        batch = fitted(whole, schema, purpose)
        if is_native(found[0]):  # Arrow has found its schema whole
            self._learn_way(key, whole.schema, batch.schema.names)
        return batch

    def _on_its_way(self, message: memoryview, way: Way) -> pa.RecordBatch:
        with damage_refused():
            batch = ipc.read_record_batch(pa.py_buffer(message), way.schema)
            if batch.num_rows > self._limits.max_rows:
                raise too_many_rows(self._limits)
            check(batch, way.texts)
        if way.used is not None:
            batch = batch.select(way.used)
        if way.views:
            batch = rows_without_views(batch)
        for name in way.absent:
            batch = batch.append_column(name, pa.nulls(batch.num_rows))
        return batch

    def _learn_way(self, key: tuple[str, bytes], told: pa.Schema, names: list[str]) -> None:
        """names: what became of the columns of a schema as it was told."""
        if any(map(_has_dictionary, told.types)) or len(set(told.names)) < len(told.names):
            return
        used = [name for name in names if name in told.names]
        plain = pa.schema([pa.field(field.name, field.type) for field in told])
        if len(self._ways) >= WAYS:
            del self._ways[next(iter(self._ways))]
        absent = [name for name in names if name not in told.names]
        way = Way(plain, None if used == told.names else used, absent, has_texts(plain), has_views(plain))
        self._ways[key] = way


def read_stream(body: bytes | memoryview, limits: ServerSettings) -> pa.RecordBatch:
    """The rows of an IPC stream as one batch. Refusal 400 where it is damaged, 413 where it is too large."""
    checked_messages(body, limits)
    return _whole(body, limits)


def _whole(body: bytes | memoryview, limits: ServerSettings) -> pa.RecordBatch:
    with damage_refused(), ipc.open_stream(pa.BufferReader(body)) as reader:
        if len(reader.schema) > limits.max_columns:
            raise Refusal(413, f"{len(reader.schema)} columns; accepted are {limits.max_columns}")
        _ = reader.schema.names  # Arrow does not look whether they are UTF-8
        batches, rows = [], 0
        for batch in reader:
            rows += batch.num_rows
            if rows > limits.max_rows:
                raise too_many_rows(limits)
            check(batch)
            batches.append(batch)
        if len(batches) == 1:
            return batches[0]
        whole = pa.Table.from_batches(batches, reader.schema).combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=reader.schema)


@contextmanager
def damage_refused() -> Iterator[None]:
    """What Arrow finds wrong is a Refusal."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, UnicodeError, MemoryError) as error:
        raise Refusal(400, f"the body is not a whole Arrow IPC stream: {str(error)[:300]}") from error


def too_many_rows(limits: ServerSettings) -> Refusal:
    return Refusal(413, f"more than {limits.max_rows} rows; send them in several requests")


def checked_messages(body: bytes | memoryview, limits: ServerSettings) -> list[Message]:
    """The messages of a stream. Refusal 400 where they cannot be followed, 413 where compressed buffers claim too much."""
    try:
        found = list(messages(body))
        claimed = sum(claim for message in found for claim in claims(message))
    except (struct.error, IndexError, OverflowError) as error:
        raise Refusal(400, f"the body is not an Arrow IPC stream: {error}") from error
    if claimed > limits.max_body:
        raise Refusal(413, f"the body claims {claimed} bytes once decompressed; accepted are {limits.max_body}")
    return found


def fitted(batch: pa.RecordBatch, schema: Schema, purpose: str) -> pa.RecordBatch:
    """A batch as the journal keeps it: columns of use in the schema's order, dictionaries and views as values, an absent
    label as nulls. Refusal 422 where Arrow cannot."""
    try:
        return _fitted(batch, schema, purpose)
    except (pa.ArrowException, UnicodeError, ValueError, TypeError, OverflowError) as error:
        raise Refusal(422, f"the columns cannot be read: {str(error)[:300]}") from error


def _fitted(batch: pa.RecordBatch, schema: Schema, purpose: str) -> pa.RecordBatch:
    names = batch.schema.names
    order = {column.name: place for place, column in enumerate(schema.columns)}
    used = [
        name for name in sorted(names, key=lambda name: order.get(name, len(order)))
        if name not in schema.by_name or name in schema.kept
    ]  # fmt: skip
    if purpose == "score":
        used = [n for n in used if n not in schema.by_name or n in schema.read]
    elif purpose == "outcomes":
        used = [n for n in used if n in schema.by_name and schema.by_name[n].role in ("key", "label")]
    if used != names and len(set(names)) == len(names):
        batch = batch.select(used)
    batch = standing_alone(batch)
    if any(field.metadata or not field.nullable for field in batch.schema):
        plain = pa.schema([pa.field(field.name, field.type) for field in batch.schema])
        batch = pa.RecordBatch.from_arrays(batch.columns, schema=plain)
    if purpose == "events":
        for role in ("label", "label_time"):
            column = schema.with_role(role)
            if column is not None and column.name not in names:
                batch = batch.append_column(column.name, pa.nulls(batch.num_rows))
    return batch


def standing_alone(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Dictionary columns as the texts that they stand for (bools stay bools), since an entry of the journal stands alone;
    string views as strings, since Arrow takes no rows of views."""
    try:
        batch = rows_without_views(batch)
        if not any(map(_has_dictionary, batch.schema.types)):
            return batch
        arrays = [array.cast(_plain(array.type)) if _has_dictionary(array.type) else array for array in batch.columns]
    except pa.ArrowException as error:
        raise DataError(f"a column of texts cannot be read: {error}") from error
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
