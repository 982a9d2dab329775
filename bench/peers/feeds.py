"""Makes feeds: simulated and real streams, cut, labelled 0/1, with the place of every label, as files in a folder.

`NAMES` lists them. "elec2@1000" is elec2 with each label learned after 1,000 further events; "flights@landed" has labels
at their real time, when the aircraft has landed.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.peers.protocol import I64, LABEL, Feed, Skipped
from bench.streams import ABSENT, STREAMS
from bench.workloads import Workload, categorical, dense

BATCH_ROWS = 65_536
SIMULATED: dict[str, tuple[Callable[[int], Workload], int, int]] = {
    "dense": (dense, 1_000_000, 18),
    "categorical": (categorical, 1_000_000, 22),
}
DELAYED = ("elec2@1000", "noaa_weather@1000", "weather_aus@1000", "flights@landed")
NAMES = (*SIMULATED, *STREAMS, *DELAYED)
LANDED = {"flights": ("sched_dep", "landed_at")}  # time and label time of a stream


def make(name: str, folder: Path, rows: int | None) -> Feed:
    """Write the feed called `name`, its first `rows` events if so told. Skipped where a real stream is absent."""
    stem, _, delay = name.partition("@")
    table, y, slot_bits = _simulated(stem, rows) if stem in SIMULATED else _real(stem, rows)
    n = len(y)
    features, place, by_time = table, np.arange(1, n + 1), False
    if delay == "landed":
        time, label_time = LANDED[stem]
        place, by_time = _place_by_time(table[time], table[label_time]), True
        features = table.drop([time, label_time])
        table = features.append_column("time", table[time]).append_column("label_time", table[label_time])
    elif stem in LANDED:
        features = table = table.drop(list(LANDED[stem]))
    if delay.isdigit():
        place = place + int(delay)
    is_text = [pa.types.is_string(f.type) or pa.types.is_large_string(f.type) for f in features.schema]
    feed = Feed(
        folder, name, n,
        numbers=[c for c, text in zip(features.column_names, is_text, strict=True) if not text],
        categories=[c for c, text in zip(features.column_names, is_text, strict=True) if text],
        slot_bits=slot_bits, delay=_words(delay), by_time=by_time,
    )  # fmt: skip
    np.save(folder / "place.npy", place)
    np.save(folder / "y.npy", y)
    table = table.append_column(LABEL, pa.array(y))
    with pa.OSFile(str(folder / "stream.arrows"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=BATCH_ROWS)
    feed.write()
    return feed


def _words(delay: str) -> str:
    return f"{int(delay):,} events" if delay.isdigit() else {"": "0", "landed": "until landed"}[delay]


def _simulated(name: str, rows: int | None) -> tuple[pa.Table, np.ndarray, int]:
    make_it, full, slot_bits = SIMULATED[name]
    workload = make_it(min(rows or full, full))
    return workload.table.drop([workload.label]), workload.table[workload.label].to_numpy(), slot_bits


def _real(name: str, rows: int | None) -> tuple[pa.Table, np.ndarray, int]:
    stream = STREAMS[name]
    if not stream.path.exists():
        raise Skipped(ABSENT)
    table = pq.read_table(stream.path).slice(0, rows)
    label = table[stream.label]
    y = pc.equal(label, stream.positive) if stream.positive else pc.cast(label, pa.int8())
    kept = set(LANDED.get(name, ()))
    table = table.drop([stream.label, *(c for c in stream.drop if c not in kept)])
    for at, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):  # NaN and null are both "missing" to every competitor
            column = table[field.name]
            table = table.set_column(at, field.name, pc.if_else(pc.is_nan(column), None, column))
    return table.replace_schema_metadata(None), np.asarray(pc.cast(y, pa.int8())), 18


def _place_by_time(time: pa.ChunkedArray, label_time: pa.ChunkedArray) -> I64:
    """A label is learned before the first later event whose time has reached its label time."""
    clock = np.maximum.accumulate(time.cast(pa.int64()).to_numpy())
    place = np.searchsorted(clock, label_time.cast(pa.int64()).to_numpy(), side="left")
    return np.asarray(np.maximum(place, np.arange(1, len(clock) + 1)))
