"""What each term of a row adds to its log-odds, exactly, also under a mixture with a last word.

One expert is linear: a number adds weight x standardised value, a slot weight x value. A category, of which every event has
one, is counted from the mean over events of what its column adds, which goes to the baseline (`Centre`). The stated z =
F(z_1 .. z_K), mixture, last word and running rate, is a curved function of what the experts say, at the doubt that each
has about this row. Walk the straight line from the baseline to the row: along it dF = Σ_k ∂F/∂z_k dz_k, and the push of
term j is its own part, ∫ Σ_k ∂F/∂z_k (what j adds to z_k) da: the share of Aumann and Shapley (1974), as integrated gradients
(Sundararajan et al. 2017). It is linear in the terms, treats equal terms alike, and is the plain weight x value where there
is one expert and no last word. The z is that of a plain score, which does not know what was wrong of late. What is left is
rounding (floats, and the sum that stands for the integral), and what is held at p = 1e-6.

About 2 ms a row: 4,096 points on the line, by the midpoint rule.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.link import UTMOST, numpy_sigmoid
from onlogit.kernels.mixture import FLOOR, PI_8
from onlogit.kernels.residuals import REACH as RATE_REACH
from onlogit.kernels.stacking import REACH
from onlogit.learners.protocol import Pushes

F64 = npt.NDArray[np.float64]

POINTS = 4096


class Said(NamedTuple):
    """What K experts say of one row, by term."""

    bias: F64  # [K] log-odds of the baseline
    terms: F64  # [K, t] weight x value
    variance: F64  # [K] s² of the row


class LastWord(NamedTuple):
    """Weights of the last word."""

    bias: float
    slope: float  # of the mixture's z
    gap: float  # of how far the running rate is from it
    apart: F64  # [K] of how far each expert is from it


class Rate(NamedTuple):
    """The running rate."""

    weight: float  # beside a learner's of 1
    p: float

    @property
    def z(self) -> float:
        return float(np.log(self.p) - np.log1p(-self.p))


class Voices(NamedTuple):
    """How what the experts say becomes what is stated."""

    pooled: F64  # [2 K] weights of the voices in the mixture
    word: LastWord
    rate: Rate


def split(said: Said, voices: Voices, numbers: int, z: float) -> Pushes:
    """Pushes of all terms, the first `numbers` of them of numbers. z: as stated."""
    reach = said.terms.sum(axis=1)
    at = (np.arange(POINTS) + 0.5)[:, None] / POINTS
    variance = np.broadcast_to(said.variance, (POINTS, len(reach)))
    gradient = _gradient(said.bias + at * reach, variance, voices).mean(axis=0)
    pushes = gradient @ said.terms
    baseline = stated(said.bias, said.variance, voices)
    rest = z - baseline - float(pushes.sum())
    return Pushes(baseline, pushes[:numbers], pushes[numbers:], rest, z)


def stated(z: F64, variance: F64, voices: Voices) -> float:
    """F of one row: z and variance [K]."""
    p, _ = _speak(z[None], variance[None])
    mixed = float(np.log(voices.pooled @ p[0]) - np.log(voices.pooled @ (1.0 - p[0])))
    last, _ = _last_word(z[None], np.array([[mixed]]), voices)
    final, _ = _beside_the_rate(np.clip(last, -UTMOST, UTMOST), voices.rate)
    return float(np.clip(final[0], -UTMOST, UTMOST))


def _last_word(z: F64, mixed: F64, voices: Voices) -> tuple[F64, F64]:
    """The last word [n] on experts that say z [n, K] and a mixture that says `mixed` [n, 1], before it is held; and what
    it gives to each z [n, K] beside what they make of the mixture."""
    word, gap, apart = voices.word, voices.rate.z - mixed, z - mixed
    last = word.bias + word.slope * mixed[:, 0] + word.gap * np.clip(gap[:, 0], -RATE_REACH, RATE_REACH)
    last += np.clip(apart, -REACH, REACH) @ word.apart
    return last, (np.abs(apart) < REACH) * word.apart


def _speak(z: F64, variance: F64) -> tuple[F64, F64]:
    """p of every voice [n, 2 K] and dp/dz."""
    soft = 1.0 / np.sqrt(1.0 + PI_8 * variance)
    logits = np.concatenate([z, z * soft], axis=1)
    p = numpy_sigmoid(logits)
    slope = p * (1.0 - p) * np.concatenate([np.ones_like(soft), soft], axis=1)
    free = (p > FLOOR) & (p < 1.0 - FLOOR)
    return np.clip(p, FLOOR, 1.0 - FLOOR), np.where(free, slope, 0.0)


def _gradient(z: F64, variance: F64, voices: Voices) -> F64:
    """∂F/∂z_k at n points: [n, K]."""
    experts = z.shape[1]
    p, slope = _speak(z, variance)
    yes, no = p @ voices.pooled, (1.0 - p) @ voices.pooled
    each = slope * voices.pooled
    mixed = np.log(yes / no)[:, None]
    inner = (each[:, :experts] + each[:, experts:]) * (1.0 / yes + 1.0 / no)[:, None]
    last, free = _last_word(z, mixed, voices)
    _, slope_of_last = _beside_the_rate(np.clip(last, -UTMOST, UTMOST), voices.rate)
    outer = np.where(np.abs(last) < UTMOST, slope_of_last, 0.0)[:, None]
    own = voices.word.slope - voices.word.gap * (np.abs(voices.rate.z - mixed) < RATE_REACH)
    found: F64 = outer * ((own - free.sum(axis=1, keepdims=True)) * inner + free)
    return found


def _beside_the_rate(z: F64, running: Rate) -> tuple[F64, F64]:
    """What is stated of the last word z, mixed with the running rate, and its slope."""
    weight, rate = running
    own = numpy_sigmoid(z)
    p = (own + weight * rate) / (1.0 + weight)
    return np.log(p) - np.log1p(-p), own * (1.0 - own) / ((1.0 + weight) * p * (1.0 - p))
