"""What `onlogit report` does once its command line is parsed: tell models, runs and predictions apart, and read them."""

import json
import os
from typing import Any

from onlogit.cli.files import load_model
from onlogit.cli.pairs import Pairs, each_pair
from onlogit.errors import ConfigError, DataError, StateError
from onlogit.model import of_state
from onlogit.report.gathering import Report, Watcher, of_model
from onlogit.storage import Checkpoints, holds_checkpoints
from onlogit.storage.arrays import MAGIC
from onlogit.storage.journal import has_journal

MOST_ALARMS = 1000


def gathered(
    subject: str, pairs: Pairs, costs: tuple[float, float] | None, alarms: str | None, format: str | None
) -> Report:
    """The report on a model file, the folder of a run, or predictions."""
    listed = read_alarms(alarms) if alarms else []
    name = os.path.basename(os.path.normpath(subject))
    if has_journal(subject):
        raise ConfigError(
            f"{subject} is the state of a daemon: make a model of it first (onlogit replay {subject} --out MODEL)"
        )
    if holds_checkpoints(subject):
        checkpoints = Checkpoints(subject, hold=False)
        try:
            last = checkpoints.latest()
        finally:
            checkpoints.close()
        if last is None:
            raise StateError(f"{subject} holds no checkpoint yet")
        return of_model(of_state(last.header, last.arrays, subject), name, "state", costs, listed)
    if is_model(subject):
        return of_model(load_model(subject), name, "model", costs, listed)
    watcher = Watcher()
    for p, y, weight in each_pair(subject, pairs, format):
        watcher.add(p, y, weight)
    found = watcher.report(name, costs)
    found.alarms = listed or found.alarms
    return found


def is_model(where: str) -> bool:
    """Whether a file begins as model files do."""
    if where == "-" or not os.path.isfile(where):
        return False
    with open(where, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_alarms(where: str) -> list[dict[str, Any]]:
    """The last 1,000 alarms of an NDJSON file."""
    try:
        with open(where, encoding="utf-8") as file:
            told = [(at, json.loads(line)) for at, line in enumerate(file, 1) if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read alarms from {where}: {error}") from error
    for at, alarm in told:
        if not _is_alarm(alarm):
            raise DataError(f"{where}, line {at}: no alarm; accepted is what `run --alarms` writes")
    return [alarm for _, alarm in told[-MOST_ALARMS:]]


def _is_alarm(told: Any) -> bool:
    """Whether it has what a page draws."""
    if not isinstance(told, dict) or not isinstance(told.get("evidence", 1.0), float | int | None):
        return False
    return all(
        type(told.get(name, 0)) in kinds for name, kinds in (("event", (int,)), ("onset_event", (int, type(None))))
    )
