"""The replay of `onlogit demo`: both models over the flights, and all that happens."""

import math
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.config import BeliefConfig, Config
from onlogit.demo import flights
from onlogit.demo.months import BaseRate, Month, Months
from onlogit.demo.page import Ending
from onlogit.model import OnlineLogit
from onlogit.monitor import Alarm
from onlogit.monitor.quality import quality, reliability
from onlogit.streams import Source

BATCH_ROWS = 1024  # about a day
FIRST = 5 * BATCH_ROWS  # by then labels have come, the monitor has judged, and every kernel was called
MARCH, DECEMBER = 3, 12
FOR_GOOD = Config(belief=BeliefConfig(half_lives=(math.inf,), switching=(0.0,)))
"""Every example counts the same for ever, as in a model fitted to all of its data at once."""


class Stating(Protocol):
    """What was stated of flights [n]."""

    @property
    def z(self) -> npt.NDArray[np.float64]: ...

    @property
    def y(self) -> npt.NDArray[np.int8]: ...

    @property
    def alarms(self) -> list[Alarm]: ...


class Learner(Protocol):
    """The live learner: a model in this process, or the client of a daemon."""

    def step(self, batch: pa.RecordBatch, /) -> Stating: ...

    def finish(self) -> list[Alarm]: ...

    def save(self, out: str, /) -> None: ...


class Began(NamedTuple):
    """The first batches are through, and with them every kernel is compiled."""


class MonthSoFar(NamedTuple):
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


Happening = Began | MonthSoFar | Done | Frozen | Raised


class FlightReplay:
    """Drives both models over the flights, a batch at a time, and keeps their figures by month."""

    def __init__(self, live: Learner | None = None, most: int | None = None) -> None:
        self.live: Learner = OnlineLogit(**flights.ROLES) if live is None else live
        self.frozen = OnlineLogit(**flights.ROLES, config=FOR_GOOD)
        self.months = Months()
        self.alarms: dict[str, list[Alarm]] = {"live": [], "frozen": []}  # since March
        self.startup = self.seconds = 0.0  # of the first batches, and in all
        self.events = 0
        self._most = flights.COUNT if most is None else most
        self._base = BaseRate()
        self._month = 0

    def run(self, source: Source) -> Iterator[Happening]:
        """All that happens, in order."""
        began = time.perf_counter()
        while self.events < self._most and (read := source.read()) is not None:
            for month, part in by_month(read[0].slice(0, self._most - self.events)):
                yield from self._turn(month)
                yield from self._step(part)
            if not self.startup and self.events >= min(FIRST, self._most):
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
        self.events += batch.num_rows
        now = flights.microseconds(batch["sched_dep"])
        base = self._base.score(now, flights.microseconds(batch["landed_at"]), live.y)
        self.months.add(self._month, live.y, live.z, frozen.z if self._month >= MARCH else None, base)
        if self.startup:
            yield MonthSoFar(self.months.read(self._month), int(now[-1]))
        yield from self._raised("live", live.alarms)
        yield from self._raised("frozen", frozen.alarms)

    def _raised(self, model: str, alarms: list[Alarm]) -> Iterator[Happening]:
        """Of the live learner all alarms; of the frozen model those since it is frozen."""
        for alarm in alarms:
            if self._month >= MARCH:
                self.alarms[model].append(alarm)
            if self._month >= MARCH or model == "live":
                yield Raised(model, alarm)

    @property
    def first(self) -> int:
        """The month from which on both are compared: March, or January where the replay ends before."""
        return MARCH if self._month >= MARCH else 1

    @property
    def last(self) -> int:
        """The month that the replay has come to."""
        return self._month

    def ending(self, model: str, data: str) -> Ending:
        """What there is to say at the end."""
        live, frozen, base = self.months.season(self.first, DECEMBER)
        told = [self.months.read(month) for month in range(self.first, self._month + 1)]
        return Ending(
            live=quality(live),
            frozen=quality(frozen),
            base=quality(base),
            live_table=reliability(live),
            frozen_table=reliability(frozen),
            worst=max(told, key=lambda month: (month.frozen and month.frozen.calibration_error) or 0.0),
            live_alarms=self.alarms["live"],
            frozen_alarms=self.alarms["frozen"],
            events=self.events,
            rate=max(self.events - FIRST, 0) / (self.seconds - self.startup),
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
