"""Numbers of all columns -> the row tile in one call: what scores of a few rows take, whose cost is that of calls."""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.gather import standardise
from onlogit.kernels.jit import kernel

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@kernel
def standardise_columns(
    x: F64, validity: U8, weight: F64, moments: F64, counts: I64, out: F32, missing: U8, visible: int, tile: F32
) -> int:
    """gather.standardise of each column of x, f64[d, n]; the first `visible` of them also side by side in the tile.

    validity: one bitmap for all, in fact empty, as a number that is missing is NaN; weight: f64[n]; moments: f64[d, 8];
    counts: i64[d, 4]; out: f32[d, n]; missing: u8[d, n]; tile: f32[n, visible or more]. Returns how many are missing.
    """
    lost = 0
    for j in range(x.shape[0]):
        lost += standardise(x[j], validity, 0, weight, moments[j], counts[j], out[j], missing[j])
        if j < visible:
            for i in range(x.shape[1]):
                tile[i, j] = out[j, i]
    return lost
