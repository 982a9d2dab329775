"""Never much worse than the running rate: weigh what the learner says against the share of positives so far.

Two voices, one Bayesian mixture without switching: the learner's last word, and the running rate (positives + 1/2)/(labels
+ 1). The learner starts with 49 of 50. Where labels are fresh the loss in all is then at most ln 50 = 3.9 nats beyond that of
the running rate, and at most .02 nats beyond that of the learner, whatever the stream (Vovk's aggregating algorithm). With
labels in flight the evidence comes late and counts less, as in the mixture, and the first bound does not hold (README).

Why not one more expert of the mixture: switching and the last word would wash it out. Why 49 of 50: with even odds, and
labels 1,000 events late, two real streams lost .002 to .003 an event; so it is at most .0001. Why evidence counts less with
labels in flight: on hotel bookings 5,000 events late the loss was .0012 higher otherwise, and on arrival .046. Cost: 16 ns an
event where the learner is ahead, 31 ns where it is not.

The weight of the running rate, beside a learner's of 1, is kept as w 2^(-64 k), so that no evidence is lost: a floor under
it, from which the rate could return at once, cost .014 on elec2 with labels 1,000 events late, before evidence was tempered.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.belief import LEARN, SCORE
from onlogit.kernels.flips import FN, FP, KEPT, Flips
from onlogit.kernels.jit import inline, kernel, part
from onlogit.kernels.link import UTMOST, exponential

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

START = 1.0 / 49.0
LOW, HIGH = 2.0**-32, 2.0**32  # w lies between; k is 0 unless one voice is so far ahead that the other adds nothing
STEP = 2.0**64
MOST = 1e290  # what one label can multiply the weight by


@part
def reweigh(rate: F64, ratio: float) -> None:
    """Multiply w 2^(-64 k), and bring w back between its bounds."""
    w = rate[0] * ratio
    while w < LOW:
        w *= STEP
        rate[1] += 1.0
    while w >= HIGH:
        w /= STEP
        rate[1] -= 1.0
    rate[0] = w


@inline
def _ratio_of_labels(against: float, odds: float, y: float, flips: Flips) -> float:
    """What the running rate gave to a label that may be flipped, over what the last word gave."""
    rate, word = odds / (1.0 + odds), 1.0 / (1.0 + against)
    if y > 0.5:
        return (flips[FP] + flips[KEPT] * rate) / (flips[FP] + flips[KEPT] * word)
    return (flips[FN] + flips[KEPT] * (1.0 - rate)) / (flips[FN] + flips[KEPT] * against * word)


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    weight: F64,  # [n] of a row
    counts: F64,  # [ops] what a label counts as evidence, as `mixture.temper` says
    y: F64,  # [n]
    memo: F32,  # [n, m] the last two: odds for by the rate, and against by the last word, written where a row is scored
    rate: F64,  # [2] w and k of the running rate; changed
    z: F64,  # [n] the last word; what is stated, where a row is scored
    flips: Flips,
) -> None:
    """Walk the tape in order: mix the two where a row is scored, reweigh them where its label comes."""
    last = memo.shape[1] - 1
    for t in range(row.size):
        i = row[t]
        if act[t] & SCORE:
            memo[i, last] = exponential(-z[i])
        odds, against = float(memo[i, last - 1]), float(memo[i, last])
        if act[t] & SCORE and rate[1] <= 0.0:
            w = rate[0] if rate[1] == 0.0 else HIGH
            # p = (1/(1 + against) + w odds/(1 + odds)) / (1 + w), with one division for all
            yes = 1.0 + odds + w * odds * (1.0 + against)
            no = against * (1.0 + odds) + w * (1.0 + against)
            z[i] = min(max(math.log(yes / no), -UTMOST), UTMOST)
        if act[t] & LEARN and weight[i] > 0.0:
            ratio = (1.0 + against) / (1.0 + odds)
            if len(flips) > 2:
                ratio = _ratio_of_labels(against, odds, y[i], flips)
            else:
                ratio = ratio * odds if y[i] > 0.5 else ratio / against
            if counts[t] != 1.0:
                ratio = min(max(ratio ** counts[t], 1.0 / MOST), MOST)
            reweigh(rate, ratio)
