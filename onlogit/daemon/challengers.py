"""Challengers: further models on the champion's stream, learning the same entries and answering nothing.

Each is compared with the champion by the log loss of what both stated of the same events, in prediction order, since their
roles are as they are (monitor/comparison.py). Who challenges, a promote and a rollback are commands of the journal, so that a
replay ends in the same models. A challenger that refuses what the champion took is out: it keeps its name and nothing else.

Cost: that of the champion for each, in the fold thread, in slices like the champion's. Memory: likewise, with every event
that waits.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from onlogit.arena import Lent
from onlogit.daemon.sources import overridden
from onlogit.errors import ConfigError, OnlogitError, StateError
from onlogit.labels import Mature
from onlogit.model import OnlineLogit, of_bytes, of_state
from onlogit.monitor.comparison import Comparison
from onlogit.pipeline import Pipeline
from onlogit.schema import Schema
from onlogit.states import under
from onlogit.storage.arrays import Array

log = logging.getLogger("onlogit.daemon")

Read = Callable[[OnlineLogit], dict[str, Array]]  # OnlineLogit.state or OnlineLogit.lend
INITIAL = "initial"  # the model that the folder was begun with
PREFIX = "challenger."


class Challenger:
    """One of them. `told` is what the settings say of it."""

    def __init__(self, name: str, told: Mapping[str, Any], since: int = 0) -> None:
        self.name, self.told, self.since = name, dict(told), since
        self.model = OnlineLogit()
        self.comparison = Comparison()
        self.fault = ""  # why it is out; the reason itself is not state
        self.event, self.z = np.zeros(0, np.int64), np.zeros(0)  # judged here, and not yet by the champion

    @property
    def runs(self) -> bool:
        """Whether it takes part."""
        return self.model.settled and not self.fault

    def begin(self, champion: OnlineLogit) -> None:
        """Start beside a champion that has a schema: as its copy where frozen, else having learned nothing."""
        try:
            if self.told.get("frozen"):
                self.model = of_bytes(champion.to_bytes())
                self.model.freeze()
                return
            config = overridden(champion.config, self.told.get("settings", {}))
            pipeline = Pipeline(derived(champion.schema, self.told.get("features")), config)
            pipeline.number_from(self.since)  # alike in all models
            self.model = OnlineLogit.of(pipeline)
        except OnlogitError as error:
            self.out(error)

    def out(self, error: OnlogitError) -> None:
        """It is out, for good."""
        log.error("the challenger %s is out: %s", self.name, error)
        self.fault, self.model, self.comparison = str(error), OnlineLogit(), Comparison()
        self.event, self.z = np.zeros(0, np.int64), np.zeros(0)

    def anew(self, since: int) -> None:
        """The comparison begins again, with the events from number `since` on."""
        self.since, self.comparison = since, Comparison()
        self.event, self.z = np.zeros(0, np.int64), np.zeros(0)

    def take(self, work: Callable[[OnlineLogit], Any], champion: list[Mature]) -> None:
        """Do what the champion has done, and compare the events that it judged then."""
        own: list[Mature] = []
        pipeline = self.model.pipeline
        pipeline.heard = own
        try:
            work(self.model)
        except OnlogitError as error:
            self.out(error)
            return
        finally:
            pipeline.heard = None
        for mature in own:
            self.event = np.concatenate([self.event, mature.event[mature.event >= self.since]])
            self.z = np.concatenate([self.z, mature.z[mature.event >= self.since]])
        for mature in champion:
            self._compare(mature)

    def _compare(self, mature: Mature) -> None:
        if not len(mature.event) or not len(self.event):
            return
        at = np.minimum(np.searchsorted(self.event, mature.event), len(self.event) - 1)
        both = (self.event[at] == mature.event) & (mature.y >= 0) & (mature.weight > 0)
        self.comparison.add(mature.z[both], self.z[at[both]], mature.y[both])
        left = self.event > mature.event[-1]
        self.event, self.z = self.event[left], self.z[left]

    # ---- state

    def header(self) -> dict[str, Any]:
        return {
            "name": self.name, "told": self.told, "since": self.since, "out": bool(self.fault),
            "model": self.model.header() if self.runs else None,
        }  # fmt: skip

    def state(self, read: Read) -> Lent:
        """Its arrays; `read` is how those of a model are had: state or lend."""
        if not self.runs:
            return Lent({})
        model = read(self.model)
        own = {f"model.{name}": array for name, array in model.items()}
        sums = {f"comparison.{name}": array for name, array in self.comparison.state().items()}
        return Lent(own | sums | {"ahead.event": self.event.copy(), "ahead.z": self.z.copy()}, model)

    @classmethod
    def of_state(cls, header: dict[str, Any], arrays: dict[str, Array], where: str) -> "Challenger":
        """The challenger that `header` and `state` were taken from."""
        found = cls(header["name"], header["told"], int(header["since"]))
        if header["model"] is None:
            found.fault = "it was out before the last start; the log of then says why" if header["out"] else ""
            return found
        found.model = of_state(header["model"], under(arrays, "model."), where)
        found.comparison.restore(under(arrays, "comparison."))
        found.event, found.z = arrays["ahead.event"], arrays["ahead.z"]
        return found


class Challengers:
    """All of them, and the names of the champions."""

    def __init__(self) -> None:
        self.champion = INITIAL
        self.told: dict[str, Any] = {}  # of the champion, where it was a challenger
        self.past: list[str] = []  # champions before, oldest first
        self.all: list[Challenger] = []

    def __iter__(self) -> Iterator[Challenger]:
        return (each for each in self.all if each.runs)

    @property
    def names(self) -> list[str]:
        """Of all models, the champion's first."""
        return [self.champion, *(each.name for each in self.all)]

    def answers(self, name: str) -> bool:
        """Whether the model of a name can score: a challenger that is out, or has not begun, cannot."""
        return name == self.champion or any(each.name == name for each in self)

    def is_out(self, name: str) -> bool:
        """Whether this is the name of a challenger that is out."""
        return any(each.name == name and each.fault for each in self.all)

    def _planned(self, told: list[dict[str, Any]]) -> tuple[list[Challenger], list[dict[str, Any]]]:
        """Those that stay, and what is told of new ones. The initial model and the champion stay whatever is told."""
        kept = [each for each in self.all if not each.told or each.told in told]
        taken = {self.champion, *(each.name for each in kept)}
        return kept, [each for each in told if each["name"] not in taken]

    def wanted(self, told: list[dict[str, Any]]) -> bool:
        """Whether the settings ask for others than those that are there."""
        kept, new = self._planned(told)
        return len(kept) < len(self.all) or bool(new)

    def challenge(self, told: list[dict[str, Any]], champion: OnlineLogit) -> None:
        """These challenge from now on; those that are there already go on."""
        self.all, new = self._planned(told)
        for each in new:
            self.all.append(Challenger(each["name"], each))
            if champion.settled:
                self.all[-1].since = champion.counts.events
                self.all[-1].begin(champion)
        self.past = [name for name in self.past if name in self.names]

    def begin(self, champion: OnlineLogit) -> None:
        """The champion's schema is settled: start those that waited for it."""
        for each in self.all:
            if not each.model.settled and not each.fault:
                each.begin(champion)

    def promote(self, name: str, champion: OnlineLogit) -> OnlineLogit:
        """Let a challenger be the champion, and the champion a challenger; gives the new one. A ConfigError, with nothing
        changed, where it is none, or does not know an event that waits for its label."""
        found = next((each for each in self if each.name == name), None)
        if found is None:
            raise ConfigError(f"there is no challenger {name!r} at work; there are: {', '.join(e.name for e in self)}")
        memories = (champion.pipeline.memory, found.model.pipeline.memory)
        if memories[0].waiting != memories[1].waiting:
            raise ConfigError(
                f"{memories[0].waiting - memories[1].waiting} events from before {name!r} began still wait for their label"
            )
        model, found.model = found.model, champion
        found.name, self.champion = self.champion, found.name
        found.told, self.told = self.told, found.told
        for each in self.all:
            each.anew(model.counts.events)
        return model

    def take(self, work: Callable[[OnlineLogit], Any], heard: list[Mature], pause: Callable[[], None]) -> None:
        """Have each do what the champion has done, which judged the events `heard`."""
        for each in list(self):
            pause()
            each.take(work, heard)

    # ---- readings and state

    def figures(self, champion: OnlineLogit) -> list[dict[str, Any]]:
        """Of every model, the champion first."""
        told = [{"name": self.champion, "role": "champion"} | _figures(champion)]
        for each in self.all:
            told.append({"name": each.name, "role": "challenger", "out": each.fault or None})
            if each.runs:
                compared = each.comparison.read()._asdict()
                compared = {_NAMES.get(name, name): value for name, value in compared.items()}
                told[-1] |= _figures(each.model) | {"since_event": each.since, "compared": compared}
        return told

    def header(self) -> dict[str, Any]:
        return {
            "champion": self.champion, "told": self.told, "past": list(self.past), "all": [each.header() for each in self.all]
        }  # fmt: skip

    def state(self, read: Read) -> Lent:
        parts = [each.state(read) for each in self.all]
        return Lent({f"{PREFIX}{k}.{name}": a for k, part in enumerate(parts) for name, a in part.items()}, *parts)

    def restore(self, header: dict[str, Any] | None, arrays: dict[str, Array], where: str) -> None:
        """Become what `header` and `state` were taken from; a StateError where they do not fit."""
        if header is None:
            return
        try:
            self.champion, self.told, self.past = header["champion"], header["told"], list(header["past"])
            for k, each in enumerate(header["all"]):
                own = under(arrays, f"{PREFIX}{k}.")
                self.all.append(Challenger.of_state(each, own, f"{where}, challenger {each['name']}"))
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{where}: its challengers do not fit: {error!r}") from error


_NAMES = {
    "first": "champion_log_loss", "second": "log_loss", "mean": "difference",
    "second_better": "evidence_better", "first_better": "evidence_worse",
}  # fmt: skip


def _figures(model: OnlineLogit) -> dict[str, Any]:
    if not model.settled:
        return {}
    quality = model.quality()
    return {
        "learner": model.config.learner, "frozen": model.pipeline.frozen, "features": list(model.schema.terms),
        "learned": model.counts.learned, "examples": quality.examples, "log_loss": quality.log_loss,
        "calibration_error": quality.calibration_error,
    }  # fmt: skip


def derived(schema: Schema, features: list[str] | None) -> Schema:
    """The champion's schema with other derived terms; they may read the columns that the champion reads."""
    if features is None:
        return schema
    terms = schema.spelled(features)
    found = replace(schema, terms=terms)
    missing = sorted(found.operands - schema.kept)
    if missing:
        raise ConfigError(
            f"column {missing[0]!r} is not kept: derived terms of challengers read what the champion reads"
        )
    try:
        return Schema.from_json(found.to_json())
    except StateError as error:
        raise ConfigError(f"features {list(terms)}: {error}") from error
