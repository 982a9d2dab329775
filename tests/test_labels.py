"""When a label is learned, and when the monitor sees it: against an event-by-event account in plain Python."""

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pytest

from bench.workloads import drifting
from onlogit import Config, LabelConfig, OnlineLogit
from onlogit.errors import ConfigError
from onlogit.label_delays import LabelDelays
from onlogit.learners.protocol import LEARN, NO_LOOKS, SCORE, Tape
from onlogit.steps import Counts

TABLE = drifting(300).table


def spoken(tape: Tape, events: dict[int, int]) -> list[tuple[str, int]]:
    """A tape as words: ("score" | "learn", event)."""
    out = []
    for row, act in zip(tape.row.tolist(), tape.act.tolist(), strict=True):
        out += [("score", events[row])] * bool(act & SCORE) + [("learn", events[row])] * bool(act & LEARN)
    return out


def recorded(
    model: OnlineLogit, table: pa.Table, cut: int, before: Callable[[int], None] = lambda at: None
) -> list[tuple[str, int]]:
    """What the fold tells its learner, in order, as events. `before` is called with the number of each batch's first."""
    words: list[tuple[str, int]] = []
    model.begin(table.schema)
    fold = model.pipeline
    begin, take = fold.learner.begin, fold.memory.take
    taken: list[int] = []

    def note_take(event):  # type: ignore[no-untyped-def]
        taken[:] = event.tolist()
        return take(event)

    def note_begin(rows, tape, y, weight, memo, live=True, looks=NO_LOOKS):  # type: ignore[no-untyped-def]
        n = len(y) - len(taken)
        first = fold.counts.events
        words.extend(spoken(tape, {i: first + i if i < n else taken[i - n] for i in range(len(y))}))
        return begin(rows, tape, y, weight, memo, live, looks)

    fold.memory.take, fold.learner.begin = note_take, note_begin  # type: ignore[method-assign]
    for low in range(0, table.num_rows, cut):
        before(low)
        taken.clear()
        model.step(table.slice(low, cut))
    return words


@pytest.mark.parametrize("cut", [1, 7, 300])
def test_labels_are_learned_when_their_time_has_come(cut: int) -> None:
    time, known = (TABLE[c].cast(pa.int64()).to_numpy() for c in ("at", "known_at"))
    expected: list[tuple[str, int]] = []
    sealed: list[tuple[int, int]] = []
    for i in range(300):
        while sealed and sealed[0][0] <= time[i]:
            expected.append(("learn", heapq.heappop(sealed)[1]))
        expected.append(("score", i))
        heapq.heappush(sealed, (int(known[i]), i))
    model = OnlineLogit("y", time="at", label_time="known_at", drop=["id"])
    assert recorded(model, TABLE, cut) == expected
    assert model.counts.learned + model.pipeline.memory.waiting == 300


@pytest.mark.parametrize("cut", [1, 7, 300])
@pytest.mark.parametrize("delay", [0, 1, 13])
def test_a_delay_is_counted_in_examples(cut: int, delay: int) -> None:
    expected = []
    for i in range(300):
        expected.append(("score", i))
        if i >= delay:
            expected.append(("learn", i - delay))
    config = Config(labels=LabelConfig(delay=delay))
    assert recorded(OnlineLogit("y", drop=["id", "at", "known_at"], config=config), TABLE, cut) == expected


def test_the_monitor_sees_prediction_order() -> None:
    model = OnlineLogit("y", key="id", drop=["at", "known_at"])
    rows = TABLE.slice(0, 50)
    model.step(rows.set_column(rows.schema.get_field_index("y"), "y", pa.nulls(50, pa.bool_())))
    seen: list[int] = []
    update = model.pipeline.monitor.update

    def note(event, *rest):  # type: ignore[no-untyped-def]
        seen.extend(event.tolist())
        return update(event, *rest)

    model.pipeline.monitor.update = note  # type: ignore[method-assign]
    for i in np.random.default_rng(1).permutation(50).tolist():
        model.outcomes(rows.select(["id", "y"]).slice(i, 1))
        assert seen == list(range(len(seen)))
    assert seen == list(range(50))


@pytest.mark.parametrize("unresolved", ["drop", "negative"])
def test_the_monitor_sees_prediction_order_with_due_times_too(unresolved: str) -> None:
    """Outcomes come in any order before they are due; an event that had none is no example, or a negative."""
    labels = LabelConfig(horizon="40m", unresolved=unresolved)
    model = OnlineLogit("y", time="at", key="id", drop=["known_at"], config=Config(labels=labels))
    rows = TABLE.set_column(TABLE.schema.get_field_index("y"), "y", pa.nulls(300, pa.bool_()))
    model.begin(rows.schema)
    seen: list[tuple[int, int]] = []
    update = model.pipeline.monitor.update

    def note(event, time, z, y, *rest):  # type: ignore[no-untyped-def]
        seen.extend(zip(event.tolist(), y.tolist(), strict=True))
        return update(event, time, z, y, *rest)

    model.pipeline.monitor.update = note  # type: ignore[method-assign]
    random, told = np.random.default_rng(1), set()
    for first in range(0, 300, 10):
        model.step(rows.slice(first, 10))
        soon = [int(i) for i in random.permutation(np.arange(max(first - 10, 0), first + 10))[:7]]
        model.outcomes(TABLE.select(["id", "y"]).take(pa.array(soon)))
        told.update(soon)
    without = -1 if unresolved == "drop" else 0
    truth = TABLE["y"].to_pylist()
    assert len(seen) > 200
    assert seen == [(i, int(truth[i]) if i in told else without) for i in range(len(seen))]


# ---- due times


def account(
    known: dict[int, list[tuple[int, int]]], unresolved: str, by_key: bool
) -> tuple[list[tuple[str, int]], Counts]:
    """Word by word what the fold should do with the first 300 events, each due 50 minutes after it, and their outcomes.

    known[i]: the outcomes (event, label) told by key just before event i is scored.
    """
    time, label_time = (TABLE[c].cast(pa.int64()).to_numpy() for c in ("at", "known_at"))
    due = time + 50 * 60 * 1_000_000
    words: list[tuple[str, int]] = []
    waits: list[tuple[int, int]] = []  # (due, event), a heap
    label: dict[int, int | None] = {}
    missed: set[int] = set()
    counts = Counts()
    for i in range(300):
        for event, y in known.get(i, []):
            counts.outcomes += 1
            if event in label and label[event] is None:
                label[event] = y
            elif event in missed:
                counts.late += 1
            else:
                counts.unknown += 1
        while waits and waits[0][0] <= time[i]:
            event = heapq.heappop(waits)[1]
            if label[event] is None:
                counts.unresolved += 1
                missed.add(event)
            if label.pop(event) is not None or unresolved == "negative":
                words.append(("learn", event))
        words.append(("score", i))
        told = bool(label_time[i] <= due[i])
        if told or by_key or unresolved == "negative":
            label[i] = int(TABLE["y"][i].as_py()) if told else None
            heapq.heappush(waits, (int(due[i]), i))
        else:
            counts.unresolved += 1
    return words, counts


OUTCOMES = {
    at: [(int(event), int(event) % 2) for event in np.random.default_rng(at).integers(max(0, at - 90), at, 15)]
    for at in range(10, 300, 10)
}


@pytest.mark.parametrize("cut", [1, 10, 300])
@pytest.mark.parametrize("unresolved", ["drop", "negative"])
@pytest.mark.parametrize("by_key", [False, True])
def test_labels_are_learned_when_they_are_due(cut: int, unresolved: str, by_key: bool) -> None:
    outcomes = OUTCOMES if by_key and cut < 300 else {}
    words, expected = account(outcomes, unresolved, by_key)
    config = Config(labels=LabelConfig(horizon="50m", unresolved=unresolved))
    model = OnlineLogit(
        "y",
        time="at",
        label_time="known_at",
        key="id" if by_key else None,
        drop=[] if by_key else ["id"],
        config=config,
    )

    def tell(at: int) -> None:
        for event, y in outcomes.get(at, []):
            model.outcomes(pa.table({"id": [f"e{event:06d}"], "y": [bool(y)]}))

    assert recorded(model, TABLE, cut, tell) == words
    counts = model.counts
    assert (counts.learned, counts.outcomes) == (sum(word == "learn" for word, _ in words), expected.outcomes)
    assert (counts.late, counts.unknown, counts.unresolved) == (expected.late, expected.unknown, expected.unresolved)
    assert counts.unresolved > 20
    assert counts.late > 5 or not outcomes


def test_a_due_column_and_a_horizon_say_the_same() -> None:
    due = pc.add(TABLE["at"], pa.scalar(50 * 60, pa.duration("s")))
    by_horizon = OnlineLogit("y", time="at", drop=["id", "known_at"], config=Config(labels=LabelConfig(horizon="50m")))
    by_column = OnlineLogit("y", time="at", due="due", drop=["id", "known_at"])
    p = by_horizon.step(TABLE).p
    np.testing.assert_array_equal(by_column.step(TABLE.append_column("due", due)).p, p)


def test_without_a_time_column_a_horizon_counts_from_now() -> None:
    model = OnlineLogit("y", drop=["id", "at", "known_at"], config=Config(labels=LabelConfig(horizon="1m")))
    minute = 60_000_000
    with pytest.raises(ConfigError, match="events need one: name a time column"):
        model.step(TABLE.slice(0, 10))
    model.step(TABLE.slice(0, 10), now=5 * minute)
    model.step(TABLE.slice(10, 10), now=6 * minute - 1)
    assert model.counts.learned == 0
    model.step(TABLE.slice(20, 1), now=6 * minute)
    assert model.counts.learned == 10


def test_the_end_of_the_stream_makes_no_negatives_of_events_that_are_not_due() -> None:
    """Else the positives of the last horizon would be learned without the negatives, or the other way round."""
    for unresolved, learned in (("drop", 30), ("negative", 0)):
        config = Config(labels=LabelConfig(horizon="30d", unresolved=unresolved))
        model = OnlineLogit("y", time="at", drop=["id", "known_at"], config=config)
        model.step(TABLE.slice(0, 30))
        model.finish()
        assert model.counts.learned == learned


@pytest.mark.parametrize(
    ("roles", "labels", "message"),
    [
        ({"due": "known_at"}, {"delay": 5}, "a due time and a label delay contradict"),
        ({}, {"delay": 5, "horizon": "1h"}, "a due time and a label delay contradict"),
        ({"due": "known_at"}, {"horizon": "1h"}, "a due column and a horizon contradict"),
        ({"label_time": "known_at"}, {"delay": 5}, "a label time and a label delay contradict"),
        ({}, {"unresolved": "negative"}, "name a due column, or give a horizon"),
        ({}, {"horizon": "1 month"}, "horizon = '1 month' is out of range: a whole number with a unit"),
        ({}, {"horizon": "0d"}, "horizon = '0d'"),
        ({}, {"unresolved": "zero"}, "unresolved = 'zero'"),
    ],
)
def test_contradictions_are_refused(roles: dict[str, str], labels: dict[str, Any], message: str) -> None:
    drop = ["id"] if roles else ["id", "known_at"]
    with pytest.raises(ConfigError, match=message):
        OnlineLogit("y", time="at", drop=drop, config=Config(labels=LabelConfig(**labels)), **roles).step(TABLE)


# ---- delays by class


def test_medians_of_delays_are_those_of_the_delays() -> None:
    """Against NumPy to 10 %, whatever the scale, and the same from any cut and in two parts."""
    random = np.random.default_rng(5)
    for scale in (1.0, 30.0, 1e6):
        delay = np.maximum(random.exponential(scale, 5000), 1).astype(np.int64)
        y = (random.random(5000) < 0.3).astype(np.int8)
        whole, cut = LabelDelays(), LabelDelays()
        whole.add(delay, y, np.ones(5000))
        for i in range(0, 5000, 37):
            cut.add(delay[i : i + 37], y[i : i + 37], np.ones(len(y[i : i + 37])))
        np.testing.assert_array_equal(whole.counts, cut.counts)
        found = whole.medians()
        assert not found.uneven
        assert found.warning() is None
        for median, label in ((found.negative, 0), (found.positive, 1)):
            truth = float(np.median(delay[y == label]))
            assert abs(median - truth) <= max(1, 0.1 * truth)


@pytest.mark.parametrize(("ratio", "warned"), [(1.0, 0.0), (1.4, 0.0), (2.5, 1.0)])
def test_much_sooner_is_half_as_long_again_and_sure(ratio: float, warned: float) -> None:
    random, share = np.random.default_rng(7), []
    for _ in range(200):
        delays = LabelDelays()
        y = (random.random(4000) < 0.2).astype(np.int8)
        delays.add(1 + random.exponential(np.where(y == 1, 100.0, 100.0 * ratio)).astype(np.int64), y, np.ones(4000))
        share.append(delays.medians().uneven)
    assert abs(np.mean(share) - warned) < 0.02


def test_the_trap_of_arrival_order_is_told_and_due_times_avoid_it() -> None:
    """Positives come back after 5 minutes in the mean, negatives when an hour is over: on arrival the learner does worse than
    who says 1/2 each time; with due times as well as if all labels were an hour late."""
    n, random = 8_000, np.random.default_rng(11)
    x = random.standard_normal(n)
    y = random.random(n) < 1 / (1 + np.exp(1.0 - x))
    wait = np.where(y, np.minimum(random.exponential(300.0, n), 3600.0), 3600.0).astype("timedelta64[s]")
    at = np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "s")
    table = pa.table({"x": x, "y": y, "at": at, "known": at + wait})
    ways: dict[str, tuple[str | None, LabelConfig]] = {
        "arrival": ("known", LabelConfig()),
        "due": ("known", LabelConfig(horizon="1h")),
        "delay": (None, LabelConfig(delay=3599)),
    }
    stated = {}
    for name, (label_time, labels) in ways.items():
        drop = ["at"] if label_time else ["at", "known"]
        model = OnlineLogit("y", time="at", label_time=label_time, drop=drop, config=Config(labels=labels))
        stated[name] = model.step(table)
        assert bool(model.label_delays().warning()) == (name == "arrival")
    np.testing.assert_array_equal(stated["due"].p, stated["delay"].p)
    loss = {name: float(np.mean(np.logaddexp(0, step.z) - y * step.z)) for name, step in stated.items()}
    assert loss["arrival"] > 1.0
    assert loss["due"] < 0.65


def test_negatives_that_nobody_tells_are_those_not_resolved_in_time() -> None:
    """Only positives have a label. With a horizon and unresolved events as negatives every p is as if all labels came then."""
    n = 2_000
    table = drifting(n).table.select(["a", "b", "at", "y", "known_at"])
    y = table["y"].to_numpy()
    at = np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "s")
    known = pa.array(at + np.random.default_rng(2).integers(0, 600, n).astype("timedelta64[s]"), mask=~y)
    told = pa.table({"a": table["a"], "at": at, "y": pa.array(y, mask=~y), "known": known})
    model = OnlineLogit(
        "y", time="at", label_time="known", drop=["at"],
        config=Config(labels=LabelConfig(horizon="10m", unresolved="negative")),
    )  # fmt: skip
    late = OnlineLogit("y", drop=["at", "known"], config=Config(labels=LabelConfig(delay=599)))
    whole = told.set_column(told.schema.get_field_index("y"), "y", pa.array(y))
    np.testing.assert_array_equal(model.step(told).p, late.step(whole).p)
    assert model.counts.unresolved == np.count_nonzero(~y[: n - 600])
