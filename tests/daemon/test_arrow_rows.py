"""Bodies of Arrow: a schema that is known by its bytes changes nothing about what is read, or refused."""

import struct
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import OnlineLogit
from onlogit.daemon import arrow_rows
from onlogit.daemon.arrow_messages import _table, messages
from onlogit.daemon.arrow_rows import ArrowReader, fitted, read_stream
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.settings import ServerSettings
from onlogit.schema import Schema

LIMITS = ServerSettings(max_rows=1000)
PURPOSES = ("events", "outcomes", "score")


def schema() -> Schema:
    model = OnlineLogit(label="y", key="k", drop=("no",))
    fields = [("x", pa.float32()), ("no", pa.int64()), ("c", pa.string()), ("k", pa.int64()), ("y", pa.bool_())]
    model.begin(pa.schema([pa.field(*each) for each in fields]))
    return model.schema


def rows(n: int = 40) -> dict[str, Any]:
    return {
        "x": pa.array(np.arange(n), pa.float32()), "no": pa.array(range(n)), "k": pa.array(range(n)),
        "c": pa.array([None if k % 5 == 0 else f"c{k % 3}" for k in range(n)]), "y": pa.array([k % 2 == 0 for k in range(n)]),
    }  # fmt: skip


def body(columns: dict[str, Any], parts: int = 1, compression: str | None = None, **of_schema: Any) -> bytes:
    batch = pa.record_batch(columns)
    if of_schema:
        told = pa.schema([pa.field(field.name, field.type, **of_schema) for field in batch.schema])
        batch = pa.RecordBatch.from_arrays(batch.columns, schema=told)
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        for k in range(parts):
            writer.write_batch(batch.slice(k * len(batch) // parts, len(batch) // parts))
    return bytes(out.getvalue())


def without(*names: str) -> dict[str, Any]:
    return {name: column for name, column in rows().items() if name not in names}


BODIES = {
    "as it is": body(rows()),
    "another order": body(dict(reversed(rows().items()))),
    "no label": body(without("y")),
    "numbers alone": body(without("c", "y", "no")),
    "a column more": body({**rows(), "z": pa.array(range(40))}),
    "never null": body(without("c"), nullable=False),
    "metadata": body(rows(), metadata={"a": "b"}),
    "compressed": body(rows(), compression="zstd"),
    "a union": body({**rows(2), "u": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2])] * 2)}),
    "two batches": body(rows(), parts=2),
    "a dictionary": body({**rows(), "c": rows()["c"].dictionary_encode()}),
    "views": body({**rows(), "c": rows()["c"].cast(pa.string_view()), "no": rows()["k"].cast(pa.string_view())}),
    "a dictionary of views": body({**rows(), "c": rows()["c"].cast(pa.dictionary(pa.uint32(), pa.string_view()))}),
}


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("name", BODIES)
def test_a_known_schema_is_read_the_same(name: str, purpose: str) -> None:
    reader, by = ArrowReader(LIMITS), schema()
    told = fitted(read_stream(BODIES[name], LIMITS), by, purpose)
    told.validate(full=True)
    assert pa.string_view() not in told.schema.types
    for _ in range(3):
        assert reader.read(BODIES[name], by, purpose).equals(told, check_metadata=True)
    assert bool(reader._ways) == (name not in ("two batches", "a dictionary", "a dictionary of views"))


def outcome(reader: ArrowReader, data: bytes, by: Schema) -> Any:
    try:
        return reader.read(data, by, "events")
    except Refusal as refusal:
        return refusal.status


def test_damage_is_refused_where_the_schema_is_known() -> None:
    """Every byte behind the schema, damaged: the same rows or the same refusal as where it is not."""
    by, whole = schema(), body(rows(6))
    known, start = ArrowReader(LIMITS), 0
    for _ in range(2):
        known.read(whole, by, "events")
    start = len(next(iter(known._ways))[1])
    told = []
    for at in range(start, len(whole)):
        for value in (0, 0x7F, whole[at] ^ 1, 0xFF):
            damaged = whole[:at] + bytes([value]) + whole[at + 1 :]
            one, other = outcome(known, damaged, by), outcome(ArrowReader(LIMITS), damaged, by)
            same = one == other if isinstance(one, int) or isinstance(other, int) else str(one) == str(other)
            assert same, (at - start, value, one, other)
            told.append(one)
    assert 400 in told
    assert sum(not isinstance(each, int) for each in told) > 100


def test_too_many_rows_are_refused_where_the_schema_is_known() -> None:
    reader, by = ArrowReader(LIMITS), schema()
    reader.read(body(rows()), by, "events")
    with pytest.raises(Refusal, match="more than 1000 rows"):
        reader.read(body(rows(1001)), by, "events")


def test_another_order_of_bytes_is_not_taken_for_this_one() -> None:
    """Arrow turns values round that say they are big-endian; the same stream in words of this machine is not that."""
    told, by = bytearray(body(without("c", "y", "no"))), schema()
    head = next(messages(bytes(told))).head
    table = _table(head, struct.unpack_from("<I", head, 0)[0], 2)
    vtable = 8 + table - struct.unpack_from("<i", head, table)[0]
    struct.pack_into("<H", told, vtable + 4, 4)  # endianness, which was left out, is what stands 4 bytes on: not 0
    reader = ArrowReader(LIMITS)
    for _ in range(3):
        assert reader.read(bytes(told), by, "events").column("k").to_pylist()[1] == 1 << 56
    assert not reader._ways


def test_only_so_many_schemas_are_known() -> None:
    reader, by = ArrowReader(LIMITS), schema()
    for k in range(arrow_rows.WAYS + 10):
        reader.read(body({**rows(3), f"z{k}": pa.array([1, 2, 3])}), by, "events")
    assert len(reader._ways) == arrow_rows.WAYS
    reader.read(body(rows()), schema(), "events")  # of another fold
    assert len(reader._ways) == 1
