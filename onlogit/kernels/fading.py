"""Marks of a tally: its sums at eight moments of late, and sums over a past that fades. monitor/recent.py reads them.

Cost: 5 µs a mark.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, kernel, unsigned
from onlogit.kernels.tally import RANKS, UNIT, WEIGHT_UNIT, Tally, tally_rows

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

MARKS = 8
CELLS = 512
PER_CELL = RANKS // CELLS
FADE = 2.0 ** (-1.0 / MARKS)


class Recent(NamedTuple):
    """The marks, and the faded sums; every field is changed in place."""

    totals: I64  # [8, 7, 2] Tally.totals at each mark
    shares: I64  # [8, 20, 4, 2]
    ranks: I64  # [8, 512, 2] in cells of 1/16
    faded_totals: F64  # [7] up to the last mark
    faded_shares: F64  # [20, 4]
    faded_ranks: F64  # [512, 2]
    seen: I64  # [2] labelled events of weight above 0 so far; marks so far


@kernel
def coarsen(ranks: I64, out: I64) -> None:
    """Ranks in fewer cells. ranks: int64[RANKS, 2]; out: int64[CELLS, 2], written."""
    for i in range(unsigned(CELLS)):
        negative = positive = 0
        for j in range(PER_CELL):
            at = i * np.uint64(PER_CELL) + np.uint64(j)
            negative += ranks[at, 0]
            positive += ranks[at, 1]
        out[i, 0], out[i, 1] = negative, positive


@kernel
def mark(tally: Tally, recent: Recent) -> None:
    """Keep the sums as they are, and let those that fade take up what came since the last mark.

    All arrays flat: a view of each row would be counted by Numba, which took as long as the rest.
    """
    last, at = (recent.seen[1] - 1) % MARKS, recent.seen[1] % MARKS
    coarsen(tally.ranks, recent.ranks[at])
    _fade(tally.totals.ravel(), recent.totals[last].ravel(), recent.totals[at].ravel(), recent.faded_totals)
    _fade(tally.shares.ravel(), recent.shares[last].ravel(), recent.shares[at].ravel(), recent.faded_shares.ravel())
    ranks, then, faded = recent.ranks[at].ravel(), recent.ranks[last].ravel(), recent.faded_ranks.ravel()
    for i in range(2 * CELLS):
        faded[i] = faded[i] * FADE + (ranks[i] - then[i]) / WEIGHT_UNIT
    recent.seen[1] += 1


@inline
def _fade(sums: I64, then: I64, kept: I64, faded: F64) -> None:
    """Of sums of two limbs."""
    for i in range(unsigned(faded.size)):
        k = np.uint64(2) * i
        faded[i] = faded[i] * FADE + (sums[k] - then[k]) + (sums[k + np.uint64(1)] - then[k + np.uint64(1)]) / UNIT
        kept[k], kept[k + np.uint64(1)] = sums[k], sums[k + np.uint64(1)]


@inline
def _rows_of(labelled: int, y: I8, weight: F64, row: int) -> tuple[int, int]:
    """After which row the next so many labelled ones of weight above 0 are complete, or the last, and how many there are."""
    rows = 0
    while rows < labelled and row < y.size:
        stop = min(row + labelled - rows, y.size)
        for i in range(unsigned(row), unsigned(stop)):
            rows += (y[i] >= 0) & (weight[i] > 0.0)
        row = stop
    return row, rows


@kernel
def tally_lately(tally: Tally, recent: Recent, step: int, z: F64, y: I8, weight: F64) -> None:
    """Tally rows in order (kernels/tally.py), with a mark at every `step` labelled ones of weight above 0."""
    row = 0
    while row < z.size:
        room = step - recent.seen[0] % step
        end, rows = _rows_of(room, y, weight, row)
        tally_rows(tally, z[row:end], y[row:end], weight[row:end])
        recent.seen[0] += rows
        if rows == room:
            mark(tally, recent)
        row = end
