"""Folders and globs: order, exact positions, and following while files are added."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from onlogit.errors import ConfigError, DataError, SchemaError
from onlogit.streams import Position, Source, folder, open_source

Events = Callable[..., pa.Table]
ReadAll = Callable[[Source], pa.Table]


def add(path: Path, *numbers: int) -> None:
    """A file added as it should be: under a hidden name, then renamed."""
    hidden = path.with_name("." + path.name)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"n": numbers}), hidden)
    else:
        hidden.write_text("n\n" + "".join(f"{number}\n" for number in numbers))
    hidden.rename(path)


def numbers(source: Source) -> tuple[list[int], Position]:
    """What a following source gives until it first waits in vain, and the position then."""
    found: list[int] = []
    while (item := source.read()) is not None:
        batch, position = item
        assert batch.schema == source.schema
        if not batch.num_rows:
            return found, position
        found += batch["n"].to_pylist()
    raise AssertionError("a following source ended")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "POLL_SECONDS", 0.01)


def test_files_are_read_in_order_of_their_names(tmp_path: Path, reading_all: ReadAll) -> None:
    for name, start in [("b.csv", 10), ("a.csv", 0), ("c.csv", 20)]:
        add(tmp_path / name, *range(start, start + 5))
    for name in (".hidden", "_SUCCESS", "d.tmp", "e.partial"):
        (tmp_path / name).write_bytes(b"\0")
    (tmp_path / "sub").mkdir()
    expected = [*range(5), *range(10, 15), *range(20, 25)]
    assert reading_all(open_source(tmp_path))["n"].to_pylist() == expected
    assert (
        reading_all(open_source(f"{tmp_path}/[ac]*.csv", batch_rows=2))["n"].to_pylist() == expected[:5] + expected[10:]
    )
    (tmp_path / "[x].csv").write_text("n\n7\n")  # a file, though it looks like a glob
    assert reading_all(open_source(tmp_path / "[x].csv"))["n"].to_pylist() == [7]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(1, 9), after=st.integers(1, 9), reads=st.integers(0, 12))
def test_a_position_is_exact(
    tmp_path: Path, reading_all: ReadAll, ending: str, before: int, after: int, reads: int
) -> None:
    for file in range(3):
        add(tmp_path / f"{file}.{ending}", *range(file * 10, file * 10 + 7))
    whole = reading_all(open_source(tmp_path))["n"].to_pylist()
    source = open_source(tmp_path, batch_rows=before)
    position: Position = {}
    rows = 0
    for _ in range(reads):
        item = source.read()
        if item is not None:
            rows, position = rows + item[0].num_rows, json.loads(json.dumps(item[1]))
    source.close()
    resumed = open_source(tmp_path, batch_rows=after)
    resumed.read()
    resumed.seek(position)
    assert reading_all(resumed)["n"].to_pylist() == whole[rows:]


def test_a_folder_is_followed_and_left(tmp_path: Path) -> None:
    stop = False
    add(tmp_path / "b.csv", 1, 2)
    source = open_source(tmp_path, follow=True, stop=lambda: stop)
    assert numbers(source)[0] == [1, 2]
    assert numbers(source)[0] == []
    add(tmp_path / "d.csv", 3)
    add(tmp_path / "c.csv", 4)
    assert numbers(source)[0] == [4, 3]
    add(tmp_path / "a.csv", 5)  # late, but not lost
    assert numbers(source)[0] == [5]
    (tmp_path / "e.csv.tmp").write_text("n\n6\n")
    assert numbers(source)[0] == []
    add(tmp_path / "e.csv", 6)
    stop = True
    item = source.read()
    assert item is not None
    assert item[0]["n"].to_pylist() == [6]
    assert source.read() is None
    source.close()


def test_following_resumes_exactly(tmp_path: Path) -> None:
    add(tmp_path / "b.csv", 1, 2, 3)
    add(tmp_path / "d.csv", 4)
    source = open_source(tmp_path, follow=True, batch_rows=2)
    middle = source.read()
    found, waiting = numbers(source)
    source.close()
    assert middle is not None
    assert found == [3, 4]
    add(tmp_path / "c.csv", 5)
    add(tmp_path / "a.csv", 6)
    for position, rest in [(middle[1], [3, 6, 5, 4]), (waiting, [6, 5])]:
        source = open_source(tmp_path, follow=True)
        source.seek(json.loads(json.dumps(position)))
        assert numbers(source)[0] == rest
        source.close()


def test_read_files_may_be_moved_away(tmp_path: Path) -> None:
    add(tmp_path / "a.csv", 1)
    add(tmp_path / "b.csv", 2)
    source = open_source(tmp_path, follow=True)
    _, position = numbers(source)
    assert json.loads(str(position["read"])) == ["a.csv", "b.csv"]
    os.remove(tmp_path / "a.csv")
    _, position = numbers(source)
    assert json.loads(str(position["read"])) == ["b.csv"]
    add(tmp_path / "c.csv", 3, 4)
    item = source.read()
    assert item is not None
    source.close()
    os.remove(tmp_path / "c.csv")
    source = open_source(tmp_path, follow=True)
    with pytest.raises(DataError, match=r"file 'c\.csv', read up to row 2, is gone: put it back"):
        source.seek(item[1])
    source.close()


def test_types_settled_by_the_first_file_are_remembered(tmp_path: Path, reading_all: ReadAll) -> None:
    (tmp_path / "b.csv").write_text("n,t\n1.5,2024-05-01T12:00:00\n")
    (tmp_path / "c.csv").write_text("n,t\n2,2024-05-01T12:00:00.5\n")
    source = open_source(tmp_path)
    assert [str(kind) for kind in source.schema.types] == ["double", "timestamp[us]"]
    item = source.read()
    assert item is not None
    assert reading_all(source)["n"].to_pylist() == [2.0]
    os.remove(tmp_path / "b.csv")
    (tmp_path / "b.csv").write_text("n,t\n1,2024-05-01T12:00:00\n")
    other = open_source(tmp_path)
    assert str(other.schema.field("n").type) == "int64"
    other.seek(item[1])
    assert other.schema == source.schema
    assert reading_all(other)["n"].type == pa.float64()


def test_a_first_file_is_waited_for(tmp_path: Path) -> None:
    timer = threading.Timer(0.1, add, (tmp_path / "a.csv", 7))
    timer.start()
    source = open_source(tmp_path, follow=True)
    assert numbers(source)[0] == [7]
    source.close()
    timer.join()
    (tmp_path / "empty").mkdir()
    start = time.monotonic()
    with pytest.raises(DataError, match="empty: there are no files to read"):
        open_source(tmp_path / "empty", follow=True, stop=lambda: time.monotonic() > start + 0.1)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"n": ["x"]}, "column 'n' is string, but int64 in the files before it"),
        ({"m": [1]}, "there is no column 'n', as there is in the files before it"),
        ({"n": [1], "m": [1]}, "column 'm' is there, but not in the files before it"),
    ],
)
def test_a_file_of_another_schema_is_named(
    tmp_path: Path, reading_all: ReadAll, second: dict[str, list[object]], message: str
) -> None:
    add(tmp_path / "a.parquet", 1)
    pq.write_table(pa.table(second), tmp_path / "b.parquet")
    with pytest.raises(SchemaError, match=r"b\.parquet: " + message):
        reading_all(open_source(tmp_path))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"n": [3]}, "there is no column 'm', as there is"),
        ({"n": [3], "m": [1], "o": [1]}, "column 'o' is there, but not"),
        ({"m": [1], "n": [3]}, "the columns are m, n, in another order than"),
    ],
)
def test_a_file_of_another_schema_is_named_though_those_before_it_were_moved_away(
    tmp_path: Path, ending: str, second: dict[str, list[int]], message: str
) -> None:
    def write(name: str, columns: dict[str, list[int]]) -> None:
        {"csv": csv.write_csv, "parquet": pq.write_table}[ending](pa.table(columns), tmp_path / f"{name}.{ending}")

    write("a", {"n": [1, 2], "m": [0, 0]})
    source = open_source(tmp_path, follow=True)
    _, position = numbers(source)
    source.close()
    os.remove(tmp_path / f"a.{ending}")
    write("b", second)
    again = open_source(tmp_path, follow=True)
    again.seek(json.loads(json.dumps(position)))
    assert again.schema == source.schema
    with pytest.raises(SchemaError, match=rf"b\.{ending}: {message} in the files before it"):
        numbers(again)
    again.close()
    os.remove(tmp_path / f"b.{ending}")
    write("c", {"n": [3], "m": [1]})
    again = open_source(tmp_path, follow=True)
    again.seek(json.loads(json.dumps(position)))
    assert numbers(again)[0] == [3]
    again.close()


def test_nullability_is_no_difference(tmp_path: Path, reading_all: ReadAll) -> None:
    for name, nullable in [("a", True), ("b", False)]:
        schema = pa.schema([pa.field("n", pa.int64(), nullable)])
        pq.write_table(pa.table({"n": [1]}, schema=schema), tmp_path / name)
    assert reading_all(open_source(tmp_path))["n"].to_pylist() == [1, 1]


def test_files_of_another_format_or_type_are_named(tmp_path: Path, reading_all: ReadAll) -> None:
    add(tmp_path / "a.parquet", 1)
    add(tmp_path / "b.csv", 1)
    with pytest.raises(DataError, match=r"b\.csv is truncated, damaged, or not parquet"):
        reading_all(open_source(tmp_path))
    os.remove(tmp_path / "a.parquet")
    (tmp_path / "c.csv").write_text("n\n1\nx\n")
    with pytest.raises(DataError, match=r"c\.csv: not readable as CSV: row 3, column 'n': invalid value 'x'"):
        reading_all(open_source(tmp_path))
    (tmp_path / "c.csv").write_text("m,n\n1,2\n")
    with pytest.raises(SchemaError, match=r"c\.csv: column 'm' is there"):
        reading_all(open_source(tmp_path))


def test_what_cannot_be_followed_is_told(tmp_path: Path) -> None:
    add(tmp_path / "a.csv", 1)
    for where in (tmp_path / "a.csv", "-"):
        with pytest.raises(ConfigError, match="only a folder or a glob can be followed"):
            open_source(where, follow=True)
    with pytest.raises(DataError, match=r"cannot follow .*incoming/: there is no such folder"):
        open_source(f"{tmp_path}/incoming/", follow=True)
    with pytest.raises(DataError, match="there are no files to read"):
        open_source(f"{tmp_path}/*.parquet")
