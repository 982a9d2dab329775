"""Answers to requests for rows: what was stated of events, or became of outcomes, in the format of the question."""

import functools
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.entries import EVENTS, FATES, Stated, Taken
from onlogit.daemon.http import ARROW, JSON, NDJSON, NO_STORE, Answer, as_json
from onlogit.daemon.work import SCORE, Work
from onlogit.records import floats
from onlogit.streams.arrow import stream_of
from onlogit.streams.ndjson import NdjsonText

ENCODER = msgspec.json.Encoder()
MANY = 256  # rows from which Arrow writes the text


def numbered(value: float) -> float | None:
    """What is not finite has no JSON."""
    return value if value == value else None


def rows_of(stated: Stated, remembered: bool) -> list[dict[str, Any]]:
    """One dict a row."""
    p, z, sd = stated.p.tolist(), stated.z.tolist(), stated.z_sd.tolist()
    if not remembered:
        return [{"p": a, "z": b, "z_sd": numbered(c)} for a, b, c in zip(p, z, sd, strict=True)]
    rows: list[dict[str, Any]] = [
        {"event": e, "p": a, "z": b, "z_sd": numbered(c)}
        for e, a, b, c in zip(stated.event.tolist(), p, z, sd, strict=True)
    ]
    for at in np.flatnonzero(stated.again):
        rows[at]["duplicate"] = True
    return rows


def table_of(stated: Stated, remembered: bool) -> pa.RecordBatch:
    """p, z, z_sd as columns; of remembered events their number before, and whether their key was known behind."""
    columns: dict[str, Any] = {"p": floats(stated.p), "z": floats(stated.z), "z_sd": floats(stated.z_sd)}
    if remembered:
        columns = {"event": integers(stated.event), **columns, "duplicate": pa.array(stated.again, pa.bool_())}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def integers(values: npt.NDArray[np.int64]) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def as_arrow(batch: pa.RecordBatch) -> Answer:
    """A batch as an IPC stream."""
    return Answer(stream_of(batch), ARROW, 200, (NO_STORE,))


def stated_as_arrow(stated: Stated, remembered: bool) -> Answer:
    """`as_arrow(table_of(...))`, byte for byte, but written here: what such a stream begins with depends on the number of
    its rows alone, and Arrow's own writer takes as long as all the rest of an answer."""
    rows, unknown = len(stated.p), int(np.count_nonzero(np.isnan(stated.z_sd)))
    if 0 < unknown < rows or not rows or np.isnan(stated.p).any():
        return as_arrow(table_of(stated, remembered))
    valid = [_bits(np.zeros(rows, np.bool_))] if unknown else []
    columns: list[npt.NDArray[Any]] = [stated.p, stated.z, *valid, stated.z_sd]
    if remembered:
        columns = [stated.event, *columns, _bits(stated.again)]
    values = [np.ascontiguousarray(column).data for column in columns]
    data = b"".join([_head(rows, remembered, bool(unknown)), *values, END])
    return Answer(data, ARROW, 200, (NO_STORE,))


END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream


@functools.lru_cache(256)
def _head(rows: int, remembered: bool, unknown: bool) -> bytes:
    """What a stream of so many rows has before their values."""
    zeros, none = np.zeros(rows), np.zeros(rows, np.bool_)
    stated = Stated(zeros.astype(np.int64), zeros, zeros, np.full(rows, np.nan) if unknown else zeros, none)
    whole = as_arrow(table_of(stated, remembered)).body
    behind = (4 if remembered else 3) * zeros.nbytes + (unknown + remembered) * _bits(none).nbytes
    return bytes(whole[: -behind - len(END)])


def _bits(values: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Truths as Arrow has them: a bit each, in whole words of 8 bytes."""
    bits = np.zeros(-(-len(values) // 64) * 8, np.uint8)
    bits[: -(-len(values) // 8)] = np.packbits(values, bitorder="little")
    return bits


def answer(stated: Stated, form: str, remembered: bool, seq: int = 0) -> Answer:
    """form: "one" (an object), "rows" (an object with rows), "lines" (NDJSON) or "arrow"."""
    if form == "arrow":
        return stated_as_arrow(stated, remembered)
    head: dict[str, Any] = {"seq": seq} if remembered else {}
    if form == "one":
        return Answer(ENCODER.encode(head | rows_of(stated, remembered)[0]), JSON, 200, (NO_STORE,))
    if len(stated.p) >= MANY:
        table = table_of(stated, remembered)
        text = NdjsonText(table.schema).encode(table)
        if form == "lines":
            return Answer(text, NDJSON, 200, (NO_STORE,))
        rows = b'"rows":[' + text.rstrip().replace(b"\n", b",") + b"]}"
        return Answer((b'{"seq":%d,' % seq if remembered else b"{") + rows, JSON, 200, (NO_STORE,))
    rows_now = rows_of(stated, remembered)
    if form == "lines":
        return Answer(ENCODER.encode_lines(rows_now), NDJSON, 200, (NO_STORE,))
    return Answer(ENCODER.encode(head | {"rows": rows_now}), JSON, 200, (NO_STORE,))


def told(work: Work, form: str, result: Any) -> Answer:
    """The answer to a request for rows."""
    if work.kind == SCORE:
        return answer(result, form, False)
    seq, stated = result
    if work.kind == EVENTS:
        return answer(stated, form, True, seq)
    assert isinstance(stated, Taken)
    counts = np.bincount(stated.fate, minlength=len(FATES)).tolist()
    counted = {"seq": seq, "outcomes": work.rows, **dict(zip(FATES, counts, strict=True))}
    return as_arrow(pa.RecordBatch.from_pylist([counted])) if form == "arrow" else as_json(counted)
