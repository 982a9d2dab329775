"""The beliefs of several workers as one: what each of them learned is added up.

Workers k start from one base belief, and each learns a part of the stream. Precisions add relative to the base, and so do
precisions times means (Broderick et al. 2013):

    Λ = Λ0 + Σ (Λ_k - Λ0_k)        A m = a Λ0 m0 + Σ (Λ_k m_k - a_k Λ0_k m0),   A = a Λ0 + Σ (Λ_k - a_k Λ0_k)

Λ0_k is the base's precision as forgetting alone would have left it over the n_k examples that worker k learned, Λ0 over all
of them, a = 2^(-n / half-life). Without forgetting a = 1 and A = Λ: Bayes' rule, each example counted once. With a finite
half-life it is an approximation in which every worker keeps its own memory: the result rests on about the last half-life
of each. Forgetting widens a variance and leaves the mean where it is, so the base's hold on the mean has to fade with a;
else what every worker has moved away from would be taken off K times.

What a worker learned is never less than nothing: where rounding says so it is nothing, in that direction. Every precision
is therefore at least that of the aged base, and the result is positive definite. Slots follow the same rule, each alone.
As variances of slots know nothing of each other, K parts of slots that go together are trusted somewhat too much.

The voices of the mixture are pooled, Σ (n_k/n) u_k: no product of posteriors, which would count the start of every worker
against the same experts. So the merged mixture costs at most ln(n/n_k) nats more than that of worker k. The last word's
natural parameters are averaged likewise and not added: each worker judged experts of its own, who are gone.

Measured on 800,000 rows of 20 numbers dealt in turn, log loss of 200,000 others against one worker's: the experts alone
+.000003 (8 workers) and +.000030 (64), from a base of 10,000 rows -.000005 and -.000007. With the last word, whose own noise
is less in a mean of many, -.00016 and -.00019. On shuffled real streams of 40,000 to 140,000 rows 8 workers cost -.0007 to
+.0008, and on bank_marketing +.0045 (from a base of 5,000 rows +.0002).

Cost: O(K D³) an expert, 24 bytes an expert and slot while it lasts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

FINEST = 1e-7  # the least share of a variance that float32 tells from nothing
LEAST = 1e-30  # the least weight of a voice, as in kernels/mixture.py


class Gaussian(NamedTuple):
    """A belief about c weights."""

    mean: F64  # [c]
    cov: F64  # [c, c]


class Slots(NamedTuple):
    """The slots that were learned so far, by E experts."""

    number: I64  # [s] ascending
    touched: F64  # [s] clock when last learned
    table: F32  # [s, 2, E] mean, and variance at that time


def aged(variance: F64, prior: F64, kept: F64 | float) -> F64:
    """f S + (1 - f) S0."""
    return prior + kept * (variance - prior)


def add_gaussians(
    base: Gaussian, parts: Sequence[Gaussian], prior: F64, kept: Sequence[float], changes: Sequence[F64]
) -> Gaussian:
    """One expert. `prior` [c, c]; `kept` [K] what forgetting leaves of the base over each part; θ_k = `changes`[k] θ."""
    all_kept = float(np.prod(kept))
    precision = np.linalg.inv(aged(base.cov, prior, all_kept))
    hold = all_kept * precision
    pull = hold @ base.mean
    for part, f, change in zip(parts, kept, changes, strict=True):
        left, learned = _beyond(aged(base.cov, prior, f), part.cov)
        precision += change.T @ learned @ change
        hold += change.T @ (learned + (1.0 - f) * left) @ change
        pull += change.T @ ((learned + left) @ part.mean - f * (left @ base.mean))
    cov = np.linalg.inv(precision)
    return Gaussian(np.linalg.solve(hold, pull), 0.5 * (cov + cov.T))


def _beyond(base: F64, part: F64) -> tuple[F64, F64]:
    """The precision of the aged base, and what the part has beyond it; from covariances."""
    size, axes = np.linalg.eigh(base)
    scaled = axes / np.sqrt(np.maximum(size, FINEST * size[-1]))  # U'SU = 1
    share, turn = np.linalg.eigh(scaled.T @ part @ scaled)
    turned = scaled @ turn
    return scaled @ scaled.T, turned * (1.0 / np.clip(share, FINEST, 1.0) - 1.0) @ turned.T


def add_slots(base: Slots, parts: Sequence[Slots], clock: Sequence[float], rate: F64, prior: F64) -> Slots:
    """The slots of all; those that no part has learned since the base stay as they are.

    clock: [1 + K] of the base and of each part; rate: [E] ln 2 / half-life; prior: [E] variance.
    """
    number = np.unique(np.concatenate([base.number, *(part.number for part in parts)]))
    end = clock[0] + sum(c - clock[0] for c in clock[1:])
    mean, variance = np.zeros((len(number), len(rate))), np.broadcast_to(prior, (len(number), len(rate))).copy()
    touched, known = np.full(len(number), end), np.searchsorted(number, base.number)
    mean[known], variance[known] = base.table[:, 0], base.table[:, 1]
    touched[known] = base.touched
    precision = 1.0 / _aged_slots(variance, prior, end - touched, rate)
    hold = np.exp(-rate * (end - clock[0])) * precision
    pull = hold * mean
    fresh = np.zeros(len(number), np.bool_)
    for part, now in zip(parts, clock[1:], strict=True):
        since = part.touched >= clock[0]
        at = np.searchsorted(number, part.number[since])
        f = np.exp(-rate * (now - clock[0]))
        start = _aged_slots(variance[at], prior, np.maximum(now - touched[at], 0.0), rate)
        own = _aged_slots(part.table[since, 1].astype(np.float64), prior, now - part.touched[since], rate)
        left = 1.0 / start
        learned = 1.0 / np.clip(own, FINEST * start, start) - left
        precision[at] += learned
        hold[at] += learned + (1.0 - f) * left
        pull[at] += (learned + left) * part.table[since, 0] - f * left * mean[at]
        fresh[at] = True
    mean[fresh], variance[fresh], touched[fresh] = pull[fresh] / hold[fresh], 1.0 / precision[fresh], end
    return Slots(number, touched, np.stack([mean, variance], axis=1).astype(np.float32))


def _aged_slots(variance: F64, prior: F64, age: F64, rate: F64) -> F64:
    """Variances [s, E] after each slot's own age [s]."""
    return aged(variance, prior, np.exp(-rate * age[:, None]))


def pool_voices(share: F64, u: Sequence[F64], omega: Sequence[F64]) -> tuple[F64, F64]:
    """u and ω of the pool Σ share_k ω_k u_k. share: [K], sums to 1; u: [A, M] and omega: [A] of each part."""
    joint = np.zeros_like(u[0])
    for each, own_u, own_omega in zip(share, u, omega, strict=True):
        joint += each * own_omega[:, None] * own_u
    total = joint.sum(axis=1)
    return np.maximum(joint / total[:, None], LEAST), np.maximum(total / total.sum(), LEAST)


def average_gaussians(share: F64, parts: Sequence[Gaussian]) -> Gaussian:
    """Natural parameters averaged: Λ = Σ share_k Λ_k, Λ m likewise."""
    precisions = [np.linalg.inv(part.cov) for part in parts]
    precision = sum((s * p for s, p in zip(share, precisions, strict=True)), np.zeros_like(parts[0].cov))
    pull = sum(
        (s * (p @ part.mean) for s, p, part in zip(share, precisions, parts, strict=True)), np.zeros_like(parts[0].mean)
    )
    cov = np.linalg.inv(precision)
    return Gaussian(np.linalg.solve(precision, pull), 0.5 * (cov + cov.T))
