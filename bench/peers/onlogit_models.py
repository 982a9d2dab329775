"""onlogit as its users run it: Arrow batches in, encoding, progressive quality and the calibration monitor on."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

import onlogit
from bench.peers.feeds import BATCH_ROWS
from bench.peers.protocol import LABEL, STEADY, Answer, Feed, Limits, Skipped, Warm, Watch
from onlogit.errors import ConfigError
from onlogit.records import scored
from onlogit.runner import Runner, score_stream
from onlogit.steps import Step
from onlogit.streams import Position, Source, open_source

WARM_UP_ROWS = 2_000


def learner(name: str) -> Callable[[Feed, Limits, Warm], Answer]:
    """The competitor with that learner and every other setting at its default."""

    def run(feed: Feed, limits: Limits, warm: Warm) -> Answer:
        try:
            trial = _model(feed, name)
        except ConfigError as error:
            raise Skipped(f"this onlogit has no learner {name!r}") from error
        first = next(feed.batches()).slice(0, WARM_UP_ROWS)
        trial.step(first)
        trial.predict_proba(first)
        warm()
        Runner(trial, _source(feed, STEADY), {}).run()
        score_stream(trial, _source(feed, STEADY), Nowhere(), scored())
        del trial
        gc.collect()  # what it held is what the other one is made of: Vowpal Wabbit has its own likewise
        model = _model(feed, name)
        p = np.full(feed.rows, np.nan)
        runner = Runner(model, _source(feed), {})

        def keep(step: Step) -> None:
            p[step.event[0] : step.event[-1] + 1] = step.p

        with Watch() as learning:
            runner.run(keep)
        with Watch() as scoring:
            score_stream(model, _source(feed), Nowhere(), scored())
        return Answer(p, feed.rows, learning.seconds - runner.rehearsal, scoring.seconds)

    return run


class Nowhere:
    """A sink that lets go of what it is given: VW writes no probabilities here either."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def commit(self) -> Position:
        return {}

    def seek(self, position: Position) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Beginning:
    """The first batches of a source, `events` or a little more."""

    format = "arrow"

    def __init__(self, source: Source, events: int) -> None:
        self.source, self.events, self.schema = source, events, source.schema

    def read(self) -> tuple[pa.RecordBatch, Position] | None:
        item = self.source.read() if self.events > 0 else None
        self.events -= 0 if item is None else len(item[0])
        return item

    def seek(self, position: Position) -> None:
        self.source.seek(position)

    def close(self) -> None:
        self.source.close()


def _source(feed: Feed, events: int | None = None) -> Source:
    source = open_source(feed.folder / "stream.arrows", batch_rows=BATCH_ROWS)
    return source if events is None else Beginning(source, events)


def _model(feed: Feed, name: str) -> "onlogit.OnlineLogit":
    delay = int(feed.place()[0]) - 1
    labels = onlogit.LabelConfig(delay=0 if feed.by_time else delay)
    config = onlogit.Config(learner=name, slot_bits=feed.slot_bits, labels=labels)
    roles: dict[str, Any] = {}
    if feed.by_time:
        roles = {"time": "time", "label_time": "label_time", "drop": ["time"]}
    return onlogit.OnlineLogit(label=LABEL, config=config, **roles)
