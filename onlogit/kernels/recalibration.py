"""A map z' = a + b z of stated log-odds, learned in shadow, and the evidence that it states better than what is stated.

The map is a logistic regression of two weights on (1, z) with a Gaussian belief that starts at (0, 1), learns by one implicit
step a label (kernels/implicit.py), and forgets toward (0, 1): between labels the weights move as an Ornstein-Uhlenbeck
process whose resting state is the prior.

The evidence is a bet that costs nothing on average if what was stated is right: each label multiplies it by p'(y) / p(y), p'
being what the shadow said when p was stated, so that the product is a martingale. A single product would lose so much in
quiet years that it could never win again. So capital 1 is laid out over the strands that start at every 1,000th judged
label, 1 / ((k + 1)(k + 2)) for the k-th, and M is the sum of the strands and of what is not yet laid out. While stated
probabilities are right, P(M ever reaches 1/α) <= α (Ville); the k-th strand pays 2 ln(k + 1) nats for having waited.
Cost: about 140 ns an event, with the
bookkeeping of monitor/repair.py.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.flips import Flips, scalar_information
from onlogit.kernels.implicit import flipped_step, implicit_step
from onlogit.kernels.jit import inline, kernel
from onlogit.kernels.link import exponential, log_loss, sigmoid

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]

EVERY = 1_000  # judged labels from one strand to the next
PRIOR = 0.1  # variance of a and of b
RATE = math.log(2.0) / 20_000.0  # of forgetting: half of what was learned is gone after 20,000 labels
NOTHING = -1e300  # log of no capital


@inline
def _sum_of_logs(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    return max(a, b) + math.log1p(exponential(-abs(a - b)))


@kernel
def weigh_and_learn(
    raw: F64,  # [n] log-odds before any map
    stated: F64,  # [n] log-odds of the label, as stated
    shadow: F64,  # [n] as the shadow said then, likewise
    y: I8,  # [n] 1, 0, or -1 for none
    weight: F64,  # [n]
    judged: npt.NDArray[np.bool_],  # [n] whether the row counts as evidence
    mean: F64,  # [2] of a and b; changed
    cov: F64,  # [3] variance of a, covariance, variance of b; changed
    capital: F64,  # [2] log of the sum of the strands, judged labels; changed
    flips: Flips,
) -> None:
    """Take settled rows in prediction order: bet on each that is judged, learn from each that has a label."""
    for i in range(raw.size):
        h = weight[i]
        if y[i] < 0 or not h > 0.0:
            continue
        if judged[i]:
            k = capital[1] / EVERY
            if k == math.floor(k):
                capital[0] = _sum_of_logs(capital[0], -math.log((k + 1.0) * (k + 2.0)))
            capital[0] += log_loss(y[i], stated[i]) - log_loss(y[i], shadow[i])
            capital[1] += 1.0
        kept = exponential(-h * RATE)
        mean[0] *= math.sqrt(kept)
        mean[1] = 1.0 + math.sqrt(kept) * (mean[1] - 1.0)
        for j in range(3):
            cov[j] = kept * cov[j] + (PRIOR * (1.0 - kept) if j != 1 else 0.0)
        g0, g1 = cov[0] + cov[1] * raw[i], cov[1] + cov[2] * raw[i]
        s2 = g0 + g1 * raw[i]
        if len(flips) == 2:
            delta = implicit_step(mean[0] + mean[1] * raw[i], s2, y[i], h)
            q = abs(delta) / h
            r = h * q * (1.0 - q)
        else:
            z = mean[0] + mean[1] * raw[i]
            delta = flipped_step(z, s2, y[i], h, flips)
            r = h * scalar_information(sigmoid(z + s2 * delta), flips)
        c = r / (1.0 + r * s2)
        mean[0] += delta * g0
        mean[1] += delta * g1
        cov[0] -= c * g0 * g0
        cov[1] -= c * g0 * g1
        cov[2] -= c * g1 * g1


def log_evidence(capital: F64) -> float:
    """log M: of the strands, and of the capital that is not laid out yet."""
    strands = math.ceil(float(capital[1]) / EVERY)
    return float(np.logaddexp(capital[0], -math.log(strands + 1.0)))
