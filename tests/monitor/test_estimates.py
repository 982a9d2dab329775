"""Estimates against their definitions; recent ones against those of the events that they are about."""

import numpy as np
import numpy.typing as npt
import pytest

from onlogit.kernels.tally import new_tally, tally_rows
from onlogit.monitor.calibration import CalibrationMonitor
from onlogit.monitor.estimates import Sums, estimates, level_interval, sums_of
from onlogit.monitor.quality import reliability

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]


def stream(seed: int, n: int, slope: float = 1.0, shift: float = 0.0, sd: float = 1.5) -> tuple[F64, I8]:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.0, sd, n)
    return z, (rng.random(n) < 1 / (1 + np.exp(-shift - slope * z))).astype(np.int8)


def sums(z: F64, y: I8) -> Sums:
    tally = new_tally()
    tally_rows(tally, z, y, np.ones(z.size))
    return sums_of(tally)


def test_quality_by_definition() -> None:
    z, y = stream(1, 3_000, 0.8)
    p, found = 1 / (1 + np.exp(-z)), estimates(sums(z, y))
    order = np.argsort(-z, kind="stable")
    hits = np.cumsum(y[order])
    precision = hits / np.arange(1, z.size + 1)
    assert found.brier == pytest.approx(np.mean((y - p) ** 2))
    assert found.average_precision == pytest.approx(precision[y[order] == 1].mean(), abs=2e-3)
    assert found.auc == pytest.approx((z[y == 1][:, None] > z[y == 0][None, :]).mean(), abs=1e-3)
    assert found.reliability is not None
    assert found.resolution is not None
    assert found.uncertainty is not None
    assert found.reliability - found.resolution + found.uncertainty == pytest.approx(found.brier, abs=1e-3)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.6, -0.3), (1.5, 0.5)])
def test_cox_finds_intercept_and_slope(slope: float, shift: float) -> None:
    found = estimates(sums(*stream(2, 60_000, slope, shift)))
    assert found.slope is not None
    assert found.intercept is not None
    assert found.slope_error is not None
    assert found.intercept_error is not None
    assert abs(found.slope - slope) < 4 * found.slope_error + 2e-3
    assert abs(found.intercept - shift) < 4 * found.intercept_error + 2e-3


def test_smooth_error_is_small_where_calibrated_and_like_the_binned_one_where_not() -> None:
    good, bad = estimates(sums(*stream(3, 40_000))), estimates(sums(*stream(3, 40_000, shift=0.8)))
    assert good.smooth_calibration_error is not None
    assert good.smooth_calibration_error < 0.02
    assert bad.smooth_calibration_error == pytest.approx(bad.calibration_error, rel=0.1)


def test_one_kind_of_outcome_and_none_at_all() -> None:
    assert estimates(sums(np.zeros(0), np.zeros(0, np.int8))).rate is None
    found = estimates(sums(np.full(50, -20.0), np.zeros(50, np.int8)))
    assert found.auc is None
    assert np.isfinite([x for x in found[:-1] if x is not None]).all()
    (only,) = found.bins
    assert only == {"from": 0.0, "to": 0.05, "examples": 50.0, "stated": only["stated"], "observed": 0.0, "low": 0.0,
                    "high": pytest.approx(0.0713, abs=1e-4)}  # fmt: skip


def test_bins_are_those_of_the_tally() -> None:
    z, y = stream(4, 5_000)
    tally = new_tally()
    tally_rows(tally, z, y, np.ones(len(z)))
    expected, found = reliability(tally), estimates(sums(z, y)).bins
    kept = expected.examples > 0
    for name in ("examples", "stated", "observed", "low", "high"):
        np.testing.assert_allclose(
            [each[name] for each in found], getattr(expected, name)[kept], rtol=1e-12, atol=1e-15
        )


def test_the_interval_of_the_level_covers_at_all_times_at_once() -> None:
    missed = 0
    for seed in range(60):
        z, y = stream(seed, 2_000, shift=0.3)
        looks = [level_interval(sums(z[:n], y[:n]).ranks) for n in (20, 50, 100, 200, 500, 1000, 2000)]
        missed += any(not low <= 0.3 <= high for _, low, high in looks)
    assert missed <= 6  # 5 % of 60 at most on average
    assert looks[-1][2] - looks[-1][1] < 0.8


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.98])
def test_the_level_may_be_far_from_what_was_stated(rate: float) -> None:
    z, y = np.zeros(5_000), (np.arange(5_000) < rate * 5_000).astype(np.int8)
    level, low, high = level_interval(sums(z, y).ranks)
    shift = np.log(rate / (1 - rate))
    assert level == pytest.approx(shift, abs=0.01)
    assert low < shift < high
    assert low > -20.0
    assert high < 20.0
    none, open_end, above = level_interval(sums(z, 0 * y).ranks)
    assert none == pytest.approx(-20.0)
    assert open_end == pytest.approx(-20.0)
    assert -20.0 < above < -2.0


def test_recent_and_faded() -> None:
    z, y = stream(4, 10_500)
    late = np.arange(z.size) >= 9_000
    y[late] = 1
    monitor = CalibrationMonitor(window=800)
    event = np.arange(z.size)
    for a in range(0, z.size, 777):
        part = slice(a, a + 777)
        monitor.update(event[part], None, z[part], y[part], np.ones(z[part].size))
    lately, faded = monitor.lately(), monitor.faded()
    assert lately.examples == 700  # the last seven marks
    assert lately.rate == 1.0
    assert lately.brier == pytest.approx(np.mean((1 - 1 / (1 + np.exp(-z[-700:]))) ** 2), rel=1e-6)
    assert faded.rate is not None
    assert 0.6 < faded.rate < 0.99
    assert faded.examples == pytest.approx(800 / np.log(2), rel=0.08)
    assert monitor.overall().examples == z.size


def test_recent_of_a_short_stream_is_all_of_it() -> None:
    z, y = stream(5, 300)
    monitor = CalibrationMonitor(window=10_000)
    monitor.update(np.arange(300), None, z, y, np.ones(300))
    assert monitor.lately().examples == 300
    assert monitor.lately().log_loss == pytest.approx(monitor.overall().log_loss)
