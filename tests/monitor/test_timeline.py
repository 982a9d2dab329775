"""Loss, calibration and evidence over the stream, against sums over each stretch and evidence read event by event."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from onlogit.errors import StateError
from onlogit.monitor import CalibrationMonitor
from onlogit.monitor.timeline import FIRST, STRETCHES

F = npt.NDArray[Any]
LOST = 0.3  # share of events without a label


def stream(n: int, seed: int = 4) -> tuple[F, F, F, F]:
    """Honest at first, a level of .8 too low in the second half. Event number, z, y and weight."""
    random = np.random.default_rng(seed)
    z = random.normal(-1.5, 1.0, n)
    p = 1 / (1 + np.exp(-z - np.where(np.arange(n) < n // 2, 0.0, 0.8)))
    y = (random.random(n) < p).astype(np.int8)
    y[random.random(n) < LOST] = -1
    return np.arange(n) * 3 + 5, z, y, random.choice([1.0, 0.0, 2.5], n, p=[0.7, 0.1, 0.2])


def fed(monitor: CalibrationMonitor, event: F, z: F, y: F, weight: F, size: int) -> CalibrationMonitor:
    for k in range(0, len(z), size):
        part = slice(k, k + size)
        monitor.update(event[part], None, z[part], y[part], weight[part])
    return monitor


@pytest.mark.parametrize("n", [100, 2_000, 40_000])
def test_stretches_are_sums_over_their_events(n: int) -> None:
    event, z, y, weight = stream(n)
    told = fed(CalibrationMonitor(1e12), event, z, y, weight, 5_000).stretches()
    counts = (y >= 0) & (weight > 0)
    assert len(told) <= STRETCHES + 1
    assert told[0].first == 0
    assert sum(s.examples for s in told) == weight[counts].sum()
    assert told[-1].first + told[-1].events == event[-1] + 1
    labelled = [int(((event >= s.first) & (event < s.first + s.events) & counts).sum()) for s in told]
    assert len(set(labelled[:-1])) <= 1
    assert all(size % FIRST == 0 for size in labelled[:-1])
    p = 1 / (1 + np.exp(-z))
    for s in told:
        own = (event >= s.first) & (event < s.first + s.events) & counts
        h = weight[own] / weight[own].sum()
        assert s.observed == pytest.approx(h @ y[own])
        assert s.stated == pytest.approx(h @ p[own])
        assert s.log_loss == pytest.approx(h @ (np.logaddexp(0, z[own]) - y[own] * z[own]))
        assert s.brier == pytest.approx(h @ (y[own] - p[own]) ** 2)


def test_evidence_of_a_stretch_is_the_highest_read_in_it() -> None:
    event, z, y, weight = stream(1_500)
    monitor, read = CalibrationMonitor(1e15), []
    for k in range(len(z)):
        monitor.update(event[k : k + 1], None, z[k : k + 1], y[k : k + 1], weight[k : k + 1])
        read.append(monitor.evidence)
    told = monitor.stretches()
    assert max(s.evidence for s in told) == pytest.approx(monitor.peak_evidence)
    for s in told:
        own = np.flatnonzero((event >= s.first) & (event < s.first + s.events))
        assert s.evidence == pytest.approx(max(read[max(own[0] - 1, 0) : own[-1] + 1]))


def test_an_alarm_stands_out_of_its_stretch() -> None:
    event, z, y, weight = stream(6_000)
    monitor = CalibrationMonitor(500.0)
    (alarm, *_) = monitor.update(event, None, z, y, weight)
    past = [s.first for s in monitor.stretches() if s.evidence >= 500.0]
    assert past[0] <= alarm.event
    assert all(s.evidence < 500.0 for s in monitor.stretches() if s.first + s.events <= alarm.event)


def test_any_cut_gives_the_same_bytes_and_a_state_goes_on() -> None:
    event, z, y, weight = stream(30_000)
    whole = fed(CalibrationMonitor(), event, z, y, weight, len(z)).state()
    half, taken_up = (
        fed(CalibrationMonitor(), event[:9_001], z[:9_001], y[:9_001], weight[:9_001], 77),
        CalibrationMonitor(),
    )
    taken_up.restore(half.state())
    parts = fed(taken_up, event[9_001:], z[9_001:], y[9_001:], weight[9_001:], 501).state()
    for name, array in whole.items():
        assert array.tobytes() == parts[name].tobytes(), name


@pytest.mark.parametrize("size", [1_000, 7_000, 20_000, 120_000])
def test_marks_that_are_not_made_would_have_gone(size: int) -> None:
    event, z, y, weight = stream(120_000)
    told, small = (fed(CalibrationMonitor(1e12), event, z, y, weight, rows) for rows in (size, 300))
    for name, array in told.state().items():
        assert array.tobytes() == small.state()[name].tobytes(), name
    assert STRETCHES // 2 <= len(told.stretches()) <= STRETCHES + 1


def test_marks_that_contradict_themselves_are_refused() -> None:
    monitor = fed(CalibrationMonitor(), *stream(5_000), 5_000)
    for place, value in ((0, 65), (0, 2), (1, 100), (2, 100_000), (3, 3)):
        state = monitor.state()
        state["timeline.clock"][place] = value
        with pytest.raises(StateError, match="timeline"):
            CalibrationMonitor().restore(state)


def test_merged_monitors_begin_anew() -> None:
    parts = [fed(CalibrationMonitor(1e12), *stream(3_000, seed), 3_000) for seed in (1, 2)]
    merged = CalibrationMonitor.merge(parts)
    assert merged.stretches() == []
    event, z, y, weight = stream(1_000, 3)
    fed(merged, event + 10_000, z, y, weight, 1_000)
    told = merged.stretches()
    assert sum(s.examples for s in told) == weight[y >= 0].sum()
    assert told[0].first == 3 * 2_999 + 6
