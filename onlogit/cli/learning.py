"""What `onlogit learn` does once its command line is parsed. Apart, so that parsing imports nothing heavy."""

import sys
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.cli.files import begin, keep_apart, save_model
from onlogit.cli.options import config_of, events_of
from onlogit.cli.printing import DelayWarning, Progress, alarm_json, figures_of, say, say_nearly_numbers, summary
from onlogit.cli.startup import since_start
from onlogit.errors import AlarmRaised
from onlogit.json_lines import to_line
from onlogit.model import OnlineLogit
from onlogit.records import STATED_SCHEMA, stated
from onlogit.runner import BrokenOff, Output, Runner
from onlogit.steps import Step
from onlogit.streams import open_sink, open_source


class Learning:
    """One call of the command: its source, its model, what it says."""

    def __init__(self, where: str, told: dict[str, Any]) -> None:
        self.out, self.predictions = told["out"], told["predictions"]
        keep_apart(where, out=self.out, predictions=self.predictions)
        self.model = OnlineLogit(**events_of(told), config=config_of(told))
        self.source = open_source(where, format=told["format"], batch_rows=told["batch_rows"])
        begin(self.model, self.source, where)
        self.fail_on_alarm: bool = told["fail_on_alarm"]
        self.as_json: bool = told["as_json"]
        self.progress = None if self.as_json or told["quiet"] else Progress()
        self.alarms = 0
        self.quiet: bool = told["quiet"]
        self.delays = DelayWarning(self.model, self.quiet)

    def run(self) -> None:
        out, predictions, outputs = self.out, self.predictions, {}
        if predictions:
            outputs["predictions"] = Output(open_sink(predictions, STATED_SCHEMA), stated)
        runner = Runner(self.model, self.source, outputs, look=self._look)
        startup = since_start()
        broken: BrokenOff | None = None
        try:
            try:
                runner.run(lambda step: self._heed(step, runner), finish=True)
            except BrokenOff as error:
                broken = error
            if out:
                save_model(self.model, out)
        except BaseException:
            runner.abort()
            raise
        runner.close()
        figures = figures_of(
            self.model, runner.seconds, startup + runner.rehearsal, self.model.counts.events, self.alarms
        )
        self._conclude(figures, beside="-" in (out, predictions))
        if broken:
            raise broken
        if self.fail_on_alarm and self.alarms:
            raise AlarmRaised(f"alarms raised: {self.alarms}")

    def _look(self, batch: pa.RecordBatch) -> None:
        if not self.quiet:
            say_nearly_numbers(self.model.schema, batch)

    def _heed(self, step: Step, runner: Runner) -> None:
        if self.progress:
            self.progress.add(step._replace(z=self.model.pipeline.of_labels(step.z)), runner.elapsed)
        self.delays.heed()
        for alarm in step.alarms:
            self.alarms += alarm.pages
            if self.as_json:
                say(alarm_json(alarm))
            else:
                print(alarm.text(), file=sys.stderr, flush=True)

    def _conclude(self, figures: dict[str, Any], beside: bool) -> None:
        """The figures go to stdout; for a person, beside it if stdout holds records or a model."""
        if self.as_json:
            say(to_line(figures))
        elif beside:
            print(summary(figures), file=sys.stderr)
        else:
            say(summary(figures))
