"""The calibration monitor: alarms, any cut of the stream, save and restore, errors, and real forecasts."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import naive_tally

from onlogit.errors import ConfigError, DataError, StateError
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.calibration import CalibrationMonitor

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
GAMES = Path(__file__).parents[3] / "shared" / "data" / "game_forecasts.parquet"
DAY = 86_400_000_000


def stream(seed: int, n: int, shift: float = 0.0, mean: float = -1.0, change: int = 0) -> tuple[F64, I8]:
    rng = np.random.default_rng(seed)
    z = rng.normal(mean, 1.0, n)
    true = z + np.where(np.arange(n) >= change, shift, 0.0)
    return z, (rng.random(n) < 1 / (1 + np.exp(-true))).astype(np.int8)


def feed(monitor: CalibrationMonitor, z: F64, y: I8, first: int = 0, weight: F64 | None = None) -> list[Alarm]:
    event = np.arange(first, first + z.size)
    return monitor.update(event, event * DAY, z, y, np.ones(z.size) if weight is None else weight)


def same(a: CalibrationMonitor, b: CalibrationMonitor) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(a.state().values(), b.state().values(), strict=True))


def test_summary_is_the_tally_of_what_was_fed() -> None:
    z, y = stream(1, 800)
    weight = np.random.default_rng(2).integers(0, 3, z.size).astype(np.float64)
    monitor = CalibrationMonitor()
    feed(monitor, z, y, weight=weight)
    summary, want = monitor.summary(), naive_tally(z, y, weight)
    assert summary.log_loss == pytest.approx(want["log_loss"], rel=1e-9)
    assert summary.base_log_loss == pytest.approx(want["base_log_loss"], rel=1e-9)
    assert summary.calibration_error == pytest.approx(want["calibration_error"], rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 900), max_size=5), st.integers(0, 3))
def test_any_cut_gives_the_same_bytes_and_alarms(cuts: list[int], seed: int) -> None:
    z, y = stream(seed, 900, shift=-1.0, change=300)
    whole, pieces = CalibrationMonitor(patience=100), CalibrationMonitor(patience=100)
    alarms = feed(whole, z, y)
    found = [alarm for a, b in pairwise([0, *sorted(cuts), z.size]) for alarm in feed(pieces, z[a:b], y[a:b], a)]
    assert alarms
    assert found == alarms
    assert same(whole, pieces)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 900))
def test_restoring_changes_nothing(cut: int) -> None:
    z, y = stream(4, 900, shift=-1.0, change=300)
    kept, saved, taken_up = (CalibrationMonitor(patience=100) for _ in range(3))
    alarms = feed(kept, z, y)
    before = feed(saved, z[:cut], y[:cut])
    taken_up.restore(saved.state())
    assert before + feed(taken_up, z[cut:], y[cut:], cut) == alarms
    assert same(kept, taken_up)


def test_a_state_is_a_copy() -> None:
    monitor = CalibrationMonitor()
    state = monitor.state()
    feed(monitor, *stream(1, 100))
    other = CalibrationMonitor()
    other.restore(state)
    feed(other, *stream(2, 100))
    assert same(CalibrationMonitor(), restored(state))


def restored(state: dict[str, npt.NDArray[np.generic]]) -> CalibrationMonitor:
    monitor = CalibrationMonitor()
    monitor.restore(state)
    return monitor


@pytest.mark.parametrize("sign", [1, -1])
def test_level_alarm_says_what_since_when_and_how_big(sign: int) -> None:
    errors, delays, covered, effects = [], [], [], []
    for seed in range(20):
        monitor = CalibrationMonitor()
        alarms = [a for a in feed(monitor, *stream(seed, 12_000, sign * 0.6, change=4_000)) if a.event >= 4_000]
        alarm = alarms[0]
        if alarm.what != "level":
            continue
        assert ("more" if sign > 0 else "less") in alarm.direction
        assert (alarm.observed > alarm.expected) == (sign > 0)
        assert alarm.time == alarm.event * DAY
        assert alarm.onset_time == alarm.onset_event * DAY
        errors.append(alarm.onset_event - 4_000)
        delays.append(alarm.event - 4_000)
        covered.append(alarm.effect_low <= sign * 0.6 <= alarm.effect_high)
        effects.append(alarm.effect * sign)
    assert len(delays) >= 17, "another family may carry more of the evidence now and then"
    assert np.median(delays) < 600
    assert abs(np.median(errors)) < 100
    assert np.mean(covered) >= 0.6
    assert 0.6 < np.median(effects) < 0.9


@pytest.mark.parametrize(("slope", "word"), [(0.5, "extreme"), (1.8, "timid")])
def test_slope_alarm(slope: float, word: str) -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(0, 1.5, 8_000)
    y = (rng.random(z.size) < 1 / (1 + np.exp(-slope * z))).astype(np.int8)
    alarm = feed(CalibrationMonitor(), z, y)[0]
    assert alarm.what == "slope"
    assert alarm.effect_unit == "slope"
    assert word in alarm.direction
    assert (alarm.effect < 1) == (slope < 1)


def test_region_alarm_names_its_probabilities() -> None:
    rng = np.random.default_rng(7)
    z = rng.normal(-2.45, 1.0, 30_000)
    top = -2.45 + 1.2816
    y = (rng.random(z.size) < 1 / (1 + np.exp(-np.where(z > top, z - 0.8, z)))).astype(np.int8)
    alarm = feed(CalibrationMonitor(), z, y)[0]
    assert alarm.what == "region"
    assert alarm.region is not None
    assert alarm.region[0] == pytest.approx(1 / (1 + np.exp(-top)), abs=0.03)
    assert alarm.region[1] == 1.0
    assert alarm.effect == pytest.approx(-0.8, abs=0.4)


def test_alarm_as_json_and_text() -> None:
    alarm = feed(CalibrationMonitor(), *stream(1, 6_000, shift=-1.0))[0]
    told = json.loads(json.dumps(alarm.to_json(), allow_nan=False))
    assert told["time"] == f"{np.datetime64(alarm.time, 'us').astype('M8[s]')}Z"
    assert told["arms"][0]["share"] > 0.05
    lines = alarm.text().splitlines()
    assert len(lines) == 2
    assert f"at event {alarm.event}" in lines[0]
    assert f"observed {alarm.observed:.3g}" in lines[0]
    assert f"{alarm.effect:+.2f} logits" in lines[1]


def test_without_time_an_alarm_has_none() -> None:
    z, y = stream(1, 6_000, shift=-1.0)
    alarm = CalibrationMonitor().update(np.arange(z.size), None, z, y, np.ones(z.size))[0]
    assert (alarm.time, alarm.onset_time) == (None, None)
    assert alarm.to_json()["time"] is None
    assert "None" not in alarm.text()


def test_a_lasting_fault_is_reported_once_in_patience() -> None:
    monitor = CalibrationMonitor(patience=2_000)
    alarms = feed(monitor, *stream(3, 9_000, shift=1.5))
    assert len(alarms) >= 4
    assert min(np.diff([a.event for a in alarms])) >= 2_000
    assert alarms[0].repeats == 0
    assert all(a.repeats > 3 for a in alarms[1:])
    assert monitor.alarm_open
    assert monitor.peak_evidence >= 2_000 > monitor.evidence


@pytest.mark.parametrize("z", [np.inf, -np.inf, 1e308, -1e308])
@pytest.mark.parametrize("label", [0, 1])
def test_an_alarm_at_the_ends_is_finite(z: float, label: int) -> None:
    alarms = feed(CalibrationMonitor(), np.full(500, z), np.full(500, label, np.int8))
    assert bool(alarms) == ((label == 1) != (z > 0))
    for alarm in alarms:
        json.dumps(alarm.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("z", np.nan, "z at event 12 is NaN"),
        ("weight", -1.0, "weight at event 12 is -1.0"),
        ("weight", np.nan, "weight at event 12 is nan"),
        ("weight", 1e7, "weight at event 12 is 10000000.0"),
        ("y", 2, "y at event 12 is 2"),
    ],
)
def test_bad_values_are_named_and_change_nothing(column: str, value: float, message: str) -> None:
    z, y = stream(5, 20)
    columns = {"z": z, "y": y.astype(np.float64), "weight": np.ones(20)}
    columns[column][2] = value
    monitor = CalibrationMonitor()
    with pytest.raises(DataError, match=message):
        monitor.update(np.arange(10, 30), None, columns["z"], columns["y"].astype(np.int8), columns["weight"])
    assert same(monitor, CalibrationMonitor())


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="y has 2 rows, z has 3"):
        CalibrationMonitor().update(np.arange(3), None, np.zeros(3), np.zeros(2, np.int8), np.ones(3))


@pytest.mark.parametrize(("patience", "tolerance"), [(0.5, 0.1), (np.nan, 0.1), (np.inf, 0.1), (10, -0.1), (10, 0.6)])
def test_settings_out_of_range(patience: float, tolerance: float) -> None:
    with pytest.raises(ConfigError, match="would be accepted"):
        CalibrationMonitor(patience, tolerance)


def test_damaged_states_are_refused() -> None:
    monitor = CalibrationMonitor()
    feed(monitor, *stream(1, 200))
    good = monitor.state()
    nan, clock = good["evidence.sums"].copy(), good["evidence.clock"].copy()
    nan[3], clock[1] = np.nan, 0
    long_ago = good["evidence.clock"].copy()
    long_ago[0] = 10**9
    damaged = [
        good | {"evidence.clock": long_ago},
        {k: v for k, v in good.items() if k != "tally.odds"},
        good | {"extra": np.zeros(1)},
        good | {"evidence.sums": np.zeros(33)},
        good | {"evidence.sums": good["evidence.sums"].astype(np.float32)},
        good | {"evidence.sums": nan},
        good | {"evidence.clock": clock},
    ]
    for state in damaged:
        with pytest.raises(StateError, match="calibration monitor"):
            monitor.restore(state)
    assert same(monitor, restored(good))


@pytest.mark.skipif(not GAMES.exists(), reason=f"real forecasts not found at {GAMES}")
@pytest.mark.parametrize(("league", "alarms"), [("nba", 1), ("mlb", 0)])
def test_real_forecasts(league: str, alarms: int) -> None:
    """Published game forecasts: NBA over-confident, MLB well calibrated."""
    table = pq.read_table(GAMES, columns=["league", "date", "prob1", "prob1_outcome"])
    kept = pc.and_(pc.equal(table["league"], league), pc.not_equal(table["prob1_outcome"], 0.5))
    table = table.filter(kept).sort_by("date")
    p = table["prob1"].to_numpy()
    y = table["prob1_outcome"].to_numpy().astype(np.int8)
    time = table["date"].to_numpy().astype("datetime64[us]").astype(np.int64)
    monitor = CalibrationMonitor(patience=10_000, tolerance=0.1)
    found = monitor.update(np.arange(p.size), time, np.log(p) - np.log1p(-p), y, np.ones(p.size))
    assert len(found) == alarms
    for alarm in found:
        assert alarm.what == "slope"
        assert alarm.effect < 1
        assert str(alarm.to_json()["time"]).startswith("2017-1")
    if not found:
        assert monitor.peak_evidence < 5_000
