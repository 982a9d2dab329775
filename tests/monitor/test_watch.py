"""The whole watch: any cut gives the same alarms and bytes, a refusal changes nothing, saved and restored it goes on."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit.errors import DataError, OnlogitError, StateError
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.decisions import Costs
from onlogit.monitor.reading import Columns
from onlogit.monitor.watch import Watch, Wishes
from onlogit.patience import patience_of

N = 4_000
COLUMNS = Columns("p", "y", weight="w", time="at", label_time="known", by=("town",), features=("x", "town"))
DAY = 86_400_000_000


def events() -> pa.Table:
    """Imperfect throughout; from the middle on worse in one town, where a feature goes missing as well."""
    rng = np.random.default_rng(1)
    z, town = rng.normal(-0.5, 1.2, N), rng.integers(0, 4, N)
    bad = (np.arange(N) >= N // 2) & (town == 1)
    y = (rng.random(N) < 1 / (1 + np.exp(-0.7 * z - 2.0 * bad))).astype(np.int8)
    at = np.sort(rng.integers(0, 100 * DAY, N))
    return pa.table(
        {
            "p": pa.array(1 / (1 + np.exp(-z)), mask=rng.random(N) < 0.01),
            "y": pa.array(y, mask=rng.random(N) < 0.05),
            "w": rng.choice([0.0, 1.0, 2.0], N, p=[0.05, 0.9, 0.05]),
            "at": pa.array(at, pa.timestamp("us")),
            "known": pa.array(at + DAY // 1_000, pa.timestamp("us")),
            "town": [f"town {t}" for t in town],
            "x": pa.array(rng.normal(size=N), mask=bad & (rng.random(N) < 0.5)),
        }
    )


EVENTS = events()
WISHES = {
    "events": Wishes(patience_of(500), window=700, reference=600, costs=Costs(3.0, 1.0), thresholds=(0.3,)),
    "days": Wishes(patience_of("20d"), window=700, costs=Costs(3.0, 1.0)),
    "test": Wishes(patience_of(500), test=0.01),
}


def fresh(kind: str) -> Watch:
    columns = COLUMNS if kind != "test" else Columns("p", "y", weight="w", time="at")
    watch = Watch(columns, WISHES[kind])
    if watch.features is not None:
        watch.features.reference = 600
    return watch


def feed(watch: Watch, table: pa.Table) -> list[Alarm]:
    return [alarm for batch in table.combine_chunks().to_batches() for alarm in watch.step(batch)]


def same(a: Watch, b: Watch) -> bool:
    one, other = a.state(), b.state()
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize("kind", WISHES)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, N), max_size=4))
def test_any_cut_gives_the_same_alarms_and_bytes(kind: str, cuts: list[int]) -> None:
    whole, pieces = fresh(kind), fresh(kind)
    alarms = feed(whole, EVENTS)
    found = [a for k, j in pairwise([0, *sorted(cuts), N]) for a in feed(pieces, EVENTS.slice(k, j - k))]
    assert alarms
    assert found == alarms
    assert same(whole, pieces)


@pytest.mark.parametrize("kind", WISHES)
@pytest.mark.parametrize("cut", [0, 450, 3_000])
def test_restored_it_goes_on_the_same(kind: str, cut: int) -> None:
    kept, saved, taken_up = fresh(kind), fresh(kind), fresh(kind)
    alarms = feed(kept, EVENTS)
    before = feed(saved, EVENTS.slice(0, cut))
    taken_up.restore(saved.state())
    assert before + feed(taken_up, EVENTS.slice(cut)) == alarms
    assert same(kept, taken_up)


def test_slices_are_held_against_the_reference_too() -> None:
    """All towns are stated too far out by the same; only the one that changed is told of."""
    alarms = feed(fresh("events"), EVENTS)
    assert {alarm.kind for alarm in alarms} >= {"slice"}
    assert {alarm.slice for alarm in alarms if alarm.kind == "slice"} == {"town=town 1"}
    assert all(alarm.event >= N // 2 for alarm in alarms if alarm.pages)


def spoiled(name: str, value: Any) -> pa.RecordBatch:
    rows = EVENTS.slice(1_000, 50).to_pylist()
    rows[20][name] = value
    return pa.RecordBatch.from_pylist(rows, schema=EVENTS.schema)


BAD = [
    spoiled("p", 1.01),
    spoiled("y", 7),
    spoiled("w", -1.0),
    spoiled("at", EVENTS["at"][0].as_py()),
    EVENTS.slice(1_000, 50).drop(["town"]).combine_chunks().to_batches()[0],
    EVENTS.slice(1_000, 50).set_column(6, "x", pa.array(["text"] * 50)).combine_chunks().to_batches()[0],
]


@pytest.mark.parametrize("columns", [Columns("p", "y", by=("town",)), Columns("p", "y", features=("x", "town"))])
def test_codes_outside_their_dictionary_change_nothing(columns: Columns) -> None:
    watch, other = (Watch(columns, Wishes(patience_of(500))) for _ in range(2))
    rows = EVENTS.slice(0, 3).combine_chunks().to_batches()[0]
    for each in (watch, other):
        each.step(rows)
    codes = pa.DictionaryArray.from_arrays(pa.array([0, None, 2], pa.uint8()), pa.array(["a", "b"]), safe=False)
    with pytest.raises(DataError, match="column 'town': a dictionary code points outside its dictionary"):
        watch.step(rows.set_column(rows.schema.get_field_index("town"), "town", codes))
    assert same(watch, other)


@pytest.mark.parametrize("batch", BAD)
def test_a_refusal_changes_nothing(batch: pa.RecordBatch) -> None:
    watch, other = fresh("events"), fresh("events")
    for each in (watch, other):
        feed(each, EVENTS.slice(0, 1_000))
    with pytest.raises(DataError, match=r"p|y|w|at|town|x"):
        watch.step(batch)
    assert same(watch, other)
    feed(watch, EVENTS.slice(1_000))
    feed(other, EVENTS.slice(1_000))
    assert same(watch, other)


def test_damaged_states_are_refused() -> None:
    watch = fresh("events")
    feed(watch, EVENTS.slice(0, 1_000))
    good = watch.state()
    for name in good:
        with pytest.raises(StateError):
            fresh("events").restore({key: array for key, array in good.items() if key != name})
    with pytest.raises(OnlogitError):
        fresh("events").restore(good | {"counts": np.zeros(2, np.int64)})
