"""Where outcomes moved away from stated probabilities: Σ(y - p) and Σp(1 - p) by bin of each feature, since a mark.

Sums are kept now and at 64 marks, window/8 labelled events apart; since an onset is since the last mark at or before it.
z = Σ(y-p) / √Σp(1-p). Rounding of the sums depends on their order alone, not on how the stream was cut. 33 kB a column.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels.drift import BINS, F64, I32, I64, add_residuals
from onlogit.monitor.sound import ascending, demand, require_between, require_counts
from onlogit.states import check, like

MARKS = 64
Array = np.ndarray[Any, Any]


class Residuals:
    """Sums of some columns."""

    def __init__(self, columns: int, window: int) -> None:
        self.window = window
        self.sums = np.zeros((columns, BINS, 2))
        self.marks = np.zeros((MARKS, columns, BINS, 2))
        self.events = np.full(MARKS, np.iinfo(np.int64).max)  # number of the first event after each mark
        self.seen = np.zeros(2, np.int64)  # labelled events; marks made

    def add(self, code: I32, event: I64, p: F64, y: npt.NDArray[np.int8], weight: F64) -> None:
        """Take labelled rows in order. code: int32[columns, n]."""
        labelled = np.flatnonzero((y >= 0) & (weight > 0.0))
        every = max(self.window // 8, 1)
        row = done = 0
        while row < len(event):
            if self.seen[0] % every == 0 and self.seen[1] * every == self.seen[0] and done < labelled.size:
                at = int(self.seen[1]) % MARKS
                self.marks[at], self.events[at] = self.sums, event[labelled[done]]
                self.seen[1] += 1
            rows = min(every - int(self.seen[0]) % every, labelled.size - done)
            end = int(labelled[done + rows - 1]) + 1 if done + rows < labelled.size else len(event)
            part = slice(row, end)
            add_residuals(self.sums, np.ascontiguousarray(code[:, part]), p[part], y[part], weight[part])
            self.seen[0] += rows
            row, done = end, done + rows

    def scores(self, onset: int) -> F64:
        """z [columns, BINS] since the last mark at or before an event, or the oldest one kept; 0 where there is too little."""
        before = np.flatnonzero(self.events <= onset)
        made = np.flatnonzero(self.events < np.iinfo(np.int64).max)
        if not made.size:
            return np.zeros(self.sums.shape[:2])
        at = before[np.argmax(self.events[before])] if before.size else made[np.argmin(self.events[made])]
        rest, v = np.moveaxis(self.sums - self.marks[at], -1, 0)
        z: F64 = np.where(v >= 3.0, rest / np.sqrt(np.maximum(v, 1e-9)), 0.0)
        return z

    def _named(self) -> dict[str, Array]:
        return {"sums": self.sums, "marks": self.marks, "events": self.events, "seen": self.seen}

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies."""
        return {name: array.copy() for name, array in self._named().items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of as many columns. StateError, with nothing changed, if it is not one."""
        check("residuals", state, like(self._named()))
        self._require(*(state[name] for name in self._named()))
        for name, own in self._named().items():
            own[...] = state[name]

    def _require(self, sums: F64, marks: F64, events: I64, seen: I64) -> None:
        """A StateError unless residuals of this window can have come to this."""
        require_counts(seen, "residuals.seen")
        labelled, made = seen.tolist()
        demand(made == -(-labelled // max(self.window // 8, 1)), "residuals.seen", "of events and their marks")
        for name, each in (("sums", sums), ("marks", marks)):
            require_between(each, f"residuals.{name}", -labelled, labelled)
            require_between(each[..., 1], f"residuals.{name}", 0.0, labelled)
        kept = min(made, MARKS)
        own = np.roll(events[:kept], -(made % MARKS) if kept == MARKS else 0)
        unmade = events[kept:] == np.iinfo(np.int64).max
        require_counts(own, "residuals.events")
        demand(ascending(own) and unmade.all(), "residuals.events", "of events in order")
