"""Tensors of /v2: each number as it was told or not at all, and times as in /v1."""

import json
import warnings
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.daemon.inference import DECODER, _column, _values
from onlogit.daemon.json_rows import RowReader
from onlogit.daemon.refusals import Refusal
from onlogit.errors import SchemaError
from onlogit.schema import Column, Schema


def tensor(datatype: str, data: str, n: int) -> Any:
    """The values of a tensor as JSON."""
    told = f'{{"inputs": [{{"name": "x", "shape": [{n}], "datatype": "{datatype}", "data": {data}}}]}}'
    return _values(DECODER.decode(told).inputs[0], n, memoryview(b""))[0]


@pytest.mark.parametrize(
    ("datatype", "data", "says"),
    [
        ("FP64", "[[1.0], 2.0]", "neither all lists nor all single values"),
        ("BYTES", '[["a"], null]', "neither all lists nor all single values"),
        ("FP64", "[1.0, [2.0]]", "which its data are not"),
        ("FP64", "[[[1.0]], [2.0]]", "which its data are not"),
        ("INT32", "[1.7, 2.9]", "is INT32, which its data are not"),
        ("INT64", "[1.5, 1]", "is INT64, which its data are not"),
        ("INT64", "[9223372036854775808, 1]", "is INT64, which its data are not"),
        ("UINT8", "[300, 1]", "is UINT8, which its data are not"),
        ("UINT64", "[-1, 1]", "is UINT64, which its data are not"),
        ("INT32", "[1e300, 1]", "is INT32, which its data are not"),
        ("FP16", "[1e6, 1]", "is FP16, which its data are not"),
        ("FP32", "[1e300, 1]", "is FP32, which its data are not"),
        ("FP64", f"[1{'0' * 400}, 1]", "is FP64, which its data are not"),
        ("BOOL", "[1, 0]", "is BOOL, which its data are not"),
    ],
)
def test_numbers_that_are_not_of_the_datatype_are_refused(datatype: str, data: str, says: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Refusal, match=says) as refused:
            tensor(datatype, data, 2)
    assert refused.value.status == 422


def test_numbers_of_the_datatype_come_as_they_are() -> None:
    largest = float(np.finfo("f4").max)
    for datatype, data, values in (
        ("INT32", "[1.0, -2]", [1, -2]), ("INT64", "[9223372036854775807, 0]", [2**63 - 1, 0]),
        ("UINT64", "[[18446744073709551615], [1]]", [2**64 - 1, 1]), ("BOOL", "[true, false]", [True, False]),
        ("FP32", "[3.4028235e38, 1]", [largest, 1.0]), ("FP16", "[0.5, 65504]", [0.5, 65504.0]),
    ):  # fmt: skip
        assert tensor(datatype, data, 2).tolist() == values
    assert tensor("BYTES", '[["a"], ["b"]]', 2) == ["a", "b"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", None])
def test_times_are_read_as_in_v1(zone: str | None) -> None:
    schema = Schema.of(pa.schema([("at", pa.timestamp("us", zone)), ("y", pa.int64())]), label="y")
    reader, column = RowReader(schema, "score"), schema.by_name["at"]
    for text in ("2026-01-01T00:00:00", "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00", "soon"):
        rows, _ = reader.decode(json.dumps({"at": text}).encode(), False)
        if text == "soon" or (column.zone != "UTC" and text[10:] in ("", "T00:00:00")):  # an offset is expected
            with pytest.raises(SchemaError):
                reader.batch(rows)
            with pytest.raises(Refusal, match="the schema says timestamp"):
                _column(column, [text])
        else:
            assert _column(column, [text]).equals(reader.batch(rows).column(0))


def test_times_as_numbers_are_whole() -> None:
    at, day = Column("at", "category", "timestamp", True), Column("day", "category", "date", True)
    assert _column(at, np.array([10**15])).cast(pa.int64()).to_pylist() == [10**15]
    assert _column(day, np.array([20_000])).cast(pa.int32()).to_pylist() == [20_000]
    for values in (np.array([1.5]), np.array([np.nan]), np.array([2**63], np.uint64)):
        with pytest.raises(Refusal, match="the schema says timestamp"):
            _column(at, values)
