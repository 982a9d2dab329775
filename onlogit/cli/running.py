"""What `onlogit run` does once its command line is parsed. Apart, so that parsing imports nothing heavy."""

import sys
from contextlib import ExitStack
from typing import Any

import click

from onlogit.cli.deciding import decider_of, time_of
from onlogit.cli.files import begin, is_pipe, keep_apart, load_model, save_model
from onlogit.cli.options import SETTINGS, config_of, decisions_of, events_of, flag, given
from onlogit.cli.printing import DelayWarning, alarm_json, figures_of, say, say_nearly_numbers, summary
from onlogit.cli.rows import types_of
from onlogit.cli.startup import since_start
from onlogit.config import COLUMNS, ROLES, flattened, to_mapping
from onlogit.errors import AlarmRaised, ConfigError, DataError
from onlogit.json_lines import to_line
from onlogit.model import OnlineLogit, of_state
from onlogit.records import ALARMS, alarms_of, scored, scored_schema
from onlogit.runner import BrokenOff, Output, Runner, Stop
from onlogit.steps import Step
from onlogit.storage import Checkpoint, Checkpoints, holds_checkpoints
from onlogit.storage.journal import has_journal
from onlogit.streams import Source, open_sink, open_source
from onlogit.streams.ahead import open_patiently


class Running:
    """One call of the command: where it reads and writes, and what it says."""

    def __init__(self, where: str, told: dict[str, Any]) -> None:
        self.where, self.told = where, told
        self.state: str | None = told["state"]
        self.lasting = bool(self.state or told["follow"])  # outputs grow, and keep what they have
        self.stop = Stop()
        self.alarms = 0
        if told["model"] and (odd := given((*ROLES, *SETTINGS, "config"))):
            raise click.UsageError(f"{flag(odd[0])} is settled by the model file: give --model or {flag(odd[0])}")
        if not (told["model"] or told["label"] or self.state):
            raise click.UsageError("say what learns: --model MODEL, or --label COLUMN for a new model")
        keep_apart(where, out=told["out"], alarms=told["alarms"], save=told["save"])
        if told["model"]:
            keep_apart(told["model"], out=told["out"], alarms=told["alarms"])
        if self.state and is_pipe(where):
            raise ConfigError(f"{where} cannot be read again after a crash: --state needs a file or a folder")
        if self.state and has_journal(self.state):
            raise ConfigError(f"{self.state} is the state of a daemon: name another folder (--state)")
        self.config = config_of(told)
        self.decisions = decisions_of(told)
        self.named = load_model(told["model"]) if told["model"] else None

    def run(self) -> None:
        with self.stop.listening(), ExitStack() as opened:
            checkpoints = self._checkpoints(opened) if self.state and holds_checkpoints(self.state) else None
            last = checkpoints.latest() if checkpoints else None
            kept = self._continued(last) if last else self.named
            source = self._open_source(kept)
            if source is None:
                return
            if checkpoints is None and self.state:  # begun once the source is there
                checkpoints = self._checkpoints(opened)
            runner = self._runner(kept or self._begun(source), source, checkpoints, last)
            startup, before = since_start(), runner.model.counts.events
            self._drive(runner)
            count = runner.model.counts.events - before
            if last and not count and not self.stop():
                self._remark(f"nothing new: {self.where} was read to its end before ({before:,} events)")
            self._conclude(figures_of(runner.model, runner.seconds, startup + runner.rehearsal, count, self.alarms))
        if self.told["fail_on_alarm"] and self.alarms:
            raise AlarmRaised(f"alarms raised: {self.alarms}")

    def _checkpoints(self, opened: ExitStack) -> Checkpoints:
        assert self.state is not None
        checkpoints = Checkpoints(self.state)
        opened.callback(checkpoints.close)
        return checkpoints

    def _open_source(self, model: OnlineLogit | None) -> Source | None:
        """None where a signal came before the source had anything to open."""
        told = self.told

        def opening() -> Source:
            return open_source(
                self.where, format=told["format"], batch_rows=told["batch_rows"], follow=told["follow"], stop=self.stop,
                types=types_of(model, self.where, learning=True) if model else None,
            )  # fmt: skip

        return open_patiently(opening, self.stop)

    def _runner(
        self, model: OnlineLogit, source: Source, checkpoints: Checkpoints | None, last: Checkpoint | None
    ) -> Runner:
        if self.decisions is not None:
            model.price(self.config.monitor.thresholds, self.config.monitor.costs)
        if last:
            source.seek(last.positions["source"])
        begun = model.counts.events == 0 and not self.told["quiet"]
        runner = Runner(
            model, source, {}, checkpoints=checkpoints, every=self.told["checkpoint_seconds"], stop=self.stop,
            look=lambda batch: say_nearly_numbers(model.schema, batch) if begun else None,
        )  # fmt: skip
        try:
            self._open_outputs(runner, source)
            if last:
                runner.resume(last.positions, last.arrays)
        except BaseException:
            runner.abort()
            raise
        return runner

    def _open_outputs(self, runner: Runner, source: Source) -> None:
        out, alarms, prefix = self.told["out"], self.told["alarms"], self.told["prefix"]
        resumable = self.lasting and not is_pipe(out)
        decider = decider_of(self.decisions, runner.model)
        schema = scored_schema(source.schema, prefix, decider is not None)
        sink = open_sink(out, schema, format=self.told["out_format"], resume=resumable)
        record = scored(prefix, decider, time_of(runner.model))
        runner.outputs["out"] = Output(sink, record, resumable, decider)
        if alarms:
            resumable = self.lasting and not is_pipe(alarms)
            sink = open_sink(alarms, ALARMS, format="ndjson", resume=resumable)
            runner.outputs["alarms"] = Output(sink, alarms_of, resumable)

    def _begun(self, source: Source) -> OnlineLogit:
        if not self.told["label"]:
            raise click.UsageError(f"{self.state} holds no checkpoint to go on from: give --model or --label as well")
        model = OnlineLogit(**events_of(self.told), config=self.config)
        begin(model, source, self.where)
        return model

    def _continued(self, last: Checkpoint) -> OnlineLogit:
        """The model of the last checkpoint. A ConfigError where this command line speaks of another one."""
        if last.warning:
            print(f"onlogit: {last.warning}", file=sys.stderr)
        model = of_state(last.header, last.arrays, f"{self.state}, checkpoint {last.generation}")
        if self.named:
            if _origin(self.named) != _origin(model):
                raise self._contradiction(f"another model than {self.told['model']}")
        elif self.told["label"]:
            model.price(self.config.monitor.thresholds, self.config.monitor.costs)  # these may be changed at any time
            for difference in differences(model, events_of(self.told), to_mapping(self.config)):
                raise self._contradiction(difference)
        return model

    def _contradiction(self, what: str) -> ConfigError:
        return ConfigError(f"{self.state} was begun with {what}: change the command back, or name another folder")

    def _drive(self, runner: Runner) -> None:
        """Run, keep what there is to keep, and finish outputs; also after bad data, where that does no harm."""
        try:
            try:
                delays = DelayWarning(runner.model, self.told["quiet"])
                runner.run(lambda step: self._heed(step, delays))
            except DataError as error:
                if self.lasting or isinstance(error, BrokenOff):
                    self._keep(runner)
                raise
            self._keep(runner)
        except BaseException:
            runner.abort()
            raise

    def _keep(self, runner: Runner) -> None:
        runner.checkpoint()
        if self.told["save"]:
            save_model(runner.model, self.told["save"])
        runner.close()

    def _heed(self, step: Step, delays: DelayWarning) -> None:
        self.alarms += sum(alarm.pages for alarm in step.alarms)
        delays.heed()
        if not self.told["alarms"]:
            for alarm in step.alarms:
                print(alarm_json(alarm), file=sys.stderr, flush=True)

    def _remark(self, text: str) -> None:
        if not self.told["quiet"]:
            print(f"onlogit: {text}", file=sys.stderr)

    def _conclude(self, figures: dict[str, Any]) -> None:
        text = to_line(figures) if self.told["as_json"] else summary(figures)
        if "-" not in (self.told["out"], self.told["alarms"], self.told["save"]):
            say(text)
        elif not self.told["quiet"]:
            print(text, file=sys.stderr)


def _origin(model: OnlineLogit) -> dict[str, Any]:
    """What a model was begun with, but for costs, which may be changed at any time."""
    header = model.header()
    for name in ("thresholds", "costs"):
        del header["config"]["monitor"][name]
    return header


def _with_unit(config: dict[str, Any]) -> dict[str, Any]:
    """Settings by their dotted names, the patience with its unit."""
    settings = flattened(config)
    unit = settings.pop("monitor.unit")
    return settings | {"monitor.patience": f"{settings['monitor.patience']} {unit}"}


def differences(model: OnlineLogit, events: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """What the model was begun with that is not what is asked now, in words."""
    schema = model.schema
    kept: dict[str, Any] = {role: getattr(schema.with_role(role), "name", None) for role in COLUMNS}
    named = {name for role, name in kept.items() if role != "time"}
    hidden = {c.name for c in schema.columns if c.role in ("dropped", "slice") or (c.role == "time" and not c.feature)}
    kept |= {"positive": schema.positive, "drop": ",".join(sorted(hidden)) or None}
    kept["feature"] = ", ".join(sorted(schema.terms)) or None
    asked = events | {
        "drop": ",".join(sorted(set(events["drop"]) - named)) or None,
        "feature": ", ".join(sorted(schema.spelled(events["features"]))) or None,
    }
    told = [(flag(name), value, asked[name]) for name, value in kept.items()]
    settings = _with_unit(config)
    told += [(name, value, settings[name]) for name, value in _with_unit(to_mapping(model.config)).items()]
    return [
        f"no {name}"
        if kept in (None, "")
        else f"{name} {kept}"
        if asked in (None, "")
        else f"{name} {kept}, not {asked}"
        for name, kept, asked in told
        if kept != asked
    ]
