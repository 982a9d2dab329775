"""The codes of packed booleans and of instants, from their definitions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.kernels import layout


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.booleans(), max_size=70), st.integers(0, 9))
def test_bits_are_unpacked(bits: list[bool], shift: int) -> None:
    out = np.zeros(len(bits), np.int32)
    layout.unpack_bits(np.packbits(np.array([True] * shift + bits, bool), bitorder="little"), shift, out)
    assert out.tolist() == [int(b) for b in bits]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30), st.sampled_from([24, 86_400, 3_600_000_000]))
def test_calendar_codes_are_floored(ticks: list[int], unit: int) -> None:
    out = np.zeros(len(ticks), np.int32)
    layout.calendar_codes(np.array(ticks, np.int64), unit, 3, 7, out)
    assert out.tolist() == [((t // unit) + 3) % 7 for t in ticks]
