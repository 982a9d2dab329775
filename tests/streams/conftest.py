"""A table of every kind of column, and the loops that all stream tests share."""

import datetime as dt
import io
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.streams import Sink, Source


def some_events(rows: int, start: int = 0) -> pa.Table:
    number = np.arange(start, start + rows)
    real = np.random.default_rng(1).normal(size=start + rows)[start:] * 10.0 ** (number % 30 - 15)
    begin = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    return pa.table(
        {
            "id": pa.array(number, pa.int64()),
            "x": pa.array([None if n % 11 == 0 else v for n, v in zip(number, real, strict=True)], pa.float64()),
            "city": pa.array([None if n % 7 == 0 else f'c{n % 5} "é",' for n in number], pa.string()),
            "at": pa.array(
                [begin + dt.timedelta(microseconds=int(n) * 1001) for n in number], pa.timestamp("us", "UTC")
            ),
            "ok": pa.array([bool(n % 3) for n in number], pa.bool_()),
        }
    )


def drain(source: Source) -> pa.Table:
    """All that is left of a source."""
    batches = []
    try:
        while (item := source.read()) is not None:
            batches.append(item[0])
    finally:
        source.close()
    return pa.Table.from_batches(batches, source.schema)


def fill(sink: Sink, table: pa.Table, rows: int = 100) -> Sink:
    for batch in table.to_batches(max_chunksize=rows):
        sink.write(batch)
    return sink


@pytest.fixture
def events() -> Callable[..., pa.Table]:
    return some_events


@pytest.fixture
def reading_all() -> Callable[[Source], pa.Table]:
    return drain


@pytest.fixture
def writing_all() -> Callable[..., Sink]:
    return fill


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Makes bytes what stdin gives."""

    def give(data: bytes) -> None:
        raw = io.BytesIO(data)
        raw.seekable = lambda: False  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(raw)))

    return give
