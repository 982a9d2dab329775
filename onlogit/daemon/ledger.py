"""What became of outcomes that did not simply meet their event, each by a rule and with a counter.

- An outcome before its event is held, at most `room` of them, and learned right after the event's own entry;
  dropped where it is no label of the column by then.
- An outcome told again is dropped: keys told lately (as many) are known, and the first answer counts.
- An outcome for an event that was never seen or was given up waits like an early one until newer ones push it out, and
  is then counted as unknown.

State of the fold like the model: a function of the journal alone. Memory: some 150 bytes an outcome held, 50 one told.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.memory import KeyIndex, repeated

U64 = npt.NDArray[np.uint64]


@dataclass
class Oddities:
    """What happened to events and outcomes out of turn, so far."""

    duplicate_events: int = 0  # their key waited for a label already; answered as stated then, not learned again
    duplicate_outcomes: int = 0
    early_outcomes: int = 0
    early_used: int = 0  # of which found their event, and were learned
    unknown_outcomes: int = 0  # pushed out without an event
    unlabelled_outcomes: int = 0  # with a null label
    unread_outcomes: int = 0  # held, and no label of the column by the time of their event: a longer text, say


class _Lately:
    """The last `room` different keys."""

    def __init__(self, room: int) -> None:
        self._ring = np.zeros(room, np.uint64)
        self._count = 0  # of all keys so far; the key of number k is in the ring at k modulo its size
        self._index = KeyIndex()

    def among(self, keys: U64) -> npt.NDArray[np.bool_]:
        """Which of these [n] are there."""
        return self._index.find(keys) >= 0

    def add(self, keys: U64) -> None:
        """Add those [n] that are not there; the oldest make room."""
        room = len(self._ring)
        new = keys[~(self.among(keys) | repeated(keys))][-room:]
        if not room or not len(new):
            return
        number = self._count + np.arange(len(new))
        last = number[number >= room]
        self._index.remove(self._ring[last % room], last - room)
        self._ring[number % room] = new
        self._index.add(new, number)
        self._count += len(new)

    def keys(self) -> U64:
        """All of them, oldest first."""
        room = max(len(self._ring), 1)
        return self._ring[np.arange(max(self._count - room, 0), self._count) % room]


class Ledger:
    """Keys told lately, and outcomes whose event is still to come."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.counts = Oddities()
        self.early: dict[int, str] = {}  # key -> label as text, oldest first
        self._told = _Lately(room)

    def among_told(self, keys: U64) -> npt.NDArray[np.bool_]:
        """Which of these keys [n] an outcome was learned, or sealed until it is due, for: lately."""
        return self._told.among(keys)

    def told(self, keys: U64) -> None:
        """Outcomes of these keys were learned."""
        self._told.add(keys)

    def hold(self, keys: U64, labels: list[str]) -> list[bool]:
        """Outcomes whose event is not remembered: which of them are held, and are not duplicates."""
        held = []
        for key, label, told in zip(keys.tolist(), labels, self._told.among(keys).tolist(), strict=True):
            held.append(not told and key not in self.early)
            if not held[-1]:
                self.counts.duplicate_outcomes += 1
                continue
            self.early[key] = label
            self.counts.early_outcomes += 1
            if len(self.early) > self.room:
                del self.early[next(iter(self.early))]
                self.counts.unknown_outcomes += 1
        return held

    def take(self, keys: U64) -> tuple[list[int], list[str]]:
        """Rows [m] of `keys` whose outcome came before, and their labels, which are no longer held."""
        if not self.early:
            return [], []
        found = [(row, self.early.pop(key)) for row, key in enumerate(keys.tolist()) if key in self.early]
        return [row for row, _ in found], [label for _, label in found]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All of it, as plain arrays."""
        return {
            "ledger.counts": np.array(list(asdict(self.counts).values()), np.int64),
            "ledger.early": np.fromiter(self.early, np.uint64, len(self.early)),
            "ledger.labels": np.array(list(self.early.values()) or [" "], np.str_),
            "ledger.told": self._told.keys(),
        }

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Become the ledger whose `state` this is; a StateError where it does not fit."""
        try:
            self.counts = Oddities(*(int(count) for count in state["ledger.counts"]))
            early = state["ledger.early"].tolist()
            self.early = dict(zip(early, state["ledger.labels"].tolist()[: len(early)], strict=True))
            self._told = _Lately(self.room)
            self._told.add(state["ledger.told"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"the ledger of outcomes does not fit: {error!r}") from error
