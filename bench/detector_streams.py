"""Streams for bench/detectors.py: stated log-odds and outcomes, honest in one way or another, or with a change at 5,000.

Every stream is a function of its seed and length. In a null scenario P(y = 1 | past) lies within the tolerance of what is
stated; in a broken one it does not, in a way that users meet; in a change it does up to event 5,000.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels.turns import take_turns

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
CHANGE = 5_000
TOLERANCE = 0.1


class Stream(NamedTuple):
    """n events in the order in which they are judged."""

    z: F64  # stated
    y: I8
    judged: npt.NDArray[np.bool_]


Make = Callable[[int, int], Stream]


def outcomes(true: F64, rng: np.random.Generator) -> I8:
    """Each independent of the others given what is true of it."""
    drawn: I8 = (rng.random(true.size) < 1.0 / (1.0 + np.exp(-true))).astype(np.int8)
    return drawn


def plain(mean: float, sd: float, off: float = 0.0) -> Make:
    """Scores of one mean and sd; the truth is `off` logits from them."""

    def make(seed: int, n: int) -> Stream:
        rng = np.random.default_rng(seed)
        z = rng.normal(mean, sd, n)
        return Stream(z, outcomes(z + off, rng), np.ones(n, np.bool_))

    return make


def bent(seed: int, n: int) -> Stream:
    """At the edge of the tolerance, on that side which each half of the scores makes worst."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.45, 1.0, n)
    return Stream(z, outcomes(z - TOLERANCE * np.sign(z + 2.0), rng), np.ones(n, np.bool_))


def wavering(seed: int, n: int) -> Stream:
    """At the edge of the tolerance, changing sides every 500 events."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.45, 1.0, n)
    side = np.where(np.arange(n) // 500 % 2 == 0, 1.0, -1.0)
    return Stream(z, outcomes(z + TOLERANCE * side, rng), np.ones(n, np.bool_))


def seasonal(seed: int, n: int) -> Stream:
    """Scores, and the truth with them, rise and fall over 2,000 events."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.0, 0.7, n) + 1.2 * np.sin(np.arange(n) * np.pi / 1_000)
    return Stream(z, outcomes(z, rng), np.ones(n, np.bool_))


def shifted(seed: int, n: int) -> Stream:
    """A benign shift of covariates: scores change their mean and spread at the change, and stay right."""
    rng = np.random.default_rng(seed)
    late = np.arange(n) >= CHANGE
    z = np.where(late, rng.normal(-1.2, 1.4, n), rng.normal(-2.45, 1.0, n))
    return Stream(z, outcomes(z, rng), np.ones(n, np.bool_))


def learning(seed: int, n: int, groups: int = 20) -> Stream:
    """p learns as it goes: groups of unknown rates, each stated as its posterior mean, which is right given the past."""
    rng = np.random.default_rng(seed)
    group, draws = rng.integers(0, groups, n), rng.random(n)
    rates = rng.beta(1.0, 8.0, groups)
    y = (draws < rates[group]).astype(np.int8)
    p = np.empty(n)
    for g in range(groups):
        own = np.flatnonzero(group == g)
        before = np.cumsum(y[own]) - y[own]
        p[own] = (1.0 + before) / (9.0 + np.arange(own.size))
    return Stream(np.log(p) - np.log1p(-p), y, np.ones(n, np.bool_))


def _storms(seed: int, n: int, wait: int = 50) -> tuple[F64, I8]:
    rng = np.random.default_rng(seed)
    bad = np.repeat(rng.random(n // wait + 1) < 0.2, wait)[:n]
    y = (rng.random(n) < np.where(bad, 0.5, 0.08)).astype(np.int8)
    p = 0.2 * 0.5 + 0.8 * 0.08
    return np.full(n, np.log(p / (1 - p))), y


def clustered(seed: int, n: int) -> Stream:
    """Outcomes go together in storms of 50 events that p does not know of; every event is judged."""
    z, y = _storms(seed, n)
    return Stream(z, y, np.ones(n, np.bool_))


def apart(seed: int, n: int) -> Stream:
    """The same, labels known 50 events later, and only events that stand apart are judged."""
    z, y = _storms(seed, n)
    event, judged = np.arange(n), np.zeros(n, np.bool_)
    take_turns(event, event + 51, y, np.ones(n), np.zeros(1, np.int64), judged)
    return Stream(z, y, judged)


def arriving(seed: int, n: int) -> Stream:
    """Honest, but judged in the order in which labels arrive: positives after some 200 events, negatives after 2,000."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.45, 1.0, n)
    y = outcomes(z, rng)
    order = np.argsort(np.arange(n) + rng.exponential(np.where(y == 1, 200.0, 2_000.0)), kind="stable")
    return Stream(z[order], y[order], np.ones(n, np.bool_))


def changed(move: Callable[[F64], F64]) -> Make:
    """Base rate 11 %; from event 5,000 on, the truth is `move` of what is stated."""

    def make(seed: int, n: int) -> Stream:
        rng = np.random.default_rng(seed)
        z = rng.normal(-2.45, 1.0, n)
        return Stream(z, outcomes(np.where(np.arange(n) < CHANGE, z, move(z)), rng), np.ones(n, np.bool_))

    return make


def slope(z: F64) -> F64:
    """Log-odds move .65 as far as stated about a pivot that keeps the mean rate."""
    bent: F64 = -1.8 + 0.65 * (z + 1.8)
    return bent


def top_decile(z: F64) -> F64:
    """The top decile is stated .8 logits too high."""
    return np.where(z > -2.45 + 1.2816, z - 0.8, z)


NULLS: dict[str, Make] = {
    "base rate 11 %": plain(-2.45, 1.0),
    "base rate 50 %": plain(0.0, 1.0),
    "base rate 1 %": plain(-5.0, 0.8),
    "base rate .1 %": plain(-7.2, 0.7),
    "p near 0 and 1": plain(0.0, 6.0),
    "one score for all": plain(-1.4, 0.0),
    "seasons": seasonal,
    "p learns online": learning,
    "benign covariate shift": shifted,
    "late labels, judged apart": apart,
    "edge of the tolerance, above": plain(-2.45, 1.0, TOLERANCE),
    "edge of the tolerance, below": plain(-2.45, 1.0, -TOLERANCE),
    "edge, base rate 50 %": plain(0.0, 1.0, TOLERANCE),
    "edge, bent": bent,
    "edge, changing sides": wavering,
}
BROKEN: dict[str, Make] = {
    "clustered outcomes, all judged": clustered,
    "judged in order of arrival": arriving,
    ".2 logits off, twice the tolerance": plain(-2.45, 1.0, 0.2),
}
CHANGES: dict[str, Make] = {
    "level +.3": changed(lambda z: z + 0.3),
    "level -.3": changed(lambda z: z - 0.3),
    "slope .65": changed(slope),
    "top decile -.8": changed(top_decile),
}
