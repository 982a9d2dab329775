"""The daemon's fold: state is a function of the journal, whatever the clock, the slices and the refusals."""

import json
import queue
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit import Config, LabelConfig, MonitorConfig, OnlineLogit
from onlogit.config import LabelNoise
from onlogit.daemon.early import LONGEST_LABEL
from onlogit.daemon.entries import COMMAND, EVENTS, OUTCOMES, beginning, mark, meaning
from onlogit.daemon.fold import Fold
from onlogit.daemon.json_rows import RowReader
from onlogit.daemon.ledger import Ledger
from onlogit.daemon.recovery import apply
from onlogit.daemon.service import Service
from onlogit.daemon.settings import EventSettings, KeepSettings, Settings
from onlogit.daemon.work import Work
from onlogit.errors import ConfigError, DataError, SchemaError, StateError
from onlogit.schema import Schema
from onlogit.storage import arrays
from onlogit.storage.journal import Entry, Journal

ROLES = EventSettings(label="y", key="k").roles()
CONFIG = Config(learner="sgd", slot_bits=8)


def begun(early: int = 50, config: Config = CONFIG, roles: dict[str, Any] = ROLES) -> Fold:
    fold = Fold()
    fold.begin(1, beginning(roles, config, early))
    return fold


def events(keys: list[int], label: Any = None) -> pa.RecordBatch:
    y = pa.array([label] * len(keys), pa.int8()) if label is not None else pa.nulls(len(keys))
    return pa.record_batch({"k": pa.array(keys, pa.int64()), "x": [k / 3 for k in keys], "y": y})


def outcomes(told: list[tuple[int, Any]]) -> pa.RecordBatch:
    return pa.record_batch(
        {"k": pa.array([k for k, _ in told], pa.int64()), "y": pa.array([y for _, y in told], pa.int8())}
    )


def entry(seq: int, kind: str, batch: pa.RecordBatch, now: int = 0) -> Entry:
    return Entry(seq, kind, now, bytes(batch.serialize()), bytes(batch.schema.serialize()))


def packed(fold: Fold) -> bytes:
    return arrays.pack(fold.header(), fold.state())


inputs = st.lists(
    st.one_of(
        st.lists(st.integers(0, 12), min_size=1, max_size=6).map(lambda keys: (EVENTS, events(keys))),
        st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 1, None])), min_size=1, max_size=6).map(
            lambda told: (OUTCOMES, outcomes(told))
        ),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(inputs, st.integers(1, 4), st.integers(0, 11), st.integers(0, 1 << 50))
def test_state_is_a_function_of_the_journal(
    told: list[tuple[str, pa.RecordBatch]], most: int, stop: int, clock: int
) -> None:
    """Not of the clock, of slices, of a stop between, or of whether entries were read back or folded as they came."""
    straight, sliced, stopped = begun(), begun(), begun()
    first = entry(2, EVENTS, events([100]))
    for fold in (straight, sliced, stopped):
        apply(fold, first)
    for seq, (kind, batch) in enumerate(told, 3):
        apply(straight, entry(seq, kind, batch))
        (sliced.events if kind == EVENTS else sliced.outcomes)(seq, batch, clock + seq, most=most)
        if seq - 3 == stop:
            stopped = Fold.of_state(*arrays.unpack(packed(stopped), "here"), stopped.seq, "here")
        apply(stopped, entry(seq, kind, batch))
    assert packed(straight) == packed(sliced) == packed(stopped)


@settings(max_examples=40)
@given(inputs, st.integers(0, 11))
def test_what_is_lent_to_a_checkpoint_stays_as_it_is(told: list[tuple[str, pa.RecordBatch]], stop: int) -> None:
    """A fold lends its state, goes on, closes holes; one made of what was lent goes on to the same bytes."""
    fold = begun()
    apply(fold, entry(2, EVENTS, events([100])))
    header, lent, seq, then = fold.header(), fold.lend(), 2, packed(fold)
    for number, (kind, batch) in enumerate(told, 3):
        apply(fold, entry(number, kind, batch))
        if number - 3 == stop:
            header, lent, seq, then = fold.header(), fold.lend(), number, packed(fold)
    after = packed(fold)
    again = Fold.of_state(header, {name: array.copy() for name, array in lent.items()}, seq, "here")
    assert packed(again) == then
    for number, (kind, batch) in enumerate(told[seq - 2 :], seq + 1):
        apply(again, entry(number, kind, batch))
    assert packed(again) == after


def test_the_daemon_learns_as_the_library_where_labels_are_flipped() -> None:
    config = Config(slot_bits=2, label_noise=LabelNoise(0.2, 0.1))
    fold, plain, library = begun(config=config), begun(config=Config(slot_bits=2)), OnlineLogit(**ROLES, config=config)
    for seq in range(2, 12):
        batch = events([10 * seq + k for k in range(10)], label=seq % 2)
        for each in (fold, plain):
            apply(each, entry(seq, EVENTS, batch))
        library.step(batch)
    asked = events([1000])
    assert fold.model.predict_proba(asked) == library.predict_proba(asked) != plain.model.predict_proba(asked)


def test_a_refused_entry_changes_nothing() -> None:
    fold = begun()
    apply(fold, entry(2, EVENTS, events([1, 2], label=0)))
    before = packed(fold)
    for batch in (
        events([3, 4], label=-1),
        events([3]).drop_columns(["x"]),
        events([]).rename_columns(["k", "x", "z"]),
    ):
        assert isinstance(apply(fold, entry(3, EVENTS, batch)), DataError)
        with pytest.raises(DataError):
            fold.events(3, batch, 0, most=1)
    assert packed(fold) == before
    half = pa.concat_batches([events([5, 6], label=0), events([7], label=-1)])
    with pytest.raises(DataError):
        fold.events(3, half, 0, most=1)
    assert packed(fold) == before


def test_slices_that_contradict_one_another_are_refused_whole() -> None:
    """Each slice alone would do: the first settles 0 as the negative value, the second -1."""
    fold = begun()
    fold.events(2, events([9]), 0)
    batch = pa.record_batch({"k": [1, 2, 3, 4], "x": [0.5] * 4, "y": pa.array([0, 1, -1, 1], pa.int8())})
    before = packed(fold)
    with pytest.raises(DataError, match=r"row 2 .*label -1"):
        fold.events(3, batch, 0, most=2)
    assert packed(fold) == before


@pytest.mark.parametrize("learner", ["belief", "sgd"])
def test_others_are_scored_between_the_parts_of_an_entry(learner: str) -> None:
    """As they would be before or after it but for the moments of numbers, and the entry is folded as without them."""
    rows = np.random.default_rng(1)
    folds = [begun(config=Config(learner=learner, slot_bits=8)) for _ in range(2)]
    told: list[list[float]] = []
    for start in range(0, 300, 100):
        keys = list(range(start, start + 100))
        batch, known = events(keys), outcomes([(k, int(rows.random() < 0.3)) for k in keys])
        probe = events([1000, 1001])

        def pause(fold: Fold = folds[0], probe: pa.RecordBatch = probe) -> None:
            if fold.model.settled:
                told.append(fold.model.score(probe).p.tolist())

        folds[0].events(start, batch, 0, pause, 40)
        folds[0].outcomes(start, known, 0, pause, 40)
        folds[1].events(start, batch, 0)
        folds[1].outcomes(start, known, 0)
    assert len(told) > 3 * 10
    assert np.isfinite(told).all()
    assert packed(folds[0]) == packed(folds[1])


@given(st.lists(st.lists(st.integers(0, 12), max_size=9), max_size=12), st.integers(0, 6))
def test_keys_told_lately(told: list[list[int]], room: int) -> None:
    ledger, twin = Ledger(room), list[int]()
    for keys in told:
        ledger.told(np.array(keys, np.uint64))
        twin += [key for place, key in enumerate(keys) if key not in twin and key not in keys[:place]]
        del twin[: max(len(twin) - room, 0)]
        assert ledger.state()["ledger.told"].tolist() == twin
        assert ledger.among_told(np.arange(13, dtype=np.uint64)).tolist() == [key in twin for key in range(13)]
    again = Ledger(room)
    again.restore(ledger.state())
    assert again.state()["ledger.told"].tolist() == twin


def test_outcomes_out_of_turn() -> None:
    fold = begun(early=3)
    apply(fold, entry(2, EVENTS, events([1, 2])))
    taken = fold.outcomes(3, outcomes([(1, 1), (1, 0), (7, 1)]), 0)
    assert taken.fate.tolist() == [0, 2, 1]
    assert fold.outcomes(4, outcomes([(1, 1), (7, 0), (2, None)]), 0).fate.tolist() == [2, 2, 3]
    assert fold.outcomes(5, outcomes([(8, 1), (9, 1), (10, 1)]), 0).fate.tolist() == [1, 1, 1]
    counts = fold.ledger.counts
    assert (counts.early_outcomes, counts.unknown_outcomes, counts.duplicate_outcomes) == (4, 1, 3)
    stated = fold.events(6, events([9, 2, 11, 11]), 0)
    assert stated.again.tolist() == [False, True, False, True]
    assert stated.event.tolist() == [2, 1, 3, 3]
    assert stated.p[2] == stated.p[3]
    assert (counts.early_used, fold.model.counts.learned, fold.model.pipeline.memory.waiting) == (1, 2, 2)


TIMED = {"time": "t"}
WAYS = {
    "open": ({}, LabelConfig()),
    "forgotten soon": ({}, LabelConfig(remember=3)),
    "after two events": ({}, LabelConfig(delay=2)),
    "after two events, forgotten soon": ({}, LabelConfig(delay=2, remember=3)),
    "at its time": ({**TIMED, "label_time": "at"}, LabelConfig(remember=4)),
    "when due": ({**TIMED, "due": "at"}, LabelConfig()),
    "after a while": (TIMED, LabelConfig(horizon="2s", unresolved="negative", remember=4)),
}
KEYED = st.tuples(
    st.integers(0, 3), st.sampled_from([0.0, 1.0, 1.0, 2.0]), st.sampled_from([None, None, 0, 1]), st.integers(0, 4),
    st.sampled_from([None, 0, 1, 2, 4, 9]),
)  # fmt: skip


def keyed(rows: list[tuple[Any, ...]], clock: int) -> pa.RecordBatch:
    """Rows of key, weight, label, by how many seconds time goes on, and in how many the label comes or is due."""
    key, weight, y, step, after = zip(*rows, strict=True)
    t = clock + np.cumsum(step)
    at = [None if late is None else int(now + late) * 10**6 for now, late in zip(t, after, strict=True)]
    return pa.record_batch(
        {
            "k": pa.array(key, pa.int64()), "x": pa.array([k / 3 for k in key]), "w": pa.array(weight),
            "y": pa.array(y, pa.int8()), "t": pa.array(t * 10**6, pa.timestamp("us")), "at": pa.array(at, pa.timestamp("us")),
        }
    )  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(st.lists(KEYED, min_size=1, max_size=14), st.integers(1, 14), st.integers(1, 3))
def test_an_event_is_told_again_only_where_its_key_still_waits(
    way: str, rows: list[tuple[Any, ...]], cut: int, most: int
) -> None:
    """However rows share entries: in one, in two, or each in its own."""
    more, labels = WAYS[way]
    roles = {**ROLES, "weight": "w", **more, "drop": tuple(name for name in ("t", "at") if name not in more.values())}
    batch, found = keyed(rows, 0), []
    for parts in ([0, len(rows)], [0, min(cut, len(rows)), len(rows)], range(len(rows) + 1)):
        fold = begun(config=replace(CONFIG, labels=labels), roles=roles)
        stated = [
            fold.events(seq, batch.slice(start, stop - start), 0, most=most)
            for seq, (start, stop) in enumerate(pairwise(parts), 2)
            if stop > start
        ]
        told = [np.concatenate([each[at] for each in stated]).tolist() for at in (0, 1, 4)]
        found.append((told, packed(fold)))
    assert found[0] == found[1] == found[2]
    if way == "open":
        waits = [key if weight and y is None else None for key, weight, y, *_ in rows]
        assert found[0][0][2] == [row[0] in waits[:place] for place, row in enumerate(rows)]


def test_rows_whose_keys_take_too_many_looks_are_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlogit.pipeline.MOST_LOOKS", 1)
    fold = begun()
    apply(fold, entry(2, EVENTS, events([1])))
    before = packed(fold)
    with pytest.raises(DataError, match="send fewer rows"):
        fold.events(3, events([2, 2]), 0)
    assert packed(fold) == before


def test_an_early_outcome_is_of_the_first_event_of_its_key() -> None:
    """One of no weight waits for none, so that the next of that key, in the same entry or another, waits for its own."""
    roles, folds = {**ROLES, "weight": "w", "drop": ("t", "at")}, []
    batch = keyed([(9, 0.0, None, 0, None), (9, 1.0, None, 0, None)], 0)
    for parts in ([0, 2], [0, 1, 2]):
        fold = begun(roles=roles)
        apply(fold, entry(2, EVENTS, keyed([(1, 1.0, None, 0, None)], 0)))
        fold.outcomes(3, outcomes([(9, 1)]), 0)
        for start, stop in pairwise(parts):
            fold.events(4 + start, batch.slice(start, stop - start), 0)
        assert (fold.ledger.counts.duplicate_outcomes, fold.model.pipeline.memory.waiting) == (1, 2)
        folds.append(packed(fold))
    assert folds[0] == folds[1]


@pytest.mark.parametrize(("first", "told"), [(pa.array(["no"]), ["yes", "no"]), (pa.array([True]), [True, False])])
def test_early_outcomes_of_every_kind_of_label(first: pa.Array, told: list[Any]) -> None:
    roles = EventSettings(label="y", key="k", positive="yes" if told[0] == "yes" else "").roles()
    fold = begun(roles=roles)
    apply(fold, entry(2, EVENTS, pa.record_batch({"k": ["a"], "x": [1.0], "y": first})))
    apply(fold, entry(3, OUTCOMES, pa.record_batch({"k": ["b", "c"], "y": pa.array(told)})))
    apply(fold, entry(4, EVENTS, pa.record_batch({"k": ["b", "c"], "x": [1.0, 2.0], "y": pa.nulls(2)})))
    assert fold.ledger.counts.early_used == 2
    assert fold.model.counts.learned == 3
    assert fold.model.quality().rate == pytest.approx(1 / 3 if told[0] == "yes" else 2 / 3)


@pytest.mark.parametrize("most", [1, 10])
def test_early_outcomes_are_read_each_in_its_own_kind(most: int) -> None:
    """Their column has no kind yet: bools and numbers may be held at once."""
    fold = begun()
    apply(fold, entry(2, EVENTS, events([1])))
    for key, label in ((2, True), (3, 1.0), (4, 0.0), (5, True)):
        assert fold.outcomes(key + 1, pa.record_batch({"k": [key], "y": [label]}), 0).fate.tolist() == [1]
    assert len(fold.events(7, events([2, 3, 4, 5, 6]), 0, most=most).p) == 5
    assert (fold.ledger.counts.early_used, len(fold.ledger.early)) == (4, 0)
    fold.outcomes(8, outcomes([(1, 1)]), 0)
    assert (fold.model.counts.events, fold.model.counts.learned, fold.model.quality().rate) == (6, 5, 0.8)


def test_an_early_outcome_that_is_no_label_any_more_is_dropped() -> None:
    """Events are folded, other outcomes learned, and it may be told again."""
    fold = begun(roles=EventSettings(label="y", key="k", positive="yes").roles())
    apply(fold, entry(2, EVENTS, events([1])))
    long = "no" * LONGEST_LABEL  # is kept cut
    told = pa.record_batch({"k": [2, 3, 4, 5, 6], "y": ["yes", long, "yes", long, "yes"]})
    assert fold.outcomes(3, told, 0).fate.tolist() == [1] * 5
    assert len(fold.events(4, events([2, 3, 4, 5, 6, 7]), 0).p) == 6
    counts = fold.ledger.counts
    assert (counts.early_used, counts.unread_outcomes, len(fold.ledger.early)) == (3, 2, 0)
    assert (fold.model.counts.events, fold.model.counts.learned) == (7, 3)
    assert fold.outcomes(5, pa.record_batch({"k": [5, 4], "y": [long, "yes"]}), 0).fate.tolist() == [0, 2]


def test_early_outcomes_of_texts_that_look_like_numbers() -> None:
    roles = EventSettings(label="y", key="k", positive="1").roles()
    fold = begun(roles=roles)
    apply(fold, entry(2, EVENTS, events([1])))
    apply(fold, entry(3, OUTCOMES, pa.record_batch({"k": [2, 3], "y": ["0", "1"]})))
    apply(fold, entry(4, EVENTS, events([2, 3])))
    apply(fold, entry(5, OUTCOMES, pa.record_batch({"k": [1], "y": ["0"]})))
    assert (fold.model.counts.learned, fold.model.quality().rate) == (3, 1 / 3)


def test_a_ledger_that_does_not_fit_is_refused() -> None:
    ledger = Ledger(3)
    with pytest.raises(StateError):
        ledger.restore({})
    ledger.told(np.arange(10, dtype=np.uint64))
    assert ledger.state()["ledger.told"].tolist() == [7, 8, 9]


def test_string_views_in_the_journal_are_strings() -> None:
    """As polars writes them: events told again, and outcomes that come before their events or after."""
    roles, folds = EventSettings(label="y", key="k", positive="yes").roles(), []
    for kind in (pa.string_view(), pa.string()):
        fold = begun(roles=roles)
        for seq, (what, name, told) in enumerate(
            [(EVENTS, "c", {"a": "p", "b": "q"}), (OUTCOMES, "y", {"c": "no", "a": "yes"}),
             (EVENTS, "c", {"b": "q", "c": "p"}), (OUTCOMES, "y", {"b": "no"})], 2,
        ):  # fmt: skip
            columns = {"k": pa.array(told, kind), name: pa.array(told.values(), kind)}
            apply(fold, entry(seq, what, pa.record_batch(columns | ({"y": pa.nulls(2)} if name == "c" else {}))))
        assert (fold.ledger.counts.duplicate_events, fold.ledger.counts.early_used) == (1, 1)
        assert (fold.model.counts.events, fold.model.counts.learned) == (3, 3)
        folds.append(fold)
    assert packed(folds[0]) == packed(folds[1])


def test_an_event_told_again_with_a_column_of_a_type_unknown_is_refused() -> None:
    fold = begun()
    apply(fold, entry(2, EVENTS, events([1])))
    before = packed(fold)
    with pytest.raises(SchemaError, match="'z' is not in the schema"):
        fold.events(3, events([1]).append_column("z", pa.array([b"z"], pa.binary_view())), 0)
    assert packed(fold) == before


def test_time_comes_from_the_journal() -> None:
    roles = EventSettings(label="y", key="k", label_time="at").roles()
    batch = pa.record_batch(
        {"k": [1, 2], "x": [0.5, 1.0], "y": pa.array([1, 0], pa.int8()), "at": pa.array([10, 20], pa.timestamp("us"))}
    )
    later = pa.record_batch(
        {"k": [3], "x": [0.5], "y": pa.nulls(1), "at": pa.nulls(1)},
    )
    folds = []
    for now in (15, 25):
        fold = begun(roles=roles, config=Config(learner="sgd", labels=LabelConfig(remember=10)))
        apply(fold, entry(2, EVENTS, batch, now=0))
        apply(fold, entry(3, EVENTS, later, now=now))
        folds.append(fold)
    assert [fold.model.counts.learned for fold in folds] == [1, 2]


def test_outcomes_that_wait_until_they_are_due() -> None:
    """Told twice before, the first one counts; told after, they are late. Merging entries would lose their times."""
    fold = begun(config=Config(learner="sgd", labels=LabelConfig(horizon="1m", unresolved="negative")))
    apply(fold, entry(2, EVENTS, events([1, 2, 3]), now=0))
    assert fold.by_journal_time
    assert fold.outcomes(3, outcomes([(1, 1), (2, 0)]), 0).fate.tolist() == [0, 0]
    assert fold.outcomes(4, outcomes([(1, 0), (9, 1)]), 0).fate.tolist() == [2, 1]
    assert fold.model.counts.learned == 0
    apply(fold, entry(5, EVENTS, events([4]), now=61_000_000))
    assert (fold.model.counts.learned, fold.model.counts.unresolved) == (3, 1)
    assert fold.outcomes(6, outcomes([(3, 1), (1, 1)]), 0).fate.tolist() == [4, 2]
    assert (fold.model.counts.late, fold.model.counts.unknown) == (1, 0)


def test_an_entry_that_breaks_the_fold_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State is then that of the journal without it, live as after a restart."""
    real = Fold.events

    def break_down(self: Fold, seq: int, batch: pa.RecordBatch, *more: Any, **others: Any) -> Any:
        stated = real(self, seq, batch, *more, **others)
        if 666 in batch["k"].to_pylist():
            raise RuntimeError("nobody foresaw this")
        return stated

    monkeypatch.setattr(Fold, "events", break_down)
    told = Settings(keep=KeepSettings(state=str(tmp_path)), events=EventSettings(label="y", key="k"), model=CONFIG)
    service = Service(told)
    service.start()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(batch: pa.RecordBatch) -> Any:
        service.submit(Work(EVENTS, answers.put, batch.num_rows, batch=batch))
        return answers.get(timeout=20)

    assert send(events([1, 2]))[0] == 2
    assert "broke the fold" in str(send(events([3, 666])))
    assert send(events([4]))[0] == 4
    assert service.ask(lambda fold: fold.model.counts.events) == 3
    assert service.meters.broken == 1
    live = service.ask(packed)
    assert service.stop(time.monotonic() + 20)
    again = Service(told)
    assert packed(again.worker.fold) == live
    again.stop(time.monotonic() + 1)
    with pytest.raises(ConfigError, match="was begun with learner"):
        Service(replace(told, model=Config(learner="ftrl")))


def test_costs_may_be_others_at_every_start(tmp_path: Path) -> None:
    """They are journalled, so that a replay counts decisions as the daemon did; nothing said leaves them as they were."""
    told = Settings(keep=KeepSettings(state=str(tmp_path)), events=EventSettings(label="y", key="k"), model=CONFIG)
    first = {"cost_fp": 5.0, "cost_fn": 1.0}
    found: list[tuple[Any, ...]] = []
    for decisions in (first, first, {}, {"tiers": {"look": 0.25, "stop": 0.75}}, {}):
        service = Service(replace(told, decisions=decisions))
        service.worker.fold.events(service.worker.fold.seq, events([len(found)]), 1)
        monitor = service.worker.fold.model.config.monitor
        assert service.journal is not None
        found.append((monitor.costs, monitor.thresholds, service.journal.last))
        service.stop(time.monotonic() + 1)
    seq = found[0][2]
    assert found == [((5.0, 1.0), (), seq)] * 3 + [((), (0.25, 0.75), seq + 1)] * 2


def test_a_clock_that_is_set_by_days_changes_no_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are due after an hour of the journal's own time, which goes on evenly and never back."""
    start, ahead, seconds = 1_800_000_000_000_000, [0], [0.0]
    monkeypatch.setattr("onlogit.daemon.clock.wall", lambda: start + int(1e6 * seconds[0]) + ahead[0])
    monkeypatch.setattr("onlogit.daemon.clock.steady", lambda: int(1e6 * seconds[0]))
    config = replace(CONFIG, labels=LabelConfig(horizon="1h"))
    told = Settings(keep=KeepSettings(state=str(tmp_path)), events=EventSettings(label="y", key="k"), model=config)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(service: Service, kind: str, batch: pa.RecordBatch) -> Any:
        service.submit(Work(kind, answers.put, batch.num_rows, batch=batch))
        return answers.get(timeout=20)[1]

    day = 86_400_000_000
    for step in (2 * day, -2 * day):
        service = Service(told)
        service.start()
        before = service.ask(lambda fold: fold.model.counts if fold.settled else None)
        key = 0 if before is None else before.events
        send(service, EVENTS, events([key, key + 1]))
        ahead[0] += step
        seconds[0] += 1800
        send(service, EVENTS, events([key + 2]))
        assert send(service, OUTCOMES, outcomes([(key, 1), (key + 1, 0)])).fate.tolist() == [0, 0]
        counts = service.ask(lambda fold: fold.model.counts)
        assert (counts.learned, counts.unresolved, counts.late) == (2 * (key > 0), 2 * (key > 0), 0)
        seconds[0] += 1900
        send(service, EVENTS, events([key + 3]))
        assert service.ask(lambda fold: fold.model.counts.learned) == 2 * (key > 0) + 2
        ahead[0] -= step
        seconds[0] += 7200
        live = service.ask(packed)
        assert service.stop(time.monotonic() + 20)
        again = Service(told)
        assert packed(again.worker.fold) == live
        assert again.clock() >= again.scribe.journal.latest
        again.stop(time.monotonic() + 1)


def test_the_journal_is_trimmed_behind_three_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a batch of ever new schemas does not make it keep them all."""
    monkeypatch.setattr("onlogit.daemon.scribe.MOST_SHAPES", 2)
    keep = KeepSettings(state=str(tmp_path), keep_bytes=0)
    told = Settings(keep=keep, events=EventSettings(label="y", key="k"), model=CONFIG)
    service = Service(told)
    service.start()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    kinds = [pa.float64(), pa.int8(), pa.int16(), pa.int32(), pa.float32(), pa.int64()]
    for n, kind in enumerate(kinds):
        batch = events([n]).set_column(1, "x", pa.array([n], kind))
        service.submit(Work(EVENTS, answers.put, 1, batch=batch))
        assert answers.get(timeout=20)[0] == n + 2
        service.checkpoint()
    kept: queue.SimpleQueue[int] = queue.SimpleQueue()
    for _ in range(3):
        service.scribe.call(lambda journal: kept.put(journal.first))
        first = kept.get(timeout=20)
    assert first == 6
    assert service.scribe.journal.shapes == 2
    live = service.ask(packed)
    assert service.stop(time.monotonic() + 20)
    for same in (told, Settings(keep=keep)):
        again = Service(same)
        assert packed(again.worker.fold) == live
        again.stop(time.monotonic() + 1)
    for other, says in (
        (replace(told, events=EventSettings(label="x", key="k")), "label y, not x"),
        (replace(told, events=EventSettings(label="y")), "key k: change"),
        (replace(told, events=EventSettings(label="y", key="k", drop="a,b")), "no drop: change"),
        (replace(told, model=Config(learner="ftrl")), f"learner {CONFIG.learner}, not ftrl: change the command back"),
        (replace(told, keep=replace(keep, early=7)), f"keep.early {keep.early}, not 7"),
    ):
        with pytest.raises(ConfigError, match=f"{tmp_path} was begun with {says}"):
            Service(other)
    with pytest.raises(ConfigError, match="was begun with settings of its own, not with a model file: "):
        Service(told, again.worker.fold.model.to_bytes())


def test_a_folder_that_has_accepted_nothing_begins_anew_with_other_settings(tmp_path: Path) -> None:
    """A start that failed, as the schema lacks the label, is mended by the same command without the typo."""
    told = Settings(keep=KeepSettings(state=str(tmp_path)), events=EventSettings(label="u", key="k"), model=CONFIG)
    challenged = replace(told, challengers=({"name": "one", "frozen": False, "settings": {"learner": "ftrl"}},))
    service = Service(challenged)
    with pytest.raises(SchemaError, match="there is no column 'u'"):
        service.settle(events([]).schema)
    service.stop(time.monotonic() + 1)
    right = replace(told, events=EventSettings(label="y", key="k"), keep=replace(told.keep, early=7))
    for start in (right, Settings(keep=right.keep)):  # the second says nothing of a model
        service = Service(start)
        fold = service.worker.fold
        assert (fold.model.roles["label"], fold.ledger.room, fold.challengers.names) == ("y", 7, ["initial"])
        service.settle(events([]).schema)
        fold.events(fold.seq, events([1]), 1)
        service.stop(time.monotonic() + 1)
    with pytest.raises(ConfigError, match="was begun with label y, not u"):
        Service(replace(told, keep=right.keep))


@pytest.mark.parametrize("kept", [True, False])
def test_checkpoints_that_do_not_say_what_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """As an older onlogit wrote them: the first entry says it; where that has gone, nothing is checked."""
    header = Fold.header
    keep = KeepSettings(state=str(tmp_path), keep_bytes=1 << 30 if kept else 0)
    told = Settings(keep=keep, events=EventSettings(label="y", key="k"), model=CONFIG)
    service = Service(told)
    service.start()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with monkeypatch.context() as older:
        older.setattr(
            Fold, "header", lambda fold: {name: part for name, part in header(fold).items() if name != "begun"}
        )
        for n in range(4):
            service.submit(Work(EVENTS, answers.put, 1, batch=events([n])))
            assert answers.get(timeout=20)[0] == n + 2
            service.checkpoint()
        assert service.stop(time.monotonic() + 20)
    again = Service(told)
    assert (again.journal is not None and again.journal.first == 1) == kept
    assert (again.worker.fold.begun, again.worker.fold.model.counts.events) == (service.worker.fold.begun * kept, 4)
    again.stop(time.monotonic() + 1)
    other = replace(told, model=Config(learner="ftrl"))
    if kept:
        with pytest.raises(ConfigError, match="was begun with learner"):
            Service(other)
    else:
        Service(other).stop(time.monotonic() + 1)


def test_outcomes_are_held_alike_where_a_model_file_began_the_folder(tmp_path: Path) -> None:
    """How many is told by the command and is no part of the model: a replay from the first entry holds as many."""
    model = begun()
    apply(model, entry(2, EVENTS, events([100])))
    told = Settings(keep=KeepSettings(state=str(tmp_path), early=2))
    service = Service(told, model.model.to_bytes())
    service.start()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    batch = outcomes([(1, 1), (2, 0), (3, 1)])
    service.submit(Work(OUTCOMES, answers.put, batch.num_rows, batch=batch))
    assert answers.get(timeout=20)[1].fate.tolist() == [1, 1, 1]
    live = service.worker.fold
    assert (len(live.ledger.early), live.ledger.counts.unknown_outcomes) == (2, 1)
    live.ledger.told(np.arange(9, dtype=np.uint64))
    assert len(live.ledger.state()["ledger.told"]) == 2
    journal = Journal(tmp_path)
    again = Fold()
    for each in journal.read(0):
        apply(again, each)
    journal.close()
    again.ledger.told(np.arange(9, dtype=np.uint64))
    assert packed(again) == packed(live)
    assert service.stop(time.monotonic() + 20)
    Service(told, model.model.to_bytes()).stop(time.monotonic() + 1)


def test_a_beginning_is_known_again_by_an_onlogit_with_more_settings() -> None:
    older = json.loads(beginning(ROLES, CONFIG, 50))
    del older["config"]["names"], older["config"]["labels"]["horizon"], older["roles"]["due"]
    assert meaning(json.dumps(older)) == meaning(mark(beginning(ROLES, CONFIG, 50)))
    assert meaning(json.dumps(older)) != meaning(mark(beginning(ROLES, CONFIG, 51)))
    assert mark(b"a model") != mark(b"another")


def test_rows_of_every_kind_of_column() -> None:
    arrow = pa.schema(
        [
            ("n", pa.float32()), ("i", pa.int32()), ("b", pa.bool_()), ("t", pa.string()), ("ts", pa.timestamp("ms", "UTC")),
            ("d", pa.date32()), ("s", pa.list_(pa.string())), ("w", pa.float64()), ("k", pa.int64()), ("junk", pa.string()),
            ("y", pa.bool_()),
        ]
    )  # fmt: skip
    schema = Schema.of(arrow, label="y", key="k", weight="w", drop=["junk"])
    row = (
        '{"n": 1, "i": null, "b": true, "t": "ü", "ts": "2024-05-01T12:00:00.5Z", "d": "2024-05-01", "s": ["a", "b"], '
        '"w": 2, "k": 7, "y": null}'
    )
    reader = RowReader(schema, "events")
    decoded, one = reader.decode(row.encode(), lines=False)
    batch = reader.batch(decoded)
    assert one
    schema.check(batch.schema)
    assert batch.to_pylist()[0]["s"] == ["a", "b"]
    score = RowReader(schema, "score")
    assert "y" not in score.batch(score.decode(row.encode(), lines=False)[0]).schema.names
    with pytest.raises(DataError, match="'ts'"):
        reader.batch(reader.decode(row.replace("2024-05-01T12:00:00.5Z", "noon").encode(), lines=False)[0])


def test_what_an_alarm_did_is_taken_back_by_a_command_of_the_journal() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=4_000)
    y = rng.random(4_000) < 1 / (1 + np.exp(-np.where(np.arange(4_000) < 1_500, x, 3.0 - x)))
    config = replace(CONFIG, monitor=MonitorConfig(200.0, on_alarm="freeze", by=("k",), slices=5))
    rows = pa.record_batch({"k": np.arange(4_000), "x": x, "y": y})
    journal = [entry(2, EVENTS, rows), Entry(3, COMMAND, 0, json.dumps({"command": "revert"}).encode(), b"")]
    folds = []
    for _ in range(2):
        folds.append(
            begun(config=config, roles=EventSettings(label="y", key="k").roles() | {"key": None, "drop": ("k",)})
        )
        told = [apply(folds[-1], each) for each in journal]
        assert told[1] == {"command": "revert", "reverted": 4_000}
        assert [alarm["what"] for alarm in folds[-1].alarms if alarm["kind"] == "act"] == ["freeze", "revert"]
        assert "nothing to take back" in str(apply(folds[-1], journal[1]._replace(seq=4)))
    assert packed(folds[0]) == packed(folds[1])


def test_times_without_an_offset_are_of_utc() -> None:
    """As they are in a column without a zone, whether they come alone or beside others."""
    schema = Schema.of(pa.schema([("at", pa.timestamp("us")), ("y", pa.bool_())]), label="y")
    reader = RowReader(schema, "score")
    same = ["2024-01-01T00:00:00", "2024-01-01T00:00Z", "2024-01-01T01:00:00+01:00", "2024-01-01", "2024-01-01 00:00"]
    for texts in [same, *([text] for text in same)]:
        rows, _ = reader.decode(json.dumps([{"at": text} for text in [*texts, None]]).encode(), False)
        assert {each.isoformat() for each in reader.batch(rows)["at"].to_pylist()[:-1]} == {"2024-01-01T00:00:00+00:00"}
    rows, _ = reader.decode(b'{"at": "yesterday"}', False)
    with pytest.raises(SchemaError, match="'at'"):
        reader.batch(rows)
