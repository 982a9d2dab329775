"""Weights over the stream: what they were at points that lie evenly in it, for the terms that matter most.

A point is taken just before an event is scored whose number is a multiple of the stride, 256 events at first; where 16
points are full every other one goes and the stride doubles, so that there are 8 to 16 of them, ever. A point that would
be gone again by the end of a batch is not taken. Followed are the baseline and the 48 numbers and the 48 slots with a name
that move log-odds most; who they are is settled anew at 256 events, 512, 1,024 and so on, and one that comes to be followed
late has no past.

Of a column of categories every event has one, so each is counted from their mean, as in explain.py. The mean is one by
what was learned of each (of the 256 slots of which that is most), which a learner knows at any point of a batch, and not by
how many events had each, which the encoder knows at the end of one: state is a function of the stream alone.

Cost: .3 ms a point, 1.3 where who is followed is settled anew; a million events have at most 79 points. With 4,096 names
327,346 flights in batches of 65,536 have 33, which took 19 ms. At most 10 kB.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.fixed import counting
from onlogit.kernels import glance
from onlogit.learners import Learner, Tape
from onlogit.learners.protocol import SCORE, Glance
from onlogit.states import check

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Array = npt.NDArray[np.generic]

POINTS = 16
STRIDE = 256  # events between points, at first
FOLLOWED = 48  # numbers, and slots
MEMBERS = 256  # slots of which most was learned, whose means are counted from


class Named(NamedTuple):
    """The slots that have a name."""

    slots: I64  # [c] ascending
    group: I64  # [c] those of which every event has one share a number from 0; -1: none does


NO_NAMES = Named(*np.zeros((2, 0), np.int64))


class Past(NamedTuple):
    """The points so far, and now. Weights are NaN from before a term was followed."""

    event: I64  # [k] events before the point
    baseline: F64  # [k]
    numbers: I64  # [a] places among the dense numbers, ascending
    dense: F64  # [k, a]
    slots: I64  # [b] ascending
    weights: F64  # [k, b] of slots


class _Sight(NamedTuple):
    baseline: float
    dense: F64
    weights: F64  # of the slots looked at, each less the mean of its group
    gain: F64


def _sight(now: Glance, slots: I64, named: Named) -> _Sight:
    group = named.group if slots is named.slots else named.group[np.searchsorted(named.slots, slots)]
    weights = now.slots.copy()
    return _Sight(now.bias + glance.centre(group, now.gain, weights), now.dense, weights, now.gain)


def of_named(state: dict[str, Array], named: I64) -> dict[str, Array]:
    """A state without the slots that have no name any more. named: the slots that have one."""
    numbers, slots, members = (state[name].astype(np.int64) for name in ("numbers", "slots", "members"))
    kept = np.isin(slots, named)
    columns = np.concatenate([np.ones(1 + len(numbers), np.bool_), kept])
    return state | {
        "slots": slots[kept], "members": members[np.isin(members, named)], "weights": state["weights"][:, columns],
    }  # fmt: skip


class WeightPaths:
    """State: points, what they say of the terms that are followed, and the slots that this takes."""

    def __init__(self) -> None:
        self._stride = np.array([STRIDE])
        self._event = np.zeros(0, np.int64)
        self._numbers, self._slots, self._members = np.zeros((3, 0), np.int64)
        self._weights = np.zeros((0, 1), np.float32)  # baseline, numbers, slots

    def until(self, event: int, last: int) -> None:
        """Thin out for the points from `event` on to `last`, those included: what would not outlive them is not looked at.

        While nobody is followed, a point that is passed over might have settled who is, unless it is settled at the next one.
        """
        stride = self._stride_for(event, last)
        if self._weights.shape[1] == 1 and event > stride:
            stride = self._stride_for(event, event)
        if stride != self._stride[0]:
            kept = self._event % stride == 0
            self._stride[0], self._event, self._weights = stride, self._event[kept], self._weights[kept]

    def _stride_for(self, event: int, last: int) -> int:
        stride, before = int(self._stride[0]), len(self._event)
        while before + last // stride - (event - 1) // stride > POINTS:
            stride *= 2
            before = int(np.count_nonzero(self._event % stride == 0))
        return stride

    def following(self, event: int) -> int:
        """The number of the next event at which a point is due, `event` or later."""
        stride = int(self._stride[0])
        return max(-(-event // stride), 1) * stride

    def wanted(self, event: int, named: Named) -> I64 | None:
        """The slots to look at for the point before an event, as `following` gave it; None where it is thinned out."""
        if event % self._stride[0]:
            return None
        anew = event & (event - 1) == 0 or self._weights.shape[1] == 1
        return named.slots if anew else self._members

    def take(self, event: int, slots: I64, now: Glance, named: Named) -> None:
        """Take the point: what was seen of the slots that were wanted."""
        if slots is not self._members:
            self._follow(_sight(now, slots, named), named)
            at = np.searchsorted(slots, self._members)
            now = now._replace(slots=now.slots[at], gain=now.gain[at])
        self._event = np.append(self._event, event)
        self._weights = np.concatenate([self._weights, self._row(now, named)])

    def _row(self, now: Glance, named: Named) -> F32:
        sight = _sight(now, self._members, named)
        slots = sight.weights[np.searchsorted(self._members, self._slots)]
        return np.concatenate([[sight.baseline], sight.dense[self._numbers], slots]).astype(np.float32)[None]

    def _follow(self, sight: _Sight, named: Named) -> None:
        """Settle who is followed; who goes on keeps the past."""
        numbers = np.sort(np.argsort(-np.abs(sight.dense), kind="stable")[:FOLLOWED])
        pull = np.abs(sight.weights) * np.sqrt(sight.gain)
        slots, members = (_first(named.slots, by, most) for by, most in ((pull, FOLLOWED), (sight.gain, MEMBERS)))
        self._members = np.union1d(slots, members)
        a = 1 + len(self._numbers)
        parts = [self._weights[:, :1]]
        for old, new, past in (
            (self._numbers, numbers, self._weights[:, 1:a]),
            (self._slots, slots, self._weights[:, a:]),
        ):
            wide = np.full((len(past), len(new)), np.nan, np.float32)
            _, at, place = np.intersect1d(old, new, return_indices=True)
            wide[:, place] = past[:, at]
            parts.append(wide)
        self._numbers, self._slots, self._weights = numbers, slots, np.concatenate(parts, axis=1)

    def past(self, events: int, learner: Learner, named: Named) -> Past:
        """All points, and one now, after so many events."""
        now = self._row(learner.glance(self._members), named)
        a, weights = 1 + len(self._numbers), np.concatenate([self._weights, now]).astype(np.float64)
        event, baseline, dense, slots = np.append(self._event, events), weights[:, 0], weights[:, 1:a], weights[:, a:]
        return Past(event, baseline, self._numbers.copy(), dense, self._slots.copy(), slots)

    def fits(self, named: Named) -> bool:
        """Whether all slots looked at have a name."""
        return bool(np.isin(self._members, named.slots).all())

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies."""
        return {name: array.copy() for name, array in self._named().items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state(). StateError, with nothing changed, if it is not one."""
        check("paths of weights", state, {n: (own.dtype, (None,) * own.ndim) for n, own in self._named().items()})
        stride, event, numbers, slots, members = (
            state[name].astype(np.int64) for name in ("stride", "event", "numbers", "slots", "members")
        )
        weights = state["weights"].astype(np.float32)
        fits = weights.shape == (len(event), 1 + len(numbers) + len(slots)) and len(event) <= POINTS
        if not fits or stride.shape != (1,) or stride[0] < STRIDE or (np.diff(event, prepend=0) <= 0).any():
            raise StateError("paths of weights: points and terms do not fit together")
        if any((np.diff(each) <= 0).any() for each in (numbers, slots, members)) or not np.isin(slots, members).all():
            raise StateError("paths of weights: terms are not in order, or not among those looked at")
        self._stride, self._event, self._weights = stride, event, weights
        self._numbers, self._slots, self._members = numbers, slots, members

    def _named(self) -> dict[str, Array]:
        return {
            "stride": self._stride, "event": self._event, "numbers": self._numbers, "slots": self._slots,
            "members": self._members, "weights": self._weights,
        }  # fmt: skip


class Points:
    """The points that are due in a batch, for a learner to stop at: see `learners.protocol.Looks`."""

    def __init__(self, paths: WeightPaths, named: Named, first: int, n: int, tape: Tape) -> None:
        """`first`: number of the first of the n events that the tape scores."""
        self._paths, self._named, self._first, self._end = paths, named, first, first + n
        self._scored = np.zeros(0, np.int64)  # operations that score an event, once one of them is asked for
        self._tape = tape
        self._taken: tuple[int, I64] = first, self._scored
        self._find(first)

    def _find(self, event: int) -> None:
        """Event or later."""
        self._event = self._paths.following(event)
        if self._event < self._end and not len(self._scored):
            act, n = self._tape.act, self._end - self._first
            self._scored = counting(n) if len(act) == n else np.flatnonzero(act & SCORE)  # each event is scored once
        self.op = int(self._scored[self._event - self._first]) if self._event < self._end else len(self._tape.act)

    def slots(self) -> I64 | None:
        """Which slots to look at before operation `op`; None for none. From here on `op` is the next one."""
        event = self._event
        self._paths.until(event, self._end - 1)
        wanted = self._paths.wanted(event, self._named)
        if wanted is not None:
            self._taken = event, wanted
        self._find(event + 1)
        return wanted

    def take(self, glance: Glance) -> None:
        """What was seen of them."""
        self._paths.take(*self._taken, glance, self._named)


def _first(slots: I64, by: F64, most: int) -> I64:
    """Those of the largest values above 0, ascending; of equal ones the first."""
    likely = np.flatnonzero(by > 0.0)
    if len(likely) > most:
        likely = likely[by[likely] >= np.partition(by[likely], -most)[-most]]
    return np.sort(slots[likely[np.argsort(-by[likely], kind="stable")[:most]]])
