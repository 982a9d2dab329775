"""Data in memory, from libraries that this package never imports."""

from collections.abc import Callable

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.errors import ConfigError, DataError, SchemaError
from onlogit.streams import Source, open_source

ReadAll = Callable[[Source], pa.Table]
ROWS = [{"a": n, "s": f"a text of some length {n}"} for n in range(100)]


class Array:
    """Speaks the array half of the interface only."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self._batch.__arrow_c_array__(requested_schema)


@pytest.mark.parametrize(
    "make",
    [
        lambda table: table,
        lambda table: table.to_batches()[0],
        lambda table: Array(table.to_batches()[0]),
        lambda table: pytest.importorskip("polars").DataFrame(ROWS),
        lambda table: pytest.importorskip("pandas").DataFrame(ROWS, index=range(100, 0, -1)),
        lambda table: pytest.importorskip("duckdb").from_arrow(table),
    ],
    ids=["table", "batch", "array", "polars", "pandas", "duckdb"],
)
def test_any_frame_is_read_and_sought_in(make: Callable[[pa.Table], object], reading_all: ReadAll) -> None:
    data = make(pa.Table.from_pylist(ROWS))
    source = open_source(data, batch_rows=30)
    assert source.schema.field("s").type in (pa.string(), pa.large_string())
    item = source.read()
    assert item is not None
    assert (item[0].num_rows, item[1]) == (30, {"row": 30})
    assert reading_all(source).to_pylist() == ROWS[30:]
    source.seek({"row": 55})
    assert reading_all(source).to_pylist() == ROWS[55:]
    source.seek({})
    assert reading_all(source).to_pylist() == ROWS
    source.seek({"row": 101})
    with pytest.raises(DataError, match="the data in memory has 1 rows fewer"):
        source.read()
    assert reading_all(open_source(data, columns=["s"])).column_names == ["s"]
    with pytest.raises(SchemaError, match="no column 'z'"):
        open_source(data, columns=["z"])


def test_a_reader_is_read_once(reading_all: ReadAll) -> None:
    table = pa.Table.from_pylist(ROWS)
    source = open_source(table.to_reader())
    source.seek({"row": 40})
    assert reading_all(source).to_pylist() == ROWS[40:]
    with pytest.raises(ConfigError, match="read once only"):
        source.seek({"row": 10})


def test_an_error_of_a_reader_is_a_data_error() -> None:
    def batches() -> object:
        yield pa.record_batch({"a": [1]})
        raise OSError("the line went dead")

    source = open_source(pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches()))
    assert source.read() is not None
    with pytest.raises(DataError, match="cannot read the data in memory: the line went dead"):
        source.read()
