"""Slices by name: the same for every cut and every Arrow type, bounded, alarms that say which, saved and restored."""

from itertools import pairwise

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.errors import ConfigError, StateError
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.slices import NULL, OTHER, SliceMonitor
from onlogit.patience import Patience, patience_of

NONE = np.zeros(0)
N = 6_000


def table(seed: int = 1) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z, town = rng.normal(0.0, 1.0, N), rng.integers(0, 6, N)
    y = (rng.random(N) < 1 / (1 + np.exp(-z - 1.5 * (town == 3)))).astype(np.int8)
    y[rng.random(N) < 0.05] = -1
    return pa.array([None if t == 0 else f"town {t}" for t in town]), z, y


def feed(monitor: SliceMonitor, town: pa.Array, z: np.ndarray, y: np.ndarray, first: int = 0) -> list[Alarm]:
    event = np.arange(first, first + len(z))
    return monitor.update([town], event, event, z, y, np.ones(len(z)), NONE, NONE)


def monitor(most: int = 100) -> SliceMonitor:
    return SliceMonitor(("town",), Patience(2_000.0), 0.1, most)


def test_the_alarm_names_the_slice() -> None:
    watch = monitor()
    alarms = feed(watch, *table())
    assert {alarm.slice for alarm in alarms} == {"town=town 3"}
    assert alarms[0].kind == "slice"
    assert alarms[0].effect > 0.5
    assert alarms[0].evidence >= alarms[0].patience == 2_000.0
    assert "in town=town 3" in alarms[0].text()
    worst = watch.worst(3)
    assert worst[0].value == "town 3"
    assert sum(each.examples for each in watch.worst(10)) == int((table()[2] >= 0).sum())
    assert NULL in {each.value for each in watch.worst(10)}


def test_a_slice_alarms_once_in_patience_before_1970_too() -> None:
    town, z, y = table()
    watch = SliceMonitor(("town",), patience_of("10d"), 0.1, 100)
    time = np.arange(N) * 60_000_000 - 10**15  # an event a minute
    event = np.arange(N)
    alarms = watch.update([town], event, time, z, y, np.ones(N), time / 86_400e6, NONE)
    assert [alarm.slice for alarm in alarms] == ["town=town 3"]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, N), max_size=4))
def test_any_cut_and_any_type_give_the_same(cuts: list[int]) -> None:
    town, z, y = table()
    whole, pieces = monitor(4), monitor(4)
    alarms = feed(whole, town, z, y)
    found = []
    for k, (a, b) in enumerate(pairwise([0, *sorted(cuts), N])):
        part = town[a:b].dictionary_encode() if k % 2 else town[a:b].cast(pa.large_string())
        found += feed(pieces, part, z[a:b], y[a:b], a)
    assert alarms
    assert found == alarms
    states = whole.state(), pieces.state()
    assert all(states[0][name].tobytes() == states[1][name].tobytes() for name in states[0])


def test_small_codes_of_many_values() -> None:
    n = 128  # as many as codes of 8 bits have
    codes = pa.array([*range(n), None], pa.int8())
    town = pa.DictionaryArray.from_arrays(codes, pa.array([f"town {k}" for k in range(n)]))
    watch = monitor(n)
    code = watch.codes([town], np.ones(n + 1, np.bool_))
    assert code.tolist() == [[*range(n), n]]


def test_what_has_no_room_is_other() -> None:
    watch = monitor(2)
    feed(watch, *table())
    assert [each.value for each in watch.worst(10)].count(OTHER) == 1
    assert len(watch.worst(10)) == 3


def test_restored_it_goes_on_the_same() -> None:
    town, z, y = table()
    kept, saved, taken_up = monitor(), monitor(), monitor()
    alarms = feed(kept, town, z, y)
    before = feed(saved, town[:2500], z[:2500], y[:2500])
    taken_up.restore(saved.state())
    assert before + feed(taken_up, town[2500:], z[2500:], y[2500:], 2500) == alarms
    assert all(
        a.tobytes() == b.tobytes() for a, b in zip(kept.state().values(), taken_up.state().values(), strict=True)
    )


def test_damaged_states_are_refused() -> None:
    watch = monitor()
    feed(watch, *table())
    good = watch.state()
    nan = good["0.sums"].copy()
    nan[0] = np.nan
    for state in (
        {k: v for k, v in good.items() if k != "0.names"},
        good | {"0.ends": good["0.ends"][::-1].copy()},
        good | {"0.sums": nan},
        good | {"0.seen": np.array([5000])},
    ):
        with pytest.raises(StateError, match="slices of"):
            monitor().restore(state)


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        SliceMonitor(("a", "a"), Patience(10.0), 0.1)
    with pytest.raises(ConfigError, match="values of a column"):
        SliceMonitor(("a",), Patience(10.0), 0.1, 0)
