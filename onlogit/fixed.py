"""Arrays that never change: made once, as long as was ever asked for, and lent in part. Nobody writes into them.

A batch is described by several such arrays (0, 1, 2, ...; the same act for each row; no time), and a fresh one costs 2 to 5 ns
a row, mostly to touch its memory. They are not marked as read-only, as Numba would compile every kernel once more for that.
"""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
T = TypeVar("T", bound=np.generic)

LEAST = 1 << 12  # rows

_counting = np.arange(LEAST)
_constants: dict[tuple[str, Any], npt.NDArray[Any]] = {}


def counting(n: int) -> I64:
    """0, 1, ... n - 1."""
    global _counting
    held = _counting  # another thread may put a shorter one in its place
    if n > held.size:
        held = _counting = np.arange(2 * n)
    return held[:n]


def constant(value: T, n: int) -> npt.NDArray[T]:
    """A value n times."""
    key = value.dtype.char, value.item()
    held = _constants.get(key)
    if held is None or held.size < n:
        held = _constants[key] = np.full(max(2 * n, LEAST), value)
    return held[:n]
