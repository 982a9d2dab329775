"""Tallies: against the definitions, exact merging, weights as repeats, and the ends of the range."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import naive_tally

from onlogit.kernels.tally import EDGES, Tally, merge_tallies, new_tally, tally_rows, values
from onlogit.monitor.quality import quality, reliability

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
Stream = tuple[F64, I8, F64]


def stream(seed: int, n: int, mean: float = -1.0, sd: float = 1.0) -> Stream:
    rng = np.random.default_rng(seed)
    z = rng.normal(mean, sd, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8)
    y[rng.random(n) < 0.05] = -1
    return z, y, rng.integers(0, 4, n).astype(np.float64)


def tally(z: F64, y: I8, weight: F64) -> Tally:
    result = new_tally()
    tally_rows(result, z, y, weight)
    return result


def content(of: Tally) -> list[bytes]:
    return [array.tobytes() for array in of]


rows = st.lists(
    st.tuples(
        st.one_of(st.floats(-80, 80), st.sampled_from([math.inf, -math.inf, 1e308, 0.0])),
        st.sampled_from([-1, 0, 1]),
        st.one_of(st.sampled_from([0.0, 1.0, 3.0, 2.0**20]), st.floats(0, 100)),
    ),
    max_size=60,
)


def columns(of: list[tuple[float, int, float]]) -> Stream:
    z, y, weight = zip(*of, strict=True) if of else ((), (), ())
    return np.array(z, np.float64), np.array(y, np.int8), np.array(weight, np.float64)


@pytest.mark.parametrize(("seed", "mean", "sd"), [(1, -1.0, 1.0), (2, 0.0, 3.0), (3, -5.0, 0.5)])
def test_against_definitions(seed: int, mean: float, sd: float) -> None:
    z, y, weight = stream(seed, 1500, mean, sd)
    got, want = quality(tally(z, y, weight))._asdict(), naive_tally(z, y, weight)
    for name, value in want.items():
        within = max(got["auc_error"], 1e-9) if name == "auc" else 1e-9 * max(1.0, abs(value))
        assert got[name] == pytest.approx(value, abs=within), name


@settings(max_examples=40, deadline=None)
@given(rows, rows)
def test_merging_is_adding(a: list[tuple[float, int, float]], b: list[tuple[float, int, float]]) -> None:
    merged = merge_tallies(tally(*columns(a)), tally(*columns(b)))
    assert content(merged) == content(tally(*columns(a + b)))
    assert content(merged) == content(tally(*columns(b + a)))


@settings(max_examples=40, deadline=None)
@given(rows, st.integers(0, 60))
def test_cut_anywhere(a: list[tuple[float, int, float]], cut: int) -> None:
    pieces = new_tally()
    for part in (a[:cut], a[cut:]):
        tally_rows(pieces, *columns(part))
    assert content(pieces) == content(tally(*columns(a)))


@settings(max_examples=40, deadline=None)
@given(rows)
def test_whole_weights_are_repeats(a: list[tuple[float, int, float]]) -> None:
    z, y, weight = columns(a)
    weight = np.minimum(np.floor(weight), 50.0)
    repeats = weight.astype(int)
    apart = tally(np.repeat(z, repeats), np.repeat(y, repeats), np.ones(repeats.sum()))
    together = tally(z, y, weight)
    assert content(together) == content(apart)


def test_weight_zero_and_no_label_change_nothing() -> None:
    start = tally(*stream(4, 100))
    before = content(start)
    tally_rows(start, np.array([3.0, -3.0]), np.array([1, -1], np.int8), np.array([0.0, 5.0]))
    assert content(start) == before


def test_empty_and_single_class_are_null() -> None:
    empty = quality(new_tally())
    assert empty.examples == 0
    assert set(empty[1:]) == {None}
    ones = quality(tally(np.zeros(3), np.ones(3, np.int8), np.ones(3)))
    assert (ones.rate, ones.auc, ones.auc_error) == (1.0, None, None)
    json.dumps([empty._asdict(), ones._asdict()], allow_nan=False)


@pytest.mark.parametrize(("mean", "sd"), [(-2.45, 1.0), (0.0, 0.1), (-9.0, 1.0), (0.0, 6.0), (-8.0, 4.0)])
def test_auc_within_its_promise(mean: float, sd: float) -> None:
    rng = np.random.default_rng(7)
    z = rng.normal(mean, sd, 200_000)
    y = (rng.random(z.size) < 1 / (1 + np.exp(-z))).astype(np.int8)
    got = quality(tally(z, y, np.ones(z.size)))
    assert got.auc is not None
    assert got.auc_error is not None
    order = np.argsort(z)
    rank = np.empty(z.size)
    rank[order] = np.arange(z.size)
    positives = int(y.sum())
    exact = (rank[y == 1].sum() - positives * (positives - 1) / 2) / (positives * (z.size - positives))
    assert abs(got.auc - exact) < min(1e-4 if positives > 1000 else 1e-3, got.auc_error + 1e-12)


EDGES_OF_P = [math.log(j / (20 - j)) for j in range(1, 20)]


@pytest.mark.parametrize("edge", [*EDGES_OF_P, *EDGES])
@pytest.mark.parametrize("aside", [-1e-9, -1e-17, 0.0, 1e-17, 1e-9])
def test_bins_at_their_edges(edge: float, aside: float) -> None:
    """Rows of weight 1 wait in places that tell both bins, those of weight 2 go to their bins at once."""
    z = edge + aside
    of = tally(np.array([z, z]), np.ones(2, np.int8), np.array([1.0, 1.0]))
    assert np.flatnonzero(of.odds[:, 0, 0]).tolist() == [np.searchsorted(EDGES, z, "right")]
    share, near = np.flatnonzero(of.shares[:, 0, 0]).tolist(), 20 / (1 + math.exp(-z))
    assert len(share) == 1
    assert share[0] <= near + 1e-12
    assert near - 1e-12 <= share[0] + 1
    assert content(of) == content(tally(np.array([z]), np.ones(1, np.int8), np.array([2.0])))


def test_extremes_are_finite() -> None:
    z = np.array([np.inf, -np.inf, 1e308, -1e308, 700.0, 1e-320])
    for label, losses in ((0, 3 * 64 + math.log(2)), (1, 2 * 64 + math.log(2))):
        of = tally(z, np.full(6, label, np.int8), np.full(6, 2.0**20))
        assert values(of.totals)[6] / values(of.totals)[0] == pytest.approx(losses / 6, rel=1e-9)


def test_sums_carry_into_the_whole_limb() -> None:
    of = new_tally()
    n = 5000
    for _ in range(4):
        tally_rows(of, np.full(n, -64.0), np.ones(n, np.int8), np.full(n, 2.0**20))
    assert values(of.totals)[6] == pytest.approx(4 * n * 64 * 2.0**20, rel=1e-12)  # far beyond 2^63 / 2^36
    assert of.totals[6, 1] < 2**36


def test_reliability_table() -> None:
    z, y, weight = stream(9, 4000)
    for scale in ("probability", "log-odds"):
        table = reliability(tally(z, y, weight), scale)
        seen = table.examples > 0
        assert table.examples.sum() == weight[y >= 0].sum()
        p = table.stated[seen] if scale == "probability" else np.log(table.stated[seen] / (1 - table.stated[seen]))
        assert (p >= table.edges[:-1][seen]).all()
        assert (p <= table.edges[1:][seen]).all()
        assert (table.low[seen] <= table.observed[seen]).all()
        assert (table.observed[seen] <= table.high[seen]).all()
        assert np.isnan(table.stated[~seen]).all()
    with pytest.raises(ValueError, match="log-odds"):
        reliability(new_tally(), "quantile")


def test_wilson_interval() -> None:
    of = tally(np.full(10, -0.1), np.array([1] * 2 + [0] * 8, np.int8), np.ones(10))
    table = reliability(of)
    b = int(np.argmax(table.examples))
    assert (table.low[b], table.high[b]) == (pytest.approx(0.0567, abs=1e-4), pytest.approx(0.5098, abs=1e-4))


def test_squared_error_is_unbiased_under_calibration() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        z = rng.normal(-1, 1, 500)
        y = (rng.random(500) < 1 / (1 + np.exp(-z))).astype(np.int8)
        found.append(quality(tally(z, y, np.ones(500))).calibration_error_squared)
    sample = np.array(found, np.float64)
    assert abs(sample.mean()) < 4 * sample.std() / math.sqrt(60)
