"""State the last word: a logistic regression on what the mixture and its experts say.

A mixture lies between its experts; a combination of their log-odds may lie beyond them, and can mend a level or a slope
that all of them share (stacking, Wolpert 1992; online in the log-odds, Mattern 2012). Inputs of a row: 1, the mixture's
z, and by how much each expert's z_k differs from it, held within ±2. The weights have a Gaussian belief that starts at
"what the mixture says", with a small variance, and forgets toward it (the same filter as kernels/belief.py).

Labels count as they do in the mixture. Measured against the mixture alone: README. About (K + 2)² x 4
flops an event; nothing is allocated per row.
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.belief import LEARN, SCORE, implicit_step
from onlogit.kernels.jit import inline, kernel, reduction
from onlogit.kernels.link import exponential, sigmoid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

REACH = 2.0  # how far an expert may differ from the mixture, in logits
UTMOST = math.log((1 - 1e-6) / 1e-6)  # no p beyond 1e-6 of 0 or 1 is stated


@inline
def _inputs(memo: F32, experts: int, x: F64) -> None:
    z = float(memo[2 * experts])
    x[0] = 1.0
    x[1] = z
    for k in range(experts):
        x[2 + k] = min(max(float(memo[k]) - z, -REACH), REACH)


@reduction
def _dot(a: F64, b: F64) -> float:
    total = 0.0
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@inline
def _learn(x: F64, y: float, h: float, rate: float, prior: F64, mean: F64, cov: F64, g: F64) -> None:
    """One implicit Kalman step of weight h, then forgetting: S <- f S + (1 - f) S0."""
    for b in range(x.size):
        g[b] = cov[0, b]  # x[0] = 1
    for a in range(1, x.size):
        xa = x[a]
        for b in range(x.size):  # S is symmetric, so its rows add up to S x: no sum across a vector
            g[b] += xa * cov[a, b]
    s2 = max(_dot(g, x), 0.0)
    z = _dot(mean, x)
    delta = implicit_step(z, s2, y, h)
    q = sigmoid(z + s2 * delta)
    r = h * q * (1.0 - q)
    kept = exponential(-h * rate)
    root = math.sqrt(kept * r / (1.0 + r * s2))
    for a in range(x.size):
        mean[a] += delta * g[a]
        g[a] *= root
    for a in range(x.size):
        ga = g[a]
        for b in range(x.size):
            cov[a, b] = kept * cov[a, b] - ga * g[b]
        cov[a, a] += (1.0 - kept) * prior[a]


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    counts: F64,  # [ops] what a label counts, as `mixture.temper` says
    y: F64,  # [n]
    memo: F32,  # [n, 2K + 1] z of each expert, s² of each, z of the mixture, as stated
    rate: float,  # ln 2 / half-life
    prior: F64,  # [K + 2] variances
    mean: F64,  # [K + 2] changed
    cov: F64,  # [K + 2, K + 2] changed
    z_out: F64,  # [n] log-odds; written where a row is scored
) -> None:
    """Walk the tape in order: state z where a row is scored, learn where its label comes."""
    experts = mean.size - 2
    x = np.zeros(mean.size)
    g = np.zeros(mean.size)
    for t in range(row.size):
        i = row[t]
        _inputs(memo[i], experts, x)
        if act[t] & SCORE:
            z_out[i] = min(max(_dot(mean, x), -UTMOST), UTMOST)
        if act[t] & LEARN and counts[t] > 0.0:
            _learn(x, y[i], counts[t], rate, prior, mean, cov, g)
