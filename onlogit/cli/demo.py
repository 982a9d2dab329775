"""`onlogit demo`: a year of flights through the real pipeline, a live learner beside a frozen one."""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from onlogit.cli.options import json_option

if TYPE_CHECKING:
    from onlogit.model import OnlineLogit
    from onlogit.monitor import Alarm
    from onlogit.report.demo import Ending
    from onlogit.report.months import Month, Months
    from onlogit.streams import Source

BATCH_ROWS = 1024  # about a day
FIRST_FROZEN = 3  # March
FLIGHTS = 327_346


class Running(NamedTuple):
    """A month so far."""

    month: "Month"


class Done(NamedTuple):
    """A month that is over."""

    month: "Month"


class Frozen(NamedTuple):
    """The frozen model has learned its last label."""


class Raised(NamedTuple):
    """An alarm."""

    model: str  # "live" or "frozen"
    alarm: "Alarm"


Event = Running | Done | Frozen | Raised


class Replay:
    """Drives both models over the flights, a batch at a time, and keeps their figures by month."""

    def __init__(self) -> None:
        from onlogit.config import BeliefConfig, Config
        from onlogit.model import OnlineLogit
        from onlogit.report.flights import ROLES
        from onlogit.report.months import BaseRate, Months

        for_good = BeliefConfig(half_lives=(float("inf"),), switching=(0.0,))  # every example counts for ever
        self.live: OnlineLogit = OnlineLogit(**ROLES)
        self.frozen: OnlineLogit = OnlineLogit(**ROLES, config=Config(belief=for_good))
        self.months: Months = Months()
        self._base = BaseRate()

    def run(self, source: "Source") -> Iterator[Event]:
        """All that happens, in order."""
        from onlogit.report import flights

        last = 0
        while (read := source.read()) is not None:
            batch = read[0]
            month = flights.months(flights.microseconds(batch["sched_dep"]))
            edges = [0, *(month[1:] != month[:-1]).nonzero()[0] + 1, len(month)]
            for start, end in zip(edges, edges[1:], strict=False):
                now = int(month[start])
                if now != last and last:
                    yield Done(self.months.read(last))
                if now == FIRST_FROZEN != last:
                    yield from self._freeze()
                last = now
                yield from self._step(batch.slice(start, end - start), now)
        for name, model in (("live", self.live), ("frozen", self.frozen)):
            yield from (Raised(name, alarm) for alarm in model.finish())
        yield Done(self.months.read(last))

    def _freeze(self) -> Iterator[Event]:
        """The labels of February's last flights are still learned."""
        self.frozen.finish()
        self.frozen.freeze()
        self.frozen.watch_afresh()
        yield Frozen()

    def _step(self, batch: Any, month: int) -> Iterator[Event]:
        from onlogit.report import flights

        live, frozen = self.live.step(batch), self.frozen.step(batch)
        base = self._base.score(
            flights.microseconds(batch["sched_dep"]), flights.microseconds(batch["landed_at"]), live.y
        )
        judged = month >= FIRST_FROZEN
        self.months.add(month, live.y, live.z, frozen.z if judged else None, base)
        yield from (Raised("live", alarm) for alarm in live.alarms)
        if judged:
            yield from (Raised("frozen", alarm) for alarm in frozen.alarms)
        yield Running(self.months.read(month))


@click.command()
@click.option(
    "--out", default="flights.model", show_default=True, metavar="FILE", help="Where the live model is written."
)
@json_option
def demo(out: str, as_json: bool) -> None:
    """Replay a year of New York's departures: each flight is scored before it departs and learned when it has landed.

    Beside the live learner a model that was frozen at the end of February keeps on stating probabilities. See month by
    month what becomes of both, and the alarm that the frozen one raises. The data is part of onlogit (2.8 MB).
    """
