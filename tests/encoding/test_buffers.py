"""Columns of numbers found in memory all at once, against each by itself."""

import ctypes

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit.encoding.buffers import Columns, Numbers, numbers, places, places_of


def place(column: Numbers) -> tuple[int, int, int, int]:
    values, validity = (each.ctypes.data for each in (column.values, column.validity))
    return values, validity if column.validity.size else 0, column.shift, int(column.values.dtype == np.float32)


def found(batch: pa.RecordBatch) -> tuple[Columns, list[str]]:
    return Columns(batch, {name: at for at, name in enumerate(batch.schema.names)}), batch.schema.names


@pytest.mark.parametrize("start", [0, 3, 64, 200])
def test_they_are_where_each_is(start: int) -> None:
    values = np.random.default_rng(1).normal(size=200)
    gaps = np.arange(200) % 7 == 0
    whole = pa.record_batch(
        {
            "double": pa.array(values),
            "text": pa.array(["between"] * 200),
            "single": pa.array(values.astype(np.float32)),
            "gaps": pa.array(values, mask=gaps),
            "gaps early": pa.array(values.astype(np.float32), mask=np.arange(200) < 2),
            "none": pa.array(values, mask=np.ones(200, bool)),
        }
    )
    columns, names = found(whole.slice(start))
    names.remove("text")
    places, kept = places_of(columns, names)
    assert kept is not None
    assert [tuple(row) for row in places.tolist()] == [place(numbers(columns[name])) for name in names]


def test_others_are_cast() -> None:
    batch = pa.record_batch(
        {"whole": pa.array([1, None, 3]), "single": pa.array([0.5, 1, 2], pa.float32()), "nothing": pa.nulls(3)}
    )
    columns, names = found(batch)
    places, kept = places_of(columns, names)
    assert kept is not None
    assert places[:, 3].tolist() == [0, 1, 0]
    assert (places[[0, 2], 1] != 0).all()
    assert places[1].tolist() == list(place(numbers(columns["single"])))


def test_what_is_not_aligned_is_copied() -> None:
    buffer = pa.py_buffer(b"x" + np.arange(10.0).tobytes()).slice(1)
    odd = pa.Array.from_buffers(pa.float64(), 10, [None, buffer])
    assert buffer.address % 8
    places, kept = places_of(*found(pa.record_batch({"x": odd, "single": pa.array([1.5] * 10, pa.float32())})))
    assert kept is not None
    for at, kind, values in ((0, ctypes.c_double, list(range(10))), (1, ctypes.c_float, [1.5] * 10)):
        assert places[at, 0] % 8 == 0
        assert list((kind * 10).from_address(int(places[at, 0]))) == values


def test_none_and_no_rows() -> None:
    assert places_of(*found(pa.record_batch({})))[0].shape == (0, 4)
    assert places_of(*found(pa.record_batch({"x": pa.array([], pa.float64())})))[0].shape == (1, 4)


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (3, 0), (0, 4)])
def test_rows_of_an_array_are_where_each_is(shape: tuple[int, int]) -> None:
    values, no_bits = np.arange(float(np.prod(shape))).reshape(shape), np.zeros(0, np.uint8)
    apart = [place(Numbers(row, no_bits, 0)) for row in values]
    assert [tuple(row) for row in places(values).tolist()] == apart
