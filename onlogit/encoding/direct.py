"""Plain values -> rows, without a record batch in between: what scores of a few rows take.

A record batch costs a call for each buffer of each column, which one row is not worth. Here numbers of all columns go
through one call, texts and bools become the views that their Arrow buffers would give, and what is left (times, lists,
numbers that are codes) goes through Arrow by itself. The kernels are those of `Encoder.encode`, so rows are the same to
the bit. Changes nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.encoding.categories import NO_HASHES, Categories, Leaf, Seen
from onlogit.encoding.lists import ListColumns
from onlogit.encoding.lists import Seen as SeenList
from onlogit.encoding.numbers import NumberColumns
from onlogit.encoding.rows import Rows
from onlogit.schema import Column
from onlogit.terms import Calendar, Read

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Values = Sequence[Any]
Box = Callable[[Values], pa.Array]
Place = Callable[[F64, list[Seen], list[SeenList]], Rows]


class DirectRows:
    """Rows of one encoder, whose parts these are, from values in a fixed order of columns; `place` makes them.

    numbers: the names of columns that come as float64; others: those that come as Python values, with what makes an Arrow
    array of each. Together they are all that the encoder reads.
    """

    def __init__(
        self, own: NumberColumns, categories: Categories, lists: ListColumns, numbers: Sequence[str],
        others: dict[str, Box], place: Place,
    ) -> None:  # fmt: skip
        self._number = {name: k for k, name in enumerate(numbers)}
        self._other = {name: k for k, name in enumerate(others)}
        self._boxes, self._place, self._categories, self._lists = others, place, categories, lists
        self._order = None if own.names == list(numbers) else np.array([self._number[name] for name in own.names], int)
        described = enumerate(zip(categories.leaves, categories.columns, strict=True))
        self._readers = [self._reader(j, leaf, column) for j, (leaf, column) in described]
        read = [(t,) if isinstance(t, Read) else (t.indices, t.values) for t in lists.lists]
        self._list_names = [column.column for each in read for column in each]

    def rows(self, numbers: F64, others: Sequence[Values]) -> Rows:
        """numbers: f64[columns, n], NaN where missing; others: of each other column n values, None where missing.

        What no Arrow array can be made of raises what its maker raises, a text that is not Unicode a UnicodeError.
        """
        values = numbers if self._order is None else numbers[self._order]
        categories = [read(numbers, others) for read in self._readers]
        found = {name: self._boxed(name, numbers, others) for name in self._list_names}
        return self._place(buffers.frozen(values), categories, self._lists.read(found, 0) if found else [])

    def _boxed(self, name: str, numbers: F64, others: Sequence[Values]) -> pa.Array:
        """A column as Arrow has it."""
        if name in self._other:
            return self._boxes[name](others[self._other[name]])
        values, validity, _ = gapped(numbers[self._number[name]])
        bitmap = pa.py_buffer(validity) if validity.size else None
        return pa.Array.from_buffers(buffers.FLOAT64, values.size, [bitmap, pa.py_buffer(values)])

    def _reader(self, j: int, leaf: Leaf, column: Column) -> Callable[[F64, Sequence[Values]], Seen]:
        """What reads category j."""
        at = self._other.get(column.name, -1)
        if column.kind == "text":
            return lambda numbers, others: Seen(texts(others[at]), NO_HASHES)
        if column.kind == "bool" and not isinstance(leaf, Calendar):
            table = self._categories.tables[j]
            return lambda numbers, others: Seen(bools(others[at]), table)
        return lambda numbers, others: self._categories.read_one(j, self._boxed(column.name, numbers, others))


def texts(values: Values) -> buffers.Texts:
    """Strings as the buffers of an Arrow array would show them."""
    data = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(data) + 1, np.int32)
    np.cumsum([len(each) for each in data], out=offsets[1:])
    joined = b"".join(data)
    buffer = np.frombuffer(joined, np.uint8) if joined else buffers.ALL_VALID
    return buffers.Texts(buffer, buffers.frozen(offsets), *valid(values))


def bools(values: Values) -> buffers.Codes:
    """Bools as codes 0 and 1."""
    return buffers.Codes(buffers.frozen(np.array([value is True for value in values], np.int32)), *valid(values))


def valid(values: Values) -> tuple[buffers.U8, int]:
    """Which values are there, as Arrow's bitmap; empty where all are."""
    if None not in values:
        return buffers.ALL_VALID, 0
    return buffers.frozen(np.packbits([value is not None for value in values], bitorder="little")), 0


def gapped(values: F64) -> buffers.Numbers:
    """Numbers [n] whose NaN are nulls."""
    missing = np.isnan(values)
    if not missing.any():
        return buffers.Numbers(values, buffers.ALL_VALID, 0)
    return buffers.Numbers(values, buffers.frozen(np.packbits(~missing, bitorder="little")), 0)
