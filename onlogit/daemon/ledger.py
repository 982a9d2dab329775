"""What became of outcomes that did not simply meet their event, each by a rule and with a counter.

- An outcome before its event is held, at most `room` of them, and learned right after the event's own entry.
- An outcome told again is dropped: keys told lately (as many) are known, and the first answer counts.
- An outcome for an event that was never seen or was given up waits like an early one until newer ones push it out, and
  is then counted as unknown.

State of the fold like the model: a function of the journal alone. Memory: some 150 bytes an outcome held or told.
"""

from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError

U64 = npt.NDArray[np.uint64]
LONGEST_LABEL = 200


@dataclass
class Oddities:
    """What happened to events and outcomes out of turn, so far."""

    duplicate_events: int = 0  # their key waited for a label already; answered as stated then, not learned again
    duplicate_outcomes: int = 0
    early_outcomes: int = 0
    early_used: int = 0  # of which found their event
    unknown_outcomes: int = 0  # pushed out without an event
    unlabelled_outcomes: int = 0  # with a null label


class Ledger:
    """Keys told lately, and outcomes whose event is still to come."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.counts = Oddities()
        self.early: dict[int, str] = {}  # key -> label as text, oldest first
        self._told: dict[int, None] = {}

    def among_told(self, keys: U64) -> npt.NDArray[np.bool_]:
        """Which of these keys [n] an outcome was learned, or sealed until it is due, for: lately."""
        known = self._told
        return np.fromiter((key in known for key in keys.tolist()), np.bool_, len(keys))

    def told(self, keys: U64) -> None:
        """Outcomes of these keys were learned."""
        told = self._told
        told.update(dict.fromkeys(keys.tolist()))
        for key in list(islice(told, max(len(told) - self.room, 0))):
            del told[key]

    def hold(self, keys: U64, labels: list[str]) -> list[bool]:
        """Outcomes whose event is not remembered: which of them are held, and are not duplicates."""
        held = []
        for key, label in zip(keys.tolist(), labels, strict=True):
            held.append(key not in self._told and key not in self.early)
            if not held[-1]:
                self.counts.duplicate_outcomes += 1
                continue
            self.early[key] = label[:LONGEST_LABEL]
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
            "ledger.told": np.fromiter(self._told, np.uint64, len(self._told)),
        }

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Become the ledger whose `state` this is; a StateError where it does not fit."""
        try:
            self.counts = Oddities(*(int(count) for count in state["ledger.counts"]))
            early = state["ledger.early"].tolist()
            self.early = dict(zip(early, state["ledger.labels"].tolist()[: len(early)], strict=True))
            self._told = dict.fromkeys(state["ledger.told"].tolist())
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"the ledger of outcomes does not fit: {error!r}") from error
