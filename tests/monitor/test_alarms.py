"""Estimates that go with an alarm, and how an alarm reads."""

import numpy as np
import pytest

from onlogit.encoding.event_columns import NO_TIME
from onlogit.kernels.arms import ARMS
from onlogit.kernels.evidence import F64, new_evidence
from onlogit.monitor.alarms import iso_time
from onlogit.monitor.raising import arm_name, level_estimate, raise_alarm, region_of, slope_estimate


def sums(z: F64, true: F64) -> F64:
    """[n, Σy, Σp, Σv, Σ(y-p)ℓ, Σvℓ, Σvℓ²] with each outcome at its expectation."""
    p, y = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-true))
    v = p * (1 - p)
    return np.array([z.size, y.sum(), p.sum(), v.sum(), ((y - p) * z).sum(), (v * z).sum(), (v * z * z).sum()])


@pytest.mark.parametrize("shift", [-1.0, -0.3, 0.0, 0.3, 1.0])
@pytest.mark.parametrize(("mean", "sd"), [(0.0, 0.0), (-2.0, 1.0), (1.0, 1.5), (-5.0, 0.5)])
def test_level_estimate_finds_the_shift(shift: float, mean: float, sd: float) -> None:
    z = np.random.default_rng(0).normal(mean, sd, 100_000)
    effect, error = level_estimate(sums(z, z + shift))
    assert effect == pytest.approx(shift, abs=0.02 + 0.2 * abs(shift) * (sd > 0))
    q = 1 / (1 + np.exp(-z - shift))
    assert error == pytest.approx(1 / np.sqrt(np.sum(q * (1 - q))), rel=0.25)


@pytest.mark.parametrize("slope", [0.7, 0.9, 1.0, 1.1, 1.3])
def test_slope_estimate_finds_the_slope(slope: float) -> None:
    z = np.random.default_rng(0).normal(-1.0, 1.0, 100_000)
    effect, error = slope_estimate(sums(z, -1.2 + slope * (z + 1.2)))
    assert effect == pytest.approx(slope, abs=0.25 * abs(slope - 1) + 0.01)
    assert 0 < error < 0.02


def test_estimates_of_nothing_and_of_one_class_are_finite() -> None:
    for given in (np.zeros(7), np.array([50.0, 0, 25, 12.5, -10, 0, 1]), np.array([50.0, 50, 0, 0, 0, 0, 0])):
        assert np.isfinite([*level_estimate(given), *slope_estimate(given)]).all()


def test_times_as_iso() -> None:
    assert iso_time(None) is None
    assert iso_time(0) == "1970-01-01T00:00:00Z"
    assert iso_time(1_500_000) == "1970-01-01T00:00:01.500000Z"
    assert iso_time(2**62) == f"{2**62} us"


def test_every_arm_has_a_name_of_its_own() -> None:
    evidence = new_evidence()
    evidence.pivots[1] = -2.0
    assert len({arm_name(evidence, k) for k in range(ARMS)}) == ARMS
    assert arm_name(evidence, 0) == "level -1.2"
    assert arm_name(evidence, 11) == "slope 0.5 about p = 0.119"
    assert region_of(evidence, 14)[0] == 0.0
    assert region_of(evidence, 33)[1] == 1.0


def test_the_verdict_is_the_family_with_the_largest_share() -> None:
    weights = np.full(ARMS, 1 / ARMS)
    for arm, what in ((2, "level"), (9, "slope"), (20, "region")):
        evidence = new_evidence()
        evidence.sums[:] = 1.0
        evidence.sums[arm] = 1e6
        evidence.onset_event[arm], evidence.onset_time[arm] = 17, NO_TIME
        evidence.level[0] = float(weights @ evidence.sums)
        alarm = raise_alarm(evidence, weights, 99, NO_TIME, 100.0, 0.1)
        assert (alarm.what, alarm.onset_event, alarm.event, alarm.time) == (what, 17, 99, None)
        assert (alarm.region is not None) == (what == "region")
        assert alarm.arms[0][0] == arm_name(evidence, arm)
