"""The columns of an event that are not features: its weight, key and times, checked and read as arrays."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.errors import DataError
from onlogit.kernels import hashing
from onlogit.kernels.tally import LARGEST_WEIGHT, LEAST_WEIGHT
from onlogit.schema import is_text, kind_in_role

KEY_SEED = np.uint64(0)
NO_TIME = int(np.iinfo(np.int64).min)
WEIGHTS = f"a weight of 0, or from {LEAST_WEIGHT:.8f} to {LARGEST_WEIGHT:,.0f}"


def _refuse(bad: npt.NDArray[np.bool_], name: str, first_event: int, array: pa.Array, wanted: str) -> None:
    """DataError at the first row that is bad."""
    if bad.any():
        row = int(np.argmax(bad))
        shown = str(array[row])[:80] if array[row].is_valid else "null"
        raise DataError(f"column {name!r}, row {first_event + row} (counting from 0): {shown}; accepted is {wanted}")


def read_weight(array: pa.Array, name: str, first_event: int) -> npt.NDArray[np.float64]:
    """Weights: f64[n], 0 or 2^-16 to 2^20. SchemaError for a column of no numbers."""
    if not pa.types.is_null(array.type):
        kind_in_role("weight", name, array.type)
    missing = buffers.nulls(array)
    weight = np.where(missing, np.nan, buffers.numbers(array).values).astype(np.float64)
    _refuse(~may_weigh(weight), name, first_event, array, WEIGHTS)
    return weight


def may_weigh(weight: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which numbers [n] may be weights."""
    fits: npt.NDArray[np.bool_] = (weight == 0.0) | ((weight >= LEAST_WEIGHT) & (weight <= LARGEST_WEIGHT))
    return fits


def read_key(array: pa.Array, name: str, first_event: int) -> npt.NDArray[np.uint64]:
    """Keys: u64[n]. Integers are mixed one to one, whatever their width; strings are hashed."""
    array = buffers.plain(array, name)
    if array.null_count:
        _refuse(buffers.nulls(array), name, first_event, array, "a key in every row")
    out = np.zeros(len(array), np.uint64)
    if is_text(array.type):
        hashing.hash_strings(*buffers.texts(array), KEY_SEED, KEY_SEED, out)
    elif not pa.types.is_null(array.type):
        hashing.hash_integers(buffers.int64s(array), out)
    return out


def read_time(array: pa.Array, name: str, first_event: int, missing: int | None = None) -> npt.NDArray[np.int64]:
    """Times: i64[n], microseconds since 1970 UTC; `missing` where null, or a DataError where that is not given."""
    if pa.types.is_null(array.type):
        array = array.cast(pa.timestamp("us"))
    time, null = buffers.microseconds(array, name, first_event)
    if missing is None:
        _refuse(null, name, first_event, array, "a time in every row")
        return time
    return np.where(null, missing, time)
