"""Number columns -> standardised tile, with robust running moments.

Moments. Per column a weighted mean and variance (Welford's recursion in the form of West 1979, which cannot overflow
through large weights), taken row by row in float64, each row included before it is standardised. After the period of
trial below, values of weight 1 enter by 64 at a time, and are standardised by the moments of before. Three guards keep
one absurd value from silencing a column for ever, whatever its size and wherever it comes:

- |x| is held at 1e100, so that squares stay finite;
- from the 16th row on, a value enters the moments no further than 7 sd from the mean. Up to 2 % of junk of any size is
  thereby outvoted (they make the sd of the rest 3 times too large, 1 % 1.4 times), while an honest change of scale by 1000
  is caught up within 40 % of the rows so far;
- a second accumulator, begun anew at rows 16, 32, ... 512, takes over at the next of these rows up to 1024 if the two
  disagree grossly (sd over 10 times or under half of the second one's), so that junk among the first rows is forgotten.
  A column that was constant until now has no scale to judge by: its first other value is taken as it comes, and this
  period of trial starts again and lasts until the column has shown a scale.

Standardised numbers are held within ±3: a linear model is misled by what lies farther out, more than it learns from it. Log
loss of the default learner at holds of 3 and 2.5, less that at 6 (all with a reach of 10 sd): jit_defects -.0042 and -.0057,
weather_aus -.0003 (both), noaa_weather -.0002 and -.0004, hotel_bookings -.0002 and -.0003, flights -.0001 and -.0002,
elec2 +.0001 (both), kdd_http +.00003 and +.00004; and +.00004 and +.0003 on simulated normal numbers whose effect is linear,
which is why it is not 2.5. Then with a reach of 7 and of 5 sd, less that of 10: jit_defects -.0014 and -.0030,
hotel_bookings -.0010 and -.0011, elec2 -.0004 and -.0007 (1,000 events late +.0001 and +.0008), the others within .0002.

Sixty-four values within 7 sd are summed as whole numbers of sd / 2^20, and so are their squares: exact in float64, so
that the order of adding, and hence the cut of the stream, does not show, and the loop vectorises.

Cost: 1.2 ns a value with its place in the tile, .7 ns where nothing is learned, 4 to 5 ns in a column with nulls, 6 ns under
weights other than 1; 64 bytes of state a column. A row of weight 0 is standardised and changes nothing; so does any row
when only scores are wanted. A weight of h moves mean and variance as h repeats do, except that it counts as one row for the
guards.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels.hashing import is_valid
from onlogit.kernels.jit import inline, kernel, part, unsigned
from onlogit.kernels.lanes import (
    absolute,
    double,
    floor,
    fma,
    highest,
    lanes,
    larger,
    load,
    lowest,
    numbers_at,
    prefetch,
    signed,
    single,
    smaller,
    splat,
    store,
    turned,
)
from onlogit.kernels.lanes import total as sum_of

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# columns of `moments`, f64[d, 8]: the accumulator in use, the one on trial, rows of the trial period, its next end
WEIGHT, MEAN, VAR, TRIAL_WEIGHT, TRIAL_MEAN, TRIAL_VAR, ROWS, NEXT = range(8)
GATHERED, SUM, SQUARES = (
    TRIAL_WEIGHT,
    TRIAL_MEAN,
    TRIAL_VAR,
)  # what these hold after the trial: values not yet in, their sums
NULL, NAN, INFINITE, FAR = range(4)  # columns of `counts`, i64[d, 4]; FAR: beyond REACH

LARGEST = 1e100
FIRST_TRIAL = 16.0
LAST_TRIAL = 1024.0
DOUBT_HIGH = 10.0  # sd in use over sd on trial, beyond which the trial takes over
DOUBT_LOW = 0.5
REACH = 7.0  # sd beyond which a value enters the moments no further
HOLD = 3.0  # standardised numbers end here
LANES = 4  # float64 at a time; with 8 the sums do not stay in registers
SIDE_BY_SIDE = 16  # float32 columns to a cache line of the tile
CHUNK = 128  # rows of as many columns stay in the nearest cache
STAGGER = 16  # numbers between columns there, so that no two of them begin a power of two apart
LINE = 64  # bytes of the cache
BLOCK = 64  # values that enter settled moments together
UNIT = float(1 << 20)  # steps to a sd in their sums: the square of 7 sd, 64 times, is below 2^53


def empty_moments(d: int) -> F64:
    """Moments of d columns that have seen nothing: f64[d, 8]."""
    moments = np.zeros((d, 8))
    moments[:, NEXT] = FIRST_TRIAL
    return moments


@inline
def add(total: float, mean: float, var: float, d: float, w: float) -> tuple[float, float, float]:
    """W += w; r = w/W; mean += r d; var += r ((1 - r) d² - var), for a value at distance d from the mean."""
    total += w
    r = w / total
    return total, mean + r * d, var + r * ((1.0 - r) * (d * d) - var)


@inline
def bounded(d: float, var: float) -> float:
    """The distance d from the mean, held at 7 sd where there is a sd."""
    return math.copysign(REACH * math.sqrt(var), d) if d * d > REACH * REACH * var and var > 0.0 else d


@part
def _end_trial(m: F64) -> None:
    last = m[ROWS] >= LAST_TRIAL
    if m[ROWS] > FIRST_TRIAL:
        if m[TRIAL_VAR] == 0.0:  # constant since the last trial, so there is no scale to judge by
            m[NEXT] = m[ROWS] * 2.0
            return
        ratio = m[VAR] / m[TRIAL_VAR]
        if ratio > DOUBT_HIGH * DOUBT_HIGH or ratio < DOUBT_LOW * DOUBT_LOW:
            m[WEIGHT], m[MEAN], m[VAR] = m[TRIAL_WEIGHT], m[TRIAL_MEAN], m[TRIAL_VAR]
    m[TRIAL_WEIGHT] = m[TRIAL_MEAN] = m[TRIAL_VAR] = 0.0
    m[NEXT] = np.inf if last else m[ROWS] * 2.0


@inline
def add_in_trial(m: F64, x: float, w: float) -> None:
    """Let x of weight w > 0 enter moments m, f64[8], whose trial period has not ended (m[NEXT] is finite)."""
    d = x - m[MEAN]
    if m[ROWS] >= FIRST_TRIAL:
        if m[VAR] == 0.0 and d != 0.0:
            m[TRIAL_WEIGHT] = m[TRIAL_MEAN] = m[TRIAL_VAR] = 0.0
            m[ROWS] = FIRST_TRIAL - 1.0
            m[NEXT] = FIRST_TRIAL
        else:
            held = bounded(d, m[VAR])
            x = x if held == d else m[MEAN] + held  # (mean + d would not be x to the last bit)
            d = held
            m[TRIAL_WEIGHT], m[TRIAL_MEAN], m[TRIAL_VAR] = add(
                m[TRIAL_WEIGHT], m[TRIAL_MEAN], m[TRIAL_VAR], x - m[TRIAL_MEAN], w
            )
    m[WEIGHT], m[MEAN], m[VAR] = add(m[WEIGHT], m[MEAN], m[VAR], d, w)
    m[ROWS] += 1.0
    if m[ROWS] == m[NEXT]:
        _end_trial(m)


@inline
def _rate(m: F64) -> float:
    return 1.0 / math.sqrt(m[VAR]) if m[VAR] > 0.0 else 0.0


@inline
def _gather(m: F64, n: float, steps: float, squares: float) -> None:
    """Gather n ordinary values of weight 1, with the sums of their steps and of the squares; BLOCK of them enter."""
    m[GATHERED] += n
    m[SUM] += steps
    m[SQUARES] += squares
    if m[GATHERED] == BLOCK:
        _enter(m)


@inline
def _enter(m: F64) -> None:
    """What was gathered enters the moments."""
    n = m[GATHERED]
    m[WEIGHT] += n
    r = n / m[WEIGHT]
    d = r * math.sqrt(m[VAR]) * (m[SUM] / (UNIT * n))
    m[MEAN] += d
    m[VAR] = max(m[VAR] + r * m[VAR] * (m[SQUARES] / (UNIT * UNIT * n) - 1.0) - d * d, 0.0)
    m[GATHERED] = m[SUM] = m[SQUARES] = 0.0


@part
def _enter_alone(m: F64, v: float, w: float) -> None:
    """A value of another weight, or one that is far out, enters after what was gathered before it."""
    if m[GATHERED] > 0.0:
        _enter(m)
    m[WEIGHT], m[MEAN], m[VAR] = add(m[WEIGHT], m[MEAN], m[VAR], bounded(v - m[MEAN], m[VAR]), w)


@inline
def _ordinary(x: Any, first: int, stop: int, mean: float, rate: float, out: F32) -> Any:
    """Values by given moments, out[0] being that of x[first]: the sums of their steps and of the squares, the largest |z|,
    the lowest and the highest value. A NaN makes the sums NaN. They are exact, so that they may be added in any order."""
    like, zero = lanes(x.dtype.type(0), LANES), lanes(0.0, LANES)
    total, squares, low, high = zero, zero, splat(np.inf, zero), splat(-np.inf, zero)
    even = first + (stop - first) // LANES * LANES
    for i in range(first, even, LANES):
        v = double(load(x, i, like))
        z = (v - mean) * rate
        steps = floor(z * UNIT + 0.5)
        total, squares = total + steps, fma(steps, steps, squares)
        low, high = smaller(v, low), larger(v, high)
        store(out, i - first, single(signed(smaller(absolute(z), HOLD), z)))
    t, q, least, greatest = sum_of(total), sum_of(squares), lowest(low), highest(high)
    for i in range(even, stop):
        v = float(x[i])
        z = (v - mean) * rate
        steps = np.floor(z * UNIT + 0.5)
        t, q = t + steps, q + steps * steps
        least, greatest = min(v, least), max(v, greatest)
        out[i - first] = math.copysign(min(abs(z), HOLD), z)
    most = max(abs((least - mean) * rate), abs((greatest - mean) * rate))
    return t, q, most, least, greatest


@inline
def _with_gaps(
    x: Any, validity: U8, shift: int, first: int, stop: int, mean: float, rate: float, out: F32, missing: U8
) -> Any:
    """`_ordinary` where there are nulls, at which missing[i] is 1; how many values there are, and then the same."""
    n, total, squares, far, low, high = 0, 0.0, 0.0, 0.0, np.inf, -np.inf
    for i in range(first, stop):
        at, valid = unsigned(i), is_valid(validity, shift + i)
        v = float(x[at]) if valid else mean
        z = (v - mean) * rate
        steps = np.floor(z * UNIT + 0.5)
        total, squares, size = total + steps, squares + steps * steps, abs(z)
        far, low, high = max(size, far), min(v if valid else np.inf, low), max(v if valid else -np.inf, high)
        n += valid
        missing[at] = not valid
        out[unsigned(i - first)] = math.copysign(min(size, HOLD), z)
    return n, total, squares, far, low, high


@inline
def _unlearned(x: Any, first: int, stop: int, mean: float, rate: float, out: F32) -> float:
    """Values by given moments, that change nothing; 0, or NaN if one of them is not finite."""
    like, odd = lanes(x.dtype.type(0), LANES), lanes(0.0, LANES)
    even = first + (stop - first) // LANES * LANES
    for i in range(first, even, LANES):
        v = double(load(x, i, like))
        odd = fma(v, 0.0, odd)
        held = larger(smaller(v, LARGEST), -LARGEST)
        z = (held - mean) * rate
        store(out, i - first, single(signed(smaller(absolute(z), HOLD), z)))
    nothing = float(sum_of(odd))
    for i in range(even, stop):
        v = float(x[i])
        nothing += v * 0.0
        z = (min(max(v, -LARGEST), LARGEST) - mean) * rate
        out[i - first] = math.copysign(min(abs(z), HOLD), z)
    return nothing


@inline
def _count_others(weight: F64, w: float) -> int:
    others = 0
    for i in range(weight.size):
        others += weight[i] != w
    return others


@inline
def _column(
    x: Any, validity: U8, shift: int, weight: F64, learned: bool, scored: bool, first: int, last: int, m: F64, counts: I64,
    span: F64, out: F32, missing: U8, lost: int,
) -> int:  # fmt: skip
    """The rows first .. last of a column; out[0] is the first of them. How many are missing, with the `lost` before them."""
    all_valid = validity.size == 0
    rate = _rate(m)
    begin = stop = first
    if scored and all_valid and _unlearned(x, first, last, m[MEAN], rate, out) == 0.0:
        return lost
    while stop < last:
        begin = stop
        settled = m[NEXT] == np.inf
        stop = min(last, begin + BLOCK - int(m[GATHERED] if settled else 0.0))
        if learned and settled:
            here, there = m[MEAN], out[begin - first :]
            if all_valid:
                n = stop - begin
                steps, squares, far, low, high = _ordinary(x, begin, stop, here, rate, there)
            else:
                n, steps, squares, far, low, high = _with_gaps(
                    x, validity, shift, begin, stop, here, rate, there, missing
                )
            if far < REACH and low >= -LARGEST and high <= LARGEST and not math.isnan(steps):
                gaps = stop - begin - n
                if lost == 0 and gaps > 0:
                    missing[:begin], missing[stop:] = 0, 0
                lost += gaps
                counts[NULL] += gaps
                span[0], span[1] = min(span[0], low + 0.0), max(span[1], high + 0.0)
                _gather(m, n, steps, squares)
                rate = _rate(m)
                continue
        for i in range(begin, stop):
            v = float(x[i])
            w = weight[i]
            valid = all_valid or is_valid(validity, shift + i)
            if not valid or not np.isfinite(v):
                if lost == 0:
                    missing[:] = 0
                missing[i] = 1
                out[i - first] = 0.0
                lost += 1
                if w > 0.0:
                    counts[(NAN if math.isnan(v) else INFINITE) if valid else NULL] += 1
                continue
            if w > 0.0:
                span[0], span[1] = min(span[0], v + 0.0), max(span[1], v + 0.0)  # -0 becomes 0
            v = min(max(v, -LARGEST), LARGEST)
            z = (v - m[MEAN]) * rate
            if w == 1.0 and settled and abs(z) < REACH:
                whole = np.floor(z * UNIT + 0.5)
                _gather(m, 1.0, whole, whole * whole)
                if m[GATHERED] == 0.0:
                    rate = _rate(m)
            elif w > 0.0:
                if settled:
                    _enter_alone(m, v, w)
                else:
                    add_in_trial(m, v, w)
                    settled = m[NEXT] == np.inf
                rate = _rate(m)
                z = (v - m[MEAN]) * rate
            if w > 0.0 and abs(z) >= REACH:
                counts[FAR] += 1
            out[i - first] = math.copysign(min(abs(z), HOLD), z)
    return lost


@kernel
def standardise(
    x: F32 | F64, validity: U8, shift: int, weight: F64, moments: F64, counts: I64, out: F32, missing: U8
) -> int:
    """out[i] = (x[i] - mean)/sd, held within ±3; 0 where missing or where sd = 0.

    x: f32 or f64[n]; validity: Arrow bitmap from bit `shift` (empty: all valid); weight: f64[n], 0 leaves moments,
    f64[8], and counts, i64[4], as they are; out: f32[n]; missing: u8[n], 1 at null, NaN and ±inf, written where there
    is any. Returns how many are missing.
    """
    span = np.empty(2)
    learned = _count_others(weight, 1.0) == 0
    scored = not learned and _count_others(weight, 0.0) == 0
    return _column(x, validity, shift, weight, learned, scored, 0, x.size, moments, counts, span, out, missing, 0)


@part
def _put_side_by_side(some: F32, width: int, tile: F32, left: int, first: int, last: int) -> None:
    """tile[first + i, left + c] = some[c, i], four rows of four columns at a time."""
    like, pitch, across = lanes(np.float32(0), 4), some.shape[1], tile.shape[1]
    square, even = width // 4 * 4, (last - first) // 4 * 4
    for c in range(0, square, 4):
        for i in range(0, even, 4):
            at, into = c * pitch + i, (first + i) * across + left + c
            rows = turned(
                load(some, at, like), load(some, at + pitch, like), load(some, at + 2 * pitch, like),
                load(some, at + 3 * pitch, like),
            )  # fmt: skip
            store(tile, into, rows[0])
            store(tile, into + across, rows[1])
            store(tile, into + 2 * across, rows[2])
            store(tile, into + 3 * across, rows[3])
        for i in range(even, last - first):
            for k in range(c, c + 4):
                tile[first + i, left + k] = some[k, i]
    for i in range(last - first):
        for k in range(square, width):
            tile[first + i, left + k] = some[k, i]


@kernel
def standardise_columns(
    places: I64, weight: F64, moments: F64, counts: I64, spans: F64, tile: F32, missing: U8, lost: I64
) -> None:
    """`standardise` for d columns, into the first d of the tile, f32[n, >= d]; lost, i64[d], is written.

    places: i64[d, 4], where in memory the values of each column are, and its validity (0: all valid), from which bit, and 1
    if the values are float32, 0 if float64; they have to stay there. moments: f64[d, 8]; counts: i64[d, 4]; spans: f64[d, 2],
    the lowest and highest finite value in rows of weight > 0; missing: u8[d, n], written in columns where there is any.

    Some rows of some columns at a time, so that they are in the nearest cache when they are put side by side, and the rows of
    the tile still in the next one when the columns after these come.
    """
    n, d = tile.shape[0], lost.size
    learned = _count_others(weight, 1.0) == 0
    scored = not learned and _count_others(weight, 0.0) == 0
    some = np.empty((SIDE_BY_SIDE, CHUNK + STAGGER), np.float32)
    lost[:] = 0
    for first in range(0, n, CHUNK):
        last = min(n, first + CHUNK)
        for left in range(0, d, SIDE_BY_SIDE):
            width = min(SIDE_BY_SIDE, d - left)
            for c in range(width):
                j = left + c
                size = 4 if places[j, 3] == 1 else 8
                for k in range(last * size, min(last + CHUNK, n) * size, LINE):  # what this column is read of next
                    prefetch(numbers_at(places[j, 0], np.uint8(0), 0), k)
                bits = (places[j, 2] + n + 7) // 8 if places[j, 1] else 0
                validity = numbers_at(places[j, 1], np.uint8(0), bits)
                if places[j, 3] == 1:
                    x = numbers_at(places[j, 0], np.float32(0), n)
                    lost[j] = _column(
                        x, validity, places[j, 2], weight, learned, scored, first, last, moments[j], counts[j], spans[j],
                        some[c], missing[j], lost[j],
                    )  # fmt: skip
                else:
                    wide = numbers_at(places[j, 0], np.float64(0), n)
                    lost[j] = _column(
                        wide, validity, places[j, 2], weight, learned, scored, first, last, moments[j], counts[j], spans[j],
                        some[c], missing[j], lost[j],
                    )  # fmt: skip
            _put_side_by_side(some, width, tile, left, first, last)
