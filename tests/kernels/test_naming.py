"""The naming kernels against their twins."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from naive import counted_marks, unnamed_slots

from onlogit.kernels.naming import count_named, find_unnamed


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
    slots = np.array([slot for own in rows for slot in own], np.int32)
    held = np.array(marks + [0] * 10, np.int32)
    named = np.packbits(held > 0, bitorder="little")
    walked = (starts, slots, np.array(weight, np.float64), named, held)

    row, fresh = np.zeros(room + 4, np.int64), np.zeros(room + 4, np.int32)
    last, k = find_unnamed(*walked, begin, room, row, fresh)
    expected_last, expected = unnamed_slots(rows, weight, marks, begin, room)
    assert last == expected_last
    assert list(zip(row[:k].tolist(), fresh[:k].tolist(), strict=True)) == expected
    listed = [1 if k in {slot for _, slot in expected} else mark for k, mark in enumerate(marks)]
    counted = counted_marks(rows[begin:last], weight[begin:last], listed)
    assert held.tolist() == counted + [0] * 10
    assert named.tolist() == np.packbits(held > 0, bitorder="little").tolist()

    count_named(*walked, last)
    assert held.tolist() == counted_marks(rows[last:], weight[last:], counted) + [0] * 10
