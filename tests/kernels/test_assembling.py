"""Rows are assembled with each slot once, whichever way a row goes."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.kernels import assembling


@settings(deadline=None)  # the first call compiles
@given(
    st.integers(0, 6).flatmap(
        lambda k: st.tuples(
            st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=1, max_size=12),
            st.lists(st.integers(0, 9), max_size=4),
            st.lists(st.integers(0, 9), max_size=3),
            st.integers(0, 2),
        )
    ),
    st.randoms(),
)
def test_rows_are_assembled_with_duplicates_summed(
    case: tuple[list[list[int]], list[int], list[int], int], random: Random
) -> None:
    rows, some, part, lists = case
    lit = [[random.random() < 0.5 for _ in rows] for _ in some]
    always = np.array(rows, np.int32).T.reshape(len(rows[0]), len(rows)).copy()
    k, n, m = len(rows[0]), len(rows), len(some)
    parts = np.repeat(np.array(part, np.int32), n).reshape(len(part), n)
    part_values = np.array([random.choice([0.0, 0.5, -2.0]) for _ in range(parts.size)], np.float32).reshape(
        parts.shape
    )
    sizes = np.array([random.randrange(4) for _ in range(lists * n)], np.int64)
    stops = np.cumsum(sizes).reshape(lists, n)
    entries = np.array([random.randrange(10) for _ in range(sizes.sum())], np.int32)
    entry_values = np.array([random.choice([0.0, 1.0, 0.25]) for _ in entries], np.float32)
    most = (k + m + len(part) + 4 * lists) * n
    starts, slots, values = np.zeros(n + 1, np.int64), np.zeros(most, np.int32), np.zeros(most, np.float32)
    lit_array = np.array(lit, np.uint8).reshape(m, n)
    found = np.full(32, -1)
    end = assembling.assemble(
        always, np.array(some, np.int32), lit_array, parts, part_values, stops - sizes.reshape(lists, n), stops,
        entries, entry_values, found, starts, slots, values,
    )  # fmt: skip
    assert end == starts[n]
    for i in range(n):
        wanted: dict[int, float] = {}
        for slot in rows[i] + [s for c, s in enumerate(some) if lit[c][i]]:
            wanted[slot] = wanted.get(slot, 0.0) + 1.0
        valued = list(zip(part, part_values[:, i].tolist(), strict=True))
        for r in range(lists):
            own = slice(stops[r, i] - sizes[r * n + i], stops[r, i])
            valued += zip(entries[own].tolist(), entry_values[own].tolist(), strict=True)
        for slot, value in valued:
            if value:
                wanted[slot] = wanted.get(slot, 0.0) + value
        assert (
            dict(zip(slots[starts[i] : starts[i + 1]].tolist(), values[starts[i] : starts[i + 1]], strict=True))
            == wanted
        )


@pytest.mark.parametrize("columns", [1, 3, assembling.FEW - 2, assembling.FEW - 1])
@pytest.mark.parametrize("lit_share", [0.0, 0.01, 0.6])
def test_rows_without_duplicates_are_assembled_as_all_others(columns: int, lit_share: float) -> None:
    """Rows in several blocks of those that are compared side by side; one in a few has a slot twice."""
    n, m = 2 * assembling.ABREAST + 70, 2
    rng = np.random.default_rng(columns)
    always = rng.integers(0, 40 * columns**2, (columns, n + 3)).astype(np.int32)
    some, lit = np.array([1, 2], np.int32), (rng.random((m, n)) < lit_share).astype(np.uint8)
    none, no_lists = np.zeros(0, np.int32), np.zeros((0, n), np.int64)
    starts, slots = np.zeros(n + 1, np.int64), np.zeros((columns + m) * n, np.int32)
    values = np.zeros(slots.size, np.float32)
    found = np.full(1 << (4 * (columns + m)).bit_length(), -1)
    end = assembling.assemble(
        always, some, lit, np.zeros((0, n), np.int32), np.zeros((0, n), np.float32), no_lists, no_lists, none,
        np.zeros(0, np.float32), found, starts, slots, values,
    )  # fmt: skip
    assert end == starts[n]
    repeats = 0
    for i in range(n):
        wanted: dict[int, float] = {}
        for slot in always[:, i].tolist() + some[lit[:, i] == 1].tolist():
            wanted[slot] = wanted.get(slot, 0.0) + 1.0
        own = slice(starts[i], starts[i + 1])
        assert list(zip(slots[own].tolist(), values[own].tolist(), strict=True)) == list(wanted.items())
        repeats += max(wanted.values()) > 1.0
    assert (columns == 1 and lit_share < 0.1) or 0 < repeats < n
