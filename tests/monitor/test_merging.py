"""Monitors of several workers as one: exact tallies, evidence that adds and stays within its promise."""

import numpy as np
import numpy.typing as npt
import pytest

from onlogit.errors import ConfigError
from onlogit.monitor.calibration import CalibrationMonitor

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
WORKERS = 4


def judged(
    seed: int, n: int, shift: float = 0.0, patience: float | str = 1e12, tolerance: float = 0.1
) -> CalibrationMonitor:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.0, 1.2, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-z - shift))).astype(np.int8)
    monitor = CalibrationMonitor(patience, tolerance)
    event = np.arange(n)
    monitor.update(event, event * 1_000_000, z, y, np.ones(n))
    return monitor


def test_tallies_are_those_of_one_worker() -> None:
    rng = np.random.default_rng(1)
    z, ones = rng.normal(-1.0, 1.2, 3_000), np.ones(3_000)
    y, event = (rng.random(3_000) < 0.3).astype(np.int8), np.arange(3_000)
    one = CalibrationMonitor(1e12)
    one.update(event, None, z, y, ones)
    parts = []
    for k in range(3):
        parts.append(CalibrationMonitor(1e12))
        own = np.arange(k, 3_000, 3)
        parts[-1].update(event[own], None, z[own], y[own], ones[own])
    merged = CalibrationMonitor.merge(parts)
    for name in ("totals", "shares", "odds", "ranks"):
        assert merged.state()[f"tally.{name}"].tobytes() == one.state()[f"tally.{name}"].tobytes()
    assert merged.lately().examples == 3_000  # no window is full yet
    merged.update(event[:500], None, z[:500], y[:500], ones[:500])
    assert merged.lately().examples == 3_500


def test_windows_of_workers_are_put_together() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(-1.0, 1.2, 8_000)
    y, event = (rng.random(8_000) < 0.3).astype(np.int8), np.arange(8_000)
    parts = [CalibrationMonitor(1e12, window=800) for _ in range(2)]
    for k, part in enumerate(parts):
        own = np.arange(k, 8_000, 2)
        part.update(event[own], None, z[own], y[own], np.ones(own.size))
    merged = CalibrationMonitor.merge(parts)
    late = [part.lately() for part in parts]
    assert merged.lately().examples == sum(each.examples for each in late) < 1_601
    assert merged.lately().brier == pytest.approx(np.mean([each.brier for each in late]))
    assert merged.faded().examples == pytest.approx(sum(part.faded().examples for part in parts))
    merged.update(event[:5_000], None, z[:5_000], y[:5_000], np.ones(5_000))
    assert 700 <= merged.lately().examples <= 800


def test_evidence_adds() -> None:
    parts = [judged(seed, 800, 0.3) for seed in range(WORKERS)]
    merged = CalibrationMonitor.merge(parts)
    assert merged.evidence == pytest.approx(sum(part.evidence for part in parts))
    timed = [judged(seed, 800, 0.3, "1w") for seed in range(WORKERS)]
    assert CalibrationMonitor.merge(timed).evidence == pytest.approx(np.mean([part.evidence for part in timed]))


def test_merged_evidence_keeps_the_promise() -> None:
    """E[M] <= events of all workers, so P(M >= patience) <= 1600 / 8000 after merging and judging on."""
    hits = 0
    for seed in range(100):
        parts = [judged(WORKERS * seed + k, 300, 0.0, 8_000.0, 0.0) for k in range(WORKERS)]
        merged = CalibrationMonitor.merge(parts)
        z = np.random.default_rng(seed).normal(-1.0, 1.2, 400)
        y = (np.random.default_rng(seed + 1).random(400) < 1 / (1 + np.exp(-z))).astype(np.int8)
        hits += bool(merged.update(np.arange(400), None, z, y, np.ones(400))) or merged.peak_evidence >= 8_000
    assert hits <= 20 + 3 * 4


def test_the_alarm_after_a_merge_has_the_onset_and_effect_of_a_worker() -> None:
    merged = CalibrationMonitor.merge([judged(seed, 2_000, 0.5, 1e4) for seed in range(2)])
    rng = np.random.default_rng(9)
    z = rng.normal(-1.0, 1.2, 4_000)
    y = (rng.random(4_000) < 1 / (1 + np.exp(-z - 0.5))).astype(np.int8)
    event = np.arange(2_000, 6_000)
    fresh = CalibrationMonitor.merge([judged(seed, 300, 0.5, 1e9) for seed in range(2)])
    assert fresh.evidence > 1.0
    alarms = merged.update(event, None, z, y, np.ones(4_000))
    for alarm in alarms:
        assert abs(alarm.effect - 0.5) < 0.6


def test_what_cannot_be_merged_is_refused() -> None:
    with pytest.raises(ConfigError, match="same settings"):
        CalibrationMonitor.merge([CalibrationMonitor(10.0), CalibrationMonitor(20.0)])
    with pytest.raises(ConfigError, match="neither a reference"):
        CalibrationMonitor.merge([CalibrationMonitor(10.0, reference=500)])
