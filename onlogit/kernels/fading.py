"""Marks of a tally: its sums at eight moments of late, and sums over a past that fades. monitor/recent.py reads them.

Cost: 5 µs a mark.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import kernel, unsigned
from onlogit.kernels.tally import UNIT, WEIGHT_UNIT, Tally, tally_rows

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

MARKS = 8
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
    """Ranks in fewer cells. ranks: int64[RANKS, 2]; out: int64[cells, 2], written; cells divides RANKS."""
    cells = unsigned(out.shape[0])
    per = unsigned(ranks.shape[0] // out.shape[0])
    for i in range(cells):
        negative = positive = 0
        for j in range(i * per, (i + np.uint64(1)) * per):
            negative += ranks[j, 0]
            positive += ranks[j, 1]
        out[i, 0], out[i, 1] = negative, positive


@kernel
def mark(tally: Tally, recent: Recent) -> None:
    """Keep the sums as they are, and let those that fade take up what came since the last mark."""
    last, at = (recent.seen[1] - 1) % MARKS, recent.seen[1] % MARKS
    for i in range(tally.totals.shape[0]):
        total, then = tally.totals[i], recent.totals[last, i]
        recent.faded_totals[i] = recent.faded_totals[i] * FADE + (total[0] - then[0]) + (total[1] - then[1]) / UNIT
        for k in range(2):
            recent.totals[at, i, k] = total[k]
    for j in range(tally.shares.shape[0]):
        for i in range(tally.shares.shape[1]):
            share, then = tally.shares[j, i], recent.shares[last, j, i]
            recent.faded_shares[j, i] = (
                recent.faded_shares[j, i] * FADE + (share[0] - then[0]) + (share[1] - then[1]) / UNIT
            )
            for k in range(2):
                recent.shares[at, j, i, k] = share[k]
    coarsen(tally.ranks, recent.ranks[at])
    for i in range(recent.ranks.shape[1]):
        for k in range(2):
            new = (recent.ranks[at, i, k] - recent.ranks[last, i, k]) / WEIGHT_UNIT
            recent.faded_ranks[i, k] = recent.faded_ranks[i, k] * FADE + new
    recent.seen[1] += 1


@kernel
def tally_lately(tally: Tally, recent: Recent, step: int, z: F64, y: I8, weight: F64) -> None:
    """Tally rows in order (kernels/tally.py), with a mark at every `step` labelled ones of weight above 0."""
    row = 0
    while row < z.size:
        room = step - recent.seen[0] % step
        end = row
        rows = 0
        while end < z.size and rows < room:
            rows += 1 if y[end] >= 0 and weight[end] > 0.0 else 0
            end += 1
        tally_rows(tally, z[row:end], y[row:end], weight[row:end])
        recent.seen[0] += rows
        if rows == room:
            mark(tally, recent)
        row = end
