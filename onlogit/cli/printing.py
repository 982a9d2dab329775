"""What commands print: lines on stdout, figures of a run as JSON or for a person, and the table of progress.

The table has a line after 1, 2, 4, 8, ... labelled examples. Its losses are progressive: of p as stated before the
label was learned, with the labels as the records hold them, each example counted once whatever its weight.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from onlogit.json_lines import to_line
from onlogit.model import OnlineLogit
from onlogit.monitor import Alarm
from onlogit.printable import printable
from onlogit.report.text import or_dash
from onlogit.report.watching import beside_lines
from onlogit.schema import Schema, is_text
from onlogit.steps import Step
from onlogit.storage.atomic import writing


def say(text: str) -> None:
    """Lines on stdout, at once; unencodable characters are escaped. OutputError where it takes none."""
    lines, encoding = "\n".join(map(printable, text.split("\n"))), sys.stdout.encoding or "utf-8"
    with writing("stdout"):
        print(lines.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def alarm_json(alarm: Alarm) -> str:
    """An alarm as one line of JSON."""
    return to_line(alarm.to_json())


def figures_of(model: OnlineLogit, seconds: float, startup: float, examples: int, alarms: int) -> dict[str, Any]:
    """What `--json` ends with. Quality is progressive, over every settled event that the model has seen."""
    quality, counts, delays, flips = model.quality(), model.counts, model.label_delays(), model.config.label_noise
    monitor, beside = model.pipeline.monitor, model.pipeline.beside
    return {
        "examples": examples,
        "labelled": counts.labelled,
        "learned": counts.learned,
        "rate": quality.rate,
        "log_loss": quality.log_loss,
        "base_log_loss": quality.base_log_loss,
        "brier": quality.brier,
        "auc": quality.auc,
        "calibration_error": quality.calibration_error,
        "seconds": seconds,
        "startup_seconds": startup,
        "examples_per_second": examples / seconds if seconds > 0 else None,
        "learner": model.config.learner,
        "alarms": alarms,
        "expired": counts.expired,
        "unresolved": counts.unresolved,
        "late": counts.late,
        **({"noise_fp": flips.fp, "noise_fn": flips.fn} if flips.fp or flips.fn else {}),
        "label_delay_negative": delays.negative,
        "label_delay_positive": delays.positive,
        "label_delays_uneven": delays.uneven,
        **{f"{name}_values": count for name, count in model.pipeline.encoder.counts.items()},
        "evidence": monitor.evidence,
        "peak_evidence": monitor.peak_evidence,
        "patience": monitor.patience,
        "unit": monitor.allowed.unit,
        **{name: found._asdict() for name, found in monitor.spans().items()},
        **(beside.figures() if beside is not None else {}),
    }


def summary(figures: Mapping[str, Any]) -> str:
    """The same for a person."""

    def number(name: str, form: str) -> str:
        return or_dash(figures[name], form)

    speed = f"{number('examples_per_second', ',.0f')} examples/s, {number('startup_seconds', '.2f')} s to start"
    fit, calibration = figures["overall"], ""
    if fit["examples"]:
        calibration = (
            f"observed/expected {or_dash(fit['observed_over_expected'], '.3f')}, true log-odds = {fit['intercept']:+.3f} + "
            f"{fit['slope']:.3f} x stated, evidence {figures['evidence']:,.0f} of {figures['patience']:,.6g} {figures['unit']}"
        )
    lines = [
        ("examples", f"{figures['examples']:,} ({figures['labelled']:,} labelled, rate {number('rate', '.4f')})"),
        ("log loss", f"{number('log_loss', '.6f')} (base rate alone: {number('base_log_loss', '.6f')})"),
        ("Brier score", number("brier", ".6f")),
        ("AUC", number("auc", ".4f")),
        ("calibration error", number("calibration_error", ".4f")),
        *([("calibration", calibration)] if calibration else []),
        ("alarms", str(figures["alarms"])),
        ("learner", str(figures["learner"])),
        ("time", f"{number('seconds', '.2f')} s ({speed})"),
    ]
    if "noise_fp" in figures:
        rates = f"{figures['noise_fp']:g} of the 0s and {figures['noise_fn']:g} of the 1s are labelled wrong"
        lines.insert(1, ("of labels", f"{rates}: quality is that of the labels, not of the outcomes"))
    return "\n".join([*(f"{name:<18} {value}" for name, value in lines), *beside_lines(figures)])


class DelayWarning:
    """Says on stderr, once, that labels of one class come back much sooner than the other's and are learned so."""

    def __init__(self, model: OnlineLogit, quiet: bool) -> None:
        self._model, self._said = model, quiet

    def heed(self) -> None:
        """Look after a step. Costs 40 µs."""
        if self._said:
            return
        warning = self._model.label_delays().warning()
        if warning:
            print(f"onlogit: {warning}", file=sys.stderr, flush=True)
            self._said = True


NUMBER = r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"
NEARLY = 0.9  # share of values that look like numbers from which on a column of text was hardly meant as one


def say_nearly_numbers(schema: Schema, batch: pa.RecordBatch) -> None:
    """Says on stderr which features of a first batch are text for few of their values alone. Costs 3 ms a column of text."""
    for column in schema.columns:
        if not column.feature or not is_text(batch.schema.field(column.name).type):
            continue
        values = batch.column(column.name)
        fits = pc.match_substring_regex(values, NUMBER)
        count, numbers = len(values) - values.null_count, pc.sum(fits).as_py() or 0
        if NEARLY * count <= numbers < count:
            row = pc.index(fits, False).as_py()
            print(
                f"onlogit: column {column.name!r} is read as text because of {values[row].as_py()!r} in row {row} (counting "
                f"from 0): {numbers:,} of {count:,} values are numbers",
                file=sys.stderr,
                flush=True,
            )


class Progress:
    """The table on stderr. Costs a few nanoseconds an example."""

    HEAD = f"{'examples':>10} {'since last':>11} {'average':>11} {'rate':>8} {'label':>6} {'p':>8} {'seconds':>8}"

    def __init__(self, file: TextIO = sys.stderr) -> None:
        self._file = file
        self.count = self._last = 0
        self._loss = self._loss_then = self._ones = 0.0

    def add(self, step: Step, seconds: float) -> None:
        """Take a step in; print the lines that it brings."""
        told = step.y >= 0
        y, z, p = step.y[told], step.z[told], step.p[told]
        if not y.size:
            return
        loss = self._loss + np.cumsum(np.logaddexp(0.0, z) - y * z)
        ones = self._ones + np.cumsum(y, dtype=np.float64)
        while (at := max(2 * self._last, 1) - self.count - 1) < y.size:
            self._line(at, loss, ones, int(y[at]), float(p[at]), seconds)
        self.count += y.size
        self._loss, self._ones = float(loss[-1]), float(ones[-1])

    def _line(self, at: int, losses: Sequence[float] | Any, ones: Any, y: int, p: float, seconds: float) -> None:
        count, loss = self.count + at + 1, float(losses[at])
        since = (loss - self._loss_then) / (count - self._last)
        if not self._last:
            print(self.HEAD, file=self._file)
        print(
            f"{count:>10} {since:>11.6f} {loss / count:>11.6f} {float(ones[at]) / count:>8.4f} {y:>6} {p:>8.4f} "
            f"{seconds:>8.2f}",
            file=self._file,
            flush=True,
        )
        self._last, self._loss_then = count, loss
