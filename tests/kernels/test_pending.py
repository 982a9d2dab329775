"""The index from key to event against a dictionary, with keys that fall on one another."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from naive import PendingIndex

from onlogit.memory import KeyIndex

KEYS = [n << 60 for n in range(8)] + [1, 2, 3, 2**64 - 1]  # in a small table many begin at one place
steps = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "find"]), st.lists(st.sampled_from(KEYS), max_size=8)), max_size=25
)


@given(steps)
def test_like_a_dictionary(told: list[tuple[str, list[int]]]) -> None:
    index, slow, number = KeyIndex(), PendingIndex(), 0
    for what, chosen in told:
        keys = np.array(chosen, np.uint64)
        numbers = np.arange(number, number + len(keys))
        if what == "add":
            index.add(keys, numbers)
            slow.add(chosen, numbers.tolist())
            number += len(keys)
        elif what == "remove":
            held = slow.find(chosen)
            index.remove(keys, np.array(held, np.int64))
            slow.remove(chosen, held)
            index.remove(keys, np.full(len(keys), 10**9))
        assert index.find(keys).tolist() == slow.find(chosen)
        assert index.find(np.array(KEYS, np.uint64)).tolist() == slow.find(KEYS)
        assert index.count == len(slow.held)


def test_many_keys_come_and_go() -> None:
    draw = np.random.default_rng(1)
    keys = draw.integers(0, 2**63, 100_000, dtype=np.uint64)
    index = KeyIndex()
    for start in range(0, len(keys), 5000):
        index.add(keys[start : start + 5000], np.arange(start, start + 5000))
        if start >= 20_000:
            old = slice(start - 20_000, start - 15_000)
            index.remove(keys[old], np.arange(len(keys))[old])
    assert index.count == 20_000
    assert index.find(keys).tolist() == [-1] * 80_000 + list(range(80_000, 100_000))
    assert index.places <= 1 << 17
