"""The naming kernels against their twins."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from naive import counted_marks, unnamed_slots

from onlogit.kernels.naming import SIEVE, count_named, find_unnamed

SLOTS = np.array([0, 1, 2, 3, 8 * SIEVE + 3, 8 * SIEVE + 5])  # two of them share a bit of the sieve


def sieve_of(marks: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    return np.packbits((marks > 0).reshape(-1, 8 * SIEVE).any(axis=0), bitorder="little")


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 5), max_size=4), st.sampled_from([0.0, 1.0, 2.5])), max_size=12),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_naming(told: list[tuple[set[int], float]], begin: int, room: int) -> None:
    rows, weight = [sorted(slots) for slots, _ in told], [w for _, w in told]
    begin = min(begin, len(rows))
    marks = [0, 1, -1, 7, 0, 2**31 - 2]
    starts = np.concatenate([[0], np.cumsum([len(slots) for slots in rows], dtype=np.int64)]).astype(np.int64)
    slots = SLOTS[np.array([slot for own in rows for slot in own], np.int64)].astype(np.int32)
    held = np.zeros(16 * SIEVE, np.int32)
    held[SLOTS] = marks
    sieve = sieve_of(held)
    walked = (starts, slots, np.array(weight, np.float64), sieve, held)

    row, fresh = np.zeros(room + 4, np.int64), np.zeros(room + 4, np.int32)
    last, k = find_unnamed(*walked, begin, room, row, fresh)
    expected_last, expected = unnamed_slots(rows, weight, marks, begin, room)
    assert last == expected_last
    assert list(zip(row[:k].tolist(), fresh[:k].tolist(), strict=True)) == [(i, SLOTS[slot]) for i, slot in expected]
    listed = [1 if k in {slot for _, slot in expected} else mark for k, mark in enumerate(marks)]
    counted = counted_marks(rows[begin:last], weight[begin:last], listed)
    assert held[SLOTS].tolist() == counted
    assert sieve.tolist() == sieve_of(held).tolist()

    count_named(*walked, last)
    assert held[SLOTS].tolist() == counted_marks(rows[last:], weight[last:], counted)
    assert np.delete(held, SLOTS).sum() == 0
