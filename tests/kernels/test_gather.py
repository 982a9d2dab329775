"""Standardising with robust moments against its slow twin, and what the guards promise."""

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import standardise as naive_standardise

from onlogit.kernels import gather

F64 = npt.NDArray[np.float64]
NONE = np.zeros(0, np.uint8)


class Column:
    """One column with its moments, fed in any cut."""

    def __init__(self) -> None:
        self.moments = gather.empty_moments(1)[0]
        self.counts = np.zeros(4, np.int64)

    def feed(self, x: npt.ArrayLike, weight: npt.ArrayLike = 1.0) -> npt.NDArray[np.float32]:
        values: npt.NDArray[Any] = np.array(x)
        out = np.zeros(values.size, np.float32)
        w = np.broadcast_to(np.asarray(weight, np.float64), values.shape).copy()
        gather.standardise(values, NONE, 0, w, self.moments, self.counts, out, np.zeros(values.size, np.uint8))
        return out

    @property
    def mean(self) -> float:
        return float(self.moments[gather.MEAN])

    @property
    def sd(self) -> float:
        return math.sqrt(float(self.moments[gather.VAR]))


def streams() -> dict[str, F64]:
    rng = np.random.default_rng(7)
    normal = rng.normal(3.0, 2.0, 1500)
    junk_first = normal.copy()
    junk_first[[0, 3, 20, 100]] = [1e12, -1e30, 1e308, 1e12]
    late = np.concatenate([np.zeros(100), [1e30], np.zeros(60), rng.normal(size=600)])
    return {
        "normal": normal,
        "cauchy": rng.standard_cauchy(1300),
        "lognormal": np.exp(3 * rng.normal(size=1300)),
        "junk first": junk_first,
        "constant": np.full(200, 0.1),
        "constant, junk, normal": late,
        "rare": (rng.random(1300) < 0.01).astype(float),
        "scale x 1000": np.concatenate([rng.normal(size=300), 1000 * rng.normal(size=400)]),
        "steps": np.repeat([1.1, 1.4, -1.8, 1.4], 300),
    }


@pytest.mark.parametrize("name", streams())
@pytest.mark.parametrize("weighted", [False, True])
def test_standardise_is_its_slow_twin(name: str, weighted: bool) -> None:
    x = streams()[name]
    rng = np.random.default_rng(1)
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], x.size) if weighted else np.ones(x.size)
    column = Column()
    got = column.feed(x, weight)
    wanted, _, moments = naive_standardise(x.tolist(), weight.tolist())
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=2e-6)
    mean, var = moments.mean_var(moments.total)
    np.testing.assert_allclose([column.mean, column.sd], [mean, math.sqrt(var)], rtol=1e-9, atol=1e-7 * math.sqrt(var))
    assert column.moments[gather.GATHERED] == len(moments.gathered) or moments.next < math.inf
    assert column.moments[gather.NEXT] == moments.next


numbers = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from([0.0, 1.0, -1.0, 1e12, 1e30, -1e308, math.nan, math.inf, -math.inf, 5e-324]),
        st.floats(-100, 100, width=32),
    ),
    max_size=80,
)


@settings(deadline=None)  # the first call compiles
@given(numbers, st.integers(0, 9), st.sampled_from([np.float32, np.float64]))
def test_missing_numbers_are_zero_lit_and_counted(x: list[float | None], shift: int, dtype: type) -> None:
    valid = np.array([True] * shift + [v is not None for v in x], bool)
    with np.errstate(over="ignore"):
        values: npt.NDArray[np.floating[Any]] = np.array([0.0 if v is None else v for v in x], dtype)
    column = Column()
    out, missing = np.zeros(len(x), np.float32), np.zeros(len(x), np.uint8)
    bits = np.packbits(valid, bitorder="little")
    lost = gather.standardise(values, bits, shift, np.ones(len(x)), column.moments, column.counts, out, missing)
    null = [v is None for v in x]
    gone = [n or not math.isfinite(v) for n, v in zip(null, values.tolist(), strict=True)]
    assert missing.astype(bool).tolist() == gone
    assert lost == sum(gone)
    assert not out[np.array(gone, bool)].any()
    assert np.isfinite(out).all()
    assert (np.abs(out) <= 6).all()
    assert column.counts[gather.NULL] == sum(null)
    assert column.counts[gather.NAN] == sum(not n and math.isnan(v) for n, v in zip(null, values.tolist(), strict=True))
    assert column.counts[:3].sum() == lost
    assert np.isfinite(column.moments[[gather.MEAN, gather.VAR]]).all()


@settings(deadline=None)  # the first call compiles
@given(numbers, st.lists(st.integers(0, 80), max_size=5))
def test_any_cut_gives_the_same_bytes(x: list[float | None], cuts: list[int]) -> None:
    values = np.array([math.nan if v is None else v for v in x * 3])
    whole, cut = Column(), Column()
    wanted = whole.feed(values)
    got = np.concatenate([cut.feed(part) for part in np.split(values, sorted(cuts))])
    assert got.tobytes() == wanted.tobytes()
    assert cut.moments.tobytes() == whole.moments.tobytes()
    assert cut.counts.tobytes() == whole.counts.tobytes()


@pytest.mark.parametrize("name", streams())
def test_any_cut_gives_the_same_bytes_beyond_the_trial_period(name: str) -> None:
    values = np.tile(streams()[name], 2)
    whole, cut = Column(), Column()
    wanted = whole.feed(values)
    edges = np.sort(np.random.default_rng(4).integers(0, values.size, 60))
    got = np.concatenate([cut.feed(part) for part in np.split(values, edges)])
    assert got.tobytes() == wanted.tobytes()
    assert cut.moments.tobytes() == whole.moments.tobytes()


@given(
    cuts=st.lists(st.integers(0, 3000), max_size=6),
    at=st.integers(1024, 2999),
    odd=st.sampled_from([math.nan, 4.0, 6.5, 8.0, 1e30]),
)
@settings(max_examples=30, deadline=None)
def test_any_cut_gives_the_same_bytes_by_either_path(cuts: list[int], at: int, odd: float) -> None:
    """One odd value sends its part of a batch through the slow loop, which has to give the same bits."""
    x = np.random.default_rng(at).normal(size=3000)
    x[at] = odd
    whole, cut = Column(), Column()
    z = whole.feed(x)
    edges = [0, *sorted(cuts), 3000]
    parts = [cut.feed(x[low:high]) for low, high in itertools.pairwise(edges)]
    assert np.concatenate(parts).tobytes() == z.tobytes()
    assert cut.moments.tobytes() == whole.moments.tobytes()
    assert cut.counts.tobytes() == whole.counts.tobytes()


def test_weight_zero_changes_nothing_and_is_standardised() -> None:
    column = Column()
    column.feed(np.random.default_rng(0).normal(size=300))
    before, counts = column.moments.copy(), column.counts.copy()
    z = column.feed([column.mean, column.mean + 2 * column.sd, 1e30, math.nan], 0.0)
    np.testing.assert_allclose(z, [0, 2, 3, 0], atol=1e-6)
    assert column.moments.tobytes() == before.tobytes()
    assert column.counts.tobytes() == counts.tobytes()


def test_weights_are_repeats_to_a_percent() -> None:
    rng = np.random.default_rng(3)
    x, h = rng.normal(size=2000), rng.integers(1, 4, 2000)
    weighted, repeated = Column(), Column()
    weighted.feed(x, h)
    repeated.feed(np.repeat(x, h))
    for column in (weighted, repeated):
        column.feed([0.0], 2.0)  # before which all that was gathered enters
    assert abs(weighted.mean - repeated.mean) < 1e-7
    assert abs(weighted.sd / repeated.sd - 1) < 1e-7


@pytest.mark.parametrize("junk", [1e4, -1e12, 1e30, 1e308, -1e308])
@pytest.mark.parametrize("at", [0, 1, 5, 15, 16, 17, 31, 40, 500, 1000, 1023, 1024, 3000])
@pytest.mark.parametrize("before", ["normal", "constant"])
def test_one_absurd_value_never_silences_a_column(junk: float, at: int, before: str) -> None:
    x = np.random.default_rng(at).normal(5.0, 1.0, at + 3001)
    if before == "constant":
        x[:at] = 5.0
    x[at] = junk
    column = Column()
    z = column.feed(x)
    assert abs(z[at]) > 0.9 or at == 0
    # within 1,100 rows numbers are spread again as they should be, and at the end well so
    assert 0.5 < z[at + 1100 : at + 1400].std() < 1.5
    assert 0.8 < z[-500:].std() < 1.25
    assert abs(column.mean - 5.0) < 0.5


def test_junk_in_a_percent_of_the_rows_is_outvoted() -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=20_000)
    x[rng.random(x.size) < 0.01] = 1e15
    column = Column()
    z = column.feed(x)
    good = np.abs(x) < 10
    assert 0.6 < z[10_000:][good[10_000:]].std() < 1.1


@pytest.mark.parametrize("n", [300, 1000, 5000])
def test_an_honest_change_of_scale_is_caught_up_with(n: int) -> None:
    rng = np.random.default_rng(n)
    column = Column()
    column.feed(rng.normal(size=n))
    z = column.feed(1000 * rng.normal(size=n // 2))
    assert np.mean(np.abs(z[: n // 10]) == 3) > 0.5
    assert column.sd > 300  # 577 by all rows alike


def test_moments_of_ordinary_numbers_are_welfords() -> None:
    x = np.random.default_rng(5).normal(1e6, 3.0, 64 * 312)
    column = Column()
    column.feed(x)
    assert column.mean == pytest.approx(x.mean(), rel=1e-13)
    assert column.sd == pytest.approx(x.std(), rel=1e-8)


def test_constant_columns_are_zero_and_rare_values_stand_out() -> None:
    column = Column()
    assert not column.feed(np.full(5000, 0.1)).any()
    assert column.mean == 0.1
    assert column.feed([1.0])[0] == 3
    assert np.abs(column.feed(np.full(100, 0.1))).max() < 0.2


def test_float32_and_float64_columns_agree() -> None:
    x = np.random.default_rng(2).normal(size=500).astype(np.float32)
    assert Column().feed(x).tobytes() == Column().feed(x.astype(np.float64)).tobytes()


@settings(deadline=None)  # the first call compiles
@given(st.data(), st.integers(1, 35), st.sampled_from([0, 3, 600, 1300]))
def test_columns_side_by_side_are_each_of_them_alone(data: st.DataObject, d: int, n: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    weight = data.draw(st.sampled_from([np.ones(n), np.zeros(n), rng.choice([0.0, 1.0, 2.5], n)]))
    kept: list[Any] = []
    places, alone = np.zeros((d, 4), np.int64), []
    moments, counts, span = gather.empty_moments(d), np.zeros((d, 4), np.int64), np.tile([np.inf, -np.inf], (d, 1))
    for j in range(d):
        kind = data.draw(st.sampled_from([np.float32, np.float64]))
        x = np.array(
            rng.normal(3.0, 2.0, n) * rng.choice([1.0, 1.0, 1e4, np.nan, np.inf], n, p=[0.9, 0.07, 0.01, 0.01, 0.01]),
            kind,
        )
        shift = data.draw(st.integers(0, 9))
        bits = NONE if data.draw(st.booleans()) else np.packbits(rng.random(n + shift) < 0.9, bitorder="little")
        places[j] = x.ctypes.data, bits.ctypes.data if bits.size else 0, shift, kind == np.float32
        kept += [x, bits]
        own, odd = gather.empty_moments(1)[0], np.zeros(4, np.int64)
        out, missing = np.zeros(n, np.float32), np.zeros(n, np.uint8)
        many = gather.standardise(x, bits, shift, weight, own, odd, out, missing)
        alone.append((own, odd, out, missing, many))
    tile, missing, lost = np.zeros((n, d + 2), np.float32), np.full((d, n), 9, np.uint8), np.full(d, 9)
    gather.standardise_columns(places, weight, moments, counts, span, tile, missing, lost)
    for j, (own, odd, out, gone, many) in enumerate(alone):
        assert moments[j].tobytes() == own.tobytes()
        assert counts[j].tolist() == odd.tolist()
        assert tile[:, j].tobytes() == out.tobytes()
        assert lost[j] == many
        assert not many or missing[j].tolist() == gone.tolist()
        x = kept[2 * j][(weight > 0) & ~gone.astype(bool)].astype(np.float64)
        assert span[j].tolist() == [x.min(initial=np.inf), x.max(initial=-np.inf)]
    assert not tile[:, d:].any()


@given(
    share=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    odd=st.sampled_from([0.5, 4.0, 8.0, 1e30, math.nan, math.inf]),
    at=st.integers(0, 2999),
    shift=st.integers(0, 9),
    seed=st.integers(0, 1 << 20),
)
@settings(max_examples=60, deadline=None)
def test_nulls_side_by_side_are_nulls_one_by_one(share: float, odd: float, at: int, shift: int, seed: int) -> None:
    """Rows that are all learned take the quick way; one more row of weight 0 sends all of them the slow one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(3.0, 2.0, 3001)
    x[at] = odd
    lost = rng.random(3001) < share
    x[lost & (rng.random(3001) < 0.5)] = math.nan  # what stands at a null means nothing
    x[3000], lost[3000] = 3.0, False
    bits = np.concatenate([rng.random(shift) < 0.5, ~lost])
    validity = np.packbits(bits, bitorder="little")
    quick, slow = Column(), Column()
    told = []
    for column, rows in ((quick, 3000), (slow, 3001)):
        weight, out, missing = np.ones(rows), np.zeros(rows, np.float32), np.full(rows, 7, np.uint8)
        weight[3000:] = 0.0
        count = 0
        for a, b in ((0, 1500), (1500, rows)):  # the first is the trial period, and its end
            part = missing[a:b]
            count += gather.standardise(
                x[a:b], validity, shift + a, weight[a:b], column.moments, column.counts, out[a:b], part
            )
            if not lost[a : min(b, 3000)].any() and np.isfinite(x[a : min(b, 3000)]).all():
                part[:] = 0  # written where there is any
        told.append((out[:3000].tobytes(), missing[:3000].tobytes(), column.moments.tobytes(), column.counts.tobytes()))
        assert count == np.count_nonzero(missing)
    assert told[0] == told[1]
