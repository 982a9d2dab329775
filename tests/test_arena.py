"""Arrays that grow: the rows are those that were appended, whatever grew, was lent or was restored in between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit import arena
from onlogit.arena import Arena, Lent
from onlogit.errors import StateError

ACTS = st.lists(
    st.tuples(st.sampled_from(["append", "keep", "lend", "write", "resume"]), st.integers(1, 90)), max_size=40
)


def new() -> Arena:
    return Arena(("mark",), number=np.empty(0, np.int64), wide=np.empty((0, 2), np.float32), mark=np.empty(0, np.int8))


@settings(max_examples=150)
@given(ACTS)
def test_rows_are_as_in_a_list(acts: list[tuple[str, int]]) -> None:
    """Against a plain list of rows; what was lent is still what it was then."""
    least, ahead = arena.LEAST, arena.AHEAD
    arena.LEAST, arena.AHEAD = 8, 16  # so that little is much
    try:
        told, rows, count = new(), [], 0
        lent: list[tuple[Lent, list[list[int]]]] = []
        for act, size in acts:
            if act == "append":
                number = np.arange(count, count + size)
                told.append(number=number, wide=np.stack([number, -number], 1), mark=np.zeros(size, np.int8))
                rows += [[n, n, -n, 0] for n in number.tolist()]
                count += size
            elif act == "keep":
                told.keep(told["number"] % 7 != size % 7)
                rows = [row for row in rows if row[0] % 7 != size % 7]
            elif act == "write":
                told["mark"][told["number"] % 5 == size % 5] = size
                rows = [[*row[:3], size] if row[0] % 5 == size % 5 else row for row in rows]
            elif act == "lend":
                lent.append((told.lend(), list(rows)))
            elif act == "resume":
                state, told = told.state(), new()
                told.restore({name: np.concatenate([a, a])[: len(a)] for name, a in state.items()}, "rows")
                assert len(told.arrays["number"]) == 2 * len(rows)
            assert table(dict(told.state())) == rows
        for arrays, were in lent[-1:]:  # an arena knows of its last borrower: there is one checkpoint at a time
            assert table(arrays) == were
    finally:
        arena.LEAST, arena.AHEAD = least, ahead


def table(arrays: dict[str, arena.Array]) -> list[list[int]]:
    columns = [arrays["number"], arrays["wide"][:, 0], arrays["wide"][:, 1], arrays["mark"]]
    return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def test_growing_copies_a_few_rows_at_a_time() -> None:
    def rows(count: int) -> dict[str, arena.Array]:
        return {"number": np.zeros(count, np.int64), "wide": np.zeros((count, 2)), "mark": np.zeros(count, np.int8)}

    told = new()
    told.append(**rows(2 * arena.AHEAD))
    told.append(**rows(1))  # has grown at once, as there was nothing before
    room = told.room
    while told.n + 512 <= room:
        told.append(**rows(512))
    assert told.room == room
    larger, filled = told._larger["wide"], told._filled
    assert filled >= told.n - 4 * 512
    told.append(**rows(512))
    assert told.arrays["wide"] is larger


def test_what_does_not_fit_changes_nothing() -> None:
    told = new()
    told.append(number=np.arange(3), wide=np.ones((3, 2)), mark=np.ones(3, np.int8))
    state = told.state()
    for bad in ({"mark": np.ones(3)}, {"mark": np.ones(2, np.int8)}, {"wide": np.ones((3, 3), np.float32)}):
        with pytest.raises(StateError, match="rows"):
            told.restore(state | bad, "rows")
    assert told.n == 3
    frozen = {name: array.copy() for name, array in state.items()}
    for array in frozen.values():
        array.flags.writeable = False
    told.restore(frozen, "rows")
    told["mark"][0] = 7
    assert frozen["mark"][0] == 1
