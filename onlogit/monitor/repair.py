"""What an alarm does beside warning: promote a recalibration that has proved itself, make the belief forget, or stop learning.

A shadow learns z' = a + b z from settled events in prediction order (kernels/recalibration.py). Every 1,000th event it writes
down its map, which is what it says of the events from there on. After an alarm that pages it is promoted at the first of those
places where its evidence against what is stated has reached 1,000: from there on z' is what is stated, and the map goes on
learning. While stated probabilities are right that happens ever, however long the stream, with a probability of at most
1/1000, whatever the alarms do. The stated z stays a known function of the raw one, so nothing else has to be kept.

Forgetting is done to the learner, once for each alarm that pages: it is told since when something changed, and by how much if
a level alone moved (learners/forgetting.py). What it knew before the last such act is kept until it is taken back.

Every act is an `Alarm` of kind "act", which pages nobody, and is taken back by `revert`. Acts are functions of the stream
alone: they happen at multiples of 1,000 events, however it is cut.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from onlogit.encoding.event_columns import NO_TIME
from onlogit.errors import ConfigError, StateError
from onlogit.kernels import recalibration as kernel
from onlogit.kernels.flips import NO_FLIPS, Flips, observed_log_odds
from onlogit.kernels.link import UTMOST
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.estimates import Z95
from onlogit.monitor.sound import (
    LARGEST,
    MOST,
    SLACK,
    ascending,
    demand,
    require_between,
    require_counts,
    require_evidence,
)
from onlogit.states import check, like, under

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
Array = npt.NDArray[np.generic]
State = dict[str, np.ndarray[Any, Any]]

EVERY = 1_000  # events from one place where acts may happen to the next
ENOUGH = 1_000.0  # evidence at which the shadow may be promoted: 1 / α
SLOPES = 0.05, 4.0  # within which b is held
FIRST, LEVEL, SLOPE, STATED = range(4)
NO_ALARM = -1.0
FARTHEST = 1e6  # of a map's numbers, and of an alarm's effect: far beyond what a stream gives


@runtime_checkable
class Forgetful(Protocol):
    """A learner that can forget."""

    def forget(self, since: float, labels: float, shift: float | None) -> None:
        """Something changed `since` labels ago, `labels` being held at most; by `shift` logits where a level alone moved."""

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that it knows."""

    def restore(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        """Become the learner whose state this is."""


def repair_of(act: str, learner: object, flips: Flips = NO_FLIPS) -> "Repair | None":
    """What acts on alarms as `on_alarm` says; None for "warn"."""
    if act == "forget":
        if not isinstance(learner, Forgetful):
            raise ConfigError('on_alarm = "forget" needs a learner with a belief: take learner = "belief"')
        return Forget(learner)
    return None if act == "warn" else Repair(act, flips)


class Repair:
    """Acts on the alarms of one stream. act: "recalibrate" or "freeze"."""

    def __init__(self, act: str, flips: Flips = NO_FLIPS) -> None:
        self.act, self._flips = act, flips
        self._mean, self._cov = np.array([0.0, 1.0]), np.array([kernel.PRIOR, 0.0, kernel.PRIOR])
        self._capital = np.array([kernel.NOTHING, 0.0])
        self._maps = np.array([[0.0, 0.0, 1.0, 0.0]])  # [k, 4] first event, a, b, whether stated; of events not settled
        self._heard = np.array([NO_ALARM, 0.0, 0.0])  # event, observed and expected of the alarm to be acted upon
        self._frozen = np.zeros(1, np.bool_)

    @property
    def frozen(self) -> bool:
        """Whether learning was stopped."""
        return bool(self._frozen[0])

    @property
    def promoted(self) -> bool:
        """Whether the shadow's map is what is stated."""
        return bool(self._maps[-1, STATED])

    @property
    def acted(self) -> bool:
        """Whether there is something to take back."""
        return self.promoted or self.frozen

    @property
    def map(self) -> tuple[float, float]:
        """a and b as the shadow has them now."""
        return float(self._mean[0]), float(self._mean[1])

    @property
    def evidence(self) -> float:
        """How many times better than what is stated the shadow foretold the labels; 1e300 at most."""
        return math.exp(min(kernel.log_evidence(self._capital), 690.0))

    def stated(self, z: F64, z_sd: F64) -> tuple[F64, F64]:
        """Log-odds and their sd as they are stated now, from what the learner says."""
        if not self.promoted:
            return z, z_sd
        return _mapped(z, self._maps[-1, LEVEL], self._maps[-1, SLOPE]), z_sd * self._maps[-1, SLOPE]

    def learn(self, event: I64, z: F64, y: I8, weight: F64, judged: npt.NDArray[np.bool_]) -> None:
        """Settled rows [n] in prediction order: numbers, log-odds as stated, labels, weights, whether they are evidence."""
        if self.act != "recalibrate":
            return
        own = self._maps[np.searchsorted(self._maps[:, FIRST], event, side="right") - 1]
        stated = own[:, STATED] > 0.0
        raw = np.where(stated, (z - own[:, LEVEL]) / own[:, SLOPE], z)
        shadow = np.where(stated, z, _mapped(raw, own[:, LEVEL], own[:, SLOPE]))
        bets = observed_log_odds(z, self._flips), observed_log_odds(shadow, self._flips)
        kernel.weigh_and_learn(raw, *bets, y, weight, judged, self._mean, self._cov, self._capital, self._flips)

    def hear(self, alarms: list[Alarm]) -> None:
        """Note the first alarm that pages and was not acted upon."""
        for alarm in alarms:
            if alarm.pages and self._heard[0] == NO_ALARM:
                self._heard[:] = alarm.event, alarm.observed, alarm.expected

    def turn(self, event: int, time: int, settled: int) -> list[Alarm]:
        """What is done before a multiple of EVERY events is scored. settled: all events before this number are."""
        asked = self._heard[0] != NO_ALARM
        if self.act == "freeze":
            if not asked or self.frozen:
                return []
            self._frozen[0] = True
            return [self._told("freeze", event, time, "weights stay as they are from here on", 0.0, 0.0)]
        promotes = asked and not self.promoted and self.evidence >= ENOUGH
        a, b = float(self._mean[0]), min(max(float(self._mean[1]), SLOPES[0]), SLOPES[1])
        self._write(event, a, b, promotes or self.promoted, settled)
        if not promotes:
            return []
        error = Z95 * math.sqrt(max(float(self._cov[2]), 0.0))
        return [self._told("recalibrate", event, time, f"log-odds z are stated as {a:+.2f} {b:+.2f} z, and that map "
                           "goes on learning", b, error)]  # fmt: skip

    def revert(self, event: int) -> Alarm:
        """Take back what was done: events from this number on are stated and learned as the learner has it.

        The shadow goes on from what it knows, but its evidence starts anew, and so do the alarms that it waits for.
        """
        told = self._told("revert", event, NO_TIME, "stated and learned as before", 0.0, 0.0)
        self._frozen[0] = False
        self._heard[0] = NO_ALARM
        self._capital[0] = kernel.NOTHING
        self._write(event, float(self._maps[-1, LEVEL]), float(self._maps[-1, SLOPE]), False, 0)
        return told

    def _write(self, event: int, a: float, b: float, stated: bool, settled: int) -> None:
        """What the shadow says from an event on; maps of settled events are given up."""
        first = max(int(np.searchsorted(self._maps[:, FIRST], settled, side="right")) - 1, 0)
        self._maps = np.concatenate([self._maps[first:], [[event, a, b, stated]]])

    def _told(self, what: str, event: int, time: int, direction: str, effect: float, error: float) -> Alarm:
        heard, observed, expected = self._heard.tolist()
        return Alarm(
            kind="act", what=what, event=event, time=None if time == NO_TIME else time, onset_event=int(heard),
            onset_time=None, evidence=self.evidence, patience=ENOUGH, tolerance=0.0, examples=int(self._capital[1]),
            observed=observed, expected=expected, effect=effect, effect_low=effect - error, effect_high=effect + error,
            effect_unit="slope", region=None, direction=direction, arms=(), repeats=0,
            advice="" if what == "revert" else "revert takes it back.",
        )  # fmt: skip

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies."""
        return {name: array.copy() for name, array in self._named().items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state(). StateError, with nothing changed, if it is not one."""
        check("repair", state, like(self._named(), any_length=("maps",)))
        maps, heard, capital = state["maps"], state["heard"], state["capital"]
        demand(len(maps) > 0 and ascending(maps[:, FIRST]), "repair.maps", "of maps in order")
        require_counts(maps[:, FIRST], "repair.maps")
        require_between(maps[:, LEVEL], "repair.maps", -FARTHEST, FARTHEST)
        require_between(maps[:, SLOPE], "repair.maps", *SLOPES)
        require_counts(maps[:, STATED], "repair.maps", 1)
        require_between(state["mean"], "repair.mean", -FARTHEST, FARTHEST)
        require_between(state["cov"], "repair.cov", -1.0, 1.0)
        require_between(state["cov"][::2], "repair.cov", -SLACK, 1.0)
        demand(
            state["cov"][1] ** 2 <= max(state["cov"][0] * state["cov"][2], 0.0) + SLACK, "repair.cov", "a covariance"
        )
        require_between(capital[:1], "repair.capital", 2.0 * kernel.NOTHING, LARGEST)
        require_counts(capital[1:], "repair.capital")
        if heard[0] != NO_ALARM:
            require_counts(heard[:1], "repair.heard")
        require_between(heard[1:], "repair.heard", 0.0, 1.0)
        for name, own in self._named().items():
            if name != "maps":
                own[...] = state[name]
        self._maps = maps.copy()

    def within(self, first: int, events: int) -> bool:
        """Whether what it remembers is of events up to these many, and of every one from `first` on, whose turn has not come."""
        return bool(self._maps[0, FIRST] <= first and max(self._maps[-1, FIRST], self._heard[0]) <= events)

    def _named(self) -> dict[str, Array]:
        return {
            "mean": self._mean, "cov": self._cov, "capital": self._capital, "maps": self._maps, "heard": self._heard,
            "frozen": self._frozen,
        }  # fmt: skip


def merge(fresh: State, base: State, parts: Mapping[str, State], anew: bool) -> State:
    """Of one that goes on from what several workers learned; `anew`: their base had learned nothing.

    Shadows and alarms heard begin anew. An act before the base, on the belief, is still there to be taken back. A ConfigError
    names a part on which an alarm has acted since: that would be taken back by the merge, and nobody told. It also names one
    that took back what the base had forgotten, and so does not go on from what the base knows.
    """
    for name, part in parts.items():
        kept, own = _before(base), _before(part)
        if part["maps"][-1, STATED] or part["frozen"][0] or (own and not (anew or _alike(kept, own))):
            raise ConfigError(
                f"{name}: an alarm has acted on it, which a merge would take back; revert it first (`revert()`, "
                "`onlogit revert`)"
            )
        if kept and not own and not _took_back_its_own(base, part):
            raise ConfigError(
                f"{name}: what the base had forgotten was taken back on it; revert the base and all other parts as well"
            )
    merged = fresh | _before(base)
    if "labels" in base:
        merged["labels"] = base["labels"] + sum(part["labels"] - base["labels"] for part in parts.values())
    return merged


def _before(state: State) -> State:
    """What the learner knew before it forgot."""
    return {name: array for name, array in state.items() if name.startswith("before.")}


def _alike(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _took_back_its_own(base: State, part: State) -> bool:
    """Whether the act that a part took back is one since the base, of another alarm than the base heard last."""
    return bool(part["labels"][0] >= base["labels"][0]) and not np.array_equal(part["onset"], base["onset"])


class Forget(Repair):
    """Makes the learner forget after every alarm that pages."""

    def __init__(self, learner: Forgetful) -> None:
        super().__init__("forget")
        self._learner = learner
        self._onset = np.zeros(4)  # of the alarm heard: its first event, effect, whether that is a level's, evidence
        self._labels = np.zeros(1)  # events that no longer count among those that the belief holds
        self._before: dict[str, np.ndarray[Any, Any]] = {}  # what the learner knew before the last act

    @property
    def acted(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._before)

    @property
    def evidence(self) -> float:
        """That of the alarm which was heard last."""
        return float(self._onset[3])

    def hear(self, alarms: list[Alarm]) -> None:
        """Note the first alarm that pages and was not acted upon."""
        for alarm in alarms:
            if alarm.pages and self._heard[0] == NO_ALARM:
                self._onset[:] = alarm.onset_event, alarm.effect, alarm.what == "level", alarm.evidence
        super().hear(alarms)

    def turn(self, event: int, time: int, settled: int) -> list[Alarm]:
        """What is done before a multiple of EVERY events is scored."""
        if self._heard[0] == NO_ALARM:
            return []
        onset, effect, level, _ = self._onset.tolist()
        since = event - onset
        self._before = self._learner.state() | {"forgotten": self._labels.copy()}
        self._learner.forget(since, event - float(self._labels[0]), effect if level else None)
        if not level:
            self._labels[0] = max(float(self._labels[0]), onset)
        what = (
            f"the bias may have moved by {effect:+.2f}" if level else f"what is known weighs as {since:,.0f} labels do"
        )
        told = self._told(
            "forget", event, time, f"{what}, as something changed at about event {onset:.0f}", effect, 0.0
        )
        self._heard[0] = NO_ALARM
        return [told]

    def revert(self, event: int) -> Alarm:
        """Take the last act back: the learner knows what it knew before, and what it has learned since is lost."""
        told = self._told(
            "revert", event, NO_TIME, "known is what was before; what was learned since is lost", 0.0, 0.0
        )
        self._heard[0] = NO_ALARM
        self._labels[:] = self._before["forgotten"]
        self._learner.restore({name: array for name, array in self._before.items() if name != "forgotten"})
        self._before = {}
        return told

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies; among it what the learner knew before the last act."""
        return super().state() | {f"before.{name}": array.copy() for name, array in self._before.items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state(). StateError, with nothing changed, if it is not one. The learner is restored before."""
        before = under(state, "before.")
        if before:
            now = self._learner.state()
            check("repair", state, {"before.forgotten": (np.float64, (1,))})
            require_between(state["before.forgotten"], "repair.before.forgotten", 0.0, MOST)
            try:
                self._learner.restore({name: array for name, array in before.items() if name != "forgotten"})
            except StateError as error:
                raise StateError(f"repair: what was known before: {error}") from error
            finally:
                self._learner.restore(now)
        super().restore(state)
        self._require()
        self._before = {name: array.copy() for name, array in before.items()}

    def _require(self) -> None:
        """A StateError unless alarms can have left this."""
        require_counts(self._onset[:1], "repair.onset")
        require_between(self._onset[1:2], "repair.onset", -FARTHEST, FARTHEST)
        require_counts(self._onset[2:3], "repair.onset", 1)
        require_evidence(self._onset[3:], "repair.onset")
        require_between(self._labels, "repair.labels", 0.0, MOST)

    def within(self, first: int, events: int) -> bool:
        """As in `Repair`; and whether labels that no longer count are of events before those."""
        return super().within(first, events) and bool(max(self._onset[0], self._labels[0]) <= events)

    def _named(self) -> dict[str, Array]:
        return super()._named() | {"onset": self._onset, "labels": self._labels}


def _mapped(z: F64, a: float | F64, b: float | F64) -> F64:
    mapped: F64 = np.clip(a + b * z, -UTMOST, UTMOST)
    return mapped
