"""Which events are judged, and why: with labels in flight, side by side, honest probabilities would raise alarms."""

import numpy as np
import numpy.typing as npt
import pytest

from onlogit.kernels.turns import take_turns
from onlogit.monitor import CalibrationMonitor

Array = npt.NDArray[np.bool_]


def turns(known: list[int], y: list[int], first: int = 0) -> list[bool]:
    n = len(known)
    judged = np.zeros(n, np.bool_)
    take_turns(np.arange(n), np.array(known), np.array(y, np.int8), np.ones(n), np.array([first]), judged)
    return judged.tolist()


def test_fresh_labels_are_all_judged() -> None:
    assert turns([1, 2, 3, 4], [0, 1, -1, 1]) == [True, True, False, True]


def test_an_event_waits_for_the_label_before_it() -> None:
    assert turns([3, 2, 9, 5, 6, 7], [1, 1, 1, 1, 1, 1]) == [True, False, False, True, False, True]
    assert turns([3, 2, 9, 5, 6, 7], [1, 1, 1, 1, 1, 1], first=2) == [False, False, True, False, False, False]


def storms(seed: int, n: int = 20_000, wait: int = 100) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """Blocks of 100 events share one draw of weather; p is right for all that is known when labels take a block to come."""
    random = np.random.default_rng(seed)
    bad = np.repeat(random.random(n // wait) < 0.2, wait)
    p = 0.2 * 0.7 + 0.8 * 0.1
    y = (random.random(n) < np.where(bad, 0.7, 0.1)).astype(np.int8)
    return np.full(n, np.log(p / (1 - p))), y


@pytest.mark.parametrize("apart", [True, False])
def test_honest_probabilities_with_labels_in_flight(apart: bool) -> None:
    alarmed = 0
    for seed in range(100):
        z, y = storms(seed)
        event = np.arange(len(z))
        judged = np.ones(len(z), np.bool_)
        if apart:
            take_turns(event, event + 101, y, np.ones(len(z)), np.zeros(1, np.int64), judged)
        monitor = CalibrationMonitor(patience=2_000.0)
        alarmed += bool(monitor.update(event, None, z, y, np.ones(len(z)), judged))
    # 198 judged events at patience 2,000: at most 1 in 10 by the theorem, and with 95 % certainty below 16 of 100
    assert alarmed <= 15 if apart else alarmed > 90
