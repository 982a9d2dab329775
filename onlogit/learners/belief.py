"""The default learner: experts with Gaussian beliefs, weighed by a mixture. Nothing to tune.

Each expert is one half-life and one prior width; half-lives x priors of them (20 by default) see the same rows. They run
in two groups on two threads, and the mixture, the last word and the running rate follow in passes of their own, so results
depend neither on the number of threads nor on how the stream was cut. Mathematics: kernels/belief.py, mixture.py,
stacking.py and base_rate.py.

Memory: 4 D² bytes an expert for the dense block, 8 bytes an expert and slot (pages of slots never learned are never
touched), 8 K + 12 bytes a remembered row. Numbers beyond `dense_limit` get a variance each, like slots, in column order.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.config import BeliefConfig
from onlogit.encoding import Rows
from onlogit.errors import StateError
from onlogit.kernels import base_rate, belief, mixture, stacking
from onlogit.learners import merging
from onlogit.learners.merging import Gaussian, Slots
from onlogit.learners.protocol import SCORE, Coefficients, Scores, State, Tape, Units

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

GROUPS = 2  # fixed: results must not depend on the number of cores
ALONE = 64  # operations below which a second thread costs more than it saves
LANES = 8  # the dense block is padded to a multiple of this, one vector of float32


class Group(NamedTuple):
    """Some experts and all that they know. E experts, D coordinates (bias first), H slots."""

    first: int  # number of the first expert among all K
    rate: F64  # [E] ln 2 / half-life
    bias_prior: F64  # [E] variance
    dense_prior: F64  # [E] variance
    clock: F64  # [1] 1 + weight learned so far
    mean: F32  # [E, D] log-odds per standard deviation
    cov: F32  # [E, D, D]
    table: F32  # [H, 2, E] mean and variance of each slot
    touched: F64  # [H] clock when a slot was last learned, 0 for never


class Weights(NamedTuple):
    """The mixture's state over M = 2 K voices and A switching rates."""

    switching: F64  # [A]
    u: F64  # [A, M] weight of each voice
    omega: F64  # [A] weight of each mixture


class Stack(NamedTuple):
    """The belief of the last word about its K + 2 weights: bias, the mixture's z, each expert's difference from it."""

    prior: F64  # [K + 2] variance
    mean: F64  # [K + 2]
    cov: F64  # [K + 2, K + 2]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(GROUPS - 1, thread_name_prefix="onlogit-belief")


class BeliefLearner:
    """Online Bayesian logistic regression with a mixture over half-lives and prior widths."""

    def __init__(self, config: BeliefConfig, numbers: int, slot_bits: int) -> None:
        self.config = config
        self.numbers = numbers
        self.dense = min(numbers, config.dense_limit)
        self.hashed = 1 << slot_bits
        experts = [(half_life, *prior) for half_life in config.half_lives for prior in config.priors]
        self.experts = len(experts)
        self.memo_width = 2 * self.experts + 3
        cuts = np.array_split(np.arange(self.experts), min(GROUPS, self.experts))
        self.groups = [self._fresh(np.array(experts)[cut], int(cut[0])) for cut in cuts]
        rates, voices = len(config.switching), 2 * self.experts
        self.weights = Weights(
            np.array(config.switching), np.full((rates, voices), 1.0 / voices), np.full(rates, 1.0 / rates)
        )
        self.rate = np.array([0.0, 0.0, base_rate.START, 0.0])  # positives, labels, weight of their share
        self.flight = np.zeros(2)  # mean number of events that wait for their label, and of how many labels
        prior = np.full(self.experts + 2, config.stacking_prior)
        self.stack = Stack(prior, np.eye(1, self.experts + 2, 1)[0], np.diag(prior))

    def _fresh(self, experts: F64, first: int) -> Group:
        """Experts [E, 3] (half-life, variance of weights, variance of the bias) that have seen nothing."""
        half_life, bias_prior = experts[:, 0].copy(), experts[:, 2].copy()
        dense_prior = experts[:, 1].astype(np.float32).astype(np.float64)  # the table of slots holds it exactly
        width = -(-(1 + self.dense) // LANES) * LANES
        cov = np.zeros((len(experts), width, width), np.float32)
        cov[:, 0, 0] = bias_prior
        for a in range(1, 1 + self.dense):
            cov[:, a, a] = dense_prior
        slots = self.hashed + self.numbers - self.dense
        return Group(
            first, np.log(2.0) / half_life, bias_prior, dense_prior, np.ones(1), np.zeros(cov.shape[:2], np.float32),
            cov, np.zeros((slots, 2, len(experts)), np.float32), np.zeros(slots),
        )  # fmt: skip

    def _narrow(self, rows: Rows) -> Rows:
        """The rows with numbers beyond the dense block as slots of their own, after the hashed ones."""
        beyond = self.numbers - self.dense
        if beyond == 0:
            return rows
        n = len(rows.dense)
        old = np.arange(len(rows.slots)) + np.repeat(np.arange(n) * beyond, np.diff(rows.starts))
        starts = rows.starts + np.arange(n + 1) * beyond
        slots, values = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
        slots[old], values[old] = rows.slots, rows.values
        new = (starts[1:, None] - beyond + np.arange(beyond)).ravel()
        slots[new] = np.tile(np.arange(beyond, dtype=np.int32) + self.hashed, n)
        values[new] = rows.dense[:, self.dense :].ravel()
        return Rows(np.ascontiguousarray(rows.dense[:, : self.dense]), starts, slots, values)

    def learn(self, rows: Rows, tape: Tape, y: F64, weight: F64, memo: F32) -> Scores:
        """Walk the tape; see `Learner.learn`."""
        rows = self._narrow(rows)

        def walk(g: Group) -> None:
            belief.walk(
                tape.row, tape.act, *rows, y, weight, g.rate, g.bias_prior, g.dense_prior, g.dense_prior,
                g.clock, g.mean, g.cov, g.table, g.touched, g.first, self.experts, memo,
            )  # fmt: skip

        if len(tape.row) < ALONE:
            for group in self.groups:
                walk(group)
        else:
            others = [_threads().submit(walk, group) for group in self.groups[1:]]
            walk(self.groups[0])
            for other in others:
                other.result()
        scores = Scores(np.full(len(y), np.nan), np.full(len(y), np.nan))
        counts = np.zeros(len(tape.row))
        mixture.temper(tape.row, tape.act, tape.waiting, weight, self.flight, counts)
        after = tape.row, tape.act, counts, y, memo
        mixture.walk(*after, *self.weights, scores.z_sd)
        stacking.walk(*after, np.log(2.0) / self.config.stacking_half_life, *self.stack, scores.z)
        base_rate.walk(tape.row, tape.act, weight, counts, y, memo, self.rate, scores.z)
        return scores

    def score(self, rows: Rows) -> Scores:
        """Score every row; a tape without labels changes nothing."""
        n = len(rows.dense)
        return self.learn(rows, Tape.of(n, SCORE), np.zeros(n), np.ones(n), np.empty((n, self.memo_width), np.float32))

    def coefficients(self) -> Coefficients:
        """Mean and sd of each weight under the mixture, slots as when they were last learned."""
        pooled = self.weights.omega @ self.weights.u
        share = (pooled[: self.experts] + pooled[self.experts :])[:, None]
        mean = np.concatenate([g.mean for g in self.groups]).astype(np.float64)
        variance = np.concatenate([np.diagonal(g.cov, axis1=1, axis2=2) for g in self.groups]).astype(np.float64)
        centre, sd = _moments(share, mean, variance)
        seen = np.flatnonzero(self.groups[0].touched)
        tables = np.concatenate([g.table[seen] for g in self.groups], axis=2).astype(np.float64)
        slot_centre, slot_sd = _moments(share, tables[:, 0].T, tables[:, 1].T)
        hashed = seen < self.hashed
        dense = np.zeros(self.numbers)
        dense_sd = np.full(self.numbers, np.nan)
        dense[: self.dense], dense_sd[: self.dense] = centre[1 : 1 + self.dense], sd[1 : 1 + self.dense]
        beyond = seen[~hashed] - self.hashed + self.dense
        dense[beyond], dense_sd[beyond] = slot_centre[~hashed], slot_sd[~hashed]
        return Coefficients(float(centre[0]), dense, dense_sd, seen[hashed], slot_centre[hashed], slot_sd[hashed])

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Only slots that were learned are listed."""
        seen = np.flatnonzero(self.groups[0].touched)
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "clock": self.groups[0].clock.copy(),
            "slots": seen,
            "touched": self.groups[0].touched[seen],
            "u": self.weights.u.copy(),
            "omega": self.weights.omega.copy(),
            "flight": self.flight.copy(),
            "rate": self.rate.copy(),
            "stack_mean": self.stack.mean.copy(),
            "stack_cov": self.stack.cov.copy(),
        }
        for i, g in enumerate(self.groups):
            arrays |= {f"mean{i}": g.mean.copy(), f"cov{i}": g.cov.copy(), f"table{i}": g.table[seen]}
        return arrays

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Become the learner whose `state` this is; a StateError where an array is missing or of another shape."""
        seen = state.get("slots", np.zeros(0, np.int64))
        expected = {name: array for name, array in self.state().items() if name not in ("slots", "touched")}
        for name, array in expected.items():
            shape = (len(seen), *array.shape[1:]) if name.startswith("table") else array.shape
            if name not in state or state[name].shape != shape or state[name].dtype != array.dtype:
                raise StateError(f"the learner's array {name!r} is missing, or not {array.dtype} of shape {shape}")
        if len(seen) and not (int(seen.min()) >= 0 and int(seen.max()) < len(self.groups[0].touched)):
            raise StateError("the learner's array 'slots' names slots outside its table")
        self.weights.u[:], self.weights.omega[:] = state["u"], state["omega"]
        self.flight[:], self.rate[:] = state["flight"], state["rate"]
        self.stack.mean[:], self.stack.cov[:] = state["stack_mean"], state["stack_cov"]
        for i, g in enumerate(self.groups):
            g.clock[:], g.mean[:], g.cov[:] = state["clock"], state[f"mean{i}"], state[f"cov{i}"]
            g.touched[:] = 0.0
            g.table[seen], g.touched[seen] = state[f"table{i}"], state["touched"]

    def merge(self, base: State, parts: Sequence[State], units: Sequence[Units]) -> State:
        """What the parts learned since the base, as one belief; see learners/merging.py."""
        learned = np.array([part["clock"][0] - base["clock"][0] for part in parts])
        share = learned / learned.sum() if learned.sum() > 0 else np.full(len(parts), 1.0 / len(parts))
        clock = [float(state["clock"][0]) for state in (base, *parts)]
        merged = {"clock": base["clock"] + learned.sum(), "flight": self._merge_flight(base, parts, share)}
        merged["rate"] = self._merge_rate(base["rate"], [part["rate"] for part in parts])
        pooled = [[part[name] for part in parts] for name in ("u", "omega")]
        merged["u"], merged["omega"] = merging.pool_voices(share, *pooled)
        stacks = [Gaussian(part["stack_mean"], part["stack_cov"]) for part in parts]
        merged["stack_mean"], merged["stack_cov"] = merging.average_gaussians(share, stacks)
        changes = [self._change(each) for each in units]
        for i, g in enumerate(self.groups):
            merged[f"mean{i}"], merged[f"cov{i}"] = self._merge_dense(i, base, parts, learned, changes)
            tables = [Slots(s["slots"], s["touched"], s[f"table{i}"]) for s in (base, *parts)]
            slots = merging.add_slots(tables[0], tables[1:], clock, g.rate, g.dense_prior)
            merged["slots"], merged["touched"], merged[f"table{i}"] = slots
        return merged

    def _merge_dense(
        self, i: int, base: State, parts: Sequence[State], learned: F64, changes: Sequence[F64]
    ) -> tuple[F32, F32]:
        """Mean and covariance of the experts of group i."""
        g, c = self.groups[i], 1 + self.dense
        mean, cov = np.zeros_like(g.mean), np.zeros_like(g.cov)

        def belief_of(state: State, e: int) -> Gaussian:
            return Gaussian(state[f"mean{i}"][e, :c].astype(np.float64), state[f"cov{i}"][e, :c, :c].astype(np.float64))

        for e, rate in enumerate(g.rate):
            prior = np.diag(np.append(g.bias_prior[e], np.full(self.dense, g.dense_prior[e])))
            beliefs = [belief_of(part, e) for part in parts]
            kept = np.exp(-rate * learned).tolist()
            mean[e, :c], cov[e, :c, :c] = merging.add_gaussians(belief_of(base, e), beliefs, prior, kept, changes)
        return mean, cov

    def _change(self, units: Units) -> F64:
        """The matrix that takes the merged weights to a part's, bias first; numbers beyond the dense block stay as they
        are."""
        change = np.diag(np.append(1.0, units.scale[: self.dense]))
        change[0, 1:] = units.shift[: self.dense]
        return change

    @staticmethod
    def _merge_rate(base: F64, parts: Sequence[F64]) -> F64:
        """Labels add, and weights multiply."""
        merged = base + sum((part - base for part in parts), np.zeros(4))
        merged[2] = base[2]
        for part in parts:
            base_rate.reweigh(merged, part[2] / base[2])
        return merged

    @staticmethod
    def _merge_flight(base: State, parts: Sequence[State], share: F64) -> F64:
        labels = base["flight"][1] + sum(part["flight"][1] - base["flight"][1] for part in parts)
        waiting = sum(s * part["flight"][0] for s, part in zip(share, parts, strict=True))
        return np.array([waiting, min(labels, mixture.MEMORY)])


def _moments(share: F64, mean: F64, variance: F64) -> tuple[F64, F64]:
    """Mean and sd of a mixture over the first axis: within each expert, and between them."""
    centre = (share * mean).sum(axis=0)
    return centre, np.sqrt((share * (variance + (mean - centre) ** 2)).sum(axis=0))
