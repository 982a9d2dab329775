"""What the mixture got wrong of late: running means of y - p, and how far it is from the running rate.

Outcomes near one another in a stream are often more alike than their columns tell: hours of a market, bookings of one
party. No expert sees that, as each sums up its rows and has no order. Here are, at half-lives of 1, 4, 16, 64 and 256
labels, the means of label minus stated p, and beside them the log-odds of the share of positives so far minus z, within
±2; the last word learns what each is worth (kernels/stacking.py). A mean is weighed by the labels' weights, and starts as
if its whole window had been right.

Labels L events late tell less of now, and more of which labels come soon, so a residual counts (1 + L)^(-1/4) here, L as
in the mixture. Nats an event against no such inputs (34 streams; README has what is stated in all): hotel_bookings
-.067, elec2 -.006, jit_defects -.0009, spam_words -.0007, noaa_weather -.0005; with labels late flights -.0021 and spam_words
-.0145 (the running rate), elec2 +.0005 and bank_marketing +.0006; streams without such an order -.0002 to +.0001. Not
scaled by the delay, elec2 lost .0012. Cost: docs/speed.md.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels import flips as labels
from onlogit.kernels.belief import LEARN, SCORE
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import FP, KEPT, Flips
from onlogit.kernels.jit import inline, kernel, part
from onlogit.kernels.lanes import fma, lanes, larger, load, place, store
from onlogit.kernels.link import sigmoid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

HALF_LIVES = (1.0, 4.0, 16.0, 64.0, 256.0)  # in labels
SCALE = np.float32(4.0)  # of a residual beside a log-odds: mends at most a few logits, and not one
REACH = 2.0  # how far the running rate may differ from the mixture, in logits
GAP, ODDS = 1 + len(HALF_LIVES), 2 + len(HALF_LIVES)  # lanes of a row's memo, after z and the residuals
LEAST = np.float32(1e-30)  # what a window of labels weighs at least
ZERO = np.float32(0)

true_odds = inline(labels.true_odds)


def fresh() -> tuple[F32, F32, F32]:
    """Decay, sums and weights of the lanes, [8] each, before the first label; lanes of other things stay as they are."""
    kept, weights = np.zeros(LANES, np.float32), np.ones(LANES, np.float32)
    kept[1:GAP] = np.exp2(-1.0 / np.array(HALF_LIVES))
    weights[1:GAP] = 1.0 / (1.0 - kept[1:GAP])
    return kept, np.zeros(LANES, np.float32), weights


@part
def _tail(sums: F32, weights: F32, z: float, odds: float) -> Any:
    """[z, residuals, gap to the running rate, odds of the running rate]."""
    nothing = lanes(ZERO, LANES)
    weigh = larger(load(weights, 0, nothing), LEAST)
    tail = SCALE * (load(sums, 0, nothing) / weigh)
    gap = min(max(math.log(odds) - z, -REACH), REACH)
    return place(place(place(tail, 0, np.float32(z)), GAP, np.float32(gap)), ODDS, np.float32(odds))


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    weight: F64,  # [n] of a row
    counts: F64,  # [ops] what a label counts, as `mixture.temper` says
    y: F64,  # [n]
    memo: F32,  # [n, m] from `at`: the mixture's z, as stated; the 7 after it are written where a row is scored
    at: int,
    kept: F32,  # [8] decay of a lane by one label
    sums: F32,  # [8] weighted residuals; changed
    weights: F32,  # [8] what they weigh; changed
    counted: F64,  # [2] positives and labels so far; changed
    flips: Flips,
) -> None:
    """Walk the tape in order: note what was wrong of late where a row is scored, and how wrong it was where its label
    comes."""
    stated, like = memo.reshape(-1), lanes(ZERO, LANES)
    decay = load(kept, 0, like)
    for t in range(row.size):
        i = row[t]
        first = i * memo.shape[1] + at
        z = float(stated[first])
        if act[t] & SCORE:
            if len(flips) == 2:
                odds = (counted[0] + 0.5) / (counted[1] - counted[0] + 0.5)
            else:
                yes, no = true_odds(counted[0], counted[1], flips)
                odds = yes / no
            store(stated, first, _tail(sums, weights, z, odds))
        if act[t] & LEARN and weight[i] > 0.0:
            p = sigmoid(z) if len(flips) == 2 else flips[FP] + flips[KEPT] * sigmoid(z)
            wrong = weight[i] * math.sqrt(counts[t] / weight[i]) * (y[i] - p)
            store(sums, 0, fma(decay, load(sums, 0, like), np.float32(wrong)))
            store(weights, 0, fma(decay, load(weights, 0, like), np.float32(weight[i])))
            counted[0] += weight[i] * y[i]
            counted[1] += weight[i]
