"""State the last word: a logistic regression on what the mixture and its experts say.

A mixture lies between its experts; a combination of their log-odds may lie beyond them, and can mend a level or a slope
that all of them share (stacking, Wolpert 1992; online in the log-odds, Mattern 2012). Inputs of a row: by how much each
expert's z_k differs from the mixture's z, held within ±2; then z; what it got wrong of late and the running rate, as
kernels/residuals.py has it; then 1. The weights have a Gaussian belief that starts at "what the mixture says", with a small
variance, and forgets toward it: one more belief as in kernels/covariance.py.

Where no labels come, in a plain score or of a model that is frozen, what was wrong of late is soon past: the same weights are
told of nothing wrong. Log loss so of the next 4 % of a stream, at 23 places in it, less that of a second last word that had
never heard what was wrong: hotel_bookings -.167, elec2 -.032, noaa_weather -.0016, kdd_http -.0006, bank_marketing
-.0004, weather_aus -.0003, jit_defects -.0002, nothing with labels 1,000 events late, and flights +.003.

Labels count as they do in the mixture. Measured against the mixture alone: README.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels import covariance
from onlogit.kernels.belief import AGAIN, LEARN, SCORE
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import Flips
from onlogit.kernels.jit import kernel, part
from onlogit.kernels.lanes import lanes, larger, load, place, smaller, store
from onlogit.kernels.link import UTMOST, exponential
from onlogit.kernels.residuals import GAP

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

REACH = np.float32(2.0)  # how far an expert may differ from the mixture, in logits
ZERO, ONE = np.float32(0), np.float32(1)


@part
def _inputs(memo: F32, at: int, experts: int, heard: F32, x: F32) -> None:
    """x = [z_k - z within ±REACH for each expert; z, residuals, running rate, 1] of the row whose memo begins `at`."""
    z = memo[at + 2 * experts]
    nothing = lanes(ZERO, LANES)
    for e in range(0, experts, LANES):
        gap = load(memo, at + e, nothing) - z
        store(x, e, smaller(larger(gap, -REACH), REACH))
    noted = load(memo, at + 2 * experts, nothing) * load(heard, 0, nothing)
    store(x, experts, place(noted, LANES - 1, ONE))


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH, and AGAIN
    counts: F64,  # [ops] what a label counts, as `mixture.temper` says
    y: F64,  # [n]
    memo: F32,  # [n, >= 2E + 8] z of each expert, s² of each; z of the mixture and what `residuals.walk` noted
    live: bool,  # whether labels come, and what was wrong of late is heard
    rate: float,  # ln 2 / half-life
    prior: F32,  # [D] variances, 0 for what is not in use; D = E + LANES
    mean: F32,  # [D] changed
    cov: F32,  # [D, D] with what follows as kernels/covariance.py has it; changed
    scales: F32,  # [2, LANES] scale and what is owed, in the first lane; changed
    z_out: F64,  # [n] log-odds; written where a row is scored
    flips: Flips,
) -> None:
    """Walk the tape in order: state z where a row is scored, learn where its label comes."""
    width, stated, s = mean.size, memo.reshape(-1), cov.reshape(-1)
    experts, scale, owed = width - LANES, scales[0], scales[1]
    heard = np.ones(LANES, np.float32)
    if not live:
        heard[1:GAP] = ZERO
    x, g, held = np.zeros(width, np.float32), np.zeros(width, np.float32), np.zeros(width, np.float32)
    z, s2 = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    delta, shrink, root = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    kept, fill, kept_for = np.ones(LANES, np.float32), np.zeros(LANES, np.float32), 0.0  # f, 1 - f, and of what weight
    for lane in range(1, LANES):  # of no belief: one that forgot would have the covariance settled at every label
        scale[lane], owed[lane] = ONE, ZERO
    waits = False  # whether the last label is still held back from the covariance
    for t in range(row.size):
        i = row[t]
        _inputs(stated, i * memo.shape[1], experts, heard, x)
        if act[t] & SCORE:
            z_out[i] = min(max(float(covariance.score(mean, 0, g, x, scale)[0]), -UTMOST), UTMOST)
        if (act[t] & LEARN) == 0 or act[t] & AGAIN or counts[t] <= 0.0:
            continue
        h = counts[t]
        if waits:
            covariance.update(s, 0, 0, held, x, width, prior, owed, g)
        else:
            covariance.product(s, 0, 0, x, width, prior, owed, g)
        z[0], s2[0] = covariance.score(mean, 0, g, x, scale)
        if h != kept_for:
            kept[0] = max(np.float32(exponential(-h * rate)), covariance.LEAST_KEPT)
            fill[0] = np.float32(-math.expm1(-h * rate))
            kept_for = h
        covariance.steps(z, s2, y[i], h, scale, 0, delta, shrink, root, flips)
        covariance.learn(mean, 0, width, g, held, delta[0], root[0], scale)
        due = covariance.forget(0, kept, fill, scale, owed)
        covariance.settle(s, 1 if due else 0, width, prior, scale, owed, held)
        waits = True
    if waits:
        covariance.update(s, 0, 0, held, x, width, prior, owed, g)
