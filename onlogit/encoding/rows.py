"""What a record batch becomes: rows of numbers, and what is known of each event beside them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding.knots import Known, Warming
from onlogit.fixed import constant

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class Rows(NamedTuple):
    """Events as numbers."""

    dense: F32  # [n, d] standardised numbers within ±3, 0 where missing; C order
    starts: I64  # [n + 1] row i owns slots[starts[i]:starts[i + 1]]
    slots: I32  # [starts[n]] in [0, 2**slot_bits), no slot twice in a row
    values: F32  # [starts[n]] 1 for a category; duplicates within a row are summed


class Unnamed(NamedTuple):
    """What tells the names of a batch's slots, whatever came after it."""

    columns: Mapping[str, pa.Array]
    known: Mapping[Warming, Known]  # of each bucket and spline


class Encoded(NamedTuple):
    """One record batch, settled."""

    rows: Rows
    y: npt.NDArray[np.int8]  # [n] 1, 0, or -1 for unlabelled
    weight: F64  # [n] 1.0 where the schema has no weight column
    key: U64 | None  # [n] 64-bit hash of the key; for integers a bijection
    time: I64 | None  # [n] microseconds since 1970 UTC
    label_time: I64 | None  # [n] likewise; INT64_MAX where null
    due: I64 | None = None  # [n] likewise
    unnamed: Unnamed | None = None  # until new slots have their names


def numbers_alone(dense: F32) -> Rows:
    """Rows that have no slots."""
    return Rows(dense, constant(np.int64(0), len(dense) + 1), np.zeros(0, np.int32), np.zeros(0, np.float32))


def slots_of(start: I64, length: I64, slots: I32, values: F32) -> tuple[I64, I32, F32]:
    """starts, slots and values of the rows that begin at `start` [m] and have `length` [m] slots."""
    starts = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    at = np.arange(starts[-1]) + np.repeat(start - starts[:-1], length)
    return starts, slots[at], values[at]


def choose_rows(rows: Rows, which: I64) -> Rows:
    """The rows named by `which` [m], in that order."""
    return Rows(rows.dense[which], *slots_of(rows.starts[which], np.diff(rows.starts)[which], rows.slots, rows.values))


def join_rows(first: Rows, second: Rows) -> Rows:
    """The rows of `first`, then those of `second`."""
    return Rows(
        np.concatenate([first.dense, second.dense]),
        np.concatenate([first.starts, second.starts[1:] + first.starts[-1]]),
        np.concatenate([first.slots, second.slots]),
        np.concatenate([first.values, second.values]),
    )
