"""What `onlogit revert` does once its command line is parsed: a model file rewritten, or one more checkpoint of a run."""

import os
from contextlib import closing

import click

from onlogit.cli.files import load_model, save_model
from onlogit.errors import ConfigError, StateError
from onlogit.model import OnlineLogit, of_state
from onlogit.monitor import Alarm
from onlogit.runner import DECIDER
from onlogit.storage import Checkpoints, holds_checkpoints
from onlogit.storage.journal import has_journal


def reverted(subject: str, out: str | None) -> Alarm:
    """Take back the last act, and write what is left of it; the record of it."""
    if not os.path.isdir(subject):
        model = load_model(subject)
        act = _act(model, subject)
        save_model(model, out or subject)
        return act
    if out is not None:
        raise click.UsageError("--out is for a model file: the state of a run is changed where it is")
    if has_journal(subject):
        raise ConfigError(
            f"{subject} is the state of a daemon, whose journal has to say so: send it the command revert"
        )
    if not holds_checkpoints(subject):
        raise StateError(f"{subject} is no state of a run: it has no state.sqlite")
    with closing(Checkpoints(subject)) as checkpoints:
        last = checkpoints.latest()
        if last is None:
            raise StateError(f"{subject} holds no checkpoint yet")
        model = of_state(last.header, last.arrays, f"{subject}, checkpoint {last.generation}")
        act = _act(model, subject)
        decided = {name: array for name, array in last.arrays.items() if name.startswith(DECIDER)}
        checkpoints.save(model.header(), {**model.state(), **decided}, last.positions)
    return act


def _act(model: OnlineLogit, subject: str) -> Alarm:
    acts = model.revert()
    if not acts:
        raise ConfigError(f"{subject}: there is nothing to take back: no alarm has done anything, or it was taken back")
    return acts[0]
