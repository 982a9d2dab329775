"""Files of each format: parity with independent readers, positions exact to the row, and what is wrong told clearly."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from onlogit.errors import ConfigError, DataError, SchemaError
from onlogit.streams import Sink, Source, open_sink, open_source

ROOT = Path(__file__).parents[2]
NAMES = ["e.arrow", "e.feather", "e.parquet", "e.csv", "e.ndjson"]

Events = Callable[..., pa.Table]
ReadAll = Callable[[Source], pa.Table]
WriteAll = Callable[..., Sink]


def write(path: Path, table: pa.Table, rows: int = 100) -> Path:
    """Writes with pyarrow alone where it can."""
    if path.suffix == ".arrow":
        with ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
    elif path.suffix == ".feather":
        with ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
    elif path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows)
    else:
        sink = open_sink(path, table.schema)
        for batch in table.to_batches():
            sink.write(batch)
        sink.close()
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_whatever_its_name(name: str, tmp_path: Path, events: Events, reading_all: ReadAll) -> None:
    table = events(1000)
    path = write(tmp_path / name, table).rename(tmp_path / "renamed")
    assert reading_all(open_source(path)).cast(table.schema).equals(table)
    assert reading_all(open_source(path, batch_rows=7)).cast(table.schema).equals(table)
    some = reading_all(open_source(str(path), columns=["ok", "id"]))
    assert some.equals(table.select(["ok", "id"]))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(1, 400), after=st.integers(1, 400), reads=st.integers(0, 6))
def test_a_position_is_exact_for_any_batch_size(
    name: str, tmp_path: Path, events: Events, reading_all: ReadAll, before: int, after: int, reads: int
) -> None:
    path = tmp_path / name
    if not path.exists():
        write(path, events(1000))
    source = open_source(path, batch_rows=before)
    whole = reading_all(open_source(path))
    position, rows = {}, 0
    for _ in range(reads):
        item = source.read()
        if item is None:
            break
        assert 0 < item[0].num_rows <= before
        rows += item[0].num_rows
        position = item[1]
    source.close()
    assert position == ({"file": name, "row": rows} if reads else {})
    resumed = open_source(path, batch_rows=after)
    resumed.read()
    resumed.seek(position)
    assert reading_all(resumed).equals(whole.slice(rows))


@pytest.mark.parametrize("name", NAMES)
def test_seeking_is_checked(name: str, tmp_path: Path, events: Events) -> None:
    source = open_source(write(tmp_path / name, events(50)))
    with pytest.raises(ConfigError, match=r"'other\.csv'"):
        source.seek({"file": "other.csv", "row": 3})
    source.seek({"file": name, "row": 50})
    assert source.read() is None
    source.close()
    source.seek({"file": name, "row": 49})
    item = source.read()
    assert item is not None
    assert item[0]["id"].to_pylist() == [49]
    source.seek({"file": name, "row": 60})
    with pytest.raises(DataError, match="10 rows fewer"):
        source.read()
    source.close()
    source.close()


@pytest.mark.parametrize("name", NAMES)
def test_stdin_is_read_once(
    name: str, tmp_path: Path, events: Events, reading_all: ReadAll, stdin: Callable[[bytes], None]
) -> None:
    table = events(1000)
    stdin(write(tmp_path / name, table).read_bytes())
    source = open_source("-", batch_rows=100)
    source.seek({})
    first = source.read()
    assert first is not None
    source.seek(first[1])
    with pytest.raises(ConfigError, match="stdin is a pipe"):
        source.seek({"file": "-", "row": 7})
    rest = reading_all(source)
    assert pa.concat_tables([pa.Table.from_batches([first[0]]), rest]).cast(table.schema).equals(table)


@pytest.mark.parametrize("name", NAMES)
def test_a_real_pipe(name: str, tmp_path: Path, events: Events) -> None:
    path = write(tmp_path / name, events(30_000))
    code = "from onlogit.streams import open_source\ns = open_source('-')\nn = 0\n"
    code += "while b := s.read(): n += b[0].num_rows\nprint(n)"
    cat = f"(head -c 5; sleep 0.05; cat) < '{path}' | '{sys.executable}' -c \"{code}\""
    assert subprocess.run(cat, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "30000\n"


def test_a_named_pipe(tmp_path: Path, events: Events, reading_all: ReadAll) -> None:
    table = events(500)
    path = write(tmp_path / "e.csv", table)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(f"cat '{path}' > '{tmp_path / 'pipe'}'", shell=True):
        source = open_source(tmp_path / "pipe")
        assert reading_all(source).cast(table.schema).equals(table)


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_checked(name: str, tmp_path: Path, events: Events) -> None:
    path = write(tmp_path / name, events(10))
    with pytest.raises(SchemaError, match="there is no column 'y'; its columns are id, x"):
        open_source(path, columns=["id", "y"])


@pytest.mark.parametrize("ending", [".arrow", ".feather", ".parquet", ".csv"])
def test_a_name_twice_is_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"e{ending}"
    if ending == ".csv":
        path.write_text("a,a\n1,2\n")
    else:
        write(path, pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))
    with pytest.raises(SchemaError, match="column 'a' is there 2 times"):
        open_source(path)


def test_what_is_no_stream_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none: No such file"):
        open_source(tmp_path / "none")
    path = tmp_path / "f"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"f is empty \(0 bytes\): accepted are Arrow"):
        open_source(path)
    for garbage in (b"\x7fELF\0\1\2", b"\x1f\x8b\x08\0aaaa", bytes(1000)):
        path.write_bytes(garbage)
        with pytest.raises(DataError, match="f has no known format: accepted are Arrow"):
            open_source(path)
    path.write_bytes(b'[\n {"a": 1}]')
    with pytest.raises(DataError, match="one JSON array"):
        open_source(path)
    for format in ("arrow", "arrow-file", "parquet", "ndjson"):
        path.write_bytes(b"a,b\n1,2\n" * 10)
        with pytest.raises(DataError, match=r"f[ :]"):
            open_source(path, format=format)
    with pytest.raises(ConfigError, match="unknown format 'xls': accepted are arrow"):
        open_source(path, format="xls")
    with pytest.raises(ConfigError, match="batch_rows"):
        open_source(path, batch_rows=0)
    with pytest.raises(ConfigError, match="found int"):
        open_source(3)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(DataError, match=r"cannot read .*f: Permission denied"):
        open_source(path)


@pytest.mark.parametrize("name", ["e.arrow", "e.feather", "e.parquet"])
def test_every_truncation_is_a_data_error(name: str, tmp_path: Path, events: Events, reading_all: ReadAll) -> None:
    whole = write(tmp_path / name, events(60), rows=20).read_bytes()
    path, format = tmp_path / "cut", {"e.arrow": "arrow", "e.feather": "arrow-file"}.get(name, "parquet")
    whole_after = set()
    if format == "arrow":  # cut just after a message: a stream needs no end marker
        with open(tmp_path / name, "rb") as file, suppress(StopIteration), ipc.open_stream(file) as reader:
            whole_after.add(file.tell())
            while True:
                reader.read_next_batch()
                whole_after.add(file.tell())
    for length in {*range(0, len(whole) - 8, 7), *whole_after}:
        path.write_bytes(whole[:length])
        if length in whole_after:
            assert reading_all(open_source(path)).num_rows in (0, 20, 40, 60)
        else:
            with pytest.raises(DataError, match=re.escape(str(path))):
                reading_all(open_source(path, format=format))


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_a_data_error_or_unnoticed_but_nothing_else(
    name: str, tmp_path: Path, events: Events, reading_all: ReadAll
) -> None:
    whole = write(tmp_path / name, events(30)).read_bytes()
    path, told = tmp_path / "damaged", []
    for place in range(0, len(whole), max(len(whole) // 150, 1)):
        data = bytearray(whole)
        data[place] ^= 0xFF
        path.write_bytes(data)
        try:
            table = reading_all(open_source(path))
        except DataError as error:
            told.append(str(path) in str(error))
            continue
        table.drop_columns("at").to_pylist()  # nothing in it trips up its user; times may be out of Python's range
    assert all(told)
    assert told


@pytest.mark.parametrize("list_of", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 1)])
def test_views_are_plain_text_also_in_lists(
    list_of: Callable[[pa.DataType], pa.DataType], tmp_path: Path, reading_all: ReadAll, writing_all: WriteAll
) -> None:
    view, text = (pa.dictionary(pa.uint32(), kind) for kind in (pa.string_view(), pa.string()))
    codes = pa.array(["a", "b", None]).dictionary_encode()
    entries = pa.DictionaryArray.from_arrays(codes.indices.cast(pa.uint32()), codes.dictionary.cast(pa.string_view()))
    lists = pa.FixedSizeListArray.from_arrays(entries, 1).cast(list_of(view))
    plain = pa.FixedSizeListArray.from_arrays(codes.cast(pa.string()), 1).cast(list_of(pa.string()))
    table = pa.table({"one": entries, "several": lists, "plain": plain.cast(list_of(pa.string_view()))})
    found = reading_all(open_source(write(tmp_path / "e.arrow", table)))
    assert found.schema.types == [text, list_of(text), list_of(pa.string())]
    assert found.to_pylist() == table.to_pylist()
    for name in ("e.parquet", "e.ndjson"):
        sink = writing_all(open_sink(tmp_path / name, found.schema), found)
        sink.close()
        assert reading_all(open_source(tmp_path / name)).to_pylist() == table.to_pylist()


def test_batches_before_a_truncation_are_given(tmp_path: Path, events: Events) -> None:
    whole = write(tmp_path / "e.arrow", events(60), rows=20).read_bytes()
    (tmp_path / "e.arrow").write_bytes(whole[:-60])
    source = open_source(tmp_path / "e.arrow")
    for row in (20, 40):
        item = source.read()
        assert item is not None
        assert item[1]["row"] == row
    with pytest.raises(DataError, match=r"e\.arrow is truncated or damaged after 2 batches / 40 rows"):
        source.read()
    source.close()


def test_parquet_skips_row_groups(tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    table = events(1000)
    source = open_source(write(tmp_path / "e.parquet", table, rows=100))
    seen: list[list[int]] = []
    iterate = pq.ParquetFile.iter_batches

    def spy(self: object, rows: int, *, row_groups: list[int], columns: list[str]) -> object:
        seen.append(row_groups)
        return iterate(self, rows, row_groups=row_groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    source.seek({"file": "e.parquet", "row": 750})
    item = source.read()
    assert item is not None
    assert item[0]["id"][0].as_py() == 750
    assert seen == [[7]]
    source.close()
