"""Events that wait, against a plain dict of them, whatever moves, is lent or is restored meanwhile."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit import arena, memory
from onlogit.encoding import Rows
from onlogit.memory import NEVER, Memory

ACTS = st.lists(
    st.tuples(st.sampled_from(["come", "come", "go", "go", "tell", "lend", "resume"]), st.integers(0, 60)), max_size=40
)
SLOTS = 1 << 16


@pytest.fixture(autouse=True, scope="module")
def _little_is_much() -> Any:
    before = arena.LEAST, arena.AHEAD, memory.FEW
    arena.LEAST, arena.AHEAD, memory.FEW = 4, 8, 4
    yield
    arena.LEAST, arena.AHEAD, memory.FEW = before


def events(start: int, count: int) -> tuple[np.ndarray[Any, Any], Rows]:
    """Numbers, and rows of as many slots as the number says, modulo 4."""
    number = np.arange(start, start + count)
    lengths = number % 4
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    slots = np.concatenate([np.arange(n, n + length) for n, length in zip(number, lengths, strict=True)] or [number])
    return number, Rows(number[:, None].astype(np.float32), starts, slots.astype(np.int32), slots.astype(np.float32))


def come(told: Memory, start: int, count: int) -> None:
    number, rows = events(start, count)
    told.remember(
        number, rows, np.full(count, -1, np.int8), number / 2, np.full(count, NEVER), (number * 7).astype(np.uint64),
        -number[:, None].astype(np.float32),
    )  # fmt: skip


def check(told: Memory, waits: dict[int, int], seen: int) -> None:
    number = np.array(sorted(waits), np.int64)
    np.testing.assert_array_equal(told.expiring(seen), number)
    assert told.waiting == len(waits)
    found = told.find((np.arange(seen) * 7).astype(np.uint64))
    np.testing.assert_array_equal(found, [n if n in waits else -1 for n in range(seen)])
    rows, y, weight, memo = told.take(number)
    assert y.tolist() == [waits[n] for n in number.tolist()]
    np.testing.assert_array_equal(weight, number / 2)
    np.testing.assert_array_equal(memo[:, 0], -number)
    np.testing.assert_array_equal(rows.dense[:, 0], number)
    for at, n in enumerate(number.tolist()):
        assert rows.slots[rows.starts[at] : rows.starts[at + 1]].tolist() == list(range(n, n + n % 4))


@settings(max_examples=200)
@given(ACTS, st.integers(0, 1 << 30))
def test_events_wait_as_in_a_dict(acts: list[tuple[str, int]], seed: int) -> None:
    draw = np.random.default_rng(seed)
    told, waits, seen = Memory(1, 1, SLOTS), dict[int, int](), 0
    lent: tuple[Any, dict[int, int], int] | None = None
    for act, size in acts:
        some = draw.permutation(sorted(waits))[:size].astype(np.int64)
        if act == "come":
            come(told, seen, size)
            waits |= dict.fromkeys(range(seen, seen + size), -1)
            seen += size
        elif act == "go":
            told.forget(some)
            waits = {n: y for n, y in waits.items() if n not in set(some.tolist())}
        elif act == "tell":
            fresh = told.tell(some, np.ones(len(some), np.int8))
            assert fresh.tolist() == [waits[n] < 0 for n in some.tolist()]
            waits |= dict.fromkeys(some.tolist(), 1)
        elif act == "lend":
            lent = told.lend(), dict(waits), seen
        else:
            state = {name: array.copy() for name, array in (told.lend() if size % 2 else told.state()).items()}
            told = Memory(1, 1, SLOTS)
            told.restore(state)
        check(told, waits, seen)
    if lent is not None:
        again = Memory(1, 1, SLOTS)
        again.restore({name: array.copy() for name, array in lent[0].items()})
        check(again, lent[1], lent[2])
    straight = Memory(1, 1, SLOTS)  # state does not tell how it came about
    come(straight, 0, seen)
    straight.forget(np.setdiff1d(np.arange(seen), sorted(waits)))
    straight.tell(
        np.array([n for n, y in waits.items() if y > 0], np.int64), np.ones(sum(y > 0 for y in waits.values()), np.int8)
    )
    state = told.state()
    for name, array in straight.state().items():
        np.testing.assert_array_equal(state[name], array)


def test_holes_are_closed_a_few_rows_at_a_time() -> None:
    told = Memory(1, 1, SLOTS)
    come(told, 0, 4000)
    for start in range(0, 2000, 10):
        told.forget(np.arange(start, start + 10))
    assert told._events.n == 4000
    moving = 0
    for start in range(2000, 3900, 10):
        told.forget(np.arange(start, start + 10))
        moving += told._move is not None
    assert moving > 50
    assert told._events.n < 2500
    assert told._slots.n < 2500 * 1.5 + 10
    check(told, dict.fromkeys(range(3900, 4000), -1), 4000)
