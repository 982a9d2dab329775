"""The loop itself, with sources and sinks made for the purpose; the whole through real processes is in cli/test_run.py."""

import gc
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

import onlogit as ol
from onlogit import records
from onlogit.cli.printing import Progress
from onlogit.errors import ConfigError, DataError, OutputError
from onlogit.json_lines import to_line
from onlogit.kernels import stating
from onlogit.monitor import Alarm
from onlogit.pipeline import Pipeline
from onlogit.records import scored, scored_schema
from onlogit.runner import BrokenOff, Output, Runner, Stop
from onlogit.steps import Step
from onlogit.storage import Checkpoints
from onlogit.streams import Position, Source, open_source
from onlogit.streams.ahead import WAITING, Ahead, open_patiently


def events(rows: int) -> pa.Table:
    draw = np.random.default_rng(3)
    x = draw.normal(size=rows)
    late = draw.random(rows) < 1 / (1 + np.exp(-2 * x))
    return pa.table({"x": x, "kind": pa.array([f"k{n % 5}" for n in range(rows)]), "late": late})


def new_model() -> ol.OnlineLogit:
    config = ol.Config(slot_bits=8, labels=ol.LabelConfig(delay=5), monitor=ol.MonitorConfig(patience=50.0))
    return ol.OnlineLogit("late", config=config)


class Kept:
    """A sink in memory, which fails when it is given its `failing`-th batch."""

    def __init__(self, failing: int = -1) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.failing, self.end = failing, ""

    def write(self, batch: pa.RecordBatch) -> None:
        if len(self.batches) == self.failing:
            raise OutputError("cannot write it")
        self.batches.append(batch)

    def commit(self) -> Position:
        return {"batch": len(self.batches)}

    def seek(self, position: Position) -> None:
        del self.batches[int(position.get("batch", 0)) :]

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"

    @property
    def rows(self) -> pa.Table:
        return pa.Table.from_batches(self.batches)


class Told:
    """A source that gives, raises or waits for what it is told."""

    schema = events(1).schema
    format = "csv"

    def __init__(self, *items: Any) -> None:
        self.items = list(items)
        self.row = 0

    def read(self) -> tuple[pa.RecordBatch, Position] | None:
        item = self.items.pop(0) if self.items else None
        if isinstance(item, threading.Event):
            item.wait(20)
            return self.read()
        if isinstance(item, Exception):
            raise item
        if item is None:
            return None
        self.row += item.num_rows
        return item, {"row": self.row}

    def seek(self, position: Position) -> None: ...

    def close(self) -> None: ...


def whole(batch_rows: int, **more: Any) -> tuple[Runner, Kept]:
    sink = Kept()
    source = open_source(events(700), batch_rows=batch_rows)
    runner = Runner(new_model(), source, {"out": Output(sink, scored(), True)}, **more)
    runner.run(finish=True)
    return runner, sink


def test_the_cut_of_the_stream_does_not_matter() -> None:
    (one, first), (other, second) = whole(700), whole(31)
    assert first.rows == second.rows
    assert first.rows.column_names == ["x", "kind", "late", "p", "z", "z_sd"]
    assert one.model.to_bytes() == other.model.to_bytes()


def test_it_is_the_fold_and_the_rehearsal_leaves_no_trace() -> None:
    model, runner = new_model(), whole(64)[0]
    model.step(events(700))
    model.finish()
    assert runner.rehearsal > 0.0
    assert runner.model.to_bytes() == model.to_bytes()
    assert 0.0 < runner.seconds <= runner.elapsed


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_is_collected_after_the_rehearsal_where_it_was_before(collecting: bool) -> None:
    (gc.enable if collecting else gc.disable)()
    try:
        assert whole(64)[0].rehearsal > 0.0
        assert gc.isenabled() == collecting
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize("slow", ["encode", "walk", "stated", "judge"])
def test_whichever_part_of_a_step_is_slow_order_and_state_stay(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (at_once, first), told = whole(700), list[int]()
    slowed(monkeypatch, slow, 0.003)
    sink = Kept()
    runner = Runner(new_model(), open_source(events(700), batch_rows=31), {"out": Output(sink, scored(), True)})
    runner.run(lambda step: told.extend(step.event.tolist()), finish=True)
    assert told == list(range(700))
    assert sink.rows == first.rows
    assert runner.model.to_bytes() == at_once.model.to_bytes()


@pytest.mark.parametrize("delay", [0, 3000])
def test_long_batches_whose_mixture_is_behind_are_the_fold(delay: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The experts are on the next batch before the mixture is done with this one; weights are looked at in every batch."""
    table, config = events(4 * 5000), ol.Config(slot_bits=8, labels=ol.LabelConfig(delay=delay))
    fold, model, weigh = ol.OnlineLogit("late", config=config), ol.OnlineLogit("late", config=config), stating.weigh
    for begin in range(0, 4 * 5000, 5000):
        fold.step(table.slice(begin, 5000))
    fold.finish()

    def late(*args: Any) -> None:
        time.sleep(0.02)
        weigh(*args)

    monkeypatch.setattr(stating, "weigh", late)
    Runner(model, open_source(table, batch_rows=5000), {}).run(finish=True)
    assert len(fold.pipeline.paths.state()["event"]) > 5
    assert model.to_bytes() == fold.to_bytes()


def test_a_failed_output_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    reference = whole(50)
    sink, alarms = Kept(failing=9), Kept()
    checkpoints = Checkpoints(tmp_path)

    def start(failing: int) -> Runner:
        sink.failing = failing
        outputs = {"out": Output(sink, scored(), True), "alarms": Output(alarms, records.alarms_of, True)}
        last = checkpoints.latest()
        model = new_model() if last is None else ol.model.of_state(last.header, last.arrays, "it")
        source = open_source(events(700), batch_rows=50)
        runner = Runner(model, source, outputs, checkpoints=checkpoints, every=0.0)
        if last:
            source.seek(last.positions["source"])
            runner.resume(last.positions, last.arrays)
        return runner

    with pytest.raises(OutputError):
        start(9).run()
    last = checkpoints.latest()
    assert last is not None
    assert last.positions == {"source": {"row": 450}, "out": {"batch": 9}, "alarms": {"batch": len(alarms.batches)}}
    sink.batches += sink.batches[:2]  # written, and not committed
    runner = start(-1)
    runner.run(finish=True)
    runner.checkpoint()
    assert sink.rows == reference[1].rows
    assert runner.model.to_bytes() == reference[0].model.to_bytes()
    generation = checkpoints.latest().generation  # type: ignore[union-attr]
    runner.checkpoint()
    assert checkpoints.latest().generation == generation  # type: ignore[union-attr]
    checkpoints.close()
    runner.close()
    assert sink.end == alarms.end == "closed"


def test_only_what_can_be_cut_back_has_a_position(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    runner = Runner(
        new_model(), open_source(events(20)), {"pipe": Output(Kept(), scored())}, checkpoints=checkpoints
    )  # fmt: skip
    runner.run()
    runner.checkpoint()
    last = checkpoints.latest()
    checkpoints.close()
    assert last is not None
    assert last.positions == {"source": {"row": 20}}


def test_the_part_before_a_break_is_folded_and_before_an_error_too() -> None:
    first, second = events(40).to_batches(max_chunksize=20)
    source = Told(first, second, DataError("it is cut off"))
    runner = Runner(new_model(), source, {})
    with pytest.raises(DataError) as told:
        runner.run(finish=True)
    assert not isinstance(told.value, BrokenOff)
    assert runner.model.counts.labelled == 35  # a delay of 5: those at the end stay sealed, nothing was finished
    source = Told(first, second, DataError("it is cut off"))
    source.format = "arrow"
    runner = Runner(new_model(), source, {})
    with pytest.raises(BrokenOff, match="it is cut off"):
        runner.run(finish=True)
    assert runner.model.counts.labelled == 40


def test_a_bad_batch_changes_nothing() -> None:
    first, second = events(40).to_batches(max_chunksize=20)
    bad = second.set_column(2, "late", pa.array(["maybe"] * 20))
    runner = Runner(new_model(), Told(first, bad), {})
    with pytest.raises(DataError):
        runner.run(finish=True)
    model = new_model()
    model.step(first)
    assert runner.model.to_bytes() == model.to_bytes()
    assert runner.positions["source"] == {"row": 20}


def slowed(monkeypatch: pytest.MonkeyPatch, part: str, seconds: float) -> None:
    """Let one part of a step take long, so that batches queue up before it."""
    whole = getattr(Pipeline, part)

    def slow(self: Pipeline, *given: Any) -> Any:
        time.sleep(seconds)
        return whole(self, *given)

    monkeypatch.setattr(Pipeline, part, slow)


def test_nothing_is_encoded_behind_a_bad_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed(monkeypatch, "walk", 0.05)
    batches = events(120).to_batches(max_chunksize=20)
    batches[3] = batches[3].set_column(2, "late", pa.array(["maybe"] * 20))
    runner, model = Runner(new_model(), Told(*batches), {}), new_model()
    with pytest.raises(DataError, match="late"):
        runner.run()
    for batch in batches[:3]:
        model.step(batch)
    assert runner.model.to_bytes() == model.to_bytes()
    assert runner.positions["source"] == {"row": 60}


def test_nothing_is_written_behind_a_batch_that_could_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed(monkeypatch, "judge", 0.05)
    sink, failed = Kept(), list[bool]()
    write = sink.write

    def fail_once(batch: pa.RecordBatch) -> None:
        if len(sink.batches) == 2 and not failed:
            failed.append(True)
            raise OutputError("cannot write it")
        write(batch)

    monkeypatch.setattr(sink, "write", fail_once)
    runner = Runner(new_model(), Told(*events(120).to_batches(max_chunksize=20)), {"out": Output(sink, scored(), True)})
    with pytest.raises(OutputError):
        runner.run()
    assert [batch.num_rows for batch in sink.batches] == [20, 20]
    assert runner.positions["source"] == {"row": 40}


def test_a_source_that_waits_holds_up_neither_stop_nor_checkpoint(tmp_path: Path) -> None:
    gate, checkpoints = threading.Event(), Checkpoints(tmp_path)
    begin = time.monotonic()
    runner = Runner(
        new_model(), Told(events(30).to_batches()[0], gate), {}, checkpoints=checkpoints, every=0.2,
        stop=lambda: checkpoints.latest() is not None,
    )  # fmt: skip
    runner.run()
    assert time.monotonic() - begin < 15
    assert runner.asleep
    assert runner.model.counts.events == 30
    gate.set()
    checkpoints.close()


def test_a_stream_that_was_told_to_stop_may_end_anywhere() -> None:
    asked: list[bool] = []
    first, second = events(40).to_batches(max_chunksize=20)
    runner = Runner(new_model(), Told(first, second, DataError("half a row")), {}, stop=lambda: bool(asked))
    runner.run(lambda step: asked.append(True))
    events_folded = runner.model.counts.events
    assert events_folded in (20, 40)  # the second batch may have been encoded already
    assert runner.positions["source"] == {"row": events_folded}


def test_the_first_signal_asks_and_the_second_ends() -> None:
    stop, before = Stop(), signal.getsignal(signal.SIGTERM)
    with stop.listening():
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_reading_ahead_keeps_order_and_ends() -> None:
    batches = events(100).to_batches(max_chunksize=10)
    ahead = Ahead(Told(*batches, DataError("the end")))
    for n, batch in enumerate(batches):
        while (item := ahead.read()) == WAITING:
            pass
        assert item == (batch, {"row": 10 * n + 10})
    with pytest.raises(DataError, match="the end"):
        ahead.read()
    assert ahead.close()
    full = Ahead(Told(*batches))
    assert full.close()  # though nobody took what it read


def test_opening_may_take_for_ever() -> None:
    gate = threading.Event()
    source = Told()

    def opening() -> Source:
        gate.wait(20)
        return source

    asked = iter([False, False, True])
    assert open_patiently(opening, lambda: next(asked)) is None
    gate.set()
    assert open_patiently(opening, lambda: False) is source
    with pytest.raises(DataError, match="not there"):
        open_patiently(lambda: Told(DataError("not there")).read(), lambda: False)  # type: ignore[arg-type, return-value]
    asked = iter([False, True])  # a signal came in between, and the source saw it as well
    assert open_patiently(lambda: Told(DataError("no files")).read(), lambda: next(asked)) is None  # type: ignore[arg-type, return-value]


def test_an_alarm_has_the_columns_of_the_alarm_records() -> None:
    assert [field.name for field in fields(Alarm)] == records.ALARMS.names
    config = ol.Config(slot_bits=4, monitor=ol.MonitorConfig(patience=20.0))
    model = ol.OnlineLogit("late", config=config)
    model.step(events(1500))
    turned = events(1500).set_column(2, "late", pa.array([x < 0 for x in events(1500)["x"].to_pylist()]))
    alarms = model.step(turned).alarms
    assert alarms
    batch = records.alarm_records(alarms)
    assert batch is not None
    assert batch.to_pylist() == [alarm.to_json() for alarm in alarms]
    assert records.alarm_records([]) is None


def test_what_is_stated_keeps_the_columns_before_it() -> None:
    batch = pa.record_batch({"a": pa.array(["u", None]), "p": pa.array([1, 2])})
    one = np.array([0.5, 0.25])
    step = Step(np.arange(2), one - 1, one, np.array([np.nan, 2.0]), np.array([1, -1], np.int8), [])
    with pytest.raises(ConfigError, match=r"a column 'p' already.*--prefix onlogit_"):
        scored()(batch, step)
    found = scored("q_")(batch, step)
    assert found is not None
    assert found.schema == scored_schema(batch.schema, "q_")
    assert found.to_pydict() == {
        "a": ["u", None], "p": [1, 2], "q_p": [0.5, 0.25], "q_z": [-0.5, -0.75], "q_z_sd": [None, 2.0],
    }  # fmt: skip
    assert records.stated(batch, step).schema == records.STATED_SCHEMA


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_the_table_of_progress(cut: int) -> None:
    draw = np.random.default_rng(5)
    z, y = draw.normal(size=100), draw.integers(-1, 2, 100).astype(np.int8)
    told = io.StringIO()
    progress = Progress(told)
    for start in range(0, 100, cut):
        part = slice(start, start + cut)
        p = 1 / (1 + np.exp(-z[part]))
        progress.add(Step(np.arange(100)[part], z[part], p, z[part], y[part], []), 1.5)
    known = y >= 0
    p, labels = 1 / (1 + np.exp(-z[known])), y[known]
    loss = -np.log(np.where(labels == 1, p, 1 - p))
    lines = [line.split() for line in told.getvalue().splitlines()[1:]]
    counts = [int(line[0]) for line in lines]
    assert counts == [2**n for n in range(7) if 2**n <= known.sum()]
    for before, count, line in zip([0, *counts], counts, lines, strict=False):
        figures = [loss[before:count].mean(), loss[:count].mean(), labels[:count].mean(), labels[count - 1]]
        assert [float(each) for each in line[1:]] == pytest.approx([*figures, p[count - 1], 1.5], abs=5e-5)


def test_json_has_no_number_that_is_none() -> None:
    assert to_line({"a": float("nan"), "b": float("-inf"), "c": None, "d": 0.1}) == (
        '{"a": null, "b": null, "c": null, "d": 0.1}'
    )


def test_sources_are_closed_once_their_thread_is_gone() -> None:
    closed: list[str] = []
    source = Told(events(5).to_batches()[0])
    close: Callable[[], None] = lambda: closed.append("yes")  # noqa: E731
    source.close = close  # type: ignore[method-assign]
    runner = Runner(new_model(), source, {})
    runner.run()
    runner.close()
    assert closed == ["yes"]
