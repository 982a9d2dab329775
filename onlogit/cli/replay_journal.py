"""What `onlogit replay` does once its command line is parsed."""

import hashlib
import json
import sys
import tomllib
from collections.abc import Iterable
from typing import Any

import click

from onlogit.cli.files import save_model
from onlogit.cli.printing import figures_of, say, summary
from onlogit.config import Config, from_mapping, to_mapping
from onlogit.daemon.entries import BEGIN
from onlogit.daemon.fold import Fold
from onlogit.daemon.recovery import Replayed, recover, replay
from onlogit.errors import ConfigError, DataError, StateError
from onlogit.json_lines import to_line
from onlogit.storage import Checkpoints
from onlogit.storage.journal import Entry, Journal, has_journal


class Replay:
    """One call of the command."""

    def __init__(self, state: str, told: dict[str, Any]) -> None:
        self.state, self.told = state, told
        self.changes = [_change(text) for text in told["changes"]]
        if not has_journal(state):
            raise DataError(f"{state} holds no journal: name the state folder of a daemon")

    def run(self) -> None:
        import time

        begin = time.perf_counter()
        journal = Journal(self.state)
        try:
            found = self._whole(journal) if self.changes or self.told["fresh"] else self._quick(journal)
        finally:
            journal.close()
        for seq, error in found.broken.items():
            _warn(f"journal entry {seq} breaks the fold, and is left out: {error!r}")
        fold = found.fold
        if not fold.settled:
            raise DataError(f"{self.state}: no event came until entry {fold.seq}, so there is no model yet")
        if self.told["out"]:
            save_model(fold.model, self.told["out"])
        figures = figures_of(
            fold.model, time.perf_counter() - begin, 0.0, fold.model.counts.events, fold.raised
        )  # fmt: skip
        figures |= {"seq": fold.seq, "model_sha256": hashlib.sha256(fold.model.to_bytes()).hexdigest()}
        if self.told["out"] != "-":
            text = f"{summary(figures)}\n{'entry':<18} {fold.seq:,}\n{'model sha256':<18} {figures['model_sha256']}"
            say(to_line(figures) if self.told["as_json"] else text)

    def _quick(self, journal: Journal) -> Replayed:
        checkpoints = Checkpoints(self.state, hold=False)
        try:
            return recover(checkpoints, journal, _warn, self.told["until"])
        finally:
            checkpoints.close()

    def _whole(self, journal: Journal) -> Replayed:
        """From the first entry, with other settings where those were asked for."""
        if journal.first > 1:
            raise StateError(
                f"{journal.path}: entries before {journal.first} are no longer kept; a whole replay needs them"
            )

        def begin() -> tuple[Fold, Iterable[Entry]]:
            entries = journal.read(0, self.told["until"])
            return Fold(), (each._replace(data=self._changed(each)) if each.kind == BEGIN else each for each in entries)

        return replay(begin, _warn)

    def _changed(self, entry: Entry) -> bytes:
        if not self.changes:
            return entry.data
        if not entry.data.startswith(b"{"):
            raise ConfigError("this daemon began with a model file, whose settings are part of what it had learned")
        told = json.loads(entry.data)
        config = told["config"]
        for path, value in self.changes:
            table = config
            for part in path[:-1]:
                table = table.get(part) if isinstance(table, dict) else None
            if not isinstance(table, dict) or path[-1] not in table:
                raise ConfigError(f"--set {'.'.join(path)}: unknown; known are {', '.join(config)}")
            table[path[-1]] = value
        told["config"] = to_mapping(from_mapping(Config, config, "--set"))
        return json.dumps(told).encode()


def _change(text: str) -> tuple[list[str], Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set {text}: NAME=VALUE is expected, as in --set learner=sgd")
    try:
        read = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        read = value
    return name.strip().split("."), read


def _warn(text: str) -> None:
    print(f"onlogit: {text}", file=sys.stderr)
