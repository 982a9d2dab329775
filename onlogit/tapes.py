"""Writing a tape: in which order the events of a batch are scored, and labels, old ones among them, are learned."""

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from onlogit.encoding import Encoded, Rows
from onlogit.encoding.rows import join_rows
from onlogit.fixed import counting
from onlogit.label_times import Plan
from onlogit.learners import Tape
from onlogit.learners.protocol import BOTH, LEARN, SCORE
from onlogit.memory import Memory

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
T = TypeVar("T", bound=np.generic)


class Tile(NamedTuple):
    """The rows of a walk: those of the batch, then remembered ones."""

    rows: Rows
    y: I8
    weight: F64
    memo: F32
    row: I64  # [m] row of each of the plan's events
    straight: bool  # whether that is 0, 1, 2, ... of all rows

    def of_plan(self, values: npt.NDArray[T]) -> npt.NDArray[T]:
        """Values [n] of the rows, for each of the plan's events."""
        return values if self.straight else values[self.row]


def gather(encoded: Encoded, plan: Plan, memory: Memory, memo_width: int, event: I64, first: int) -> Tile:
    """The rows of a batch of these events, `first` and on, and those of remembered events that are due."""
    n = len(encoded.y)
    rows, y, weight = encoded.rows, encoded.y, encoded.weight
    if plan.event is event:
        return Tile(rows, y, weight, np.empty((n, memo_width), np.float32), counting(n), True)
    old = plan.event < first
    count = int(np.count_nonzero(old))
    memo = np.empty((n + count, memo_width), np.float32)
    row = plan.event - first
    if count:
        old_rows, old_y, old_weight, memo[n:] = memory.take(plan.event[old])
        rows = join_rows(rows, old_rows)
        y, weight = np.concatenate([y, old_y]), np.concatenate([weight, old_weight])
        row[old] = n + np.arange(count)
    return Tile(rows, np.maximum(y, 0), weight, memo, row, False)  # what is learned without a label is a negative


def write(n: int, plan: Plan, row: I64, memory: Memory, sealing: bool, first: int) -> Tape:
    """Scores and labels in order: at place q come the labels due there, then event q is scored.

    n events from number `first` on; row [m]: that of each of the plan's events. sealing: whether labels in records wait.
    """
    if not sealing and len(row) == n and not memory.waiting:
        return Tape.of(n, BOTH)
    awaited = np.zeros(n, np.int64)
    awaited[plan.kept - first] = 1
    if not sealing and not len(plan.lost):  # every label comes with its record
        act = np.full(n, SCORE, np.uint8)
        act[row] = BOTH
        return Tape(np.arange(n), act, memory.waiting + np.cumsum(awaited))
    for part in (plan.event, plan.lost):
        awaited[part[part >= first] - first] = 1
    key = np.concatenate([2 * np.arange(n) + 1, 2 * plan.place])
    order = np.argsort(key, kind="stable")  # labels of one place are in order already
    ops = np.concatenate([np.arange(n), row])[order]
    act = np.repeat(np.array([SCORE, LEARN], np.uint8), [n, len(row)])[order]
    waiting = memory.waiting + np.cumsum(np.concatenate([awaited, np.full(len(row), -1)])[order])
    lost_at = np.sort(2 * plan.lost_place)
    waiting -= np.searchsorted(lost_at, key[order], side="right")
    return _fuse(ops, act, waiting)


def _fuse(row: I64, act: npt.NDArray[np.uint8], waiting: I64) -> Tape:
    """Make one operation of a score and the label of the same row that follows it at once."""
    score = np.flatnonzero((act[:-1] == SCORE) & (act[1:] == LEARN) & (row[:-1] == row[1:]))
    act[score + 1] = BOTH
    kept = np.ones(len(row), np.bool_)
    kept[score] = False
    return Tape(row[kept], act[kept], waiting[kept])
