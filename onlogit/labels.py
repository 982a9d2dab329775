"""Outcomes joined to the remembered rows of their events, and handed on in prediction order.

`Memory` keeps an event as it was scored until its label comes; `Maturity` keeps what was stated until every earlier event
is settled, because a monitor that sees outcomes in arrival order cries wolf: fast outcomes are not like slow ones.

Memory: 4 d + 8 s + the learner's memo + 33 bytes a remembered event of d numbers and s slots, 32 to 64 more where it has a
key; 33 bytes an event that is not yet settled; 16 bytes an event by key that came to be due without a label, for as long
as events are remembered.
Appending and forgetting cost O(1) an event: forgotten ones leave holes, which are closed when they are half of all.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.arena import Arena, Array, Lent
from onlogit.encoding import Rows
from onlogit.encoding.rows import slots_of
from onlogit.errors import StateError
from onlogit.kernels import hashing, pending

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

WAITING, VOID = np.int8(-2), np.int8(-1)
NEVER = np.iinfo(np.int64).max


class KeyIndex:
    """From the key of an event that waits to its number (kernels/pending.py). Its places are not state; `count` keys."""

    def __init__(self, places: int = 64) -> None:
        self.places, self.count = places, 0
        self._shift = np.uint64(65 - places.bit_length())
        self._keys, self._events = np.zeros(places, np.uint64), np.full(places, pending.NONE, np.int64)

    def add(self, key: U64, event: I64) -> None:
        """Put in keys [m] with their events [m]; of a key that comes again the last event holds."""
        if 2 * (self.count + len(key)) > self.places:
            held = self._events != pending.NONE
            grown = KeyIndex(1 << (2 * (self.count + len(key))).bit_length())
            grown.add(self._keys[held], self._events[held])
            self.__dict__.update(grown.__dict__)
        self.count += pending.add_keys(self._keys, self._events, self._shift, key, event)

    def find(self, key: U64) -> I64:
        """The events of keys [m], -1 where there is none."""
        out = np.empty(len(key), np.int64)
        pending.find_keys(self._keys, self._events, self._shift, key, out)
        return out

    def remove(self, key: U64, event: I64) -> None:
        """Take out keys [m] that these events [m] still have."""
        self.count -= pending.remove_keys(self._keys, self._events, self._shift, key, event)


class Memory:
    """Events that wait for their label, in the order in which they were scored, found by number or by key."""

    def __init__(self, numbers: int, memo_width: int) -> None:
        self._events = Arena(
            ("y", "alive"),
            event=np.empty(0, np.int64),
            due=np.empty(0, np.int64),  # on the fold's clock: when the sealed label is learned; NEVER for none
            y=np.empty(0, np.int8),  # the sealed label, -1 for none
            weight=np.empty(0),
            key=np.empty(0, np.uint64),
            dense=np.empty((0, numbers), np.float32),
            memo=np.empty((0, memo_width), np.float32),
            start=np.empty(0, np.int64),  # where in the arena of slots
            length=np.empty(0, np.int64),
            alive=np.empty(0, np.bool_),
        )
        self._slots = Arena(slot=np.empty(0, np.int32), value=np.empty(0, np.float32))
        self._missed = Arena(key=np.empty(0, np.uint64), since=np.empty(0, np.int64))
        self._missed_before = 0
        self._by_key = KeyIndex()
        self.waiting = 0

    def remember(self, event: I64, rows: Rows, y: I8, weight: F64, due: I64, key: U64 | None, memo: F32) -> None:
        """Append events [m] with ascending numbers; `key` None where outcomes are not told by key."""
        if key is not None:
            self._by_key.add(key, event)
        self._events.append(
            event=event, due=due, y=y, weight=weight, key=np.zeros(len(event), np.uint64) if key is None else key,
            dense=rows.dense, memo=memo, start=rows.starts[:-1] + self._slots.n, length=np.diff(rows.starts),
            alive=np.ones(len(event), np.bool_),
        )  # fmt: skip
        self._slots.append(slot=rows.slots, value=rows.values)
        self.waiting += len(event)

    def find(self, key: U64) -> I64:
        """The numbers of the events with these keys; -1 where no such event is remembered."""
        return self._by_key.find(key)

    def expiring(self, before: int) -> I64:
        """The numbers of remembered events below `before`, ascending."""
        last = int(np.searchsorted(self._events["event"], before))
        return self._events["event"][:last][self._events["alive"][:last]]

    def sealed(self) -> tuple[I64, I64, I8]:
        """(due, event, label or -1) of the remembered events that are learned when they are due, sorted so."""
        which = self._events["alive"] & (self._events["due"] != NEVER)
        due, event, y = (self._events[name][which] for name in ("due", "event", "y"))
        order = np.lexsort((event, due))
        return due[order], event[order], y[order]

    def tell(self, event: I64, y: I8) -> npt.NDArray[np.bool_]:
        """Seal the labels of remembered events [m], each to be learned when it is due; False where one was told before."""
        at = np.searchsorted(self._events["event"], event)
        fresh: npt.NDArray[np.bool_] = self._events["y"][at] < 0
        self._events["y"][at[fresh]] = y[fresh]
        return fresh

    def keys_of(self, event: I64) -> U64:
        """The keys of remembered events [m]."""
        keys: U64 = self._events["key"][np.searchsorted(self._events["event"], event)]
        return keys

    def miss(self, key: U64, since: I64, before: int) -> None:
        """Note keys [m] of events that came to be due without a label, just before event `since` [m]; forget those of
        before event `before`."""
        self._missed.append(key=key, since=since)
        self._missed_before = before
        if 2 * int(np.searchsorted(self._missed["since"], before)) > self._missed.n:
            self._missed.keep(self._missed["since"] >= before)

    def missed(self, key: U64) -> npt.NDArray[np.bool_]:
        """Which of these keys [m] are of events that came to be due without a label."""
        recent = self._missed["key"][np.searchsorted(self._missed["since"], self._missed_before) :]
        return np.isin(key, recent[np.isin(recent, key)])

    def take(self, event: I64) -> tuple[Rows, I8, F64, F32]:
        """Rows, sealed labels, weights and memos of remembered events [m], in the order asked."""
        at = np.searchsorted(self._events["event"], event)
        start, length = self._events["start"][at], self._events["length"][at]
        rows = Rows(self._events["dense"][at], *slots_of(start, length, self._slots["slot"], self._slots["value"]))
        return rows, self._events["y"][at], self._events["weight"][at], self._events["memo"][at]

    def forget(self, event: I64) -> None:
        """Let go of remembered events [m]."""
        if not len(event):
            return
        at = np.searchsorted(self._events["event"], event)
        self._events["alive"][at] = False
        if self._by_key.count:
            self._by_key.remove(self._events["key"][at], event)
        self.waiting -= len(event)
        if self._events.n > max(2 * self.waiting, 4096):
            self._close_holes()

    def _close_holes(self) -> None:
        if self.waiting == self._events.n:
            return
        alive = self._events["alive"].copy()
        self._slots.keep(np.repeat(alive, self._events["length"]))
        self._events.keep(alive)
        length = self._events["length"]
        self._events["start"][:] = np.cumsum(length) - length

    def state(self) -> dict[str, Array]:
        self._close_holes()
        keyed = np.array([self.waiting > 0 and self._by_key.count > 0])
        events = {name: array for name, array in self._events.state().items() if name != "alive"}
        self._missed.keep(self._missed["since"] >= self._missed_before)
        missed = {f"missed_{name}": array for name, array in self._missed.state().items()}
        return {**events, **self._slots.state(), **missed, "keyed": keyed}

    def lend(self) -> Lent:
        """A state with holes in it, of which `restore` makes the same memory; it stays as it is while it is held."""
        events, slots, missed = (arena.lend() for arena in (self._events, self._slots, self._missed))
        told = {f"missed_{name}": array for name, array in missed.items()}
        keyed = np.array([self.waiting > 0 and self._by_key.count > 0])
        return Lent({**events, **slots, **told, "keyed": keyed}, events, slots, missed)

    def restore(self, state: dict[str, Array]) -> None:
        """Become the memory whose `state` this is, with or without holes; a StateError where it does not fit."""
        alive = state.get("alive", np.ones(len(state.get("event", ())), np.bool_))
        self._events.restore({**state, "alive": alive}, "remembered events")
        self._slots.restore(state, "slots of remembered events")
        missed = {name: state[f"missed_{name}"] for name in self._missed.arrays if f"missed_{name}" in state}
        self._missed.restore(missed, "events due without a label")
        self._missed_before = 0
        length = self._events["length"]
        consistent = (length >= 0).all() and (self._events["start"] == np.cumsum(length) - length).all()
        if not consistent or int(length.sum()) != self._slots.n or (np.diff(self._events["event"]) <= 0).any():
            raise StateError("remembered events: their numbers or their slots contradict each other")
        alive = self._events["alive"]
        self.waiting = int(np.count_nonzero(alive))
        keyed = "keyed" in state and bool(state["keyed"].any())
        self._by_key = KeyIndex()
        if keyed:
            whole = self.waiting == len(alive)
            self._by_key.add(*(self._events[name] if whole else self._events[name][alive] for name in ("key", "event")))


def thinned(event: I64, y: I8, weight: F64, share: float) -> F64:
    """Weights [n] to learn with where of every stretch of 1/share events one is kept if negative, and all positives.

    Which one: by a hash of the stretch's number, so that nothing periodic is met; its weight is the stretch's length, so
    that weights add up. One from each stretch, as the level of p would suffer from a sample that is 3 % too large.
    Measured on kdd_http, .4 % positive, at a share of .1: log loss .00032 with weights, .00047 with the shift p = q / (q +
    (1 - q) / share) instead, as fast experts forget by events that were learned.
    """
    if share >= 1.0:
        return weight
    stretch = np.floor(event * share)
    first = np.ceil(stretch / share)
    stretch = stretch - (event < first) + (event >= np.ceil((stretch + 1.0) / share))  # where rounding was off
    first, length = np.ceil(stretch / share), np.ceil((stretch + 1.0) / share) - np.ceil(stretch / share)
    draw = np.zeros(len(event), np.uint64)
    hashing.hash_integers(stretch.astype(np.int64), draw)
    kept = event == first + (draw % length.astype(np.uint64)).astype(np.float64)
    return np.where(y == 1, weight, np.where(kept, weight * length, 0.0))


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

    def hand_on(self, z: F64, y: I8, weight: F64, time: I64, known: I64) -> Mature:
        """The next events [n], each settled already: the same as hold, settle and ready where nothing is held."""
        event = np.arange(self.first, self.first + len(z))
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
        """Become what `state` was taken from; a StateError where it does not fit."""
        first, done = state.get("first"), state.get("done", np.zeros(1, np.int64))
        if any(given is None or given.shape != (1,) or given.dtype != np.int64 for given in (first, done)):
            raise StateError("events in prediction order: the array 'first' is missing or not int64[1]")
        assert first is not None
        self._held.restore(state, "events in prediction order")
        self.first, self._done = int(first[0]), int(done[0])
        if not 0 <= self._done <= self._held.n:
            raise StateError("events in prediction order: more were handed on than there are")


def first_waiting(y: I8) -> int:
    """The place of the first WAITING, or the length; what comes after it is not read."""
    start, width = 0, 1024
    while start < len(y):
        waits = y[start : start + width] == WAITING
        if waits.any():
            return start + int(np.argmax(waits))
        start, width = start + width, 2 * width
    return len(y)
