"""What `onlogit demo` does once its command line is parsed: the replay, and its two ways of being told."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.cli.printing import say, to_json
from onlogit.config import BeliefConfig, Config
from onlogit.errors import ConfigError, OnlogitError, OutputError
from onlogit.kernels import jit
from onlogit.kernels.tally import Reliability, quality, reliability
from onlogit.model import OnlineLogit, load
from onlogit.monitor import Alarm
from onlogit.report import demo as page
from onlogit.report import flights
from onlogit.report.demo import Ending
from onlogit.report.months import BaseRate, Month, Months, figures
from onlogit.report.screen import Screen
from onlogit.streams import Source, open_source

BATCH_ROWS = 1024  # about a day
FIRST = 5 * BATCH_ROWS  # by then labels have come, the monitor has judged, and every kernel was called
MARCH, DECEMBER = 3, 12
FOR_GOOD = Config(belief=BeliefConfig(half_lives=(math.inf,), switching=(0.0,)))
"""Every example counts the same for ever, as in a model fitted to all of its data at once."""


class Began(NamedTuple):
    """The first batches are through, and with them every kernel is compiled."""


class Running(NamedTuple):
    """A month so far, and the time of its latest event."""

    month: Month
    time: int


class Done(NamedTuple):
    """A month that is over."""

    month: Month


class Frozen(NamedTuple):
    """The frozen model has learned its last label."""


class Raised(NamedTuple):
    """An alarm."""

    model: str  # "live" or "frozen"
    alarm: Alarm


Happening = Began | Running | Done | Frozen | Raised


class Replay:
    """Drives both models over the flights, a batch at a time, and keeps their figures by month."""

    def __init__(self) -> None:
        self.live = OnlineLogit(**flights.ROLES)
        self.frozen = OnlineLogit(**flights.ROLES, config=FOR_GOOD)
        self.months = Months()
        self.alarms: dict[str, list[Alarm]] = {"live": [], "frozen": []}  # since March
        self.startup = self.seconds = 0.0  # of the first batches, and in all
        self._base = BaseRate()
        self._month = 0

    def run(self, source: Source) -> Iterator[Happening]:
        """All that happens, in order."""
        began = time.perf_counter()
        while (read := source.read()) is not None:
            for month, part in by_month(read[0]):
                yield from self._turn(month)
                yield from self._step(part)
            if not self.startup and self.live.counts.events >= FIRST:
                self.startup = time.perf_counter() - began
                yield Began()
        yield from self._raised("live", self.live.finish())
        yield from self._raised("frozen", self.frozen.finish())
        yield Done(self.months.read(self._month))
        self.seconds = time.perf_counter() - began

    def _turn(self, month: int) -> Iterator[Happening]:
        """What is due when a month begins. The labels of February's last flights are still learned by both."""
        if month == self._month:
            return
        if self._month:
            yield Done(self.months.read(self._month))
        if month == MARCH:
            self.frozen.finish()
            self.frozen.freeze()
            self.frozen.watch_afresh()
            yield Frozen()
        self._month = month

    def _step(self, batch: pa.RecordBatch) -> Iterator[Happening]:
        live, frozen = self.live.step(batch), self.frozen.step(batch)
        now = flights.microseconds(batch["sched_dep"])
        base = self._base.score(now, flights.microseconds(batch["landed_at"]), live.y)
        self.months.add(self._month, live.y, live.z, frozen.z if self._month >= MARCH else None, base)
        if self.startup:
            yield Running(self.months.read(self._month), int(now[-1]))
        yield from self._raised("live", live.alarms)
        yield from self._raised("frozen", frozen.alarms)

    def _raised(self, model: str, alarms: list[Alarm]) -> Iterator[Happening]:
        """Of the live learner all alarms; of the frozen model those since it is frozen."""
        for alarm in alarms:
            if self._month >= MARCH:
                self.alarms[model].append(alarm)
            if self._month >= MARCH or model == "live":
                yield Raised(model, alarm)

    def ending(self, model: str, data: str) -> Ending:
        """What there is to say at the end."""
        live, frozen, base = self.months.season(MARCH, DECEMBER)
        told = [self.months.read(month) for month in range(MARCH, DECEMBER + 1)]
        return Ending(
            live=quality(live),
            frozen=quality(frozen),
            base=quality(base),
            live_table=reliability(live),
            frozen_table=reliability(frozen),
            worst=max(told, key=lambda month: (month.frozen and month.frozen.calibration_error) or 0.0),
            live_alarms=self.alarms["live"],
            frozen_alarms=self.alarms["frozen"],
            events=self.live.counts.events,
            rate=(self.live.counts.events - FIRST) / (self.seconds - self.startup),
            seconds=self.seconds,
            model=model,
            bytes=os.path.getsize(model),
            data=data,
        )


def by_month(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The parts of a batch that are of one month each."""
    month = flights.months(flights.microseconds(batch["sched_dep"]))
    edges = [0, *((month[1:] != month[:-1]).nonzero()[0] + 1).tolist(), len(month)]
    for start, end in pairwise(edges):
        yield int(month[start]), batch.slice(start, end - start)


def free_to_write(out: str, source: Source) -> None:
    """A ConfigError where `out` is anything but the model of an earlier demo; an OutputError where it cannot be made."""
    folder = os.path.dirname(out) or "."
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write {out}: {folder} is not a folder that can be written to")
    if not os.path.lexists(out):
        return
    fresh = OnlineLogit(**flights.ROLES)
    fresh.begin(source.schema)
    try:
        found = load(out)
        ours = found.schema == fresh.schema and found.counts.events == flights.COUNT
    except (OnlogitError, OSError):
        ours = False
    if not ours:
        raise ConfigError(f"{out} exists and is not the model of an earlier demo: name another file with --out")


def watch(out: str, screen: Screen) -> None:
    """The replay as a page."""
    with closing(open_source(flights.PATH, batch_rows=BATCH_ROWS)) as source:
        free_to_write(out, source)
        replay = Replay()
        try:
            with compiling(lambda: note(replay, screen)):
                for now in replay.run(source):
                    show(now, replay, screen)
        finally:
            screen.wipe()
        replay.live.save(out)
        screen.say(*page.closing(replay.ending(out, str(flights.PATH)), screen))


def note(replay: Replay, screen: Screen) -> None:
    """That kernels are being compiled: above the table, or for that while below it."""
    lines = page.compile_note(jit.FOLDER is not None, screen)
    if replay.startup:
        screen.show(lines[0])
    else:
        screen.say(*lines)


def show(now: Happening, replay: Replay, screen: Screen) -> None:
    """What happens, as lines of the page."""
    if isinstance(now, Running):
        screen.show(page.month_row(now.month, screen, now.time))
    elif isinstance(now, Done):
        screen.say(page.month_row(now.month, screen))
    elif isinstance(now, Frozen):
        screen.say(page.freezing(screen))
    elif isinstance(now, Began):
        screen.say(*page.heading(screen))
    elif now.model == "frozen" and len(replay.alarms["frozen"]) == 1:
        screen.say(*page.alarm_lines(now.alarm, screen))


def tell(out: str) -> None:
    """The replay as one JSON object a line: each month, each alarm, and a summary."""
    with closing(open_source(flights.PATH, batch_rows=BATCH_ROWS)) as source:
        free_to_write(out, source)
        replay = Replay()
        for now in replay.run(source):
            if isinstance(now, Done):
                say(to_json({"record": "month", "month": f"2013-{now.month.month:02d}", **now.month.to_json()}))
            elif isinstance(now, Raised):
                say(to_json({"record": "alarm", "model": now.model, **now.alarm.to_json()}))
        replay.live.save(out)
        say(to_json(summary(replay, replay.ending(out, str(flights.PATH)))))


def summary(replay: Replay, ending: Ending) -> dict[str, Any]:
    """The last record of `--json`: March to December, and where things are."""
    return {
        "record": "summary",
        "months": ["2013-03", "2013-12"],
        "events": ending.events,
        "live": {**figures(ending.live), "alarms": len(ending.live_alarms), "reliability": bins(ending.live_table)},
        "frozen": {
            **figures(ending.frozen), "alarms": len(ending.frozen_alarms), "reliability": bins(ending.frozen_table)
        },
        "base_rate": {"log_loss": ending.base.log_loss},
        "model": ending.model,
        "data": ending.data,
        "startup_seconds": replay.startup,
        "events_per_second": ending.rate,
        "seconds": ending.seconds,
    }  # fmt: skip


def bins(table: Reliability) -> list[dict[str, float]]:
    """The bins of a reliability table that hold anything."""
    return [
        {"from": low, "to": high, "examples": n, "stated": stated, "observed": observed}
        for low, high, n, stated, observed in zip(
            table.edges[:-1].tolist(), table.edges[1:].tolist(), table.examples.tolist(),
            table.stated.tolist(), table.observed.tolist(), strict=True,
        )
        if n > 0
    ]  # fmt: skip


@contextmanager
def compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Within, call `tell` once, when Numba starts to compile something that its cache on disk does not hold."""
    event: Any = sys.modules["numba.core.event"]  # kernels/jit.py imported it
    told: list[bool] = []

    class Once(event.Listener):  # type: ignore[misc]
        def on_start(self, _: object) -> None:
            if not told:
                told.append(True)
                tell()

        def on_end(self, _: object) -> None: ...

    with event.install_listener("numba:compile", Once()):
        yield
