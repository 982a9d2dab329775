"""How columns lie in memory: where their numbers are, and what packed booleans and instants are as codes."""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.hashing import is_valid
from onlogit.kernels.jit import kernel
from onlogit.kernels.lanes import numbers_at

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@kernel
def find_columns(address: int, singles: U8, places: I64) -> bool:
    """The places of the columns of a batch that Arrow has exported, a struct ArrowArray at this address, all of them float32
    (singles[j] = 1) or float64; False where one is not aligned to its values.

    Layout: https://arrow.apache.org/docs/format/CDataInterface.html
    """
    children = numbers_at(numbers_at(address, np.int64(0), 10)[6], np.int64(0), singles.size)
    aligned = True
    for j in range(singles.size):
        own = numbers_at(children[j], np.int64(0), 10)
        n, nulls, offset = own[0], own[1], own[2]
        buffers = numbers_at(own[5], np.int64(0), 2)
        width = 4 if singles[j] else 8
        if buffers[0] != 0 and nulls < 0:  # not counted
            bits = numbers_at(buffers[0], np.uint8(0), (offset + n + 7) // 8)
            nulls = 0
            for i in range(n):
                nulls += not is_valid(bits, offset + i)
        gaps = buffers[0] != 0 and nulls != 0
        places[j, 0], places[j, 1] = buffers[1] + offset * width, buffers[0] if gaps else 0
        places[j, 2], places[j, 3] = offset if gaps else 0, singles[j]
        aligned &= buffers[1] % width == 0
    return aligned


@kernel
def rows_as_columns(columns: F64, places: I64) -> None:
    """The places, i64[d, 4], of the rows of f64[d, n] in C order, none of which has a validity."""
    for j in range(columns.shape[0]):
        places[j, 0] = columns.ctypes.data + j * columns.strides[0]
        places[j, 1:] = 0


@kernel
def unpack_bits(bits: U8, shift: int, out: I32) -> None:
    """out[i] = bit shift + i of Arrow's packed booleans, as 0 or 1. out: i32[n]."""
    for i in range(out.size):
        out[i] = 1 if is_valid(bits, shift + i) else 0


@kernel
def calendar_codes(ticks: I64, unit: int, origin: int, cycle: int, out: I32) -> None:
    """out[i] = (floor(ticks[i] / unit) + origin) mod cycle: hour of day, day of week. ticks: i64[n]; out: i32[n]."""
    for i in range(out.size):
        out[i] = (ticks[i] // unit + origin) % cycle
