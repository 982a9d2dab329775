"""What derived terms compute from a column: logarithms, months, warm-ups, buckets, hats; and the values of list columns.

Buckets and hats stand on knots, quantiles of the first numbers of a column. `warm_up` holds those numbers in the order of
arrival until WARM_UP rows of weight > 0 were seen, or later, until ENOUGH of them had a number; a row of any weight counts
as one. So a column that begins with nulls waits for its numbers, and at most WARM_UP numbers are ever held.

Values come as in kernels/gather.py: f32 or f64[n] with Arrow's validity bitmap from bit `shift`, empty where all is valid.
Null, NaN and ±inf are missing.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.gather import (
    FAR,
    HOLD,
    INFINITE,
    LARGEST,
    MEAN,
    NAN,
    NEXT,
    NULL,
    REACH,
    VAR,
    WEIGHT,
    add,
    add_in_trial,
    bounded,
)
from onlogit.kernels.hashing import is_valid
from onlogit.kernels.jit import inline, kernel

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

ROWS, HELD, KNOTS = range(3)  # columns of `warmed`, i64[m, 3]; KNOTS is -1 until they are set
WARM_UP = 1024
ENOUGH = 256


@inline
def _present(x: F32 | F64, validity: U8, shift: int, i: int) -> bool:
    return (validity.size == 0 or is_valid(validity, shift + i)) and bool(np.isfinite(x[i]))


@kernel
def logarithm(x: F32 | F64, validity: U8, shift: int, weight: F64, out: F64) -> int:
    """out[i] = ln x[i]; NaN where x is missing or not above 0. Returns how many rows of weight > 0 have x <= 0."""
    outside = 0
    for i in range(out.size):
        out[i] = np.nan
        if _present(x, validity, shift, i):
            v = float(x[i])
            if v > 0.0:
                out[i] = math.log(v)
            elif weight[i] > 0.0:
                outside += 1
    return outside


@kernel
def months(ticks: I64, per_day: int, out: I32) -> None:
    """out[i] = 0 (January) to 11: the month of the proleptic Gregorian calendar. ticks: i64[n] since 1970; out: i32[n].

    Days are counted from 1 March of year 0 in eras of 400 years, where leap days come last (Hinnant, chrono-compatible
    low-level date algorithms).
    """
    for i in range(out.size):
        day = (ticks[i] // per_day + 719468) % 146097
        year = (day - day // 1460 + day // 36524 - day // 146096) // 365
        march = (5 * (day - (365 * year + year // 4 - year // 100)) + 2) // 153
        out[i] = (march + 2) % 12


@kernel
def warm_up(x: F32 | F64, validity: U8, shift: int, weight: F64, held: F64, warmed: I64) -> int:
    """Hold the numbers of rows of weight > 0 until there are enough; return the first row after that, n if none.

    held: f64[WARM_UP]; warmed: i64[3]; both changed.
    """
    for i in range(x.size):
        if warmed[ROWS] >= WARM_UP and warmed[HELD] >= ENOUGH:
            return i
        if weight[i] > 0.0:
            warmed[ROWS] += 1
            if _present(x, validity, shift, i):
                held[warmed[HELD]] = min(max(float(x[i]), -LARGEST), LARGEST)
                warmed[HELD] += 1
    return x.size


@inline
def _below(v: float, knots: F64) -> int:
    """How many knots are below v."""
    low, high = 0, knots.size
    while low < high:
        middle = (low + high) // 2
        if knots[middle] < v:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def buckets(x: F32 | F64, validity: U8, shift: int, edges: F64, out: I32) -> None:
    """out[i] = how many edges are below x[i], so that bucket b holds (edges[b - 1], edges[b]]; -1 where x is missing."""
    for i in range(out.size):
        out[i] = _below(float(x[i]), edges) if _present(x, validity, shift, i) else -1


@kernel
def hats(x: F32 | F64, validity: U8, shift: int, knots: F64, left: I32, values: F32) -> None:
    """x[i] lies between knots left[i] and left[i] + 1, whose hats there are values[0, i] and values[1, i]; their sum is 1.

    Outside the knots the nearest one has all; so has code -1 where x is missing. knots: f64[k >= 1] ascending, no two
    alike; left: i32[n]; values: f32[2, n].
    """
    for i in range(left.size):
        values[0, i] = 1.0
        values[1, i] = 0.0
        if not _present(x, validity, shift, i):
            left[i] = -1
            continue
        v = float(x[i])
        right = _below(v, knots)
        left[i] = max(right - 1, 0)
        if 0 < right < knots.size:
            share = np.float32((v - knots[right - 1]) / (knots[right] - knots[right - 1]))
            values[0, i] = np.float32(1.0) - share
            values[1, i] = share


@inline
def _enter(m: F64, v: float, w: float) -> None:
    """Let v enter moments m."""
    if m[NEXT] < np.inf:
        add_in_trial(m, v, w)
    else:
        m[WEIGHT], m[MEAN], m[VAR] = add(m[WEIGHT], m[MEAN], m[VAR], bounded(v - m[MEAN], m[VAR]), w)


@kernel
def list_values(
    x: F32 | F64,
    validity: U8,
    shift: int,
    at: I64,
    starts: I64,
    stops: I64,
    weight: F64,
    moments: F64,
    counts: I64,
    out: F32,
) -> None:
    """out[starts[i] + j] = x[at[i] + j] / rms for the list of row i, held within ±HOLD; 0 where missing.

    rms is the running root mean square of the values other than 0, those of the row included, from moments with the
    guards of kernels/gather.py: √(mean² + variance). at, starts, stops: i64[n]; x: as long as they reach; moments: f64[8];
    counts: i64[4], as in kernels/gather.py; out: f32[t].
    """
    for i in range(starts.size):
        for j in range(at[i], at[i] + stops[i] - starts[i]):
            v = float(x[j])
            valid = validity.size == 0 or is_valid(validity, shift + j)
            if weight[i] > 0.0:
                if not valid or not np.isfinite(v):
                    counts[(NAN if math.isnan(v) else INFINITE) if valid else NULL] += 1
                elif v != 0.0:
                    _enter(moments, min(max(v, -LARGEST), LARGEST), weight[i])
        square = moments[MEAN] * moments[MEAN] + moments[VAR]
        scale = 1.0 / math.sqrt(square) if square > 0.0 else 0.0
        for j in range(stops[i] - starts[i]):
            source = at[i] + j
            v = min(max(float(x[source]), -LARGEST), LARGEST) * scale
            if not _present(x, validity, shift, source):
                v = 0.0
            if weight[i] > 0.0 and abs(v) >= REACH:
                counts[FAR] += 1
            out[starts[i] + j] = math.copysign(min(abs(v), HOLD), v)
