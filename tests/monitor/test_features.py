"""Drift of features: what is warned of and how it is called, any cut, any type, saved and restored, in watch and pipeline."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit import Config, MonitorConfig, OnlineLogit
from onlogit.errors import ConfigError, SchemaError, StateError
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.bins import bounds
from onlogit.monitor.features import FeatureMonitor
from onlogit.monitor.reading import Columns
from onlogit.monitor.watch import Watch, Wishes
from onlogit.patience import Patience, patience_of

NONE = np.zeros(0)
N = 12_000
CHANGE = 8_000


def columns(seed: int = 1, change: str = "") -> list[pa.Array]:
    rng = np.random.default_rng(seed)
    late = np.arange(N) >= CHANGE
    x = rng.normal(0.0, 1.0, N) + 0.6 * (late & (change == "shift"))
    lost = rng.random(N) < np.where(late & (change == "missing"), 0.2, 0.02)
    town = rng.geometric(0.2, N).astype(str)
    town[late & (change == "unseen") & (rng.random(N) < 0.1)] = "nowhere"
    return [pa.array(x, mask=lost), pa.array(town)]


def monitor(patience: float = 20_000.0) -> FeatureMonitor:
    return FeatureMonitor(("x", "town"), Patience(patience), reference=4_000)


def feed(watch: FeatureMonitor, given: list[pa.Array], first: int = 0) -> list[Alarm]:
    n = len(given[0])
    event = np.arange(first, first + n)
    return watch.update(given, event, event, np.ones(n), NONE)


@pytest.mark.parametrize(
    ("change", "feature", "what", "moved"),
    [
        ("shift", "x", "feature", "x: "),
        ("missing", "x", "pipeline", "missing"),
        ("unseen", "town", "pipeline", "unseen"),
    ],
)
def test_a_change_is_warned_of_by_name(change: str, feature: str, what: str, moved: str) -> None:
    watch = monitor()
    warnings = feed(watch, columns(change=change))
    assert warnings
    first = warnings[0]
    assert (first.kind, first.what, first.features[0][0], first.pages) == ("drift", what, feature, False)
    assert CHANGE < first.event < CHANGE + 1_500
    assert moved in first.direction
    assert "drift warning" in first.text()
    assert watch.distances()[0].feature == feature
    assert watch.distances()[0].psi > 2 * watch.distances()[0].psi_by_chance


def test_no_change_no_warning_and_distances_as_by_chance() -> None:
    warned, psi, ks = 0, [], []
    for seed in range(30):
        watch = monitor()
        warned += bool(feed(watch, columns(seed)))
        for found in watch.distances():
            psi.append(found.psi <= found.psi_by_chance)
            if found.kolmogorov_smirnov is not None and found.kolmogorov_smirnov_by_chance is not None:
                ks.append(found.kolmogorov_smirnov <= found.kolmogorov_smirnov_by_chance)
    assert warned <= 30 * (8_000 / 20_000)
    assert np.mean(psi) > 0.85
    assert np.mean(ks) > 0.85


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, N), max_size=4))
def test_any_cut_gives_the_same_warnings_and_bytes(cuts: list[int]) -> None:
    given_ = columns(change="unseen")
    whole, pieces = monitor(), monitor()
    warnings = feed(whole, given_)
    found: list[Alarm] = []
    for a, b in pairwise([0, *sorted(cuts), N]):
        found += feed(pieces, [array[a:b] for array in given_], a)
    assert warnings
    assert found == warnings
    one, other = whole.state(), pieces.state()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize("cut", [500, 3_000, 9_000])
def test_restored_it_goes_on_the_same(cut: int) -> None:
    given_ = columns(change="shift")
    kept, saved, taken_up = monitor(), monitor(), monitor()
    warnings = feed(kept, given_)
    before = feed(saved, [array[:cut] for array in given_])
    taken_up.restore(saved.state())
    assert before + feed(taken_up, [array[cut:] for array in given_], cut) == warnings
    assert all(taken_up.state()[name].tobytes() == array.tobytes() for name, array in kept.state().items())
    with pytest.raises(StateError):
        monitor().restore({k: v for k, v in saved.state().items() if k != "0.begins"})
    with pytest.raises(StateError):
        monitor().restore(saved.state() | {"1.codes": np.array([99])})


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ([0.9, 0.1], [0.6, 0.4], "1"),  # a flag
        ([0.98, 0.02], [0.9, 0.1], "0 to 1"),
        ([0.2, 0.5, 0.3], [0.2, 0.2, 0.6], "2"),  # a small count
        ([1.0, 0.0], [0.8, 0.2], "above 0"),  # constant until now
        ([0.0, 1.0], [0.2, 0.8], "below 1"),
    ],
)
def test_values_that_are_frequent_have_bins_of_their_own(before: list[float], after: list[float], moved: str) -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.choice(len(before), CHANGE, p=before), rng.choice(len(after), N - CHANGE, p=after)])
    watch = FeatureMonitor(("x",), Patience(20_000.0), reference=4_000)
    warnings = feed(watch, [pa.array(x)])
    assert warnings
    assert CHANGE < warnings[0].event < CHANGE + 2_500
    assert watch.distances()[0].moved == moved


def test_bins_tell_zeros_from_small_numbers() -> None:
    rng = np.random.default_rng(4)
    x = np.where(rng.random(N) < np.where(np.arange(N) < CHANGE, 0.05, 0.3), rng.exponential(1.0, N), 0.0)
    watch = FeatureMonitor(("x",), Patience(20_000.0), reference=4_000)
    assert feed(watch, [pa.array(x)])
    bins = watch.bins[0]
    values = pa.array([-1.0, -0.0, 0.0, 5e-324, 1.0, x[:2_000].max(), 1e9])
    told = [bins.label(j) for j in bins.bins(values)]
    assert told[:3] == ["below 0", "0", "0"]
    assert told[3] == told[4] == told[5]
    assert told[5].startswith("0 to ")
    assert told[6].startswith("above ")


def test_a_warning_before_1970_comes_once_in_patience() -> None:
    watch = FeatureMonitor(("x", "town"), patience_of("10d"), reference=4_000)
    time = np.arange(N) * 60_000_000 - 10**15  # an event a minute
    warnings = watch.update(columns(change="shift"), np.arange(N), time, np.ones(N), time / 86_400e6)
    assert len(warnings) == 1


def test_dictionaries_bools_ints_and_nulls() -> None:
    n = 3_000
    rng = np.random.default_rng(0)
    flag, few = pa.array(rng.random(n) < 0.3), pa.array(rng.integers(0, 3, n))
    town = pa.array(rng.integers(0, 5, n).astype(str)).dictionary_encode()
    watch = FeatureMonitor(("flag", "few", "town", "gone"), Patience(1e5), reference=1_000)
    feed(watch, [flag, few, town, pa.nulls(n)])
    assert {found.feature: found.missing for found in watch.distances()}["gone"] == pytest.approx(1.0)
    with pytest.raises(SchemaError, match="'flag' has type double, and was a category before"):
        feed(watch, [few.cast(pa.float64()), few, town, pa.nulls(n)])
    with pytest.raises(SchemaError, match="'flag' has type timestamp"):
        feed(watch, [few.cast(pa.timestamp("us")), few, town, pa.nulls(n)])


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view(), pa.dictionary(pa.uint32(), pa.string_view())])
def test_texts_of_every_type_and_rows_of_no_weight(kind: pa.DataType) -> None:
    x, town = columns(change="unseen")
    event, weight = np.arange(N), np.where(np.arange(N) % 3 == 0, 0.0, 1.0)
    plain, other = monitor(), monitor()
    plain.update([x, town], event, event, weight, NONE)
    for part in (slice(0, 3_500), slice(3_500, 5_000), slice(5_000, N)):
        given_ = [x[part], town[part].cast(kind)]
        other.update(given_, event[part], event[part], weight[part], NONE)
    assert all(other.state()[name].tobytes() == array.tobytes() for name, array in plain.state().items())


def test_small_codes_of_many_values() -> None:
    codes = pa.array([*range(128), None] * 20, pa.int8())
    town = pa.DictionaryArray.from_arrays(codes, pa.array([f"town {k}" for k in range(128)]))
    watch = FeatureMonitor(("town",), Patience(1e5), reference=1_000)
    feed(watch, [town])
    assert watch.distances()[0].missing == pytest.approx(1 / 129, rel=0.1)


def test_bounds_cover_all_shares_at_once() -> None:
    shares, missed = np.array([0.5, 0.3, 0.15, 0.049, 0.001]), 0
    for seed in range(200):
        counts = np.random.default_rng(seed).multinomial(500, shares).astype(np.float64)
        low, high = bounds(counts, 0.1)
        missed += bool(((shares < low) | (shares > high)).any())
    assert missed <= 20


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="reference = 100"):
        FeatureMonitor(("a",), Patience(10.0), 100)
    with pytest.raises(ConfigError, match="named twice"):
        FeatureMonitor(("a", "a"), Patience(10.0))


def watched() -> pa.Table:
    """Outcomes that leave what was stated where x is missing, from the change on."""
    x = columns(change="missing")[0]
    rng = np.random.default_rng(3)
    z = rng.normal(-1.0, 1.0, N)
    true = z + 1.5 * x.is_null().to_numpy(zero_copy_only=False) * (np.arange(N) >= CHANGE)
    y = (rng.random(N) < 1 / (1 + np.exp(-true))).astype(np.int8)
    return pa.table({"p": 1 / (1 + np.exp(-z)), "y": y, "x": x})


def test_an_alarm_says_where_outcomes_moved_whatever_the_cut() -> None:
    wishes = Wishes(patience=Patience(5_000.0), reference=0, window=4_000)
    found = []
    for size in (N, 1_111):
        watch = Watch(Columns("p", "y", features=("x",)), wishes)
        assert watch.features is not None
        watch.features = FeatureMonitor(("p", "x"), Patience(5_000.0), 4_000, 4_000)
        found.append([alarm for batch in watched().to_batches(size) for alarm in watch.step(batch)])
    assert found[0] == found[1]
    pages = [alarm for alarm in found[0] if alarm.pages]
    assert pages
    assert pages[0].features[0][0] == "x in missing"
    assert pages[0].features[0][1] > 3
    assert "Moved most: x in missing" in pages[0].text()


def test_in_the_pipeline_by_config() -> None:
    table = watched()
    config = Config(learner="sgd", monitor=MonitorConfig(patience=5_000.0, features=True, reference=4_000))

    def run(sizes: list[int]) -> tuple[list[Alarm], dict[str, Any]]:
        model = OnlineLogit("y", config=config)
        alarms = [a for k, j in pairwise([0, *sizes, N]) for a in model.step(table.slice(k, j - k)).alarms]
        return alarms, model.state()

    alarms, state = run([])
    drifts = [alarm for alarm in alarms if alarm.kind == "drift"]
    assert drifts[0].features[0][0] == "x"
    again, state_again = run([100, 5_000, 9_999])
    assert sorted(again, key=str) == sorted(alarms, key=str)
    assert all(state[name].tobytes() == state_again[name].tobytes() for name in state)


def test_models_that_watch_features_merge() -> None:
    config = Config(learner="sgd", monitor=MonitorConfig(features=True, reference=400, warm_up=10))
    table = watched()
    parts = []
    for k in range(2):
        parts.append(OnlineLogit("y", config=config))
        parts[k].step(table.slice(1_000 * k, 1_000))
    merged = OnlineLogit.merge(parts)
    assert merged.pipeline.features is not None
    assert not merged.pipeline.features.begun
    merged.step(table.slice(2_000, 1_000))
    assert merged.pipeline.features.begun
