"""The names of slots seen so far, in a bounded registry.

A slot is named by what first lit it, in the order of the stream, until the registry is full; `Encoder.shared` tells
where other values fall into the same slot. Each name counts its events of weight > 0. State: some 20 bytes a name, and 4
bytes a slot of memory beside it. Cost: 4 ns a slot once the names are known; a new one some 10 µs, once.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.encoding.naming import Candidates, Name, Namer
from onlogit.encoding.rows import Rows, Unnamed
from onlogit.errors import StateError
from onlogit.kernels import naming
from onlogit.states import check, like

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

LONGEST = 200  # characters of a value that are kept
State = dict[str, np.ndarray[Any, Any]]


class Names:
    """The registry: at most `most` names of a table of slots. State as `state` gives it."""

    def __init__(self, most: int, slots: int, coordinates: list[str]) -> None:
        self.most = most
        self._coordinates = coordinates
        self._number = {name: c for c, name in reversed(list(enumerate(coordinates)))}  # of two alike that of the first
        self._marks = np.zeros(max(slots, 16) if most else 0, np.int32)  # as kernels/naming.py has them
        self._sieve = np.zeros(naming.SIEVE, np.uint8)
        self.slots, self.coordinates = np.zeros((2, 0), np.int64)  # of each name; the latter by number
        self.values: list[str | None] = []
        self._place: dict[int, int] = {}  # of a slot's name

    def learn(self, rows: Rows, weight: F64, unnamed: Unnamed, namer: Namer) -> None:
        """Name what is new in a batch, in order, then count all that is named."""
        if not self.most or not len(rows.slots):
            return
        first, widest = 0, int(np.diff(rows.starts).max(initial=0))
        while len(self.values) < self.most and first < len(weight):
            room = self.most - len(self.values)
            rowed, fresh = np.empty(room + widest, np.int64), np.empty(room + widest, np.int32)
            walked = (rows.starts, rows.slots, weight, self._sieve, self._marks)
            first, k = naming.find_unnamed(*walked, first, room, rowed, fresh)
            if not k:
                break
            few, row = np.unique(rowed[:k], return_inverse=True)
            self._name(row, fresh[:k].astype(np.int64), namer.of_rows(unnamed, few))
        naming.count_named(rows.starts, rows.slots, weight, self._sieve, self._marks, first)

    def _name(self, row: I64, fresh: I64, told: list[Candidates]) -> None:
        """Name the slots that were listed, in the order of their rows, those of a row in the order of coordinates.

        Where the row that first lit a slot has no name for it, it stays without one.
        """
        size = len(self._marks)
        asked = np.sort(row * size + fresh)  # row and slot in one
        place, coordinate, within = (np.zeros(0, np.int64) for _ in range(3))  # of asked, of told, in its candidates
        for c, candidates in enumerate(told):
            lit = candidates.row * size + candidates.slots
            at = np.minimum(np.searchsorted(asked, lit), len(asked) - 1)
            own = np.flatnonzero(asked[at] == lit)
            place, within = np.concatenate([place, at[own]]), np.concatenate([within, own])
            coordinate = np.concatenate([coordinate, np.full(len(own), c)])
        order = np.lexsort((coordinate, asked[place] // size))
        order = order[np.sort(np.unique(place[order], return_index=True)[1])][: self.most - len(self.values)]
        place, coordinate, within = place[order], coordinate[order], within[order]
        values = np.empty(len(order), object)
        for c in np.unique(coordinate).tolist():
            mine = np.flatnonzero(coordinate == c)
            values[mine] = told[c].values(within[mine])
        slots, count = asked[place] % size, len(self.values)
        self._place.update(zip(slots.tolist(), range(count, count + len(slots)), strict=True))
        self.values += [None if value is None else value[:LONGEST] for value in values.tolist()]
        self.slots = np.append(self.slots, slots)
        number = np.array([self._number[each.coordinate] for each in told], np.int64)
        self.coordinates = np.append(self.coordinates, number[coordinate])
        left = np.setdiff1d(asked, asked[place])
        later = left[:0]
        if len(self.values) == self.most:  # rows from there on were not looked at
            later = left[left >= asked[place[-1]] // size * size]
        self._marks[left % size] = naming.NAMELESS
        self._marks[later % size] = naming.UNNAMED

    def of(self, slot: int) -> Name | None:
        """The name of a slot; None where it has none."""
        at = self._place.get(slot)
        return None if at is None else Name(self._coordinates[self.coordinates[at]], self.values[at])

    def grouped(self, groups: Mapping[str, int]) -> tuple[I64, I64]:
        """The slots of all names, and what number `groups` gives the coordinate of each, -1 where it gives none."""
        coordinates = self.coordinates  # a later batch may be named meanwhile: its names come behind, slots first
        number = np.array([groups.get(name, -1) for name in self._coordinates], np.int64)
        return self.slots[: len(coordinates)], number[coordinates]

    def count(self, slot: int) -> int | None:
        """How many events had the slot since it was named, at most 2^31 - 2; None where it has no name."""
        return int(self._marks[slot]) - 1 if slot in self._place else None

    @property
    def counts(self) -> I64:
        """How many events had each name since it was given, i64[names]."""
        return self._marks[self.slots].astype(np.int64) - 1

    def state(self) -> State:
        """Plain arrays: slots and counts, coordinates by number, values as UTF-8 one after the other, -1 for null."""
        values = [None if value is None else value.encode("utf-8", "surrogatepass") for value in self.values]
        return {
            "name_slots": self.slots.copy(),
            "name_counts": self.counts,
            "name_coordinates": self.coordinates.copy(),
            "name_sizes": np.array([-1 if value is None else len(value) for value in values], np.int64),
            "name_values": np.frombuffer(b"".join(filter(None, values)), np.uint8).copy(),
            "nameless": np.flatnonzero(self._marks == naming.NAMELESS),
        }

    def restore(self, state: State) -> None:
        """Take over what `state` gave; a StateError, and nothing changed, where it cannot have been."""
        own = self.state()
        check("encoder", state, like(own, any_length=own))
        slots, counts, coordinates, sizes = (
            state[f"name_{what}"] for what in ("slots", "counts", "coordinates", "sizes")
        )
        m, ends = len(slots), np.cumsum(np.minimum(np.maximum(sizes, 0), 1 << 31))
        if not len(counts) == len(coordinates) == len(sizes) == m:
            raise StateError("encoder: the registry of names differs in how many names it has")
        places = np.concatenate([slots, state["nameless"]])
        fits = [
            m <= self.most,
            ((counts >= 0) & (counts < naming.MOST)).all(),
            ((coordinates >= 0) & (coordinates < len(self._coordinates))).all(),
            (sizes >= -1).all() and int(ends[-1] if m else 0) == len(state["name_values"]),
            ((places >= 0) & (places < len(self._marks))).all() and len(np.unique(places)) == len(places),
        ]
        if not all(fits):
            raise StateError("encoder: the registry of names contradicts itself")
        data = state["name_values"].tobytes()
        self.values = [
            None if size < 0 else data[end - size : end].decode("utf-8", "replace")
            for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)
        ]
        self.slots, self.coordinates = slots.copy(), coordinates.copy()
        self._place = {slot: at for at, slot in enumerate(slots.tolist())}
        self._marks[:] = naming.UNNAMED
        self._marks[slots] = counts + 1
        self._sieve[:] = 0
        np.bitwise_or.at(self._sieve, (slots >> 3) % naming.SIEVE, (1 << (slots & 7)).astype(np.uint8))
        self._marks[state["nameless"]] = naming.NAMELESS
