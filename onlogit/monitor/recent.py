"""What happened lately: the last N labelled events, and a past that fades.

Sums add exactly, so recent ones are those now less those at an earlier mark. A ring keeps eight marks, N/8 labelled events
apart: the window is the last 7/8 N to N of them. At each mark the faded sums are multiplied by 2^(-1/8) and what came since
is added: a half-life of N. kernels/fading.py makes the marks; 86 kB.
"""

import numpy as np

from onlogit.kernels.fading import CELLS, FADE, MARKS, Recent, coarsen
from onlogit.kernels.tally import I64, WEIGHT_UNIT, Tally, carry, values
from onlogit.monitor.estimates import Sums


def new_recent() -> Recent:
    """Of a stream that has not begun: its start is the first mark."""
    return Recent(
        np.zeros((MARKS, 7, 2), np.int64),
        np.zeros((MARKS, 20, 4, 2), np.int64),
        np.zeros((MARKS, CELLS, 2), np.int64),
        np.zeros(7),
        np.zeros((20, 4)),
        np.zeros((CELLS, 2)),
        np.array([0, 1], np.int64),
    )


def step(window: int) -> int:
    """Labelled events between two marks."""
    return max(window // MARKS, 1)


def first_mark(recent: Recent) -> int:
    """The mark at which the window begins."""
    return int(recent.seen[1]) % MARKS if recent.seen[1] >= MARKS else 0


def windowed(recent: Recent, tally: Tally) -> Sums:
    """Sums over the last 7/8 N to N labelled events."""
    return _since(recent, tally, first_mark(recent))


def faded(recent: Recent, tally: Tally) -> Sums:
    """Sums in which an event counts half after N more."""
    new = _since(recent, tally, int(recent.seen[1] - 1) % MARKS)
    return Sums(
        FADE * recent.faded_totals + new.totals,
        FADE * recent.faded_shares + new.shares,
        FADE * recent.faded_ranks + new.ranks,
    )


def coarse(ranks: I64) -> I64:
    """Ranks in 512 cells."""
    summed = np.empty((CELLS, 2), np.int64)
    coarsen(ranks, summed)
    return summed


def _since(recent: Recent, tally: Tally, mark: int) -> Sums:
    return Sums(
        values(carry(tally.totals - recent.totals[mark])),
        values(carry(tally.shares - recent.shares[mark])),
        (coarse(tally.ranks) - recent.ranks[mark]) / WEIGHT_UNIT,
    )
