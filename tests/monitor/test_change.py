"""The change null: a stable but imperfect model raises nothing, a change does; patience in time; the sequential test."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import Config, MonitorConfig, OnlineLogit
from onlogit.errors import ConfigError, DataError
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.calibration import CalibrationMonitor
from onlogit.monitor.change import judge
from onlogit.patience import patience_of

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
DAY = 86_400_000_000


def outcomes(z: F64, seed: int) -> I8:
    return (np.random.default_rng(seed).random(z.size) < 1 / (1 + np.exp(-z))).astype(np.int8)


def scores(seed: int, n: int) -> F64:
    return np.random.default_rng(seed).normal(-1.5, 1.2, n)


def feed(monitor: CalibrationMonitor, z: F64, y: I8, step: int = 1_000, per_day: int = 100) -> list[Alarm]:
    event = np.arange(z.size)
    alarms = []
    for a in range(0, z.size, step):
        part = slice(a, a + step)
        alarms += monitor.update(event[part], event[part] * (DAY // per_day), z[part], y[part], np.ones(z[part].size))
    return alarms


def test_a_stable_imperfect_model_raises_nothing_against_its_reference() -> None:
    alarmed = 0
    for seed in range(40):
        z = scores(seed, 9_000)
        y = outcomes(-0.4 + 0.6 * z, seed)
        assert feed(CalibrationMonitor(2_000.0), z, y)
        alarmed += bool(feed(CalibrationMonitor(20_000.0, reference=4_000), z, y))
    assert alarmed <= 14  # 5,000 events at patience 20,000 and 1 in 100: at most .26 of 40 on average, here far fewer


SHAPES = {"top decile off": lambda z: np.where(z > 0.0, z - 0.8, z), "never above .3": lambda z: np.minimum(z, -0.85)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reference", [500, 10_000])
def test_maps_that_are_no_parabola(shape: str, reference: int) -> None:
    alarmed = 0
    for seed in range(20):
        z = scores(seed, reference + 4_000)
        alarmed += bool(feed(CalibrationMonitor(10_000.0, reference=reference), z, outcomes(SHAPES[shape](z), seed)))
    assert alarmed <= 4  # .4 x 20 are allowed on average


def test_a_change_since_the_reference_is_found_and_called_so() -> None:
    z = scores(1, 20_000)
    y = outcomes(np.where(np.arange(z.size) < 10_000, 0.6 * z - 0.4, 0.6 * z + 0.4), 1)
    alarms = feed(CalibrationMonitor(10_000.0, reference=5_000), z, y)
    assert alarms[0].kind == "change"
    assert 10_000 < alarms[0].event < 12_000
    assert alarms[0].effect == pytest.approx(0.8, abs=0.4)


def test_the_map_is_that_of_the_reference_whatever_the_cut() -> None:
    z = scores(2, 3_000)
    y = outcomes(0.7 * z, 2)
    states = []
    for step in (17, 1_000, 3_000):
        monitor = CalibrationMonitor(10_000.0, reference=2_000)
        feed(monitor, z, y, step)
        assert monitor.reference_map is not None
        assert monitor.reference_map.examples[0] == 2_000
        at = np.array([-3.0, -1.5, 0.0])
        np.testing.assert_allclose(judge(monitor.reference_map, at, 0.1)[0], 0.7 * at, atol=0.35)
        states.append([array.tobytes() for array in monitor.state().values()])
    assert states[0] == states[1] == states[2]


def test_patience_in_days_is_that_in_events_where_events_are_regular() -> None:
    z = scores(3, 30_000)
    y = outcomes(z + np.where(np.arange(z.size) < 15_000, 0.0, 0.5), 3)
    by_time = feed(CalibrationMonitor("100d"), z, y, per_day=100)
    by_count = feed(CalibrationMonitor(10_000.0), z, y)
    assert by_time[0].unit == "days"
    assert by_time[0].patience == 100.0
    assert abs(by_time[0].event - by_count[0].event) < 400
    assert "of patience 100 days" in by_time[0].text()
    assert min(np.diff([a.event for a in by_time])) >= 10_000


def test_false_alarms_within_the_promise_in_time() -> None:
    """Events come in bursts of 50 at one instant, one burst a day: P(alarm within 40 days) <= 40/200."""
    alarmed = 0
    for seed in range(100):
        z = scores(seed, 2_000)
        event = np.arange(z.size)
        monitor = CalibrationMonitor("200d", 0.0)
        alarmed += bool(monitor.update(event, event // 50 * DAY, z, outcomes(z, seed), np.ones(z.size)))
    assert alarmed <= 20 + 3 * 4


def test_a_patience_in_time_needs_time() -> None:
    z = scores(1, 10)
    with pytest.raises(DataError, match="needs the time"):
        CalibrationMonitor("90d").update(np.arange(10), None, z, outcomes(z, 1), np.ones(10))


@pytest.mark.parametrize("text", ["", "d", "90y", "-3", "0", "0.5", "nan", "inf", "0d", "1e20"])
def test_patience_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(ConfigError, match="would be accepted"):
        patience_of(text)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [("90d", 90, "days"), ("1e5", 1e5, "events"), ("1", 1, "events"), ("30m", 30, "minutes"), ("0.5h", 0.5, "hours")],
)
def test_patience_as_text(text: str, amount: float, unit: str) -> None:
    found = patience_of(text)
    assert (found.amount, found.unit) == (amount, unit)
    assert MonitorConfig(patience=found.amount, unit=found.unit).patience == amount  # which accepts the same


def test_a_test_rejects_once_at_its_level() -> None:
    rejected = 0
    for seed in range(100):
        z = scores(seed, 1_000)
        monitor = CalibrationMonitor.test(0.1, 0.0)
        assert monitor.evidence == 1.0
        alarms = feed(monitor, z, outcomes(z, seed))
        assert len(alarms) == monitor.decided
        rejected += monitor.decided
    assert rejected <= 10 + 3 * 3
    z = scores(0, 4_000)
    monitor = CalibrationMonitor.test(0.01)
    alarms = feed(monitor, z, outcomes(z + 0.8, 0))
    assert [alarm.kind for alarm in alarms] == ["test"]
    assert monitor.evidence >= 100.0


def test_rearmed_the_next_alarm_is_news() -> None:
    z = scores(4, 8_000)
    y = outcomes(z + 1.5, 4)
    kept, mended = CalibrationMonitor(5_000.0), CalibrationMonitor(5_000.0)
    assert len(feed(kept, z[:4000], y[:4000])) == len(feed(mended, z[:4000], y[:4000])) == 1
    mended.rearm()
    assert not mended.alarm_open
    event = np.arange(4000, 5000)
    assert not kept.update(event, None, z[event], y[event], np.ones(1000))
    assert mended.update(event, None, z[event], y[event], np.ones(1000))


@pytest.mark.parametrize(("name", "value"), [("reference", 5), ("reference", -1), ("window", 3)])
def test_settings_out_of_range(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} = "):
        CalibrationMonitor(**{name: value})


def test_time_that_falls_starts_nothing_and_stays_finite() -> None:
    z = scores(5, 3_000)
    y = outcomes(z + 0.5, 5)
    event = np.arange(z.size)
    monitor = CalibrationMonitor("1000d")
    monitor.update(event, (event % 100) * DAY, z, y, np.ones(z.size))
    assert 0.0 < monitor.evidence < 1e300
    assert not np.signbit(monitor.state()["evidence.sums"]).any()


def test_in_the_pipeline_by_config() -> None:
    z = scores(6, 6_000)
    y = outcomes(0.5 * z, 6)
    table = pa.table({"x": z, "y": y, "at": pa.array(np.arange(z.size) * DAY, pa.timestamp("us"))})
    settings = MonitorConfig(patience=50.0, unit="weeks", change=True, reference=500, warm_up=100)
    model = OnlineLogit("y", time="at", drop=["at"], config=Config(learner="sgd", monitor=settings))
    model.step(table)
    watch = model.pipeline.monitor
    assert (watch.allowed.unit, watch.patience) == ("weeks", 50.0)
    assert watch.reference_map is not None
    assert watch.reference_map.examples[0] == 500
    with pytest.raises(ConfigError, match="name a time column"):
        OnlineLogit("y", config=Config(monitor=settings)).step(table.drop(["at"]))


@pytest.mark.parametrize("settings", [{"unit": "years"}, {"unit": "days", "patience": 0.0}, {"reference": 10}])
def test_monitor_settings_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is out of range"):
        MonitorConfig(**settings)
