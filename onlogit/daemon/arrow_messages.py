"""The messages of an Arrow IPC stream, and how much compressed buffers claim to hold, before Arrow allocates any of it.

A compressed buffer begins with the length that it claims to have. Where buffers lie stands in the stream's own metadata: the
Message and RecordBatch tables of Arrow's format (Message.fbs), which are read here with bounds.
"""

import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

CONTINUATION = 0xFFFFFFFF
DICTIONARY, RECORD_BATCH = 2, 3  # MessageHeader in Message.fbs


class Message(NamedTuple):
    """One message of a stream: what its flatbuffer says, and the buffers behind."""

    kind: int
    start: int  # where in the stream it begins
    head: memoryview
    buffers: memoryview


def messages(body: bytes | memoryview) -> Iterator[Message]:
    """The messages of a stream, up to its end."""
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
        head, start = view[at : at + size], at + size
        root = struct.unpack_from("<I", head, 0)[0]
        kind, length = _scalar(head, root, 1, "<B"), _scalar(head, root, 3, "<q")
        if length < 0 or start + length > len(view):
            raise struct.error("a message's buffers are longer than the body")
        yield Message(kind, at - 8, head, view[start : start + length])
        at = start + length
    if at < len(view):
        raise struct.error("a message begins that is not whole")


def is_native(schema: Message) -> bool:
    """Whether a schema's message says that values have this machine's order of bytes."""
    head = schema.head
    big = _scalar(head, _table(head, struct.unpack_from("<I", head, 0)[0], 2), 0, "<h")
    return bool(big) == (sys.byteorder == "big")


def claims(message: Message) -> Iterator[int]:
    """What each compressed buffer claims to hold, in bytes."""
    if message.kind not in (DICTIONARY, RECORD_BATCH):
        return
    head = message.head
    batch = _table(head, struct.unpack_from("<I", head, 0)[0], 2)
    batch = _table(head, batch, 1) if message.kind == DICTIONARY and batch else batch
    if batch and _field(head, batch, 3):
        yield from _buffers(head, batch, message.buffers)


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
