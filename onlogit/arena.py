"""Rows of named arrays that grow together at their end, by the million, without a pause.

Memory: the rows in use, twice while larger arrays are being filled; the room behind them is nothing but addresses until it is
written, so there is plenty of it. Appending costs O(1) a row at any one time, not only on average: the larger arrays are
filled ahead, some rows at each append. Copies for a checkpoint are not made: `lend` gives views of rows that stay as they are
while somebody holds them.
"""

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.states import check, like

Array = np.ndarray[Any, Any]

LEAST = 1024  # rows that there is room for
LARGER = 4  # times the room before: a row is copied once in 3 appended, instead of once with twice the room
AHEAD = 65_536  # rows from which larger arrays are filled ahead


class Lent(dict[str, Array]):
    """Arrays that were lent, or made of some that were; an arena knows by a weak reference whether they are still held."""

    def __init__(self, arrays: dict[str, Array], *of: Any) -> None:
        super().__init__(arrays)
        self.of = of


class Arena:
    """Named arrays that grow together at their end; `n` rows of each are in use."""

    def __init__(self, changing: tuple[str, ...] = (), **rows: Array) -> None:
        """`rows`: an array of no rows for each name, which gives dtype and width. `changing`: names of those whose rows
        may be written after they were appended."""
        self.n = 0
        self.arrays = rows
        self._changing = changing
        self._larger: dict[str, Array] = {}  # arrays to be, of which the first `_filled` rows are right
        self._filled = 0
        self._lent: weakref.ref[Lent] | None = None

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name][: self.n]

    @property
    def room(self) -> int:
        """Rows that there is room for."""
        return min(map(len, self.arrays.values()))

    def append(self, **rows: Array) -> None:
        """Add rows at the end of every array."""
        more = len(next(iter(rows.values())))
        if self.n + more > self.room:
            self._grow(self.n + more)
        for name, added in rows.items():
            self.arrays[name][self.n : self.n + more] = added
        self.n += more
        if self.room >= AHEAD and 4 * self.n > 3 * self.room:
            self._fill_ahead(4 * more)

    def _fill_ahead(self, rows: int) -> None:
        """Copy some rows, four for each that is appended: from three quarters on all are there in time."""
        if not self._larger:
            self._larger, self._filled = self._empty(LARGER * self.room), 0
        part = slice(self._filled, min(self._filled + rows, self.n))
        for name, array in self.arrays.items():
            if name not in self._changing:
                self._larger[name][part] = array[part]
        self._filled = part.stop

    def _grow(self, rows: int) -> None:
        larger, filled = self._larger, self._filled
        if not larger or rows > len(next(iter(larger.values()))):
            larger, filled = self._empty(max(LARGER * self.room, rows, LEAST)), 0
        for name, array in self.arrays.items():
            start = 0 if name in self._changing else filled
            larger[name][start : self.n] = array[start : self.n]
        self.arrays, self._larger = larger, {}

    def _empty(self, rows: int) -> dict[str, Array]:
        return {name: np.empty((rows, *array.shape[1:]), array.dtype) for name, array in self.arrays.items()}

    def empty(self, room: int) -> "Arena":
        """One of no rows, with room for some."""
        found = Arena(self._changing, **self.arrays)
        found.arrays = self._empty(max(room, LEAST))
        return found

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        """Keep only these of the rows in use."""
        left = int(np.count_nonzero(which))
        to = self.arrays if self._lent is None or self._lent() is None else self._empty(self.room)
        for name, array in self.arrays.items():
            to[name][:left] = array[: self.n][which]
        self.arrays, self.n, self._larger = to, left, {}

    def lend(self) -> Lent:
        """The rows in use, which stay as they are as long as this is held: views, and copies of those that may change."""
        lent = Lent({name: self[name].copy() if name in self._changing else self[name] for name in self.arrays})
        self._lent = weakref.ref(lent)
        return lent

    def state(self) -> dict[str, Array]:
        return {name: self[name].copy() for name in self.arrays}

    def restore(self, state: dict[str, Array], what: str) -> None:
        """Take over these arrays, which nobody else may use then; a StateError, with nothing changed, where they do not
        fit."""
        check(what, state, like(self.arrays, any_length=self.arrays))
        if len({len(state[name]) for name in self.arrays}) > 1:
            raise StateError(f"{what}: the arrays differ in length")
        self.n = len(next(iter(state[name] for name in self.arrays)))
        self.arrays = {name: with_room(state[name]) for name in self.arrays}
        self._larger = {}


def with_room(array: Array) -> Array:
    """The array that this is the beginning of, where it is one; else itself."""
    if not array.flags.writeable or not array.flags.c_contiguous:
        return array.copy()
    behind = array.base
    if isinstance(behind, np.ndarray) and behind.dtype == array.dtype and behind.shape[1:] == array.shape[1:]:
        same = behind.flags.c_contiguous and behind.ctypes.data == array.ctypes.data
        return behind if same else array
    return array
