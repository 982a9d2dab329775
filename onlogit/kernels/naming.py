"""Which slots have a name, and how many events each named slot had. 2 ns a slot; nothing is allocated.

`marks` has one number a slot: UNNAMED, NAMELESS, or 1 + the events that it had since it was named, at most MOST. `sieve` has a
bit for all slots that are equal in their low bits, 1 where one of them may have a name: most that have none are told by it, and
it is small enough for the nearest cache.
"""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import kernel, unsigned

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

UNNAMED, NAMELESS = 0, -1  # a nameless slot is not asked for again
SIEVE = 1 << 13  # bytes
MOST = (1 << 31) - 1


@kernel
def find_unnamed(
    starts: I64, slots: I32, weight: F64, sieve: U8, marks: I32, first: int, room: int, rows: I64, fresh: I32
) -> tuple[int, int]:
    """Count as `count_named` does from row `first` on, and list the slots that have no name yet, each with the row that
    lights it first: rows[:k] and fresh[:k], in the order of the stream. Gives (next, k): the row up to which it came,
    where k is at least `room` or the rows are over. Both lists hold `room` and the longest row.

    What is listed counts as named from its row on; who lists it takes that back where it finds no name.
    """
    k = 0
    i = first
    while i < weight.size and k < room:
        if weight[i] > 0.0:
            for j in range(unsigned(starts[i]), unsigned(starts[i + 1])):
                slot = np.uint32(slots[j])
                mark = marks[slot]
                if mark == UNNAMED:
                    rows[k], fresh[k] = i, slots[j]
                    k += 1
                    sieve[(slot >> np.uint32(3)) % np.uint32(SIEVE)] |= np.uint8(1) << np.uint8(slot & np.uint32(7))
                    marks[slot] = 2
                elif mark != NAMELESS and mark < MOST:
                    marks[slot] = mark + np.int32(1)
        i += 1
    return i, k


@kernel
def count_named(starts: I64, slots: I32, weight: F64, sieve: U8, marks: I32, first: int) -> None:
    """One event more for each named slot of each row of weight > 0 from `first` on. sieve: u8[SIEVE].

    Of the marks only those that may count are touched, and 16 in place of all others, which is cheaper than a branch that cannot
    be foreseen. There are 16 marks or more.
    """
    for i in range(unsigned(first), unsigned(weight.size)):
        if weight[i] <= 0.0:
            continue
        for j in range(unsigned(starts[i]), unsigned(starts[i + np.uint64(1)])):
            slot = np.uint32(slots[j])
            bit = np.uint32(sieve[(slot >> np.uint32(3)) % np.uint32(SIEVE)] >> (slot & np.uint32(7))) & np.uint32(1)
            at = slot & ((np.uint32(0) - bit) | np.uint32(15))
            mark = marks[at]
            marks[at] = mark + np.int32(bit & np.uint32((mark > UNNAMED) & (mark < MOST)))
