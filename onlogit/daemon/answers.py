"""What was stated of events, as JSON, NDJSON or Arrow: answers come in the format of their question."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.entries import Stated
from onlogit.daemon.http import ARROW, JSON, NDJSON, NO_STORE, Answer
from onlogit.records import floats
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
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return Answer(out.getvalue().to_pybytes(), ARROW, 200, (NO_STORE,))


def answer(stated: Stated, form: str, remembered: bool, seq: int = 0) -> Answer:
    """form: "one" (an object), "rows" (an object with rows), "lines" (NDJSON) or "arrow"."""
    if form == "arrow":
        return as_arrow(table_of(stated, remembered))
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
