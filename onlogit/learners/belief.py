"""The default learner: experts with Gaussian beliefs, weighed by a mixture. Nothing to tune.

Each expert is one half-life and one prior width; half-lives x priors of them (8 by default) see the same rows. Those that
never forget have wider priors than the others, which stay near theirs: so the 8 hold four widths, .01 to 3. Beside .01 and 1
for all, on 107 real streams with labels at once 38 lose less (by .0003 or more) and 11 more, by -.0010 in the mean; on 84 of
them with labels 1,000 events late 46 and 11, -.0006. (Noise with labels so late costs more, by up to .0006.)

The mixture, the last word and the running rate hear what the experts said and tell them nothing, so they follow in passes of
their own, on long tapes in a thread beside. Mathematics: kernels/belief.py, mixture.py, stacking.py and base_rate.py.

Memory: 4 D² bytes an expert for the dense block, 8 + 8 E bytes a slot of E experts (pages of slots never learned are never
touched), 8 E + 36 bytes a remembered row. Numbers beyond `dense_limit` get a variance each, like slots, in column order;
docs/speed.md has what that costs and saves.
"""

from collections.abc import Sequence
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.config import BeliefConfig
from onlogit.encoding import Rows
from onlogit.fixed import constant
from onlogit.kernels import base_rate, belief, covariance, glance, mixture, residuals, stating
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import NO_FLIPS, Flips, true_odds
from onlogit.learners import belief_merging, belief_state, forgetting, pushes, standing
from onlogit.learners.belief_merging import Settings
from onlogit.learners.beside import Beside
from onlogit.learners.protocol import (
    LEARN,
    NO_CENTRE,
    NO_LOOKS,
    SCORE,
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
    levels_of,
    unwritten,
)
from onlogit.learners.pushes import LastWord, Rate, Voices

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

LINE = 64  # bytes of a cache line
STRETCH = 4096  # operations after which the mixture is told
FEW = 64  # rows whose cost is that of calls


class Experts(NamedTuple):
    """All that the K experts know. D coordinates (bias first), E lanes for K experts, H slots; the rest is padding."""

    rate: F32  # [E] ln 2 / half-life
    slot_prior: F32  # [E] variance
    dense_prior: F32  # [K, D] variance
    clock: F64  # [1] 1 + weight learned so far
    mean: F32  # [K, D] log-odds per standard deviation
    cov: F32  # [K, D, D] with what follows as kernels/covariance.py has it
    scales: F32  # [2, E] scale and what is owed
    table: F32  # [H, 2, E] mean and variance of each slot
    touched: F64  # [H] clock when a slot was last learned, 0 for never


class Weights(NamedTuple):
    """The mixture's state over A switching rates and 2 E voices, of which 2 K are in use."""

    switching: F64  # [A]
    uniform: F32  # [2 E] equal weights
    fading: F32  # [E] ln 2 / half-life of each expert
    u: F32  # [A, 2 E] weight of each voice
    omega: F64  # [A] weight of each mixture


class Stack(NamedTuple):
    """The last word's belief about its weights: each expert's difference from the mixture, in E places, then the mixture's z,
    five residuals, the running rate and the bias; D = E + 8."""

    prior: F32  # [D] variance
    mean: F32  # [D]
    cov: F32  # [D, D] with what follows as kernels/covariance.py has it
    scales: F32  # [2, LANES] scale and what is owed, one lane in use


class Recent(NamedTuple):
    """What the mixture got wrong of late, in 8 lanes, of which five are in use, and the labels so far."""

    kept: F32  # [8] decay by one label
    sums: F32  # [8] weighted residuals
    weights: F32  # [8] what they weigh
    counted: F64  # [2] positives and labels so far


class Seen(NamedTuple):
    """What the K experts had learned at one moment of a walk, of the bias, all numbers and s slots."""

    mean: F64  # [K, D]
    beyond: F64  # [K, b] of the numbers beyond the dense block
    table: F32  # [s, 2, E]
    touched: F64  # [s] above 0 where anything was


def _padded(size: int) -> int:
    return -(-size // LANES) * LANES


class BeliefLearner:
    """Online Bayesian logistic regression with a mixture over half-lives and prior widths."""

    def __init__(self, config: BeliefConfig, numbers: int, slot_bits: int, flips: Flips = NO_FLIPS) -> None:
        self.config, self.flips = config, flips
        self.numbers = numbers
        self.dense = min(numbers, config.dense_limit)
        self.hashed = 1 << slot_bits
        experts = np.array(config.experts())
        self.experts, self.lives = len(experts), experts[:, 0]
        self.lanes = _padded(self.experts)
        self.memo_width = 2 * self.lanes + LANES + 1
        self.known = self._fresh(experts)
        rates, voices = len(config.switching), np.tile(np.arange(self.lanes) < self.experts, 2)
        uniform = (voices / voices.sum()).astype(np.float32)
        self.weights = Weights(
            np.array(config.switching),
            uniform,
            self.known.rate,
            np.tile(uniform, (rates, 1)),
            np.full(rates, 1.0 / rates),
        )
        self.recent = Recent(*residuals.fresh(), np.zeros(2))
        self.rate = np.array([base_rate.START, 0.0])  # weight of the running rate
        self._behind: Event | None = None  # set once the mixture is done with the tape before; None: it is. Not state
        self.flight = np.zeros(2)  # mean number of events that wait for their label, and of how many labels
        self.stacked = np.append(np.arange(self.experts), self.lanes + np.arange(LANES))  # places in use
        self.stack = self._fresh_stack(config.stacking_prior)

    def _fresh_stack(self, variance: float) -> Stack:
        width = self.lanes + LANES
        prior, mean, cov = _lines(width), _lines(width), _lines(width, width)
        prior[self.stacked], mean[self.lanes] = variance, 1.0
        cov[np.arange(width), np.arange(width)] = prior
        return Stack(prior, mean, cov, covariance.unscaled(LANES))

    def _fresh(self, experts: F64) -> Experts:
        """Experts [K, 3] (half-life, variance of weights, variance of the bias) that have seen nothing."""
        count, width = len(experts), _padded(1 + self.dense)
        rate, slot_prior = np.zeros((2, self.lanes), np.float32)
        rate[:count], slot_prior[:count] = np.log(2.0) / experts[:, 0], experts[:, 1]
        dense_prior = _lines(count, width)
        dense_prior[:, 0], dense_prior[:, 1 : 1 + self.dense] = experts[:, 2], experts[:, 1:2]
        cov = _lines(count, width, width)
        cov[:, np.arange(width), np.arange(width)] = dense_prior
        slots = self.hashed + self.numbers - self.dense
        return Experts(
            rate, slot_prior, dense_prior, np.ones(1), _lines(count, width), cov,
            covariance.unscaled(self.lanes), _lines(slots, 2, self.lanes), np.zeros(slots),
        )  # fmt: skip

    def _prepared(self, rows: Rows) -> Rows:
        """The rows with numbers beyond the dense block as slots of their own, after the hashed ones."""
        beyond = self.numbers - self.dense
        if beyond == 0 or rows.dense.shape[1] == self.dense:
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

    def learn(
        self, rows: Rows, tape: Tape, y: F64, weight: F64, memo: F32, live: bool = True, looks: Looks = NO_LOOKS
    ) -> Scores:
        """Walk the whole tape."""
        return self.begin(rows, tape, y, weight, memo, live, looks)()

    def begin(
        self, rows: Rows, tape: Tape, y: F64, weight: F64, memo: F32, live: bool = True, looks: Looks = NO_LOOKS
    ) -> Pending:
        """Walk the tape with the experts. The mixture follows in a thread of its own, a stretch behind, and the experts may be
        on the next tape before it is done."""
        scores, beside, whole = self._begin(rows, tape, y, weight, memo, live, looks, self._behind)
        self._behind = whole

        def ask() -> Scores:
            beside.wait()
            if self._behind is whole:
                self._behind = None
            return scores

        return ask

    def _begin(
        self, rows: Rows, tape: Tape, y: F64, weight: F64, memo: F32, live: bool, looks: Looks, behind: Event | None
    ) -> tuple[Scores, Beside, Event]:
        """The scores to be, who is at them, and what is set once they are. behind: that of the tape before."""
        told, ops = self._prepared(rows), len(tape.row)
        scores, act = unwritten(len(y)), tape.act.copy()  # in which AGAIN is marked
        counts, late = np.zeros((2, ops))
        pace = np.log(2.0) / self.config.stacking_half_life
        mixture.temper(tape.row, act, tape.waiting, weight, self.flight, counts, late)

        def ask_experts(part: slice) -> None:
            belief.walk(
                tape.row[part], act[part], told.dense, told.starts, told.slots, told.values, y, weight,
                *self.known, memo, self.flips,
            )  # fmt: skip

        def weigh(part: slice) -> None:
            stating.weigh(
                tape.row[part], act[part], weight, counts[part], late[part], y, memo, *self.weights, *self.recent,
                live, pace, *self.stack, self.rate, self.flips, scores.z, scores.z_sd,
            )  # fmt: skip

        beside = Beside("onlogit mixture", alone=ops <= STRETCH)
        try:
            if behind is not None:
                beside.do(behind.wait)
            at, taken, first = 0, behind, self._first_label(tape, weight)
            while at < ops:
                if at == first > 0:
                    beside.done().wait()  # what was stated before may be stated again
                if at == looks.op:
                    if taken is not None:
                        taken.wait()  # until then it is not known what is looked at next
                    if (slots := looks.slots()) is not None:
                        beside.do(lambda seen: looks.take(self._mixed(seen)), self._see(slots))
                        taken = beside.done()
                part = slice(at, min(at + STRETCH, looks.op, first if at < first else ops, ops))
                ask_experts(part)
                beside.do(weigh, part)
                at = part.stop
            return scores, beside, beside.done()
        finally:
            beside.all_given()

    def _first_label(self, tape: Tape, weight: F64) -> int:
        """Where on the tape the first label of all is learned, or 0."""
        if self.known.clock[0] > belief.UNLEARNED:
            return 0
        learned = np.flatnonzero((tape.act & LEARN > 0) & (weight[tape.row] > 0.0))
        return int(learned[0]) if len(learned) else 0

    def score(self, rows: Rows) -> Scores:
        """Score every row; a tape without labels changes nothing."""
        n = len(rows.dense)
        if n <= FEW:
            told, scores = self._prepared(rows), Scores(np.empty(n), np.empty(n))
            pace, w = np.log(2.0) / self.config.stacking_half_life, self.weights
            stating.state(
                told.dense, told.starts, told.slots, told.values, *self.known,
                w.switching, w.uniform, w.fading, w.u, w.omega, pace, *self.stack,
                *self.recent[:3], self.recent.counted, self.rate, self.memo_width, self.flips, *scores,
            )  # fmt: skip
            return scores
        return self._rest(rows, np.empty((n, self.memo_width), np.float32))

    def _rest(self, rows: Rows, memo: F32) -> Scores:
        n = len(memo)
        tape, no, one = Tape.of(n, SCORE), constant(np.float64(0), n), constant(np.float64(1), n)
        scores, beside, _ = self._begin(rows, tape, no, one, memo, False, NO_LOOKS, None)
        beside.wait()
        return scores

    def coefficients(self, centre: Centre = NO_CENTRE) -> Coefficients:
        """Mean of each weight under the mixture and its sd, as standing.py has it; slots as when they were last learned."""
        known, share, trust = self.known, self._share()[:, None], self._trust()[:, None]
        mean = known.mean.astype(np.float64)
        variance = np.diagonal(self._covariances(), axis1=1, axis2=2)
        seen = np.flatnonzero(known.touched)
        table = known.table[seen, :, : self.experts].astype(np.float64)
        slot_mean, slot_variance = table[:, 0].T.copy(), table[:, 1].T.copy()
        level = group_means(centre, self._slot_means(centre.slots))
        at = np.searchsorted(seen, centre.slots)
        learned = np.flatnonzero(np.append(seen, -1)[at] == centre.slots)
        at, group, part = at[learned], centre.group[learned], centre.share[learned]
        slot_mean[:, at] -= level[:, group]
        of_means = group_means(centre._replace(slots=seen[at], group=group, share=part**2), slot_variance[:, at])
        slot_variance[:, at] += of_means[:, group] - 2.0 * part * slot_variance[:, at]  # of w - Σ share w
        mean[:, 0] += level.sum(axis=1)
        middle, sd = _moments(share, trust, mean, variance)
        slot_middle, slot_sd = _moments(share, trust, slot_mean, slot_variance)
        hashed = seen < self.hashed
        dense = np.zeros(self.numbers)
        dense_sd = np.full(self.numbers, np.nan)
        dense[: self.dense], dense_sd[: self.dense] = middle[1 : 1 + self.dense], sd[1 : 1 + self.dense]
        beyond = seen[~hashed] - self.hashed + self.dense
        dense[beyond], dense_sd[beyond] = slot_middle[~hashed], slot_sd[~hashed]
        return Coefficients(float(middle[0]), dense, dense_sd, seen[hashed], slot_middle[hashed], slot_sd[hashed])

    def _covariances(self) -> F64:
        """Of each expert's weights in the dense block: [K, D, D]."""
        return covariance.whole(self.known.cov, self.known.scales, self.known.dense_prior)

    def _voices(self) -> F64:
        """What each expert's plain voice, then each moderated one weighs: [2 K]."""
        pooled = (self.weights.omega @ self.weights.u).astype(np.float64)
        return np.concatenate([pooled[: self.experts], pooled[self.lanes : self.lanes + self.experts]])

    def _share(self) -> F64:
        """What each expert weighs in the mixture: [K]."""
        voices = self._voices()
        return voices[: self.experts] + voices[self.experts :]

    def _trust(self) -> F64:
        """What each expert counts where an interval is asked for: [K]."""
        u, k, c = self.weights.u.astype(np.float64), self.experts, 1 + self.dense
        widths = self.known.slot_prior[:k].astype(np.float64)
        mean, cov = self.known.mean[:, :c].astype(np.float64), self._covariances()[:, :c, :c]
        return standing.shares(
            u[:, :k] + u[:, self.lanes : self.lanes + k], self.weights.omega, self.weights.switching,
            self.lives, widths, mean, cov,
        )  # fmt: skip

    def glance(self, slots: npt.NDArray[np.int64]) -> Glance:
        """Means of the weights under the mixture; `gain` is the precision gained, which grows by p (1 - p) an event."""
        return self._mixed(self._see(slots))

    def _see(self, slots: npt.NDArray[np.int64]) -> Seen:
        """What the experts have learned, as copies."""
        known = self.known
        beyond = known.table[self.hashed :, 0, : self.experts].T.astype(np.float64)
        return Seen(known.mean.astype(np.float64), beyond, known.table[slots], known.touched[slots])

    def _mixed(self, seen: Seen) -> Glance:
        """Under the mixture as it is."""
        share, dense = self._share(), np.zeros(self.numbers)
        mean = share @ seen.mean
        dense[: self.dense] = mean[1 : 1 + self.dense]
        dense[self.dense :] = share @ seen.beyond
        weights, gain = np.empty((2, len(seen.touched)))
        glance.mix(seen.table, seen.touched, share, self.known.slot_prior, weights, gain)
        return Glance(float(mean[0]), dense, weights, gain)

    def _slot_means(self, slots: npt.NDArray[np.integer[Any]]) -> F64:
        """Weights of every expert in these slots: [K, s]."""
        return self.known.table[slots, 0, : self.experts].T.astype(np.float64)

    def pushes(self, row: Rows, centre: Centre, group: npt.NDArray[np.int64]) -> Pushes:
        """What each term of the first row adds to its log-odds; see learners/pushes.py."""
        wide, hashed, n = self._prepared(row), int(row.starts[1]), len(row.dense)
        memo = np.empty((n, self.memo_width), np.float32)
        z = float(self._rest(row, memo).z[0])
        x, slots, values = wide.dense[0], wide.slots[: wide.starts[1]], wide.values[: wide.starts[1]]
        mean, table = self.known.mean.astype(np.float64), self._slot_means(slots) * values
        level = levels_of(group_means(centre, self._slot_means(centre.slots)), group)
        table[:, :hashed] -= level
        terms = np.concatenate([mean[:, 1 : 1 + self.dense] * x, table[:, hashed:], table[:, :hashed]], axis=1)
        bias, variance = mean[:, 0] + level.sum(axis=1), memo[0, self.lanes : self.lanes + self.experts]
        said = pushes.Said(bias, terms, variance.astype(np.float64))
        told = pushes.split(said, self._spoken(), self.numbers, z)
        apart = memo[0, : self.experts].astype(np.float64) - z
        return told._replace(sd=float(np.sqrt(self._trust() @ (said.variance + apart**2))))

    def _spoken(self) -> Voices:
        """How what the experts say becomes what is stated where no labels come."""
        word, first = self.stack.mean.astype(np.float64), self.lanes
        positives, labels = self.recent.counted.tolist()
        yes, no = true_odds(positives, labels, self.flips)
        w, far = self.rate.tolist()
        rate = Rate(0.0 if far > 0 else w if far == 0 else base_rate.HIGH, yes / (yes + no))
        last = LastWord(float(word[-1]), float(word[first]), float(word[first + residuals.GAP]), word[: self.experts])
        return Voices(self._voices(), last, rate)

    def last_word(self) -> tuple[float, float]:
        """Intercept and slope of the last word on the mixture's log-odds, where no labels come."""
        return float(self.stack.mean[-1]), float(self.stack.mean[self.lanes])

    def correlations(self) -> npt.NDArray[np.float64]:
        """Of the weights in the dense block, within the experts as an interval counts them."""
        cov = self._covariances()[:, 1 : 1 + self.dense, 1 : 1 + self.dense]
        mixed = np.tensordot(self._trust(), cov, 1)
        sd = np.sqrt(np.maximum(np.diagonal(mixed), 1e-300))
        return np.asarray(mixed / np.outer(sd, sd))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Only slots that were learned are listed."""
        known = self.known
        seen = np.flatnonzero(known.touched)
        return {
            "clock": known.clock.copy(),
            "mean": known.mean.copy(),
            "cov": known.cov.copy(),
            "scales": known.scales.copy(),
            "slots": seen,
            "touched": known.touched[seen],
            "table": known.table[seen],
            "u": self.weights.u.copy(),
            "omega": self.weights.omega.copy(),
            "flight": self.flight.copy(),
            "rate": self.rate.copy(),
            "residuals": np.stack([self.recent.sums, self.recent.weights]),
            "counted": self.recent.counted.copy(),
            "stack_mean": self.stack.mean.copy(),
            "stack_cov": self.stack.cov.copy(),
            "stack_scales": self.stack.scales.copy(),
        }

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Become the learner whose `state` this is; StateError, and nothing changed, where it does not fit."""
        belief_state.check(state, self.state(), self._settings(), len(self.known.touched))
        seen = state["slots"].astype(np.int64)
        self.weights.u[:], self.weights.omega[:] = state["u"], state["omega"]
        self.flight[:], self.rate[:] = state["flight"], state["rate"]
        self.recent.sums[:], self.recent.weights[:] = state["residuals"]
        self.recent.counted[:] = state["counted"]
        self.stack.mean[:], self.stack.cov[:] = state["stack_mean"], state["stack_cov"]
        self.stack.scales[:] = state["stack_scales"]
        known = self.known
        known.clock[:], known.mean[:], known.cov[:] = state["clock"], state["mean"], state["cov"]
        known.scales[:] = state["scales"]
        known.table[np.flatnonzero(known.touched)] = 0.0
        known.touched[:] = 0.0
        known.table[seen], known.touched[seen] = state["table"], state["touched"]

    def wrote(self, memo: F32) -> bool:
        """See `Learner.wrote`."""
        return belief_state.wrote(memo, self.lanes)

    def forget(self, since: float, labels: float, shift: float | None) -> None:
        """Something changed `since` labels ago; `labels` are held at most; see learners/forgetting.py.

        shift: by so many logits where a level moved, and nothing else.
        """
        known, k = self.known, self.experts
        known.cov[:], known.scales[:] = self._covariances(), covariance.unscaled(self.lanes)
        if shift is not None:
            forgetting.jump(known.cov, shift)
            return
        seen, c = np.flatnonzero(known.touched), 1 + self.dense
        table, now = known.table[seen], known.clock[0]
        faded = np.exp(known.rate * (known.touched[seen] - now)[:, None])  # variances as they are now
        table[:, 1] = faded * table[:, 1] + (1.0 - faded) * known.slot_prior
        lives = forgetting.rewind(known.mean, known.cov, table, self._share(), self.lives)
        kept = np.minimum(since / np.maximum(forgetting.held(lives, labels), 1.0), 1.0)
        for e in range(k):
            forgetting.discount(known.cov[e, :c, :c], known.dense_prior[e, :c], float(kept[e]))
        forgetting.discount_slots(table[:, 1, :k], known.slot_prior[:k], kept)
        known.table[seen], known.touched[seen] = table, now

    def merge(self, base: State, parts: Sequence[State], units: Sequence[Units]) -> State:
        """What the parts learned since the base, as one belief; see learners/belief_merging.py."""
        return belief_merging.merge(self._settings(), base, parts, units)

    def _settings(self) -> Settings:
        known = self.known
        return Settings(known.rate, known.slot_prior, known.dense_prior, self.stack.prior, self.experts, self.dense)


def _lines(*shape: int) -> F32:
    """Zeros that begin with a cache line: a slot of 8 experts is one line, no vector lies on two."""
    size = int(np.prod(shape))
    room = np.zeros(size + LINE // 4, np.float32)
    first = -room.ctypes.data % LINE // 4
    return room[first : first + size].reshape(shape)


def _moments(share: F64, trust: F64, mean: F64, variance: F64) -> tuple[F64, F64]:
    """Mean of a mixture over the first axis, and sd about it: within each expert, and between them and that mean."""
    centre = (share * mean).sum(axis=0)
    return centre, np.sqrt((trust * (variance + (mean - centre) ** 2)).sum(axis=0))
