"""The monitors of several workers as one: tallies add exactly.

A tally is a sum of whole numbers, so that of all parts, each less the common base, is to the byte the tally of one
monitor that judged every event.

`merge` is for models: what is merged states other probabilities than its parts did, so evidence against theirs restarts at
zero, and no alarm is open. `merge_evidence` is for workers that judged parts of one stream of probabilities.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onlogit.kernels.arms import ROWS
from onlogit.kernels.evidence import (
    ALARMED,
    F64,
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
    new_evidence,
)
from onlogit.kernels.fading import FADE, Recent
from onlogit.kernels.tally import Tally, carry
from onlogit.monitor import timeline
from onlogit.monitor.recent import coarse, faded, first_mark, new_recent
from onlogit.monitor.timeline import Timeline

State = dict[str, np.ndarray[Any, Any]]


def merge(fresh: State, base: State, parts: Sequence[State]) -> State:
    """States of calibration monitors with the same settings; `fresh` that of one that has seen nothing."""
    merged = fresh | {f"tally.{name}": _add(name, base, parts) for name in Tally._fields}
    for name in ("totals", "shares"):  # recent is what comes from here on
        merged[f"recent.{name}"] = fresh[f"recent.{name}"].copy()
        merged[f"recent.{name}"][0] = merged[f"tally.{name}"]
    merged["recent.ranks"] = fresh["recent.ranks"].copy()
    merged["recent.ranks"][0] = coarse(merged["tally.ranks"])
    states = [{name: state[f"timeline.{name}"] for name in Timeline._fields} for state in parts]
    events = max(int(state["clock"][timeline.END]) for state in states)
    begun = timeline.restarted(Tally(*(merged[f"tally.{name}"] for name in Tally._fields)), events)
    return merged | {f"timeline.{name}": array for name, array in begun._asdict().items()}


def follows(base: State, part: State) -> bool:
    """Whether a monitor in the state `base` can have become `part`, unless that began anew: sums are no less."""
    return all(
        _no_less(base[f"tally.{name}"], part[f"tally.{name}"]) for name in ("totals", "shares", "odds")
    ) and bool((part["tally.ranks"] >= base["tally.ranks"]).all())


def began_anew(base: State, part: State, labelled: int, no_weight: int) -> bool:
    """Whether a monitor has let go of what `base` had tallied; since then so many events were labelled, and so many had no
    weight.

    Its timeline goes on from where that of the base began, or from a merge, which had all of it.
    """
    if not base["tally.ranks"].any():
        return False
    (first, *_), (own_first, *_) = base["timeline.event"].tolist(), part["timeline.event"].tolist()
    before, own_before = base["timeline.totals"][0], part["timeline.totals"][0]
    if own_first == first and np.array_equal(own_before, before):
        seen = int(part["timeline.clock"][timeline.SEEN] - base["timeline.clock"][timeline.SEEN])
        return not labelled - no_weight <= seen <= labelled
    return bool(own_first <= first) or not _no_less(base["tally.totals"][timeline.SUMS], own_before)


def _no_less(base: np.ndarray[Any, Any], part: np.ndarray[Any, Any]) -> bool:
    """Whether sums [..., k, 2] in two limbs are no less; of the first three of each k alone, which only grow."""
    grown = part[..., :3, :] - base[..., :3, :]
    return bool(((grown[..., 0] > 0) | ((grown[..., 0] == 0) & (grown[..., 1] >= 0))).all())


def merge_evidence(parts: Sequence[Evidence], weights: F64, by_time: bool) -> Evidence:
    """The evidence of workers that each judged its own events, each in their order.

    Counted in events, R_k adds: with n_i events at worker i, every M_i - n_i is a supermartingale, and so is Σ M_i - Σ n_i.
    Counted in time, which goes on for all of them alike, R_k is averaged. The onset of an arm is that of the worker with
    the largest likelihood ratio, and so are the sums since then.
    """
    merged = new_evidence()
    for name in ("sums", "totals", "cells"):
        getattr(merged, name)[...] = sum(getattr(part, name) for part in parts)
    if by_time:
        merged.sums[...] /= len(parts)
        for part in parts:
            np.maximum(merged.started, part.started, out=merged.started)
    best = np.argmax([part.runs for part in parts], axis=0)
    for k, p in enumerate(best):
        part = parts[p]
        merged.runs[k], merged.onset_event[k] = part.runs[k], part.onset_event[k]
        merged.onset_time[k] = part.onset_time[k]
        merged.before[k] = merged.totals[ROWS[k]] - (part.totals[ROWS[k]] - part.before[k])
    most = max(parts, key=lambda part: int(part.clock[JUDGED]))
    merged.edges[...], merged.pivots[...] = most.edges, most.pivots
    judged = sum(int(part.clock[JUDGED]) for part in parts)
    since = [int(part.clock[JUDGED] - part.clock[LAST_ALARM]) for part in parts if part.clock[LAST_ALARM] >= 0]
    merged.clock[JUDGED] = judged
    merged.clock[NEXT_SETTLE] = judged + min(max(judged, FIRST_SETTLE), SETTLE_EVERY)
    merged.clock[LAST_ALARM] = judged - min(since) if since else -1
    merged.clock[REPEATS] = sum(int(part.clock[REPEATS]) for part in parts)
    merged.level[NOW] = float(weights @ merged.sums)
    merged.level[PEAK] = max(float(merged.level[NOW]), *(float(part.level[PEAK]) for part in parts))
    merged.level[ALARMED] = max(float(part.level[ALARMED]) for part in parts)
    merged.level[LATELY] = merged.level[NOW]
    return merged


def merge_recent(parts: Sequence[Recent], tally: Tally, tallies: Sequence[Tally]) -> Recent:
    """The windows of those workers: together their last events, and the pasts of each that fade, goes on from here.

    tally: that of all; tallies: their own. The sums before the windows add exactly.
    """
    merged = new_recent()
    for part, own in zip(parts, tallies, strict=True):
        at = first_mark(part)
        merged.totals[0] += part.totals[at]
        merged.shares[0] += part.shares[at]
        merged.ranks[0] += part.ranks[at]
        late = faded(part, own)
        for into, sums in zip((merged.faded_totals, merged.faded_shares, merged.faded_ranks), late, strict=True):
            into += sums
    for sums in (merged.totals[0], merged.shares[0]):
        carry(sums)
    for row, now in ((merged.totals, tally.totals), (merged.shares, tally.shares), (merged.ranks, coarse(tally.ranks))):
        row[1] = now
    for fading in (merged.faded_totals, merged.faded_shares, merged.faded_ranks):
        fading /= FADE
    merged.seen[:] = 0, 2
    return merged


def _add(name: str, base: State, parts: Sequence[State]) -> np.ndarray[Any, Any]:
    key = f"tally.{name}"
    total = base[key] + sum(part[key] - base[key] for part in parts)
    return total if name == "ranks" else carry(total)
