"""What a report tells, gathered from a model, from a checkpoint of a run, or from stated probabilities with outcomes."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.decisions import grid as bins
from onlogit.decisions import thresholds
from onlogit.decisions.thresholds import Choice, Curves
from onlogit.explain import FEWEST, ModelStory, explain_model
from onlogit.model import OnlineLogit
from onlogit.monitor import Alarm, CalibrationMonitor
from onlogit.monitor.quality import Quality, Reliability, reliability
from onlogit.monitor.timeline import Stretch

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]


class Watch(NamedTuple):
    """What the calibration monitor holds."""

    evidence: float
    peak: float
    patience: float
    unit: str  # of the patience
    open: bool


class Costs(NamedTuple):
    """The cost curve at the user's costs."""

    cost_fp: float
    cost_fn: float
    curves: Curves
    choice: Choice


@dataclass
class Report:
    """Everything there is at hand; None and empty where there is nothing."""

    title: str
    kind: str  # "model", "state" or "predictions"
    quality: Quality
    reliability: Reliability
    top: list[dict[str, Any]]
    average_precision: float | None
    effective_positives: float
    stretches: list[Stretch] = field(default_factory=list)
    costs: Costs | None = None
    watch: Watch | None = None
    alarms: list[dict[str, Any]] = field(default_factory=list)
    story: ModelStory | None = None
    counters: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    estimates: dict[str, dict[str, Any]] = field(default_factory=dict)  # overall, lately, faded: monitor/estimates.py
    watched: dict[str, Any] = field(default_factory=dict)  # slices, decisions and features, where they are watched

    def to_json(self) -> dict[str, Any]:
        """One JSON-able dict; the cost curve thinned."""
        plain = dict(self.__dict__)
        plain["quality"] = self.quality._asdict()
        plain["reliability"] = {name: array.tolist() for name, array in self.reliability._asdict().items()}
        plain["stretches"] = [stretch._asdict() for stretch in self.stretches]
        plain["watch"] = self.watch._asdict() if self.watch else None
        plain["story"] = self.story.to_json() if self.story else None
        if self.costs:
            kept = thresholds.thinned(self.costs.curves, (self.costs.choice.threshold, self.costs.choice.cheapest))
            plain["costs"] = self.costs.choice._asdict() | {
                "cost_fp": self.costs.cost_fp, "cost_fn": self.costs.cost_fn, "thresholds": kept,
            }  # fmt: skip
        return plain


def of_model(
    model: OnlineLogit, title: str, kind: str, costs: tuple[float, float] | None, alarms: list[dict[str, Any]]
) -> Report:
    """A report on all that a model has settled; its quality is progressive."""
    fold = model.pipeline
    monitor = fold.monitor
    report = _of_monitor(monitor, thresholds.grid_of(monitor.tally), title, kind, costs)
    report.alarms, report.story = alarms, explain_model(model)
    report.watched = {} if fold.beside is None else fold.beside.figures()
    seen, shared = fold.encoder.collisions()
    report.counters = dict(fold.counts.__dict__) | {f"{name}_values": n for name, n in fold.encoder.counts.items()}
    report.counters |= {"slots_seen": seen, "slots_shared": shared, "waiting": fold.memory.waiting}
    report.notes += [note for note in report.story.notes if note not in report.notes]
    return report


def _of_monitor(
    monitor: CalibrationMonitor, grid: F64, title: str, kind: str, costs: tuple[float, float] | None
) -> Report:
    tally, found = monitor.tally, monitor.summary()
    positives, squares = float(grid[bins.POSITIVE].sum()), float(grid[bins.POSITIVE_SQUARES].sum())
    effective = positives**2 / squares if squares > 0 else 0.0
    report = Report(
        title, kind, found, reliability(tally), thresholds.top_calibration(grid), thresholds.average_precision(grid),
        effective,
    )  # fmt: skip
    report.watch = Watch(
        monitor.evidence, monitor.peak_evidence, monitor.patience, monitor.allowed.unit, monitor.alarm_open
    )
    report.stretches = monitor.stretches()
    report.estimates = {name: found._asdict() for name, found in monitor.spans().items()}
    if costs is not None:
        report.costs = Costs(*costs, thresholds.curves(grid, *costs), thresholds.choose(grid, *costs))
    if effective < FEWEST:
        report.notes.append(f"all of this rests on {effective:.0f} positives only")
    return report


class Watcher:
    """Takes stated probabilities and outcomes in, in order: the tallies and the watch of `onlogit watch` at its defaults."""

    def __init__(self) -> None:
        self.monitor, self.grid = CalibrationMonitor(), bins.new_grid()
        self.alarms: list[Alarm] = []
        self._records = 0

    def add(self, p: F64, y: I8, weight: F64) -> None:
        """The next rows, p in [0, 1]. Those without a label are passed over."""
        bins.add_pairs(self.grid, p, y, weight)
        with np.errstate(divide="ignore"):
            z = np.log(p) - np.log1p(-p)
        self.alarms += self.monitor.update(self._records + np.arange(len(p)), None, z, y, weight)
        self._records += len(p)

    def report(self, title: str, costs: tuple[float, float] | None) -> Report:
        """What was seen."""
        report = _of_monitor(self.monitor, self.grid, title, "predictions", costs)
        report.alarms = [alarm.to_json() for alarm in self.alarms]
        return report
