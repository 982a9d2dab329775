"""What `onlogit demo` does once its command line is parsed: a replay, and its two ways of being told."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from onlogit.cli.printing import say
from onlogit.demo import page
from onlogit.demo.daemon import KEY, daemon
from onlogit.demo.flights import PATH
from onlogit.demo.months import figures
from onlogit.demo.page import Ending
from onlogit.demo.replay import BATCH_ROWS, Began, Done, FlightReplay, Frozen, Happening, MonthSoFar, Raised
from onlogit.demo.screen import Screen
from onlogit.errors import ConfigError, OnlogitError, OutputError
from onlogit.json_lines import to_line
from onlogit.kernels import jit
from onlogit.model import load
from onlogit.monitor.quality import Reliability
from onlogit.streams import Source, open_source


def free_to_write(out: str, source: Source) -> None:
    """A ConfigError where `out` is anything but the model of an earlier demo; an OutputError where it cannot be made."""
    folder = os.path.dirname(out) or "."
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write {out}: {folder} is not a folder that can be written to")
    if not os.path.lexists(out):
        return
    try:
        found = load(out)
        names, label = {column.name for column in found.schema.columns}, found.schema.with_role("label")
        ours = names - {KEY} <= set(source.schema.names) <= names | {"landed_at"} and label is not None
    except (OnlogitError, OSError):
        ours = False
    if not ours:
        raise ConfigError(f"{out} exists and is not the model of an earlier demo: name another file with --out")


@contextmanager
def replaying(out: str, served: bool, most: int | None) -> Iterator[tuple[FlightReplay, Source, str]]:
    """A replay, the flights, and where the live model's page is: "" without a daemon."""
    with closing(open_source(PATH, batch_rows=BATCH_ROWS)) as source:
        free_to_write(out, source)
        if not served:
            yield FlightReplay(most=most), source, ""
            return
        with daemon() as client:
            yield FlightReplay(client, most), source, client.address


def watch(out: str, screen: Screen, *, served: bool, flights: int | None, hold: bool) -> None:
    """The replay as a page."""
    with replaying(out, served, flights) as (replay, source, address):
        if address:
            screen.say(*page.where(address, screen))
        try:
            with compiling(lambda: note(replay, screen)):
                for now in replay.run(source):
                    show(now, replay, screen)
        finally:
            screen.wipe()
        replay.live.save(out)
        screen.say(*page.closing(replay.ending(out, str(PATH)), screen))
        if address and hold:
            screen.say(*page.waiting(address, screen))
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


def note(replay: FlightReplay, screen: Screen) -> None:
    """That kernels are being compiled: above the table, or for that while below it."""
    lines = page.compile_note(jit.FOLDER is not None, screen)
    if replay.startup:
        screen.show(lines[0])
    else:
        screen.say(*lines)


def show(now: Happening, replay: FlightReplay, screen: Screen) -> None:
    """What happens, as lines of the page."""
    if isinstance(now, MonthSoFar):
        screen.show(page.month_row(now.month, screen, now.time))
    elif isinstance(now, Done):
        screen.say(page.month_row(now.month, screen))
    elif isinstance(now, Frozen):
        screen.say(page.freezing(screen))
    elif isinstance(now, Began):
        screen.say(*page.heading(screen))
    elif now.model == "frozen" and len(replay.alarms["frozen"]) == 1:
        screen.say(*page.alarm_lines(now.alarm, screen))


def tell(out: str, *, served: bool, flights: int | None, hold: bool) -> None:
    """The replay as one JSON object a line: where the page is, each month, each alarm, and a summary."""
    with replaying(out, served, flights) as (replay, source, address):
        if address:
            say(to_line({"record": "serving", "address": address}))
        for now in replay.run(source):
            if isinstance(now, Done):
                say(to_line({"record": "month", "month": f"2013-{now.month.month:02d}", **now.month.to_json()}))
            elif isinstance(now, Raised):
                say(to_line({"record": "alarm", "model": now.model, **now.alarm.to_json()}))
        replay.live.save(out)
        say(to_line(summary(replay, replay.ending(out, str(PATH)))))
        if address and hold:
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


def summary(replay: FlightReplay, ending: Ending) -> dict[str, Any]:
    """The last record of `--json`: March to December, and where things are."""
    return {
        "record": "summary",
        "months": [f"2013-{replay.first:02d}", f"2013-{replay.last:02d}"],
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
