"""What an alarm does beside warning: promote a recalibration that has proved itself, or stop learning.

A shadow learns z' = a + b z from settled events in prediction order (kernels/recalibration.py). Every 1,000th event it writes
down its map, which is what it says of the events from there on. After an alarm that pages it is promoted at the first of those
places where its evidence against what is stated has reached 1,000: from there on z' is what is stated, and the map goes on
learning. While stated probabilities are right that happens ever, however long the stream, with a probability of at most
1/1000, whatever the alarms do. The stated z stays a known function of the raw one, so nothing else has to be kept.

Every act is an `Alarm` of kind "act", which pages nobody, and is taken back by `revert`. Acts are functions of the stream
alone: they happen at multiples of 1,000 events, however it is cut.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.kernels import recalibration as kernel
from onlogit.kernels.flips import NO_FLIPS, Flips, observed_log_odds
from onlogit.monitor.alarms import NO_TIME, Alarm

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
Array = npt.NDArray[np.generic]

EVERY = 1_000  # events from one place where acts may happen to the next
ENOUGH = 1_000.0  # evidence at which the shadow may be promoted: 1 / α
SLOPES = 0.05, 4.0  # within which b is held
UTMOST = math.log((1 - 1e-6) / 1e-6)  # no p beyond 1e-6 of 0 or 1 is stated
FIRST, LEVEL, SLOPE, STATED = range(4)
NO_ALARM = -1.0


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
        error = 1.96 * math.sqrt(max(float(self._cov[2]), 0.0))
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
            effect_unit="slope", region=None, direction=direction, arms=(), advice="revert() takes it back.", repeats=0,
        )  # fmt: skip

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies."""
        return {name: array.copy() for name, array in self._named().items()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state(). StateError, with nothing changed, if it is not one."""
        for name, own in self._named().items():
            given = state.get(name)
            size = () if name == "maps" else own.shape
            if given is None or given.dtype != own.dtype or given.shape[: len(size)] != size:
                raise StateError(f"repair: {name} is missing, or not {own.dtype}{own.shape}")
            if not np.isfinite(given).all():
                raise StateError(f"repair: {name} holds a value that is not finite")
        maps = state["maps"]
        if maps.ndim != 2 or len(maps) == 0 or maps.shape[1] != 4 or not (maps[:, SLOPE].astype(float) > 0.0).all():
            raise StateError("repair: maps is not float64[k, 4] with slopes above 0")
        for name, own in self._named().items():
            if name != "maps":
                own[...] = state[name]
        self._maps = state["maps"].astype(np.float64)

    def _named(self) -> dict[str, Array]:
        return {
            "mean": self._mean, "cov": self._cov, "capital": self._capital, "maps": self._maps, "heard": self._heard,
            "frozen": self._frozen,
        }  # fmt: skip


def _mapped(z: F64, a: float | F64, b: float | F64) -> F64:
    mapped: F64 = np.clip(a + b * z, -UTMOST, UTMOST)
    return mapped
