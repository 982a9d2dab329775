"""What arrays have to be before the monitor takes them over from a file, which may hold anything: kernels and readings trust
them. No state that a stream can leave is refused."""

from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.kernels.arms import ROWS, TERMS
from onlogit.kernels.drift import EVERY, KEPT, MIX, NEVER, PRIOR, Drift
from onlogit.kernels.evidence import (
    FIRST_SETTLE,
    JUDGED,
    LAST_ALARM,
    LATELY,
    NEXT_SETTLE,
    NOW,
    PEAK,
    REPEATS,
    SETTLE_EVERY,
    Evidence,
)
from onlogit.kernels.fading import Recent
from onlogit.kernels.slices import ALARMED, AT, CLASSES, EVIDENCE, Slices
from onlogit.kernels.slices import PEAK as SLICE_PEAK
from onlogit.kernels.tally import EXAMPLES, EXPECTED, F64, I64, OF_BINS, OUTCOMES, PART_BITS, SCORE, Tally, carry
from onlogit.monitor.recent import coarse
from onlogit.monitor.timeline import MARKS, Timeline

Array = npt.NDArray[Any]

MOST = 1 << 60  # events, and numbers of them
MOST_TALLIED = 1 << 55  # whole units of a tally's sum: 64 for each of 2^43 examples, and 20 of them fit in 63 bits
LARGEST = 1e100  # of evidence, and of what it is multiplied by: products of a few stay finite
LATEST = 1e19  # of a clock, in any unit: of 64 bits of microseconds, or so many events
STEEPEST = 1600.0  # of what an event adds to a sum: p(1-p) ℓ², ℓ being held to ±40
STEEPEST_SLICE = 1e5  # of a slope's e^((1-b) c), |c| <= 16
MOST_LATE = 2.0 * (PRIOR + EVERY / (1.0 - KEPT))  # events in a histogram that forgets
SLACK = 1e-9  # of a sum: what rounding may take from it
GROWING = [k for k in range(7) if k != SCORE]  # the sums of Tally.totals that no event makes less


def demand(fits: object, name: str, what: str) -> None:
    """A StateError that names the array, as "part.array", and `what` it has to be, where it does not fit."""
    if not fits:
        part, _, array = name.rpartition(".")
        raise StateError(f"{part}: the array {array!r} is not {what}")


def between(array: Array, least: Any, most: Any) -> bool:
    """Whether all lie there; NaN does not."""
    return bool(((array >= least) & (array <= most)).all())


def ascending(array: Array) -> bool:
    """Whether none is less than the one before it; NaN is."""
    return bool((array[1:] >= array[:-1]).all()) and not np.isnan(array).any()


def require_between(array: Array, name: str, least: float, most: float) -> None:
    """A StateError unless all lie there."""
    demand(between(array, least, most), name, f"of numbers from {least:g} to {most:g}")


def require_counts(array: Array, name: str, most: int = MOST) -> None:
    """A StateError unless these are whole numbers from 0 to `most`."""
    demand(between(array, 0, most) and (array == np.floor(array)).all(), name, f"of whole numbers from 0 to {most:,}")


def require_evidence(array: Array, name: str) -> None:
    """A StateError unless these are from 0 to LARGEST."""
    require_between(array, name, 0.0, LARGEST)


def require_runs(array: Array, name: str) -> None:
    """A StateError unless these are likelihood ratios, which nothing holds where the clock stands still."""
    require_between(array, name, 0.0, np.inf)


def require_terms(sums: F64, name: str) -> None:
    """A StateError unless these [.., TERMS or more] are sums of n, y, p, p(1-p), .. over n events."""
    n, y, p, v = np.moveaxis(sums[..., :4], -1, 0)
    rest, slack = sums[..., 4:TERMS], SLACK * (n + 1.0)
    fits = between(n, 0.0, MOST) and between(y, 0.0, n) and bool((np.floor(sums[..., :2]) == sums[..., :2]).all())
    fits = fits and between(p, -slack, n + slack) and between(v, -slack, n + slack)
    fits = fits and between(rest, *(side * STEEPEST * (n + 1.0)[..., None] for side in (-1.0, 1.0)))
    demand(fits and (sums[..., TERMS:] == 0.0).all(), name, "of sums over events")


def require_before(before: F64, totals: F64, name: str) -> None:
    """A StateError unless these sums [.., TERMS or more] are sums over events, and were such before those."""
    require_terms(before, name)
    slack = SLACK * (totals[..., :1] + 1.0)
    demand((before[..., :4] <= totals[..., :4] + slack).all(), name, "of sums as they stood before")


def require_limbs(sums: I64, name: str, *, signed: bool = False) -> None:
    """A StateError unless these [.., 2] are sums in two limbs, each 0 or more unless `signed`."""
    whole, part = sums[..., 0], sums[..., 1]
    least = -MOST_TALLIED if signed else 0
    fits = between(whole, least, MOST_TALLIED) and between(part, 0, (1 << PART_BITS) - 1)
    demand(fits, name, "of sums in two limbs")


def no_less(later: I64, earlier: I64) -> bool:
    """Whether sums [.., 2] in two limbs are no less than others."""
    grown = later - earlier
    return bool(((grown[..., 0] > 0) | ((grown[..., 0] == 0) & (grown[..., 1] >= 0))).all())


def require_tally(tally: Tally) -> None:
    """A StateError unless bins and ranks add up to the totals, of which outcomes and Σp are no more than examples."""
    require_limbs(tally.totals[GROWING], "tally.totals")
    require_limbs(tally.totals[[SCORE]], "tally.totals", signed=True)
    n = tally.totals[EXAMPLES]
    for k in (OUTCOMES, EXPECTED):
        demand(no_less(n, tally.totals[k]), "tally.totals", "of no more outcomes than examples")
    for name in ("shares", "odds"):
        bins = getattr(tally, name)
        require_limbs(bins, f"tally.{name}")
        within = all(no_less(bins[:, 0], bins[:, k]) for k in (1, 2))
        same = np.array_equal(carry(bins.sum(axis=0)), tally.totals[list(OF_BINS)])
        demand(within and same, f"tally.{name}", "what adds up to the totals")
    demand((tally.ranks >= 0).all(), "tally.ranks", "of weights")
    negative, positive = (sum(tally.ranks[:, k].tolist()) << PART_BITS - 20 for k in range(2))
    known = [(int(whole) << PART_BITS) + int(part) for whole, part in tally.totals[[EXAMPLES, OUTCOMES]]]
    demand([negative + positive, positive] == known, "tally.ranks", "what adds up to the totals")


def require_recent(recent: Recent, tally: Tally) -> None:
    """A StateError unless marks hold no more than the tally, and what fades is a past."""
    seen, marks = recent.seen.tolist()
    demand(0 <= seen <= MOST and 1 <= marks <= MOST, "recent.seen", "of events and marks")
    require_limbs(recent.totals[:, GROWING], "recent.totals")
    require_limbs(recent.totals[:, [SCORE]], "recent.totals", signed=True)
    require_limbs(recent.shares, "recent.shares")
    ranks = recent.ranks
    held = no_less(tally.totals[GROWING], recent.totals[:, GROWING]) and no_less(tally.shares, recent.shares)
    demand(held, "recent.totals", "of sums that the tally has come to")
    demand(between(ranks, 0, coarse(tally.ranks)), "recent.ranks", "of sums that the tally has come to")
    require_between(recent.faded_totals[GROWING], "recent.faded_totals", 0.0, MOST)
    require_between(recent.faded_totals, "recent.faded_totals", -MOST, MOST)
    n = recent.faded_totals[EXAMPLES] * (1.0 + SLACK) + SLACK
    demand((recent.faded_totals[[OUTCOMES, EXPECTED]] <= n).all(), "recent.faded_totals", "of a past that fades")
    for name in ("faded_shares", "faded_ranks"):
        require_between(getattr(recent, name), f"recent.{name}", 0.0, MOST)
    n = recent.faded_shares[:, :1] * (1.0 + SLACK) + SLACK
    demand((recent.faded_shares[:, 1:3] <= n).all(), "recent.faded_shares", "of a past that fades")


def require_timeline(timeline: Timeline, totals: I64) -> None:
    """A StateError unless the marks' sums only grow, up to `totals` [6, 2] now."""
    require_counts(timeline.clock, "timeline.clock")
    require_evidence(timeline.peak, "timeline.peak")
    require_limbs(timeline.totals, "timeline.totals")
    marks = np.concatenate([timeline.totals[: int(timeline.clock[MARKS]) + 1], totals[None]])
    demand(no_less(marks[1:], marks[:-1]), "timeline.totals", "of sums that only grow, up to the tally's")


def require_calibration(evidence: Evidence) -> None:
    """A StateError unless a detector can have come to this."""
    judged, settle, last, repeats = evidence.clock[[JUDGED, NEXT_SETTLE, LAST_ALARM, REPEATS]].tolist()
    due = 0 <= judged <= settle <= judged + SETTLE_EVERY and settle >= FIRST_SETTLE
    demand(due and settle <= MOST and -1 <= last <= judged and 0 <= repeats <= MOST, "evidence.clock",
           f"of counts that agree: {evidence.clock.tolist()}")  # fmt: skip
    require_evidence(evidence.sums, "evidence.sums")
    require_runs(evidence.runs, "evidence.runs")
    require_evidence(evidence.level[[NOW, PEAK, LATELY]], "evidence.level")
    for name in ("level", "started"):
        require_between(getattr(evidence, name), f"evidence.{name}", -LATEST, LARGEST)
    require_counts(evidence.onset_event, "evidence.onset_event")
    require_terms(evidence.totals, "evidence.totals")
    require_before(evidence.before, evidence.totals[ROWS], "evidence.before")
    require_between(evidence.cells, "evidence.cells", 0.0, MOST)
    demand(judged == 0 or evidence.cells.sum() > 0.0, "evidence.cells", "of events that were judged")
    demand(ascending(evidence.edges) and between(evidence.edges, -16.0, 16.0), "evidence.edges", "ascending log-odds")
    require_between(evidence.pivots[:2], "evidence.pivots", -16.0, 16.0)
    require_between(evidence.pivots[2:], "evidence.pivots", -STEEPEST * MOST, STEEPEST * MOST)


def require_drift(drift: Drift, counts: F64) -> None:
    """A StateError unless detectors can have come to this from a reference of so many events, counts [C, BINS], each row above
    0."""
    require_evidence(drift.level, "features.drift.level")
    require_evidence(drift.ratio, "features.drift.ratio")
    require_between(drift.telling, "features.drift.telling", 0.0, 1.0)
    for name in ("shares", "low", "high"):
        require_between(getattr(drift, name), f"features.drift.{name}", 0.0, 1.0 + SLACK)
    counted = counts / counts.sum(axis=1, keepdims=True)
    demand(
        between(drift.shares.sum(axis=1), 1.0 - SLACK, 1.0 + SLACK),
        "features.drift.shares",
        "of shares that add up to 1",
    )
    demand((drift.shares >= (1.0 - MIX) * counted - SLACK).all(), "features.drift.shares", "of the reference")
    demand((drift.low <= counted + SLACK).all(), "features.drift.low", "of bounds of the reference's shares")
    demand((drift.high >= counted - SLACK).all(), "features.drift.high", "of bounds of the reference's shares")
    demand(
        ((drift.high > 0.0) | (drift.shares == 0.0)).all(), "features.drift.high", "of bounds of the reference's shares"
    )
    require_between(drift.late, "features.drift.late", 0.0, MOST_LATE)
    demand(between(drift.late.sum(axis=1), 1.0, MOST_LATE), "features.drift.late", "of counts that fade")
    clock = drift.clock
    require_counts(clock[:1], "features.drift.clock")
    require_between(clock[1:2], "features.drift.clock", -LATEST, LATEST)
    require_between(clock[2:], "features.drift.clock", 1.0, MOST_LATE)
    demand(
        ((drift.warned == NEVER) | between_each(drift.warned, -LATEST, LATEST)).all(),
        "features.drift.warned",
        "of clocks",
    )
    demand((drift.due == 0).all(), "features.drift.due", "0: no warning waits")


def between_each(array: Array, least: float, most: float) -> npt.NDArray[np.bool_]:
    """Which lie there."""
    inside: npt.NDArray[np.bool_] = (array >= least) & (array <= most)
    return inside


def require_slices(slices: Slices, named: int, part: str) -> None:
    """A StateError unless detectors of a column whose first `named` values have a name can have come to this.

    part: what it is called.
    """
    (most, _), (seen,) = slices.sums.shape, slices.seen.tolist()
    demand(0 <= seen <= named or seen == most == named + 1, f"{part}.seen", "of slices that have a name")
    require_evidence(slices.sums, f"{part}.sums")
    require_runs(slices.runs, f"{part}.runs")
    require_counts(slices.onset_event, f"{part}.onset_event")
    require_terms(slices.totals, f"{part}.totals")
    require_before(slices.before, slices.totals[:, None], f"{part}.before")
    require_between(slices.slopes, f"{part}.slopes", 1.0 / STEEPEST_SLICE, STEEPEST_SLICE)
    demand(between(slices.slopes[:, :2] * slices.slopes[:, 2:], 1.0 - SLACK, 1.0 + SLACK), f"{part}.slopes", "inverses")
    require_evidence(slices.level[:, [EVIDENCE, SLICE_PEAK]], f"{part}.level")
    require_between(slices.clock, f"{part}.clock", -LATEST, LATEST)
    alarmed, at = slices.level[:, ALARMED], slices.level[:seen, AT]
    demand(between(at, -LATEST, float(slices.clock[0])), f"{part}.level", "of clocks up to now")
    demand(((alarmed == NEVER) | between_each(alarmed, -LATEST, LATEST)).all(), f"{part}.level", "of clocks up to now")
    require_counts(slices.grade, f"{part}.grade", CLASSES - 1)
    same = np.array_equal(np.bincount(slices.grade[:seen], minlength=CLASSES), slices.grades)
    demand(same and not slices.grade[seen:].any(), f"{part}.grades", "how many slices are in each")
