"""What Arrow's full validation refuses is refused, whether or not a column is looked at all at once."""

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlogit.streams.validity import check


def refused(batch: pa.RecordBatch, how: str) -> bool:
    try:
        check(batch) if how == "ours" else batch.validate(full=True)
    except pa.ArrowInvalid:
        return True
    return False


@given(
    st.lists(st.integers(-1, 9), max_size=4),
    st.one_of(st.binary(min_size=8, max_size=8), st.just(b"abcdefgh")),
    st.sampled_from([pa.string(), pa.large_string()]),
    st.integers(0, 4),
    st.booleans(),
)
def test_as_arrow_says(between: list[int], data: bytes, kind: pa.DataType, first: int, sort: bool) -> None:
    between = sorted(between) if sort else between
    offsets = pa.py_buffer(np.array([0, *between, 8], np.int32 if kind == pa.string() else np.int64))
    column = pa.Array.from_buffers(kind, len(between) + 1, [None, offsets, pa.py_buffer(data)])
    for batch in (pa.record_batch({"x": column}), pa.record_batch({"x": column}).slice(min(first, len(between)))):
        assert refused(batch, "ours") == refused(batch, "arrow")


@pytest.mark.parametrize("data", [b"abcd", b"ab\xc3\xa9", b"ab\xff\xfe"])
def test_columns_of_every_kind_are_looked_at(data: bytes) -> None:
    offsets = pa.py_buffer(np.array([0, 2, 4], np.int32))
    texts = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(data))
    whole = data != b"ab\xff\xfe"
    for column in (texts, pa.DictionaryArray.from_arrays([0, 1], texts), pa.ListArray.from_arrays([0, 1, 2], texts)):
        assert refused(pa.record_batch({"n": [1.0, 2.0], "x": column}), "ours") == (not whole)


@pytest.mark.parametrize("said", [0, 1, 2, 3])
def test_nulls_are_counted(said: int) -> None:
    buffers = [pa.py_buffer(b"\x05"), pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"abc")]
    batch = pa.record_batch({"x": pa.StringArray.from_buffers(3, *buffers[1:], buffers[0], said)})
    assert refused(batch, "ours") == refused(batch, "arrow") == (said > 1)
