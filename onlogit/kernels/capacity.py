"""Keep to a capacity: of the events of a window take the k highest, each decided at once, without waiting for the end.

Each event is ranked among recent ones by a histogram of z that forgets (half-life: one window, at least 2,000 events).
With r of the budget left for about n events still to come, one in the top r/n is taken. Deciding anew by what is left
at each event loses a bounded number of events against hindsight, whatever the window's size, where scores come alike
(Bumpensanti & Wang 2020), and ends each window within an event or so of its budget. Never more than k are taken.

n is exact for windows of events; for windows of time it comes from the recent mean gap between events. Ties within a bin
of 1/128 in z are broken by a hash of the event's number. State is bounded (65 kB) and the same however a stream is
cut. Cost: about 60 ns an event.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.hashing import mix
from onlogit.kernels.jit import inline, kernel

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
B = npt.NDArray[np.bool_]

BINS = 4096  # of 1/128 in z, from +16 down to -16
SHORTEST = 2000.0  # the least half-life of the histogram, in events
LARGEST = 1e100  # the weight of an event at which all weights are scaled back
EVENTS, WINDOW, USED, CLOCK = range(4)
STEP, TOTAL, GAPS, GAP_TOTAL = range(4)
UNIT = 2.0**-53


class Capacity(NamedTuple):
    """All that is remembered of a stream; every field is changed in place."""

    tree: F64  # [BINS + 1] a Fenwick tree over the weights of the bins, highest z first; [0] is not used
    mass: F64  # [BINS] the weights themselves
    counts: I64  # [4] events so far; number of the window; how many were taken in it; the latest clock
    sums: F64  # [4] weight of the next event; Σ weights; Σ weights of gaps x gap; Σ weights of gaps


def new_capacity() -> Capacity:
    """Nothing seen yet."""
    return Capacity(np.zeros(BINS + 1), np.zeros(BINS), np.array([0, -1, 0, 0]), np.array([1.0, 0.0, 0.0, 0.0]))


@inline
def _enter(place: int, weight: float, tree: F64, mass: F64) -> None:
    mass[place] += weight
    at = place + 1
    while at < tree.size:
        tree[at] += weight
        at += at & -at


@inline
def _above(place: int, tree: F64) -> float:
    """The weight of the bins before this one."""
    total = 0.0
    at = place
    while at > 0:
        total += tree[at]
        at -= at & -at
    return total


@inline
def _rescale(tree: F64, mass: F64, sums: F64) -> None:
    factor = 1.0 / sums[STEP]
    for b in range(mass.size):
        tree[b] *= factor
        mass[b] *= factor
    tree[mass.size] *= factor
    for j in range(sums.size):
        sums[j] *= factor


@kernel
def choose(
    tree: F64,  # the four fields of Capacity; changed
    mass: F64,
    counts: I64,
    sums: F64,
    z: F64,  # [n] log-odds; -inf for an event that is not to be taken whatever comes
    clock: I64,  # [n] number of the event, or its time
    wanted: B,  # [n] whether there is anything to be taken for
    budget: int,  # k
    length: int,  # of a window, on the clock
    growth: float,  # 2^(1 / half-life)
    taken: B,  # [n] written
) -> None:
    """taken[i] = wanted, and in the top r/n of recent events."""
    for i in range(z.size):
        now = max(clock[i], counts[CLOCK]) if counts[EVENTS] > 0 else clock[i]
        if counts[EVENTS] > 0:
            sums[GAPS] += sums[STEP] * (now - counts[CLOCK])
            sums[GAP_TOTAL] += sums[STEP]
        counts[CLOCK] = now
        window = now // length
        if window != counts[WINDOW]:
            counts[WINDOW] = window
            counts[USED] = 0
        place = min(max(int((16.0 - min(max(z[i], -17.0), 17.0)) * 128.0), 0), mass.size - 1)
        _enter(place, sums[STEP], tree, mass)
        sums[TOTAL] += sums[STEP]
        draw = (mix(np.uint64(counts[EVENTS])) >> np.uint64(11)) * UNIT
        rank = (_above(place, tree) + draw * mass[place]) / sums[TOTAL]
        left = (window + 1) * length - now - 1
        to_come = 1.0
        if sums[GAPS] > 0.0:
            to_come += left * (sums[GAP_TOTAL] / sums[GAPS])
        else:
            to_come += left
        taken[i] = wanted[i] and rank * to_come < budget - counts[USED]
        if taken[i]:
            counts[USED] += 1
        counts[EVENTS] += 1
        sums[STEP] *= growth
        if sums[STEP] > LARGEST:
            _rescale(tree, mass, sums)
