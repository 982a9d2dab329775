"""Months, warm-ups, buckets, hats and list values against their slow twins."""

import datetime as dt
import itertools
import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import bucket_of, hats_of, scaled_lists

from onlogit.kernels import derive, gather

NONE = np.zeros(0, np.uint8)
odd = st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e308, 5e-324, 0.0, -0.0])
numbers = st.lists(st.one_of(odd, st.floats(-9, 9), st.sampled_from([1.0, 2.0, 3.0])), max_size=40)
rising = st.lists(st.floats(-9, 9), min_size=1, max_size=9, unique=True).map(sorted)


@given(st.lists(st.dates(), max_size=40), st.sampled_from([1, 86_400, 86_400_000_000]))
def test_months_are_the_calendars(days: list[dt.date], per_day: int) -> None:
    ticks = np.array([(day - dt.date(1970, 1, 1)).days * per_day + per_day // 2 for day in days], np.int64)
    out = np.zeros(len(days), np.int32)
    derive.months(ticks, per_day, out)
    assert out.tolist() == [day.month - 1 for day in days]


@given(numbers)
def test_logarithms_of_positive_numbers(x: list[float]) -> None:
    out, weight = np.zeros(len(x)), (np.arange(len(x)) % 2).astype(np.float64)
    outside = derive.logarithm(np.array(x), NONE, 0, weight, out)
    usable = [math.isfinite(v) and v > 0 for v in x]
    assert np.isnan(out).tolist() == [not u for u in usable]
    assert out[usable].tolist() == pytest.approx([math.log(v) for v, u in zip(x, usable, strict=True) if u])
    assert outside == sum(math.isfinite(v) and v <= 0 and w > 0 for v, w in zip(x, weight, strict=True))


@given(numbers, rising)
def test_buckets_and_hats(x: list[float], knots: list[float]) -> None:
    values, edges = np.array(x), np.array(knots)
    codes, left = np.zeros(len(x), np.int32), np.zeros(len(x), np.int32)
    heights = np.zeros((2, len(x)), np.float32)
    derive.buckets(values, NONE, 0, edges, codes)
    derive.hats(values, NONE, 0, edges, left, heights)
    for i, v in enumerate(x):
        if not math.isfinite(v):
            assert (codes[i], left[i], heights[0, i], heights[1, i]) == (-1, -1, 1, 0)
            continue
        assert codes[i] == bucket_of(v, knots)
        found = {int(left[i]) + side: float(heights[side, i]) for side in range(2) if heights[side, i] > 0}
        wanted = hats_of(v, knots)
        for j in found.keys() | wanted.keys():
            assert found.get(j, 0.0) == pytest.approx(wanted.get(j, 0.0), abs=1e-6)
        assert heights[:, i].sum() == pytest.approx(1.0, abs=1e-6)


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 3))
def test_a_warm_up_ends_at_one_row_however_it_is_cut(cuts: list[int], gaps: int) -> None:
    """After 1,024 rows of weight > 0; later where fewer than 256 of them have a number."""
    n = 2600
    x = np.arange(n, dtype=float)
    x[np.arange(n) % 8 < 2 * gaps] = math.nan  # 1, 3/4, 1/2 or 1/4 of the rows have a number
    if gaps == 3:
        x[:400] = math.nan
    weight = np.where(np.arange(n) % 5 == 0, 0.0, 2.0)
    counted = np.flatnonzero(weight > 0)
    present = np.flatnonzero((weight > 0) & np.isfinite(x))
    end = max(counted[1023], present[255]) + 1
    held, warmed = np.zeros(derive.WARM_UP), np.zeros(3, np.int64)
    edges = [0, *sorted(end + np.array(cuts, int) - 30), n]
    ends = []
    for low, high in itertools.pairwise(edges):
        at = derive.warm_up(x[low:high], NONE, 0, weight[low:high], held, warmed)
        ends += [low + at] if at < high - low else []
    assert ends[0] == end
    assert held[: warmed[derive.HELD]].tolist() == [v for v in present.tolist() if v < end]


squarable = st.floats(-9, 9).map(lambda v: v if abs(v) > 1e-150 else 0.0)  # squares of less are not exact
lists = st.lists(st.lists(st.one_of(odd, squarable), max_size=5), max_size=40)


@given(lists, st.lists(st.integers(0, 40), max_size=3))
def test_list_values_are_multiples_of_their_rms_in_any_cut(rows: list[list[float]], cuts: list[int]) -> None:
    weight = [float(i % 4 != 3) for i in range(len(rows))]
    wanted = scaled_lists(rows, weight)
    moments, counts, got = gather.empty_moments(1)[0], np.zeros(4, np.int64), []
    edges = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    for low, high in itertools.pairwise(edges):
        stops = np.cumsum([0, *(len(row) for row in rows[low:high])])
        flat = np.array([v for row in rows[low:high] for v in row], float)
        out = np.zeros(flat.size, np.float32)
        derive.list_values(
            flat, NONE, 0, stops[:-1], stops[:-1], stops[1:], np.array(weight[low:high]), moments, counts, out
        )
        got += out.tolist()
    np.testing.assert_allclose(got, [v for row in wanted for v in row], rtol=1e-5, atol=1e-6)
    counted = [v for row, w in zip(rows, weight, strict=True) for v in row if w > 0]
    assert counts[gather.NAN] == sum(math.isnan(v) for v in counted)
    assert counts[gather.INFINITE] == sum(math.isinf(v) for v in counted)


def test_values_that_are_all_one_stay_one() -> None:
    moments, counts, out = gather.empty_moments(1)[0], np.zeros(4, np.int64), np.zeros(3000, np.float32)
    at = np.arange(3000)
    derive.list_values(np.ones(3000, np.float32), NONE, 0, at, at, at + 1, np.ones(3000), moments, counts, out)
    assert set(out.tolist()) == {1.0}


class Untouched(np.ndarray):
    """Counts that another thread may be adding to."""

    def __setitem__(self, *given: object) -> None:
        raise AssertionError("written")


def test_list_values_that_are_only_scored_write_no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, inner = cast(Any, derive.list_values), cast(Any, derive._present)
    monkeypatch.setattr(derive, "_present", inner.py_func)
    counts, out, at = np.zeros(4, np.int64).view(Untouched), np.zeros(5, np.float32), np.arange(5)
    moments, x = np.array([9.0, 0.0, 1.0, 0.0, 0.0, 0.0, 9.0, np.inf]), np.array([1.0, 0.0, 99.0, np.nan, np.inf])
    kernel.py_func(x, NONE, 0, at, at, at + 1, np.zeros(5), moments, counts, out)
    assert out.tolist() == [1.0, 0.0, 3.0, 0.0, 0.0]
