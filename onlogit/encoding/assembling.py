"""What the columns gave -> rows, in which a slot stands once."""

import numpy as np
import numpy.typing as npt

from onlogit.encoding.derived import Parts
from onlogit.encoding.lists import Lists
from onlogit.encoding.numbers import Lit
from onlogit.encoding.rows import Rows, numbers_alone
from onlogit.kernels import assembling

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

MOST = 100.0  # what the entries of a list may add up to in one slot


def assemble(dense: F32, always: I32, lit: Lit, parts: Parts, lists: Lists) -> Rows:
    """Rows of the numbers, with the slots that every row has, i32[k, n], those that some have, and what terms and lists gave."""
    k, n = len(always), len(dense)
    some, some_lit = lit
    if lists.null_slots.size:
        some, some_lit = np.append(some, lists.null_slots), np.concatenate([some_lit, lists.absent])
    most, widest = k * n + int(np.count_nonzero(some_lit)), k + some.size
    if parts.values.size:
        most, widest = most + int(np.count_nonzero(parts.values)), widest + len(parts.values)
    if lists.starts.size:
        entries = (lists.stops - lists.starts).sum(axis=0)
        most, widest = most + int(entries.sum()), widest + int(entries.max())
    if not most:
        return numbers_alone(dense)
    starts = np.zeros(n + 1, np.int64)
    slots, values = np.empty(most, np.int32), np.empty(most, np.float32)
    found = np.full(1 << (4 * widest + 1).bit_length(), -1, np.int64)
    end = assembling.assemble(
        always,
        some,
        some_lit,
        *parts,
        lists.starts,
        lists.stops,
        lists.slots,
        lists.values,
        found,
        starts,
        slots,
        values,
    )
    if lists.starts.size:
        np.clip(values, -MOST, MOST, out=values)
    return Rows(dense, starts, slots[:end], values[:end])
