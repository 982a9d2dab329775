"""What the fold asks of a learner: walk a tape of scores and labels in order, and say what it believes.

A tape is the order of things that happened: this row was scored, that row's label came. Whoever writes it decides about
delays and batches; a learner only walks it. What a learner wants to see again when a row's label comes, it writes into
the row's `memo` when it scores it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from onlogit.encoding import Rows
from onlogit.fixed import constant, counting
from onlogit.kernels.belief import BOTH as BOTH
from onlogit.kernels.belief import LEARN as LEARN
from onlogit.kernels.belief import SCORE as SCORE

State = dict[str, np.ndarray[Any, Any]]


class Tape(NamedTuple):
    """Operations on the rows of a tile, in the order in which they happened."""

    row: npt.NDArray[np.int64]  # [ops] which row
    act: npt.NDArray[np.uint8]  # [ops] SCORE, LEARN, or BOTH: scored, and then learned at once
    waiting: npt.NDArray[np.int64]  # [ops] events that wait for their label just after the operation

    @classmethod
    def of(cls, rows: int, act: int) -> "Tape":
        """The same act on each row in turn, with nothing waiting."""
        return cls(counting(rows), constant(np.uint8(act), rows), constant(np.int64(0), rows))


class Scores(NamedTuple):
    """What was stated of each row; rows that a tape did not score hold NaN."""

    z: npt.NDArray[np.float64]  # [n] log-odds
    z_sd: npt.NDArray[np.float64]  # [n] sd of z under the belief; NaN from a learner that has none


Pending = Callable[[], Scores]  # waits until all is stated, and gives it; to be asked once


class Coefficients(NamedTuple):
    """Weights on the log-odds scale: numbers per standard deviation, slots per unit of value."""

    bias: float
    dense: npt.NDArray[np.float64]  # [d]
    dense_sd: npt.NDArray[np.float64]  # [d] sd under the belief; NaN from a learner that has none
    slots: npt.NDArray[np.int64]  # [s] the slots learned so far, ascending
    slot_weights: npt.NDArray[np.float64]  # [s]
    slot_sd: npt.NDArray[np.float64]  # [s]


class Glance(NamedTuple):
    """Weights as they are at one moment; those of slots are not centred."""

    bias: float
    dense: npt.NDArray[np.float64]  # [d]
    slots: npt.NDArray[np.float64]  # [s] of the slots asked for
    gain: npt.NDArray[np.float64]  # [s] how much was learned of each, but for a factor; 0 for nothing


class Pushes(NamedTuple):
    """Where the log-odds of one row come from: z = baseline + Σ dense + Σ slots + rest."""

    baseline: float  # what is stated where every number is at its mean and each centred category adds its mean
    dense: npt.NDArray[np.float64]  # [d] of each number
    slots: npt.NDArray[np.float64]  # [s] of each slot of the row, in its order
    rest: float  # rounding, and what is held at the ends: see learners/pushes.py
    z: float  # as it is stated
    sd: float = math.nan  # of the true log-odds about z; NaN from a learner that has no belief


class Centre(NamedTuple):
    """Groups of slots of which every event has one, so that only their differences mean something."""

    slots: npt.NDArray[np.int64]  # [c] no slot twice
    group: npt.NDArray[np.int64]  # [c] from 0
    share: npt.NDArray[np.float64]  # [c] of events that have the slot; at most 1 in a group


NO_CENTRE = Centre(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def unwritten(n: int) -> Scores:
    """Scores of n rows none of which was scored yet."""
    return Scores(np.full(n, np.nan), np.full(n, np.nan))


def known(scores: Scores) -> Pending:
    """Scores that are there already."""
    return lambda: scores


def group_means(centre: Centre, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Σ share x weight in each group: [.., g] for weights [.., c]."""
    groups = int(centre.group.max(initial=-1)) + 1
    belongs = (centre.group[:, None] == np.arange(groups)).astype(np.float64)
    return np.asarray((weights * centre.share) @ belongs)


def levels_of(means: npt.NDArray[np.float64], group: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The mean of each slot's group: [.., s] for `group_means` [.., g]; 0 for a slot of none, or of one without a mean."""
    levels = np.zeros((*means.shape[:-1], len(group)))
    known = (group >= 0) & (group < means.shape[-1])
    levels[..., known] = means[..., group[known]]
    return levels


class Units(NamedTuple):
    """A worker's standardised numbers seen from the merged ones: x_k = (x - shift) / scale, where scale is not 0."""

    scale: npt.NDArray[np.float64]  # [d] sd of the worker's numbers over the merged sd
    shift: npt.NDArray[np.float64]  # [d] mean of the worker's numbers less the merged mean, over the merged sd


class Looks(Protocol):
    """Moments of a walk at which somebody looks at the weights."""

    op: int  # the operation before which the next one is; where there is none, how many operations there are

    def slots(self) -> npt.NDArray[np.int64] | None:
        """Which slots to look at before operation `op`; None for none. From here on `op` is the next moment."""
        ...

    def take(self, glance: Glance) -> None:
        """What was seen. It may be told late, by another thread, but before `slots` is asked for again."""
        ...


class _NoLooks:
    """Nobody looks."""

    op = 1 << 62

    def slots(self) -> None:
        return None

    def take(self, glance: Glance) -> None:
        pass


NO_LOOKS: Looks = _NoLooks()


class Learner(Protocol):
    """State that is a function of the tapes walked so far."""

    memo_width: int

    def score(self, rows: Rows) -> Scores:
        """Score every row, without regard to what came just before; changes nothing."""
        ...

    def begin(
        self,
        rows: Rows,
        tape: Tape,
        y: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
        memo: npt.NDArray[np.float32],
        live: bool = True,
        looks: Looks = NO_LOOKS,
    ) -> Pending:
        """Walk the tape over the n rows: score those it scores, learn those it learns. A part of that may be under way until the
        scores are asked for, which they have to be; `memo` is not whole before. Another tape, which reads none of it, may be
        begun.

        `y` [n] holds 0 or 1 and `weight` [n] what a label counts, read where a row is learned. `memo` [n, memo_width] is
        written where a row is scored, and read where it is learned. Where labels are not learned as they come (`live` is
        false), rows are scored as `score` does. `looks` are taken as the walk comes by them.
        """
        ...

    def glance(self, slots: npt.NDArray[np.int64]) -> Glance:
        """The weights of the bias, of all numbers and of these slots; quick."""
        ...

    def coefficients(self, centre: Centre = NO_CENTRE) -> Coefficients:
        """All weights; those of a centred group less their mean, which the bias takes up."""
        ...

    def pushes(self, row: Rows, centre: Centre, group: npt.NDArray[np.int64]) -> Pushes:
        """What each term of the first row adds to its log-odds; `group` [s]: that of each of its slots, or -1."""
        ...

    def last_word(self) -> tuple[float, float] | None:
        """What is added to, and multiplied with, the log-odds that `coefficients` amount to; None for nothing."""
        ...

    def correlations(self) -> npt.NDArray[np.float64]:
        """Posterior correlations of the weights of the first numbers, float64[c, c]; c is 0 where there is no such thing."""
        ...

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """All that the learner knows, as plain arrays in a canonical form: equal beliefs give equal bytes."""
        ...

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Become the learner whose `state` this is; a StateError where it does not fit."""
        ...

    def wrote(self, memo: npt.NDArray[np.float32]) -> bool:
        """Whether a learner like this one can have written such memos [n, memo_width]."""
        ...

    def merge(self, base: State, parts: Sequence[State], units: Sequence[Units]) -> State:
        """The state that joins what `parts` [K], states of learners like this one, each learned since the common `base`.

        `units` [K]: in what units each part ended. This learner stays as it is.
        """
        ...
