"""How loss, calibration and evidence went over the stream: at most 32 stretches of equally many labelled events.

A mark keeps the tally's sums as they stand and the highest evidence since the mark before, so a stretch is the difference of
two marks. Where 32 are full, every other one goes and stretches are twice as long: 512 labelled events at first. A
stream cut otherwise has the same marks. Cost: some 40 µs a mark, of which a million events have at most 130; 4 kB.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.fixed import counting
from onlogit.kernels.evidence import LATELY, NOW, Evidence
from onlogit.kernels.tally import BRIER, EXAMPLES, EXPECTED, LOSS, OUTCOMES, VARIANCE, Tally, carry, values
from onlogit.monitor.estimates import Z95

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]

STRETCHES = 32
FIRST = 512  # labelled events
MARKS, LENGTH, SEEN, END = range(4)
SUMS = np.array([EXAMPLES, OUTCOMES, EXPECTED, VARIANCE, BRIER, LOSS])


class Timeline(NamedTuple):
    """The marks; every field is changed in place. The first is where the stretches begin."""

    event: I64  # [33] events before each mark
    totals: I64  # [33, 6, 2] sums of the tally, in the order of SUMS
    peak: F64  # [33] highest evidence between the mark before and this one
    clock: I64  # [4] stretches so far; labelled events in each; labelled events so far; events so far


class Stretch(NamedTuple):
    """A stretch of the stream. Rates by weight; events and not labels are counted where it begins and ends."""

    first: int  # events before it
    events: int
    examples: float  # weight of labelled events
    log_loss: float  # nats an example
    brier: float
    observed: float  # mean outcome
    stated: float  # mean p
    range: float  # 95 % of honest stretches have `observed` no farther from `stated`
    evidence: float  # the highest in it


def new_timeline() -> Timeline:
    """Of a stream that has not begun."""
    return Timeline(
        np.zeros(STRETCHES + 1, np.int64),
        np.zeros((STRETCHES + 1, len(SUMS), 2), np.int64),
        np.zeros(STRETCHES + 1),
        np.array([0, FIRST, 0, 0], np.int64),
    )


def cut(timeline: Timeline, evidence: Evidence, y: I8, weight: F64) -> list[tuple[int, int]]:
    """Parts of the rows that come next, each to be counted by itself: the row before which it ends, and how many of it are
    labelled. Marks that would be gone again by the end of the rows are not made."""
    told = (y >= 0) & (weight > 0.0)
    labelled = counting(len(y)) if told.all() else np.flatnonzero(told)
    _thin(timeline, evidence, len(labelled))
    _, length, seen, _ = timeline.clock.tolist()
    lacking = length - seen % length
    parts, done = [(last + 1, length) for last in labelled[lacking - 1 :: length].tolist()], 0
    if parts:
        done, parts[0] = parts[-1][0], (parts[0][0], lacking)
    if done < len(y):
        parts.append((len(y), len(labelled) - sum(own for _, own in parts)))
    return parts


def count(timeline: Timeline, event: int, labelled: int, tally: Tally, evidence: Evidence) -> None:
    """Count one of the parts that `cut` made, up to this event, after it was tallied and judged; make the mark that is due."""
    clock = timeline.clock
    clock[SEEN] += labelled
    clock[END] = max(int(clock[END]), event + 1)
    if not labelled or clock[SEEN] % clock[LENGTH]:
        return
    clock[MARKS] += 1
    k = int(clock[MARKS])
    timeline.event[k], timeline.totals[k] = clock[END], tally.totals[SUMS]
    timeline.peak[k] = evidence.level[LATELY]
    evidence.level[LATELY] = evidence.level[NOW]


def _thin(timeline: Timeline, evidence: Evidence, labelled: int) -> None:
    """Keep every other mark, until there is room for the marks of so many more labelled events."""
    clock = timeline.clock
    while (clock[SEEN] + labelled) // clock[LENGTH] > STRETCHES:
        marks, half = int(clock[MARKS]), int(clock[MARKS]) // 2
        if marks % 2:  # the last one goes, and what came before it is of the stretch that is not full
            evidence.level[LATELY] = max(evidence.level[LATELY], timeline.peak[marks])
        timeline.peak[1 : half + 1] = np.maximum(timeline.peak[1 : 2 * half : 2], timeline.peak[2 : 2 * half + 1 : 2])
        for kept in (timeline.event, timeline.totals):
            kept[: half + 1] = kept[: 2 * half + 1 : 2].copy()
        for each in (timeline.event, timeline.totals, timeline.peak):
            each[half + 1 :] = 0
        clock[MARKS], clock[LENGTH] = half, 2 * clock[LENGTH]


def stretches(timeline: Timeline, tally: Tally, evidence: Evidence) -> list[Stretch]:
    """All of them in order, and the one that is not full yet. Those without weight are left out."""
    k = int(timeline.clock[MARKS]) + 1
    event = np.append(timeline.event[:k], timeline.clock[END])
    totals = np.concatenate([timeline.totals[:k], tally.totals[None, SUMS]])
    peak = np.append(timeline.peak[1:k], evidence.level[LATELY])
    sums = carry(np.diff(totals, axis=0))
    told = []
    for j, (n, y, p, variance, brier, loss) in enumerate(values(sums).tolist()):
        if n > 0.0:
            first, end = int(event[j]), int(event[j + 1])
            chance = Z95 * variance**0.5 / n
            told.append(Stretch(first, end - first, n, loss / n, brier / n, y / n, p / n, chance, float(peak[j])))
    return told


def restarted(tally: Tally, events: int) -> Timeline:
    """A timeline that begins now."""
    fresh = new_timeline()
    fresh.event[0], fresh.totals[0], fresh.clock[END] = events, tally.totals[SUMS], events
    return fresh


def sound(timeline: Timeline) -> bool:
    """Whether a timeline that was read could have been made here."""
    marks, length, seen, end = timeline.clock.tolist()
    if not (
        0 <= marks <= STRETCHES and length >= FIRST and length % FIRST == 0 and seen >= 0 and marks == seen // length
    ):
        return False
    event = timeline.event[: marks + 1]
    return bool((np.diff(event) >= 0).all() and event[0] >= 0 and event[-1] <= end and (timeline.peak >= 0.0).all())
