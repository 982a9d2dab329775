"""The SGD family behind the learner's protocol: plain (`averaged` or not), AdaGrad, FTRL-Proximal. Fast, with a rate to choose.

Weights are float32. There is no belief, so z_sd is NaN, and a remembered row needs no memo. Memory: 13 bytes a slot (sgd),
17 (averaged, adagrad), 21 (ftrl), of which pages that are never touched cost nothing. Mathematics: kernels/sgd.py.

Merged, weights are averaged, each by how much the part moved it: its learned weight (sgd), its squared gradients (adagrad,
ftrl; Agarwal et al. 2014). That is no sum of what was learned, as a belief's merge is: the steps of the parts are not added.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.config import SGD_RATES, SgdConfig
from onlogit.encoding import Rows
from onlogit.errors import ConfigError
from onlogit.kernels import sgd
from onlogit.kernels.flips import NO_FLIPS, Flips
from onlogit.learners.protocol import (
    NO_CENTRE,
    NO_LOOKS,
    Centre,
    Coefficients,
    Glance,
    Looks,
    Pending,
    Pushes,
    Scores,
    State,
    Tape,
    Units,
    group_means,
    known,
    levels_of,
    unwritten,
)
from onlogit.learners.sound import demand, require_arrays, require_slots, within

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

RULES = {"sgd": sgd.SGD, "adagrad": sgd.ADAGRAD, "ftrl": sgd.FTRL}
SCHEDULES = {"constant": sgd.CONSTANT, "sqrt": sgd.SQRT, "inverse": sgd.INVERSE}


SQUARED = 1e18  # of what a step squares in single precision


class SgdLearner:
    """One step against the gradient for each example, or for each mini-batch."""

    memo_width = 0

    def __init__(
        self, config: SgdConfig, numbers: int, slot_bits: int, kind: str = "sgd", flips: Flips = NO_FLIPS
    ) -> None:
        """`kind` is "sgd", "adagrad" or "ftrl". ConfigError for a setting that the kind does not have."""
        if config.averaged and kind != "sgd":
            raise ConfigError(f'averaged: {kind!r} has no such setting; it goes with the learner "sgd"')
        if config.schedule != "constant" and kind == "ftrl":
            raise ConfigError(
                f'schedule = {config.schedule!r}: "ftrl" lowers the rate of each weight by itself; leave it out'
            )
        self.numbers = numbers
        rule = sgd.AVERAGED if config.averaged else RULES[kind]
        self._settings = sgd.Settings(
            rule,
            config.rate or SGD_RATES[kind],
            SCHEDULES[config.schedule],
            config.l1,
            config.l2,
            config.batch,
            flips,
        )
        self.weights = sgd.new_state(rule, numbers, 1 << slot_bits)

    def learn(
        self, rows: Rows, tape: Tape, y: F64, weight: F64, memo: F32, live: bool = True, looks: Looks = NO_LOOKS
    ) -> Scores:
        """Walk the whole tape; see `Learner.begin`."""
        scores, at, ops = unwritten(len(y)), 0, len(tape.row)
        while at < ops:
            if at == looks.op and (slots := looks.slots()) is not None:
                looks.take(self.glance(slots))
            part = slice(at, min(looks.op, ops))
            sgd.walk(
                tape.row[part], tape.act[part], rows.dense, rows.starts, rows.slots, rows.values, y, weight,
                self._settings, self.weights, scores.z,
            )  # fmt: skip
            at = part.stop
        return scores

    def begin(
        self, rows: Rows, tape: Tape, y: F64, weight: F64, memo: F32, live: bool = True, looks: Looks = NO_LOOKS
    ) -> Pending:
        """The whole walk, at once."""
        return known(self.learn(rows, tape, y, weight, memo, live, looks))

    def score(self, rows: Rows) -> Scores:
        """Score every row; changes nothing."""
        n = len(rows.dense)
        scores = Scores(np.empty(n), np.full(n, np.nan))
        sgd.score(*rows, self._settings, self.weights, scores.z)
        return scores

    def coefficients(self, centre: Centre = NO_CENTRE) -> Coefficients:
        """The weights that scores are made of; a slot whose weight is exactly 0 is not listed, unless it is centred."""
        w = self.weights
        dense = self._stated(w.dense[:, : self.numbers])
        seen = np.union1d(np.flatnonzero(w.table[0]), centre.slots)
        slots, level = self._stated(w.table[:, seen]), group_means(centre, self._stated(w.table[:, centre.slots]))
        slots[np.searchsorted(seen, centre.slots)] -= level[centre.group]
        none = np.full(len(dense), np.nan), np.full(len(seen), np.nan)
        bias = float(self._stated(w.bias)[0] + level.sum())
        return Coefficients(bias, dense, none[0], seen, slots, none[1])

    def glance(self, slots: npt.NDArray[np.int64]) -> Glance:
        """The weights that scores are made of; `gain` is the sum of squared gradients where the rule adds them up, else 1."""
        w, table = self.weights, self.weights.table[:, slots]
        dense, weights = self._stated(w.dense[:, : self.numbers]), self._stated(table)
        gain = (weights != 0.0).astype(np.float64)
        if self._settings.rule in (sgd.ADAGRAD, sgd.FTRL):
            gain = table[1].astype(np.float64) ** (1 if self._settings.rule == sgd.ADAGRAD else 2)
        return Glance(float(self._stated(w.bias)[0]), dense, weights, gain)

    def _stated(self, cells: npt.NDArray[np.floating[Any]]) -> F64:
        """The weights of these cells [planes, n] that scores are made of: [n]."""
        weights = cells[0].astype(np.float64)
        t = self.weights.clock[sgd.LEARNED]
        return np.asarray(weights - cells[1] / t) if self._settings.rule == sgd.AVERAGED and t > 0 else weights

    def pushes(self, row: Rows, centre: Centre, group: npt.NDArray[np.int64]) -> Pushes:
        """What each term of the first row adds to its log-odds: weight x value."""
        w, own = self.weights, slice(0, row.starts[1])
        level = levels_of(group_means(centre, self._stated(w.table[:, centre.slots])), group)
        bias = float(self._stated(w.bias)[0] + level.sum())
        dense = self._stated(w.dense[:, : self.numbers]) * row.dense[0]
        slots = self._stated(w.table[:, row.slots[own]]) * row.values[own] - level
        z = float(self.score(row).z[0])
        return Pushes(bias, dense, slots, z - bias - float(dense.sum()) - float(slots.sum()), z)

    def last_word(self) -> None:
        """There is none."""

    def correlations(self) -> F64:
        """None: there is no posterior."""
        return np.zeros((0, 0))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Only slots that have learned something, or hold a gradient, are listed."""
        w = self.weights
        seen = np.flatnonzero((w.table != 0).any(axis=0) | (w.held != 0))
        touched = w.touched[: w.slots_held[0]].copy()
        return {
            "bias": w.bias.copy(), "dense": w.dense.copy(), "clock": w.clock.copy(), "bias_grad": w.bias_grad.copy(),
            "grad": w.grad.copy(), "slots": seen, "table": np.ascontiguousarray(w.table[:, seen]),
            "touched": touched, "table_grad": w.table_grad[touched],
        }  # fmt: skip

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Become the learner whose `state` this is; StateError, and nothing changed, where it does not fit."""
        w = self.weights
        seen, touched = (np.size(state.get(name, ())) for name in ("slots", "touched"))
        whole = ("bias", "dense", "clock", "bias_grad", "grad")
        wanted = {
            **{name: (getattr(w, name).dtype, getattr(w, name).shape) for name in whole},
            "slots": (np.dtype(np.int64), (seen,)), "table": (w.table.dtype, (len(w.table), seen)),
            "touched": (np.dtype(np.int32), (touched,)), "table_grad": (w.table_grad.dtype, (touched,)),
        }  # fmt: skip
        require_arrays(state, wanted)
        for name in ("slots", "touched"):
            require_slots(state, name, w.table.shape[1])
        self._check_sums(state)
        fresh = sgd.new_state(self._settings.rule, self.numbers, w.table.shape[1])
        for name in whole:
            getattr(fresh, name)[...] = state[name]
        places, held = state["slots"].astype(np.int64), state["touched"].astype(np.int64)
        fresh.table[:, places] = state["table"]
        fresh.table_grad[held] = state["table_grad"]
        fresh.held[held] = 1
        fresh.touched[: len(held)] = held
        fresh.slots_held[0] = len(held)
        self.weights = fresh

    def _check_sums(self, state: State) -> None:
        """A StateError where what only adds up is below 0, or a square would not be finite."""
        demand((state["clock"] >= 0.0).all() and state["clock"][sgd.HELD] <= self._settings.batch, "clock", "a clock's")
        for name in ("bias_grad", "grad", "table_grad"):
            demand(within(state[name], SQUARED), name, f"of numbers up to {SQUARED:g}")
        if self._settings.rule in (sgd.ADAGRAD, sgd.FTRL):
            for name in ("bias", "dense", "table"):
                fits = (state[name][1] >= 0.0).all() and within(state[name][1], SQUARED)
                demand(fits, name, f"of sums of squares from 0 to {SQUARED:g}")

    def wrote(self, memo: F32) -> bool:
        """It writes none."""
        return True

    def merge(self, base: State, parts: Sequence[State], units: Sequence[Units]) -> State:
        """Weights averaged over the parts that moved them since the base; see `_average`.

        Units are not looked at. A mini-batch that is not full is kept if only one part has one, else let go.
        """
        clock = [state["clock"][sgd.LEARNED] for state in (base, *parts)]
        end = clock[0] + sum(t - clock[0] for t in clock[1:])
        slots = np.unique(np.concatenate([state["slots"] for state in (base, *parts)]))
        merged: State = {"slots": slots, "clock": np.array([end, 0.0])}
        for name, penalties in (("bias", False), ("dense", True), ("table", True)):
            cells = [_widened(state, slots) if name == "table" else state[name] for state in (base, *parts)]
            kind = cells[0].dtype
            merged[name] = self._average([c.astype(np.float64) for c in cells], clock, end, penalties).astype(kind)
        holding = [part for part in parts if part["clock"][sgd.HELD] > 0]
        rest = holding[0] if len(holding) == 1 else _emptied(base)
        merged["clock"][sgd.HELD] = rest["clock"][sgd.HELD]
        return merged | {name: rest[name] for name in ("bias_grad", "grad", "touched", "table_grad")}

    def _average(self, cells: list[F64], clock: list[float], end: float, penalties: bool) -> F64:
        """Cells [planes, n] of the base and of each part, as kernels/sgd.py has them, as one."""
        rule, (base, *parts) = self._settings.rule, cells
        stacked = np.stack(parts)
        if rule in (sgd.ADAGRAD, sgd.FTRL):
            power = 1 if rule == sgd.ADAGRAD else 2
            moved = np.maximum(stacked[:, 1] ** power - base[1] ** power, 0.0)
        else:
            moved = (stacked != base).any(axis=1) * (np.array(clock[1:]) - clock[0])[:, None]
        total = moved.sum(axis=0)
        share = moved / np.where(total > 0.0, total, 1.0)
        merged = base.copy()
        merged[0] = (share * stacked[:, 0]).sum(axis=0)
        if rule == sgd.AVERAGED:
            stated = stacked[:, 0] - stacked[:, 1] / np.maximum(np.array(clock[1:]), 1e-300)[:, None]
            merged[1] = end * (merged[0] - (share * stated).sum(axis=0))
        elif rule != sgd.SGD:
            merged[1] = (base[1] ** power + total) ** (1.0 / power)
        if rule == sgd.FTRL:
            l1, l2 = (self._settings.l1, self._settings.l2) if penalties else (0.0, 0.0)
            pull = -merged[0] * ((1.0 + merged[1]) / self._settings.rate + l2) - np.sign(merged[0]) * l1
            idle = np.clip((share * stacked[:, 2]).sum(axis=0), -l1, l1)
            merged[2] = np.where(merged[0] == 0.0, idle, pull)
        return np.where(total > 0.0, merged, base)


def _widened(state: State, slots: npt.NDArray[np.int64]) -> F32:
    """The state's table over all of these slots."""
    table = np.zeros((len(state["table"]), len(slots)), np.float32)
    table[:, np.searchsorted(slots, state["slots"])] = state["table"]
    return table


def _emptied(state: State) -> State:
    """The state with nothing in its mini-batch."""
    held = {name: np.zeros_like(state[name]) for name in ("bias_grad", "grad")}
    held |= {name: state[name][:0] for name in ("touched", "table_grad")}
    return state | held | {"clock": np.array([state["clock"][sgd.LEARNED], 0.0])}
