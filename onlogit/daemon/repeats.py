"""Events that are told again: found by their keys, answered as they were stated first."""

import numpy as np
import numpy.typing as npt

from onlogit.daemon.entries import Stated
from onlogit.steps import sigmoid

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def with_known(fresh: Stated, earlier: I64, first: int, then: F64) -> Stated:
    """All rows in their order. earlier: [n] the event that a row tells again, -1 for a new one. New ones are as stated now,
    events `first` and on; what tells one of before that again is as stated `then`, in order."""
    again, here = earlier >= 0, earlier >= first
    z, sd = np.full(len(earlier), np.nan), np.full(len(earlier), np.nan)
    numbers = earlier.copy()
    numbers[~again], z[~again], sd[~again] = fresh.event, fresh.z, fresh.z_sd
    z[again & ~here] = then
    z[here], sd[here] = fresh.z[earlier[here] - first], fresh.z_sd[earlier[here] - first]
    return Stated(numbers, sigmoid(z), z, sd, again)
