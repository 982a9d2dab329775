"""CSV: inference, nulls, exact floats, and errors that name row and column."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.errors import DataError, SchemaError
from onlogit.streams import Sink, Source, open_sink, open_source

ReadAll = Callable[[Source], pa.Table]
WriteAll = Callable[..., Sink]
LONG = "".join(f"{n},name{n}\n" for n in range(200_000))  # more than one block


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlogit.streams.csv.BLOCK", 1 << 20)


def test_types_given_are_not_inferred(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e.csv"
    path.write_text("n,s\n" + LONG + "1.5,8\n")
    table = reading_all(open_source(path, types=pa.schema([("n", pa.float64()), ("other", pa.int64())])))
    assert table.schema.types == [pa.float64(), pa.string()]
    assert table["n"][-1].as_py() == 1.5


def test_types_are_inferred(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e.csv"
    path.write_text("i,f,s,b,t,z,d,n\n1,1.5,x,true,2024-05-01T12:00:00.5,2024-05-01T12:00:00Z,2024-05-01,\n,NA,,,,,,\n")
    table = reading_all(open_source(path))
    assert [str(kind) for kind in table.schema.types] == [
        "int64", "double", "string", "bool", "timestamp[ns]", "timestamp[us, tz=UTC]", "date32[day]", "null",
    ]  # fmt: skip
    assert table.slice(1).to_pylist() == [dict.fromkeys("ifsbtzdn")]


def test_header_only_and_byte_order_mark(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e.csv"
    path.write_text("a,b\n")
    assert reading_all(open_source(path)).schema.names == ["a", "b"]
    path.write_text("\ufeffa,b\n1,2\n")
    assert reading_all(open_source(path)).to_pylist() == [{"a": 1, "b": 2}]


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("7,x,8\n", r"row 200002 has 3 fields, the header has 2"),
        ("7\n", r"row 200002 has 1 fields, the header has 2"),
        ("x,8\n", r"row 200002, column 'n': invalid value 'x', where the rows before it held int64"),
        ("1.5,8\n", r"row 200002, column 'n': invalid value '1.5'"),
    ],
)
def test_a_bad_row_late_in_the_file_is_named(tmp_path: Path, reading_all: ReadAll, last: str, message: str) -> None:
    path = tmp_path / "e.csv"
    path.write_text("n,s\n" + LONG + last)
    with pytest.raises(DataError, match=r"e\.csv: not readable as CSV: " + message):
        reading_all(open_source(path))


def test_a_bad_row_early_in_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("n,s\n1,2\n3\n")
    with pytest.raises(DataError, match="row 3 has 1 fields, the header has 2"):
        open_source(path)
    path.write_bytes(b"n,s\n1,\xff\xfe\n" + b"2,x\n" * 10)
    source = open_source(path)
    assert source.schema.field("s").type == pa.binary()  # for the schema of a model to refuse
    source.close()


@pytest.mark.parametrize("header", ["z,p,y,w", "\ufeff\nz,p,y,w", '"z","p",y,w'])
@pytest.mark.parametrize("types", [("p",), ("p", "w"), ("w", "p")])
def test_a_bad_value_of_a_type_that_is_given_is_named(tmp_path: Path, header: str, types: tuple[str, ...]) -> None:
    path = tmp_path / "e.csv"
    path.write_text(f"{header}\n1,.5,0,1\n1,oops,1,1\n")
    with pytest.raises(DataError, match=r"row \d, column 'p': invalid value 'oops'"):
        open_source(path, types=pa.schema([(name, pa.float64()) for name in types]), columns=["y", "p"])


def test_a_bad_value_of_a_pipe_is_named_by_its_place(stdin: Callable[[bytes], None]) -> None:
    stdin(b"z,p,y\n1,.5,0\n1,oops,1\n")
    with pytest.raises(DataError, match="row 3, column number 2: invalid value 'oops'"):
        open_source("-", types=pa.schema([("p", pa.float64())]))


def test_bad_text_late_in_the_file_is_named(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(b"n,s\n" + LONG.encode() + b"1,\xff\n")
    with pytest.raises(DataError, match=r"row 200002, column 's': invalid UTF8"):
        reading_all(open_source(path))


def test_a_column_empty_in_the_first_block_stays_null(tmp_path: Path, reading_all: ReadAll) -> None:
    path = tmp_path / "e.csv"
    path.write_text("a,b\n" + "1234567,\n" * 200_000 + "1,5\n")
    source = open_source(path)
    assert source.schema.field("b").type == pa.null()
    with pytest.raises(
        DataError, match="row 200002, column 'b': invalid value '5', where the rows before it held noth"
    ):
        reading_all(source)


def test_written_csv_is_read_back_exactly(tmp_path: Path, reading_all: ReadAll, writing_all: WriteAll) -> None:
    rng = np.random.default_rng(3)
    floats = rng.integers(0, 2**64, 5000, dtype=np.uint64).view(np.float64)
    floats[~np.isfinite(floats)] = 0.1
    text = ["a", "", "NA", 'q"q', "x,y", "line\nbreak", " é "] * 1000
    table = pa.table({"f": floats, "s": text[:5000]})
    path = tmp_path / "e.csv"
    writing_all(open_sink(path, table.schema), table).close()
    found = reading_all(open_source(path))
    assert found["f"].to_numpy().tobytes() == floats.tobytes()
    assert found["s"].to_pylist() == [None if each in ("", "NA") else each for each in text[:5000]]
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["f", "s"]
    assert [row[1] for row in rows[1:]] == text[:5000]
    assert np.array([float(row[0]) for row in rows[1:]]).tobytes() == floats.tobytes()


def test_what_csv_cannot_hold_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="a CSV file cannot hold a column of this kind"):
        open_sink(tmp_path / "e.csv", pa.schema([("a", pa.list_(pa.int64()))]))
    assert list(tmp_path.iterdir()) == []
