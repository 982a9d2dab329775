"""The flights that are shipped: where they are, what their columns mean, and New York's clock and months of 2013."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

I64 = npt.NDArray[np.int64]

PATH = Path(__file__).parent.parent / "data" / "flights.parquet"
ROLES: dict[str, Any] = {"label": "late", "time": "sched_dep", "label_time": "landed_at", "drop": ["sched_dep"]}
"""Scored at `sched_dep`, learned at `landed_at`. The hour and the weekday are there as columns, in New York's time."""

COUNT = 327_346
SUMMER = datetime(2013, 3, 10, 7, tzinfo=UTC), datetime(2013, 11, 3, 6, tzinfo=UTC)
NAMES = ["January", "February", "March", "April", "May", "June", "July",
         "August", "September", "October", "November", "December"]  # fmt: skip


def new_york(time: int) -> datetime:
    """Microseconds since 1970 UTC as the clock in New York showed it; right from 4 November 2012 to 8 March 2014."""
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return (utc - timedelta(hours=4 if SUMMER[0] <= utc < SUMMER[1] else 5)).replace(tzinfo=None)


def clock(time: int) -> str:
    """Like "8 March, 07:00"."""
    there = new_york(time)
    return f"{there.day} {NAMES[there.month - 1]}, {there:%H:%M}"


def month_starts() -> I64:
    """The first instants of February to December in New York, as microseconds since 1970 UTC: int64[11]."""
    starts = [datetime(2013, month, 1, 4 if 4 <= month <= 11 else 5, tzinfo=UTC) for month in range(2, 13)]
    return np.array([int(start.timestamp()) * 1_000_000 for start in starts])


def months(time: I64) -> I64:
    """1 to 12 for each time [n] of 2013."""
    return np.searchsorted(month_starts(), time, side="right") + 1


def microseconds(column: pa.Array) -> I64:
    """A timestamp column without nulls as int64[n]."""
    array: I64 = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_numpy()
    return array
