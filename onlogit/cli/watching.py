"""What `onlogit watch` does once its command line is parsed. Apart, so that parsing imports nothing heavy."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.cli.options import costs_of, decisions_of, given, names
from onlogit.cli.printing import alarm_json, say
from onlogit.decisions.decider import watched
from onlogit.errors import AlarmRaised
from onlogit.json_lines import to_line
from onlogit.monitor.decisions import Costs
from onlogit.monitor.reading import Columns, read_outcomes
from onlogit.monitor.watch import Watch, Wishes
from onlogit.patience import patience_of
from onlogit.report.watching import summary
from onlogit.streams import Source, open_source


class Watching:
    """One call of the command."""

    def __init__(self, where: str, told: dict[str, Any]) -> None:
        if bool(told["key"]) != bool(told["outcomes"]):
            raise click.UsageError("--key and --outcomes go together: outcomes of another source, joined by key")
        if told["test"] is not None and given(("patience",)):
            raise click.UsageError("--test and --patience exclude each other: one test has a level, and no patience")
        if where == told["outcomes"] == "-":
            raise click.UsageError("SOURCE and --outcomes cannot both be stdin")
        own = ("prob", "label", "positive", "weight", "time", "label_time", "key")
        self.columns = Columns(
            **{name: told[name] for name in own}, by=names(told["by"]), features=names(told["feature_columns"])
        )
        costs, decided = costs_of(told), watched(decisions_of(told))
        wishes = Wishes(
            patience=patience_of(told["patience"]),
            thresholds=decided["thresholds"],
            costs=Costs(*costs) if costs else None,
            **{name: told[name] for name in ("tolerance", "reference", "window", "slices", "test")},
        )
        joined = None
        if told["outcomes"]:
            joined = read_outcomes(self._batches(self._open_outcomes(told)), self.columns)
        self.watch = Watch(self.columns, wishes, joined)
        wanted = [name for name in self.columns.names if joined is None or name != self.columns.label]
        self.source = self._open(where, told, wanted)
        self.as_json, self.quiet = bool(told["as_json"]), bool(told["quiet"])
        self.alarms = self.warnings = 0

    def _open(self, where: str, told: dict[str, Any], wanted: list[str]) -> Source:
        """The source; a number that may look whole for long is read as one with a fraction."""
        kept = [(name, pa.float64()) for name in (self.columns.prob, self.columns.weight) if name is not None]
        return open_source(
            where, format=told["format"], batch_rows=told["batch_rows"], columns=wanted, types=pa.schema(kept)
        )

    def _open_outcomes(self, told: dict[str, Any]) -> Source:
        return open_source(told["outcomes"], columns=[told["key"], told["label"]])

    @staticmethod
    def _batches(source: Source) -> Iterator[pa.RecordBatch]:
        with closing(source):
            while (item := source.read()) is not None:
                yield item[0]

    def run(self, fail_on_alarm: bool) -> None:
        began = time.perf_counter()
        for batch in self._batches(self.source):
            for alarm in self.watch.step(batch):
                self.alarms += alarm.pages
                self.warnings += not alarm.pages
                say(alarm_json(alarm) if self.as_json else alarm.text())
        figures = self.figures(time.perf_counter() - began)
        if self.as_json:
            say(to_line(figures))
        elif not self.quiet:
            say(summary(figures))
        if self.watch.counts.labelled == 0 and not self.quiet:
            print("onlogit: no event had a probability and an outcome: nothing was judged", file=sys.stderr)
        if fail_on_alarm and self.alarms:
            raise AlarmRaised(f"alarms raised: {self.alarms}")

    def figures(self, seconds: float) -> dict[str, Any]:
        """What `--json` ends with."""
        watch, monitor = self.watch, self.watch.monitor
        overall, lately = monitor.overall()._asdict(), monitor.lately()._asdict()
        outlook = watch.decisions.outlook()
        return {
            **asdict(watch.counts),
            **overall,
            "evidence": monitor.evidence,
            "peak_evidence": monitor.peak_evidence,
            "patience": monitor.patience,
            "unit": "1/level" if watch.wishes.test is not None else monitor.allowed.unit,
            "tolerance": monitor.tolerance,
            "alarms": self.alarms,
            "warnings": self.warnings,
            "lately": lately,
            "recalibration": dict(zip(("level", "slope"), watch.shadow.map, strict=True))
            | {"evidence": watch.shadow.evidence},
            "faded": monitor.faded()._asdict(),
            "slices": [each._asdict() for each in watch.slices.worst()],
            "decisions": [each._asdict() for each in watch.decisions.read()],
            "outlook": None if outlook is None else outlook._asdict(),
            "features": [each._asdict() for each in watch.features.distances()] if watch.features else [],
            "seconds": seconds,
        }
