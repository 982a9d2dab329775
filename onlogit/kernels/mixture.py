"""Weigh experts by their log loss, with switching, and nothing to tune.

Each expert speaks twice: plainly, σ(z), and moderated by its own uncertainty, σ(z / √(1 + π s²/8)) (MacKay 1992). Over
these M = 2 K voices runs one Bayesian mixture per switching rate α: u <- u p(y), then (1-α) u + α/M (Fixed-Share,
Herbster & Warmuth 1998), and over the mixtures runs one more without switching. The regret to the best voice is at most
ln(M A) nats in all (Vovk's aggregating algorithm).

While L events on average wait for their labels, a label counts 1/√(1+L) here: with labels in flight a mistake is judged
many times before it can be corrected, and the best learning rate falls with the root of the delay (Weinberger &
Ordentlich 2002; Joulani et al. 2013). Nothing changes where labels are fresh. L is a mean over the last 10,000 labels: by
the count of the moment, labels that come in quiet hours would weigh more, and they are not like the others (on flights at
real label times the calibration error was .014 so, and is .008).
"""

import math

import numpy as np
import numpy.typing as npt

from onlogit.kernels.belief import LEARN, SCORE
from onlogit.kernels.jit import inline, kernel
from onlogit.kernels.link import sigmoid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

FLOOR = 1e-5  # no voice says less than this or more than 1 - this
MEMORY = 10_000.0  # labels over which the number of waiting events is averaged
LEAST = 1e-30  # the least weight: what no more underflows can still return
PI_8 = math.pi / 8.0


@inline
def _voices(memo: F32, p: F64) -> None:
    """p[k] = σ(z_k), p[K + k] = σ(z_k / √(1 + π s²_k / 8)), floored; from what was stated when the row was scored."""
    experts = p.size // 2
    for k in range(experts):
        z = float(memo[k])
        p[k] = min(max(sigmoid(z), FLOOR), 1.0 - FLOOR)
        p[experts + k] = min(max(sigmoid(z / math.sqrt(1.0 + PI_8 * memo[experts + k])), FLOOR), 1.0 - FLOOR)


@inline
def _pool(u: F64, omega: F64, pooled: F64) -> None:
    """pooled[k] = Σ_a ω_a u_ak."""
    for k in range(pooled.size):
        total = 0.0
        for a in range(omega.size):
            total += omega[a] * u[a, k]
        pooled[k] = total


@inline
def _update(y: float, h: float, p: F64, switching: F64, u: F64, omega: F64, likelihood: F64) -> None:
    """One label of weight h: reweigh the voices in each mixture, and the mixtures."""
    voices = p.size
    for k in range(voices):
        pk = p[k] if y > 0.5 else 1.0 - p[k]
        likelihood[k] = pk if h == 1.0 else pk**h
    spread = 0.0
    for a in range(switching.size):
        before = 0.0
        after = 0.0
        for k in range(voices):
            before += u[a, k] * (p[k] if y > 0.5 else 1.0 - p[k])
            u[a, k] *= likelihood[k]
            after += u[a, k]
        share = switching[a] if h == 1.0 else 1.0 - (1.0 - switching[a]) ** h
        keep = (1.0 - share) / after
        for k in range(voices):
            u[a, k] = max(u[a, k] * keep + share / voices, LEAST)
        omega[a] *= before**h
        spread += omega[a]
    for a in range(switching.size):
        omega[a] = max(omega[a] / spread, LEAST)


@inline
def _spread(memo: F32, pooled: F64, z: float) -> float:
    """The sd of z under the mixture: within each expert, and between them."""
    experts = pooled.size // 2
    variance = 0.0
    for k in range(experts):
        gap = float(memo[k]) - z
        variance += (pooled[k] + pooled[experts + k]) * (float(memo[experts + k]) + gap * gap)
    return math.sqrt(variance)


@kernel
def temper(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    waiting: I64,  # [ops] events that wait for their label after this operation
    weight: F64,  # [n]
    flight: F64,  # [2] mean number of waiting events, and of how many labels it is the mean; changed
    counts: F64,  # [ops] written where a row is learned
) -> None:
    """counts = weight / √(1 + L), L the mean number of waiting events over the last 10,000 labels."""
    for t in range(row.size):
        if act[t] & LEARN and weight[row[t]] > 0.0:
            flight[1] = min(flight[1] + 1.0, MEMORY)
            flight[0] += (waiting[t] - flight[0]) / flight[1]
            counts[t] = weight[row[t]] / math.sqrt(1.0 + flight[0])


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    counts: F64,  # [ops] what a label counts, as `temper` says
    y: F64,  # [n]
    memo: F32,  # [n, 2K + 1] z of each expert, then s² of each, as stated; last the mixture's z, written here
    switching: F64,  # [A] the α of each mixture
    u: F64,  # [A, 2K] weight of each voice in each mixture; changed
    omega: F64,  # [A] weight of each mixture; changed
    sd_out: F64,  # [n] sd of z; written where a row is scored
) -> None:
    """Walk the tape in order: state the mixture's z where a row is scored, reweigh where it is learned."""
    voices = u.shape[1]
    p = np.zeros(voices)
    likelihood = np.zeros(voices)
    pooled = np.zeros(voices)
    _pool(u, omega, pooled)
    for t in range(row.size):
        i = row[t]
        _voices(memo[i], p)
        if act[t] & SCORE:
            yes = 0.0
            no = 0.0
            for k in range(voices):
                yes += pooled[k] * p[k]
                no += pooled[k] * (1.0 - p[k])
            memo[i, voices] = math.log(yes / no)
            sd_out[i] = _spread(memo[i], pooled, float(memo[i, voices]))
        if act[t] & LEARN and counts[t] > 0.0:
            _update(y[i], counts[t], p, switching, u, omega, likelihood)
            _pool(u, omega, pooled)
