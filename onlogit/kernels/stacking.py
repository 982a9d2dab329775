"""State the last word: a logistic regression on what the mixture and its experts say.

A mixture lies between its experts; a combination of their log-odds may lie beyond them, and can mend a level or a slope
that all of them share (stacking, Wolpert 1992; online in the log-odds, Mattern 2012). Inputs of a row: by how much each
expert's z_k differs from the mixture's z, held within ±2; then z; what it got wrong of late and the running rate, as
kernels/residuals.py has it; then 1. The weights have a Gaussian belief that starts at "what the mixture says", with a small
variance, and forgets toward it: one more belief as in kernels/covariance.py.

There are two last words, which learn from the same labels side by side: LIVE hears what was wrong of late, AT_REST does not
(its prior variance there is 0), for rows that are scored where no labels come.

Labels count as they do in the mixture. Measured against the mixture alone: README.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels import covariance
from onlogit.kernels.belief import LEARN, SCORE
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import Flips
from onlogit.kernels.jit import kernel, part
from onlogit.kernels.lanes import lanes, larger, load, place, smaller, splat, store
from onlogit.kernels.link import exponential

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

REACH = np.float32(2.0)  # how far an expert may differ from the mixture, in logits
UTMOST = math.log((1 - 1e-6) / 1e-6)  # no p beyond 1e-6 of 0 or 1 is stated
LIVE, AT_REST = 0, 1
ZERO, ONE = np.float32(0), np.float32(1)


@part
def _inputs(memo: F32, at: int, experts: int, x: F32) -> None:
    """x = [z_k - z within ±REACH for each expert; z, residuals, running rate, 1] of the row whose memo begins `at`."""
    z = memo[at + 2 * experts]
    nothing = lanes(ZERO, LANES)
    for e in range(0, experts, LANES):
        gap = load(memo, at + e, nothing) - z
        store(x, e, smaller(larger(gap, -REACH), REACH))
    store(x, experts, place(load(memo, at + 2 * experts, nothing), LANES - 1, ONE))


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    counts: F64,  # [ops] what a label counts, as `mixture.temper` says
    y: F64,  # [n]
    memo: F32,  # [n, >= 2E + 8] z of each expert, s² of each; z of the mixture and what `residuals.walk` noted
    rate: float,  # ln 2 / half-life
    prior: F32,  # [W, D] variances of each word, 0 for what is not in use; D = E + LANES, W at most LANES
    mean: F32,  # [W, D] changed
    cov: F32,  # [W, D, D] with what follows as kernels/covariance.py has it; changed
    scales: F32,  # [2, LANES] scale and what is owed; changed
    word: int,  # which of them states
    z_out: F64,  # [n] log-odds; written where a row is scored
    flips: Flips,
) -> None:
    """Walk the tape in order: state z where a row is scored, learn where its label comes."""
    words, width = mean.shape
    experts, stated = width - LANES, memo.reshape(-1)
    m, s, s0 = mean.reshape(-1), cov.reshape(-1), prior.reshape(-1)
    scale, owed = scales[0], scales[1]
    x, g, held = np.zeros(width, np.float32), np.zeros(words * width, np.float32), np.zeros(words * width, np.float32)
    z, s2 = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    delta, shrink, root = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    kept, fill, kept_for = np.ones(LANES, np.float32), np.zeros(LANES, np.float32), 0.0  # f, 1 - f, and of what weight
    nothing = lanes(ZERO, LANES)
    waits = False  # whether the last label is still held back from the covariance
    for t in range(row.size):
        i = row[t]
        _inputs(stated, i * memo.shape[1], experts, x)
        if act[t] & SCORE:
            z_out[i] = min(max(float(covariance.score(m, word, g, x, scale)[0]), -UTMOST), UTMOST)
        if (act[t] & LEARN) == 0 or counts[t] <= 0.0:
            continue
        h = counts[t]
        for w in range(words):
            if waits:
                covariance.update(s, w, held, x, x.size, s0, owed[w], g)
            else:
                covariance.product(s, w, x, x.size, s0, owed[w], g)
            z[w], s2[w] = covariance.score(m, w, g, x, scale)
        if h != kept_for:
            store(kept, 0, splat(max(np.float32(exponential(-h * rate)), covariance.LEAST_KEPT), nothing))
            store(fill, 0, splat(np.float32(-math.expm1(-h * rate)), nothing))
            kept_for = h
        covariance.steps(z, s2, y[i], h, scale, 0, delta, shrink, root, flips)
        for w in range(words):
            covariance.learn(m, w, width, g, held, delta[w], root[w], scale)
        due = covariance.forget(0, kept, fill, scale, owed)
        covariance.settle(s, words if due else 0, width, s0, scale, owed, held)
        waits = True
    for w in range(words):
        if waits:
            covariance.update(s, w, held, x, x.size, s0, owed[w], g)
