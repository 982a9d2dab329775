"""Events that wait for their label: their rows as they were scored, found by number or by key.

Memory: 4 d + 8 s + the learner's memo + 50 bytes a remembered event of d numbers and s slots, 32 to 64 more where it has a
key; 16 bytes an event by key that came to be due without a label, for as long as events are remembered.
Appending and forgetting cost O(1) an event at any one time: forgotten ones leave holes, and once these are half of all, those
that are left move to new arrays, some at each call.
"""

import numpy as np
import numpy.typing as npt

from onlogit import arena
from onlogit.arena import Arena, Array, Lent
from onlogit.encoding import Rows
from onlogit.encoding.rows import slots_of
from onlogit.errors import StateError
from onlogit.kernels import pending
from onlogit.kernels.tally import LARGEST_WEIGHT

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

NEVER = np.iinfo(np.int64).max
FARTHEST = 1e4  # of a standardised number, and of what terms add up to in one slot
FEW = 4096  # rows up to which holes do not matter


def repeated(keys: U64) -> npt.NDArray[np.bool_]:
    """Which rows [n] bring a key that an earlier row brings."""
    ordered = np.sort(keys)
    again = np.zeros(len(keys), np.bool_)
    if (ordered[1:] == ordered[:-1]).any():
        again[:] = True
        again[np.unique(keys, return_index=True)[1]] = False
    return again


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

    def __init__(self, numbers: int, memo_width: int, slots: int) -> None:
        """Of events of so many numbers and values of a memo, and of slots below `slots`."""
        self._most = slots
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
        self._move: Move | None = None
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
        self._close_some(len(event))

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

    @property
    def memo(self) -> F32:
        """The memos of all events, forgotten ones too."""
        memo: F32 = self._events["memo"]
        return memo

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
        self._close_some(len(event))

    def _close_some(self, rows: int) -> None:
        """Go on closing holes, by four rows for each that came or went."""
        if self._move is None:
            if self._events.n <= max(2 * self.waiting, FEW):
                return
            if self._events.n <= arena.AHEAD:
                self._close_holes()
                return
            self._move = Move(self._events, self._slots, self.waiting)
        if self._move.go_on(4 * rows):
            self._events, self._slots = self._move.moved()
            self._move = None

    def _close_holes(self) -> None:
        self._move = None
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
        """Become the memory whose `state` this is, with or without holes; a StateError, and nothing changed, where it does
        not fit."""
        alive = state.get("alive", np.ones(np.size(state.get("event", ())), np.bool_))
        events, slots, late = (arena.empty(0) for arena in (self._events, self._slots, self._missed))
        events.restore({**state, "alive": alive}, "remembered events")
        slots.restore(state, "slots of remembered events")
        missed = {name: state[f"missed_{name}"] for name in late.arrays if f"missed_{name}" in state}
        late.restore(missed, "events due without a label")
        self._check(events, slots)
        self._events, self._slots, self._missed = events, slots, late
        self._missed_before, self._move = 0, None
        alive = events["alive"]
        self.waiting = int(np.count_nonzero(alive))
        keyed = "keyed" in state and bool(state["keyed"].any())
        self._by_key = KeyIndex()
        if keyed:
            whole = self.waiting == len(alive)
            self._by_key.add(*(events[name] if whole else events[name][alive] for name in ("key", "event")))

    def _check(self, events: Arena, slots: Arena) -> None:
        """A StateError where these contradict each other, or hold what no event has."""
        length = events["length"]
        consistent = ((length >= 0) & (length <= slots.n)).all() and int(length.sum()) == slots.n
        if (
            not consistent
            or (events["start"] != np.cumsum(length) - length).any()
            or (np.diff(events["event"]) <= 0).any()
        ):
            raise StateError("remembered events: their numbers or their slots contradict each other")
        if ((slots["slot"] < 0) | (slots["slot"] >= self._most)).any():
            raise StateError(f"remembered events: one has a slot that is not of the {self._most} there are")
        weight, y = events["weight"], events["y"]
        values = all((np.abs(each) <= FARTHEST).all() for each in (events["dense"], slots["value"]))
        if not (values and ((weight >= 0.0) & (weight <= LARGEST_WEIGHT)).all() and ((y >= -1) & (y <= 1)).all()):
            raise StateError("remembered events: one has a value, a weight or a label that no event has")

    def within(self, first: int, end: int) -> bool:
        """Whether all events that wait have numbers from `first` to before `end`."""
        event = self._events["event"][self._events["alive"]]
        return not len(event) or first <= int(event[0]) <= int(event[-1]) < end


class Move:
    """The rows that are alive on their way to new arrays; the old ones stay whole, and may be written, until all are there."""

    def __init__(self, events: Arena, slots: Arena, waiting: int) -> None:
        self._old = events, slots
        each = slots.n / events.n
        self._events, self._slots = events.empty(2 * waiting), slots.empty(int(2 * waiting * each))
        self._looked_at = 0
        self._came_from: list[I64] = []

    def go_on(self, rows: int) -> bool:
        """Move what is alive of the next rows; whether these were the last."""
        events, slots = self._old
        part = slice(self._looked_at, min(self._looked_at + rows, events.n))
        at = np.flatnonzero(events["alive"][part]) + part.start
        columns = {name: events[name][at] for name in events.arrays}
        starts, slot, value = slots_of(columns["start"], columns["length"], slots["slot"], slots["value"])
        columns["start"] = starts[:-1] + self._slots.n
        self._events.append(**columns)
        self._slots.append(slot=slot, value=value)
        self._came_from.append(at)
        self._looked_at = part.stop
        return self._looked_at == events.n

    def moved(self) -> tuple[Arena, Arena]:
        """Events and slots as they are now, all of them moved."""
        at = np.concatenate(self._came_from)
        for name in ("y", "alive"):
            self._events[name][:] = self._old[0][name][at]
        return self._events, self._slots
