"""NDJSON: inference, errors that name the line, and text that json reads back as the same values."""

import datetime as dt
import decimal
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.errors import DataError, SchemaError
from onlogit.streams import Sink, Source, ndjson, open_sink, open_source

ROOT = Path(__file__).parents[2]
ReadAll = Callable[[Source], pa.Table]
WriteAll = Callable[..., Sink]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "FIRST_BLOCK", 1 << 20)


def test_types_are_inferred(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e"
    path.write_text(
        '\n  {"i": 1, "f": 1, "s": "2020", "u": "2024-05-01T12:00:00.25+02:00", "t": "2024-05-01", "n": null, '
        '"l": [1]}\n'
        '\n{"f": 2.5, "b": true, "u": "2024-05-01T12:00:00Z"}'
    )
    table = reading_all(open_source(path))
    assert {field.name: str(field.type) for field in table.schema} == {
        "i": "int64",
        "f": "double",
        "s": "string",
        "u": "timestamp[us, tz=UTC]",
        "t": "timestamp[us]",
        "n": "null",
        "l": "list<item: int64>",
        "b": "bool",
    }
    assert table["u"].to_pylist() == [
        dt.datetime(2024, 5, 1, 10, 0, 0, 250_000, dt.UTC),
        dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC),
    ]
    assert table["f"].to_pylist() == [1.0, 2.5]


def test_mixed_times_stay_text(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e"
    path.write_text('{"t": "2024-05-01T12:00:00Z"}\n{"t": "2024-05-01T12:00:00"}\n{"t": "soon"}\n')
    assert reading_all(open_source(path)).schema.field("t").type == pa.string()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', "line 11: not readable as JSON"),
        ("[1]", r"line 11: a JSON object is expected, found '\[1\]'"),
        ('"' + "é" * 30 + '"', "line 11: a JSON object is expected, found '\"ééé"),
        ('{"a": "x"}', "line 11: field 'a' changed from number to string"),
        ('{"a": 1, "a": 2}', "line 11: field 'a' was specified twice"),
    ],
)
def test_a_bad_line_in_the_first_block_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "e"
    path.write_text('{"a": 1}\n\n' * 5 + line + "\n")
    with pytest.raises(DataError, match=message):
        open_source(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', "line 100012: not readable as JSON"),
        ("7", "line 100012: a JSON object is expected, found '7'"),
        ('{"a": "x"}', "line 100012: field 'a' is 'x', where int64 is expected"),
        ('{"a": 1.5}', "line 100012: field 'a' is 1.5, where int64 is expected"),
        ('{"b": 1}', "line 100012: field 'b' is new: the rows before it have a, t, n"),
        ('{"n": 1}', "line 100012: field 'n' is 1, where null, as in all rows before, is expected"),
        ('{"t": "soon"}', "line 100012: field 't' is 'soon', where timestamp"),
        ('{"a": "\xff"}', "line 100012: not readable as JSON"),
    ],
)
def test_a_bad_line_in_a_later_block_is_named(tmp_path: Path, reading_all: ReadAll, line: str, message: str) -> None:
    path = tmp_path / "e"
    good = '{"a": 1, "t": "2024-05-01T12:00:00", "n": null}\n'
    path.write_bytes((good * 100_000 + "\n" * 11 + line + "\n" + good).encode("latin-1"))
    with pytest.raises(DataError, match=message):
        reading_all(open_source(path))


def test_types_given_are_not_inferred(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e"
    path.write_text('{"a": 1, "b": "x", "at": "2024-05-01T12:00:00", "more": 1}\n' * 40_000 + '{"a": 1.5, "new": 1}\n')
    with pytest.raises(DataError, match="line 40001: field 'new' is new"):
        reading_all(open_source(path, types=pa.schema([("a", pa.float64())])))
    types = pa.schema([("a", pa.float32()), ("at", pa.timestamp("us")), ("none", pa.int64())])
    table = reading_all(open_source(path, types=types, columns=["b", "at", "a"]))
    assert table.schema.types == [pa.string(), pa.timestamp("us"), pa.float32()]
    assert table.slice(40_000).to_pylist() == [{"b": None, "at": None, "a": 1.5}]
    with pytest.raises(DataError, match="line 1: field 'b' is 'x', where double is expected"):
        open_source(path, types=pa.schema([("b", pa.float64())]))
    with pytest.raises(SchemaError, match="no column 'none'"):
        open_source(path, types=types, columns=["a", "none"])


def test_types_given_leave_columns_in_their_order_and_may_be_dates(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e"
    path.write_text('{"a": 1, "day": "2024-05-01", "text": "2024-05-01"}\n{"a": 2, "day": null, "text": "x"}\n')
    types = pa.schema([("text", pa.string()), ("day", pa.date32())])
    table = reading_all(open_source(path, types=types))
    assert table.schema.names == ["a", "day", "text"]
    assert table["day"].to_pylist() == [dt.date(2024, 5, 1), None]
    with pytest.raises(DataError, match="line 2: field 'text' is 'x', where date32"):
        reading_all(open_source(path, types=pa.schema([("text", pa.date32())])))


def test_a_pipe_whose_types_are_given_is_read_at_once() -> None:
    code = """
import pyarrow as pa
from onlogit.streams import open_source
source = open_source("-", columns=["n"], types=pa.schema([("n", pa.float64())]))
while item := source.read():
    print(item[0]["n"].to_pylist(), flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=-1, stdout=-1, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    for n in range(3):
        child.stdin.write(f'{{"n": {n}, "x": "passed over"}}\n')
        child.stdin.flush()
        assert child.stdout.readline() == f"[{n}.0]\n"
    child.stdin.close()
    assert child.wait() == 0
    child.stdout.close()


def test_a_stream_needs_a_row_with_fields(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_text("\n\n")
    with pytest.raises(DataError, match="e has no rows"):
        open_source(path, format="ndjson")
    path.write_text("{}\n{}\n")
    with pytest.raises(DataError, match="no fields"):
        open_source(path)


def test_blocks_are_whole_lines_whatever_a_pipe_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drip(io.BytesIO):
        """Gives all it is asked for at first, then seven bytes at a time."""

        def read1(self, size: int | None = -1) -> bytes:
            return self.read(7)

    monkeypatch.setattr(ndjson, "BLOCK", 64)
    text = b"".join(b'{"a": %d}\n' % n for n in range(50)) + b'{"a": 50}'
    blocks = list(ndjson.whole_lines(Drip(text), "pipe", live=True, first=64))
    assert b"".join(blocks) == text
    assert len(blocks[0]) > 50
    assert len(blocks) > 40
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    monkeypatch.setattr(ndjson, "LONGEST_LINE", 100)
    with pytest.raises(DataError, match="a line is longer"):
        list(ndjson.whole_lines(io.BytesIO(b"x" * 1000), "pipe", live=False, first=64))


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "f": st.none() | st.floats(),
                "g": st.none() | st.floats(width=32),
                "s": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
                "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                "b": st.none() | st.booleans(),
                'k"é': st.none() | st.lists(st.integers(0, 9), max_size=3),
            }
        ),
        max_size=20,
    )
)
def test_text_is_what_json_reads_back(rows: list[dict[str, object]]) -> None:
    kinds = [pa.float64(), pa.float32(), pa.string(), pa.int64(), pa.bool_(), pa.list_(pa.int64())]
    schema = pa.schema(list(zip(["f", "g", "s", "i", "b", 'k"é'], kinds, strict=True)))
    batch = pa.RecordBatch.from_pylist(rows, schema)
    lines = ndjson.NdjsonText(schema).encode(batch).decode().split("\n")
    found = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == ""
    assert len(found) == len(rows)
    for got, row in zip(found, rows, strict=True):
        for name in "fg":
            if isinstance(row[name], float) and not math.isfinite(row[name]):  # type: ignore[arg-type]
                row[name] = None
        got["g"] = None if got["g"] is None else pa.scalar(got["g"], pa.float32()).as_py()
        assert got == row
        assert all(type(got[name]) is type(row[name]) for name in row)
        assert list(got) == schema.names
        assert str(got["f"]) == str(row["f"])  # -0.0 too


def test_other_types_as_text() -> None:
    moment = dt.datetime(2024, 5, 1, 12, 0, 0, 250_000)
    columns = {
        "local": pa.array([moment], pa.timestamp("us")),
        "utc": pa.array([moment], pa.timestamp("ms", "UTC")),
        "paris": pa.array([moment], pa.timestamp("us", "Europe/Paris")),
        "day": pa.array([moment.date()], pa.date32()),
        "clock": pa.array([moment.time()], pa.time64("us")),
        "word": pa.array(["x"]).dictionary_encode(),
        "price": pa.array([decimal.Decimal("1.50")]),
        "half": pa.array([0.5], pa.float16()),
        "big": pa.array(["é"], pa.large_string()),
        "void": pa.nulls(1),
        "deep": pa.array([{"a": [1.5, None], "t": moment}]),
        "odd": pa.array([[math.nan, math.inf, 1.0]]),
        "odder": pa.array(
            [[[("k", {"b": [-math.inf]})]]], pa.list_(pa.map_(pa.string(), pa.struct([("b", pa.list_(pa.float64()))])))
        ),
    }
    batch = pa.record_batch(columns)
    (line,) = ndjson.NdjsonText(batch.schema).encode(batch).decode().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {
        "local": "2024-05-01T12:00:00.250000",
        "utc": "2024-05-01T12:00:00.250Z",
        "paris": "2024-05-01T12:00:00.250000Z",
        "day": "2024-05-01",
        "clock": "12:00:00.250000",
        "word": "x",
        "price": "1.50",
        "half": 0.5,
        "big": "é",
        "void": None,
        "deep": {"a": [1.5, None], "t": "2024-05-01 12:00:00.250000"},
        "odd": [None, None, 1.0],
        "odder": [[["k", {"b": [None]}]]],
    }


def test_slices_and_no_columns() -> None:
    batch = pa.record_batch({"a": pa.array(["x", None, "z", "w"])}).slice(1, 2)
    assert ndjson.NdjsonText(batch.schema).encode(batch) == b'{"a":null}\n{"a":"z"}\n'
    assert ndjson.NdjsonText(batch.schema).encode(batch.slice(0, 0)) == b""
    empty = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    assert ndjson.NdjsonText(empty.schema).encode(empty) == b"{}\n{}\n"


def test_written_ndjson_is_read_back(
    tmp_path: Path, events: Callable[..., pa.Table], reading_all: ReadAll, writing_all: WriteAll
) -> None:
    table = events(20_000)
    writing_all(open_sink(tmp_path / "e.jsonl", table.schema), table).close()
    assert reading_all(open_source(tmp_path / "e.jsonl")).equals(table)
