"""The naming kernels against their twins."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from naive import counted_marks, unnamed_rows

from onlogit.kernels.naming import count_named, find_unnamed


@given(st.lists(st.tuples(st.sets(st.integers(0, 5), max_size=4), st.sampled_from([0.0, 1.0, 2.5])), max_size=12))
def test_naming(told: list[tuple[set[int], float]]) -> None:
    rows, weight = [sorted(slots) for slots, _ in told], [w for _, w in told]
    marks = [0, 1, -1, 7, 0, 2**31 - 2]
    starts = np.concatenate([[0], np.cumsum([len(slots) for slots in rows], dtype=np.int64)]).astype(np.int64)
    slots = np.array([slot for own in rows for slot in own], np.int32)
    found, packed_marks = np.zeros(len(rows), np.int64), np.array(marks + [0] * 10, np.int32)
    named = np.packbits(packed_marks > 0, bitorder="little")
    packed = starts, slots, np.array(weight, np.float64), packed_marks
    expected = unnamed_rows(rows, weight, marks)
    assert found[: find_unnamed(*packed, 0, found)].tolist() == expected
    few = np.zeros(2, np.int64)
    assert few[: find_unnamed(*packed, 1, few)].tolist() == [row for row in expected if row >= 1][:2]
    count_named(starts, slots, packed[2], named, packed_marks)
    assert packed_marks.tolist() == counted_marks(rows, weight, marks) + [0] * 10
