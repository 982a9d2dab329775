"""Events that are told again: found by their keys, answered as they were stated first."""

import numpy as np
import numpy.typing as npt

from onlogit.daemon.entries import Stated
from onlogit.steps import sigmoid

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]


def with_known(fresh: Stated, keys: U64, again: Bools, event: I64, then: F64) -> Stated:
    """All rows in their order: new ones as stated now; of those `again`, what waits (`event` [n] from 0) as stated `then`,
    and others as the earlier row of their key."""
    n = len(keys)
    numbers, z, sd = np.full(n, -1, np.int64), np.full(n, np.nan), np.full(n, np.nan)
    numbers[~again], z[~again], sd[~again] = fresh.event, fresh.z, fresh.z_sd
    waits = event >= 0
    numbers[waits], z[waits] = event[waits], then
    position = {key: row for row, key in reversed(list(enumerate(keys.tolist())))}
    for row in np.flatnonzero(again & ~waits):
        numbers[row], z[row], sd[row] = (array[position[int(keys[row])]] for array in (numbers, z, sd))
    return Stated(numbers, sigmoid(z), z, sd, again)
