"""Monthly figures, and the base rate that waits for its labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.demo.months import BaseRate, Months


def slow_base_rate(time: list[int], due: list[int], y: list[int]) -> list[float]:
    """The log-odds that BaseRate states, event by event."""
    stated = []
    for now in time:
        known = [y[i] for i in range(len(y)) if due[i] <= now]
        stated.append(float(np.log((sum(known) + 0.5) / (len(known) - sum(known) + 0.5))))
    return stated


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 20), st.integers(0, 1)), min_size=1, max_size=40),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_base_rate_waits_for_labels_in_any_cut(events: list[tuple[int, int, int]], cuts: list[int]) -> None:
    time = np.cumsum([step for step, _, _ in events])
    due = time + np.array([delay for _, delay, _ in events])
    y = np.array([label for _, _, label in events], np.int8)
    rate, stated = BaseRate(), []
    for part in np.split(np.arange(len(y)), sorted(min(cut, len(y)) for cut in cuts)):
        stated += rate.score(time[part], due[part], y[part]).tolist()
    assert stated == pytest.approx(slow_base_rate(time.tolist(), due.tolist(), y.tolist()))


def test_months_add_up_to_their_season() -> None:
    rng = np.random.default_rng(4)
    y = (rng.random(600) < 0.3).astype(np.int8)
    z, other, base = rng.normal(-1, 1, (3, 600))
    months = Months()
    for month, part in ((2, slice(0, 100)), (3, slice(100, 350)), (3, slice(350, 400)), (4, slice(400, 600))):
        months.add(month, y[part], z[part], None if month == 2 else other[part], base[part])
    february, march = months.read(2), months.read(3)
    assert february.frozen is None
    assert february.to_json()["frozen"] is None
    assert march.live.examples == 300
    assert march.frozen is not None
    assert march.frozen.log_loss == pytest.approx(
        np.mean(np.logaddexp(0, other[100:400]) - y[100:400] * other[100:400])
    )
    assert march.to_json()["rate"] == pytest.approx(y[100:400].mean())
    whole = Months()
    whole.add(3, y[100:], z[100:], other[100:], base[100:])
    for season, once in zip(months.season(3, 12), whole.season(3, 3), strict=True):
        for name in ("totals", "shares", "odds", "ranks"):
            np.testing.assert_array_equal(getattr(season, name), getattr(once, name))
