"""An act of forgetting: a belief that was right of the past is told that something changed.

Half-lives forget at a steady pace, and the mixture over them finds the one that suits. After an abrupt change that takes long:
the experts that remember much are wrong for as long as they remember, and the short ones that carry the mixture meanwhile
stay noisy. So, in one act:

- where outcomes moved by a level alone, by a shift s of the log-odds, the bias of every expert may have jumped by as much:
  its variance grows by s² (a jump drawn from N(0, s²)), and all else stays known;
- else every expert that remembers more than the half-life which the mixture now trusts most takes over the belief of that one,
  and what a belief holds weighs as much as the examples since the onset do, if it weighs more: with n of them held and m since
  the onset, S^-1 <- r S^-1 + (1 - r) S0^-1, r = m / n < 1 (a power prior, Ibrahim & Chen 2000). Means stay.

Cost: one inversion an expert and one pass over the slots learned so far, once an act.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def jump(cov: F32, shift: float) -> None:
    """The bias of each expert [K, D, D] may have jumped by so many logits."""
    cov[:, 0, 0] += np.float32(shift * shift)


def rewind(mean: F32, cov: F32, table: npt.NDArray[Any], share: F64, half_lives: F64) -> F64:
    """Experts of longer half-lives than the one with the largest share take over its belief; what each now has.

    mean [K, D], cov [K, D, D], table [s, 2, E] of the slots learned so far; share [K]; half_lives [K], each with as many
    priors in the same order.
    """
    lives = np.unique(half_lives)
    trusted = lives[int(np.argmax([share[half_lives == life].sum() for life in lives]))]
    source = np.flatnonzero(half_lives == trusted)
    for life in lives[lives > trusted]:
        own = np.flatnonzero(half_lives == life)
        mean[own], cov[own], table[:, :, own] = mean[source], cov[source], table[:, :, source]
    kept: F64 = np.minimum(half_lives, trusted)
    return kept


def held(half_lives: F64, labels: float) -> F64:
    """How many examples a belief of each half-life [K] holds after so many labels: Σ 2^(-i / half-life)."""
    rate = math.log(2.0) / half_lives
    with np.errstate(divide="ignore", invalid="ignore"):
        fading: F64 = -np.expm1(-rate * labels) / rate
    return np.where(np.isinf(half_lives), labels, fading)


def discount(cov: F32, prior: F32, kept: float) -> None:
    """S^-1 <- r S^-1 + (1 - r) S0^-1 of one expert: cov [c, c], changed; prior [c], the diagonal of S0; kept: r."""
    s = cov.astype(np.float64)
    more = np.eye(len(s)) * kept + (1.0 - kept) * s / prior.astype(np.float64)  # S (r S^-1 + (1 - r) S0^-1)
    found = np.linalg.solve(more, s)
    cov[...] = (found + found.T) / 2.0


def discount_slots(variance: F32, prior: F32, kept: F64) -> None:
    """The same of variances [s, K], changed; prior and kept [K]."""
    v, v0 = variance.astype(np.float64), prior.astype(np.float64)
    variance[...] = v / (kept + (1.0 - kept) * v / v0)
