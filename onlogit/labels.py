"""Predictions held until every earlier event is settled: handed on in prediction order. And which labels are learned.

`Maturity` keeps what was stated until every earlier event is settled, because a monitor that sees outcomes in arrival order
cries wolf: fast outcomes are not like slow ones. Memory: 33 bytes an event that is not yet settled.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.arena import Arena, Array, Lent
from onlogit.errors import StateError
from onlogit.kernels import hashing
from onlogit.kernels.tally import LARGEST_WEIGHT
from onlogit.memory import NEVER
from onlogit.states import check

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

WAITING, VOID = np.int8(-2), np.int8(-1)


class Thinning:
    """Learns one negative of every stretch of 1/share events, with the weight of the stretch, and all positives.

    Which one: by a hash of the stretch's number, so that nothing periodic is met; its weight is the stretch's length, so
    that weights add up. One from each stretch, as the level of p would suffer from a sample that is 3 % too large.
    The 1/share labels after each positive are all learned as they are: that a burst of positives is over would otherwise be
    learned late. What is kept depends on earlier labels and on the event's number alone, so the weights
    are exact. Measured on kdd_http, .4 % positive, at a share of .01: log loss .00046, without this .00080. The other way,
    the shift p = q / (q + (1 - q) / share), is worse: fast experts forget by events that were learned.
    """

    def __init__(self, share: float) -> None:
        self.share, self.near = share, math.ceil(1.0 / share)
        self.since = self.near + 1  # labels since the last positive, at most one more than `near`

    def weights(self, event: I64, y: I8, weight: F64) -> F64:
        """Weights [n] to learn with, of labels in the order in which they are learned."""
        if self.share >= 1.0 or not len(y):
            return weight
        at = np.arange(1, len(y) + 1)
        last = np.maximum.accumulate(np.where((y == 1) & (weight > 0.0), at, -self.since))
        near = at - last <= self.near
        self.since = min(int(at[-1] - last[-1]), self.near + 1)
        stretch = np.floor(event * self.share)
        first = np.ceil(stretch / self.share)
        stretch = stretch - (event < first)  # where rounding was off
        stretch += event >= np.ceil((stretch + 1.0) / self.share)
        first, end = np.ceil(stretch / self.share), np.ceil((stretch + 1.0) / self.share)
        draw = np.zeros(len(event), np.uint64)
        hashing.hash_integers(stretch.astype(np.int64), draw)
        kept = event == first + (draw % (end - first).astype(np.uint64)).astype(np.float64)
        return np.where(near, weight, np.where(kept, weight * (end - first), 0.0))


class Mature(NamedTuple):
    """What was stated of events [m] that are settled, in prediction order."""

    event: I64
    time: I64
    z: F64
    y: I8
    weight: F64
    known: I64  # the first event that was scored with the label known


class Maturity:
    """What was stated, in prediction order, until every earlier event is settled."""

    def __init__(self) -> None:
        self.first = 0  # number of the first event held
        self._held = Arena(
            ("y", "known"), z=np.empty(0), y=np.empty(0, np.int8), weight=np.empty(0), time=np.empty(0, np.int64),
            known=np.empty(0, np.int64),
        )  # fmt: skip  # y: WAITING, VOID, 0 or 1; known: the first event that was scored with the label known
        self._done = 0  # rows of the arena that were handed on

    @property
    def idle(self) -> bool:
        """Whether no event is held."""
        return self._done == self._held.n

    @property
    def weights(self) -> F64:
        """Of the events that are held."""
        return self._held["weight"][self._done :]

    def hand_on(self, event: I64, z: F64, y: I8, weight: F64, time: I64, known: I64) -> Mature:
        """The next events [n], each settled already: the same as hold, settle and ready where nothing is held."""
        self.first += len(z)
        return Mature(event, time, z, y, weight, known)

    def hold(self, z: F64, y: I8, weight: F64, time: I64) -> None:
        """Append the next events [n]."""
        self._held.append(z=z, y=y, weight=weight, time=time, known=np.full(len(z), NEVER))

    def settle(self, event: I64, y: I8 | np.int8, known: I64 | int = NEVER) -> None:
        """The labels of events [m] held, known before event number `known` was scored; or VOID where none will come."""
        at = event - self.first + self._done
        self._held["y"][at], self._held["known"][at] = y, known

    def stated(self, event: I64) -> F64:
        """The log-odds stated of events [m] that are held."""
        return self._held["z"][event - self.first + self._done]

    def ready(self) -> Mature:
        """Hand on all events before the first that still waits."""
        m = first_waiting(self._held["y"][self._done :])
        part = slice(self._done, self._done + m)
        out = Mature(
            np.arange(self.first, self.first + m), self._held["time"][part].copy(), self._held["z"][part].copy(),
            self._held["y"][part].copy(), self._held["weight"][part].copy(), self._held["known"][part].copy(),
        )  # fmt: skip
        self.first += m
        self._done += m
        if self._done > max(self._held.n // 2, 1024) or self._done == self._held.n:
            self._held.keep(np.arange(self._held.n) >= self._done)
            self._done = 0
        return out

    def state(self) -> dict[str, Array]:
        held = {name: array[self._done :] for name, array in self._held.state().items()}
        return {**held, "first": np.array([self.first])}

    def lend(self) -> Lent:
        """A state with what was handed on still in it, of which `restore` makes the same; as it is while it is held."""
        held = self._held.lend()
        return Lent({**held, "first": np.array([self.first]), "done": np.array([self._done])}, held)

    def restore(self, state: dict[str, Array]) -> None:
        """Become what `state` was taken from; a StateError, and nothing changed, where it does not fit."""
        state = {"done": np.zeros(1, np.int64)} | state
        check("events in prediction order", state, {"first": (np.int64, (1,)), "done": (np.int64, (1,))})
        first, done = state["first"], state["done"]
        held = self._held.empty(0)
        held.restore(state, "events in prediction order")
        if not 0 <= done[0] <= held.n or first[0] < 0:
            raise StateError("events in prediction order: more were handed on than there are")
        y, weight = held["y"], held["weight"]
        if not np.isfinite(held["z"]).all() or not ((weight >= 0.0) & (weight <= LARGEST_WEIGHT)).all():
            raise StateError("events in prediction order: what was stated, or a weight, is not valid")
        if ((y < WAITING) | (y > 1)).any():
            raise StateError("events in prediction order: a label is not valid")
        self._held, self.first, self._done = held, int(first[0]), int(done[0])

    @property
    def end(self) -> int:
        """Number of the event after the last one held."""
        return self.first + self._held.n - self._done


def first_waiting(y: I8) -> int:
    """The place of the first WAITING, or the length; what comes after it is not read."""
    start, width = 0, 1024
    while start < len(y):
        waits = y[start : start + width] == WAITING
        if waits.any():
            return start + int(np.argmax(waits))
        start, width = start + width, 2 * width
    return len(y)
