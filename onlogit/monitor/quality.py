"""What a tally says: reliability tables and the figures of quality.

The AUC is read from 4,096 bins of 1/128 in z, in which ties count half: within 1e-4 of the exact value where scores spread over
.1 logits or more; `auc_error` bounds the error always. Cost: some 100 µs a reading.
"""

import math
from typing import NamedTuple

import numpy as np

from onlogit.kernels.tally import BINS, EDGES, F64, Tally, values
from onlogit.monitor.estimates import auc, binned, sums_of, wilson


class Reliability(NamedTuple):
    """One reliability table; arrays [20], NaN where a bin is empty."""

    edges: F64  # [21] of p, or of ℓ with infinite ends
    examples: F64  # weight
    stated: F64  # mean p
    observed: F64  # mean y
    low: F64  # 95 % Wilson interval of the rate
    high: F64


def reliability(tally: Tally, scale: str = "probability") -> Reliability:
    """Stated against observed per bin, on equal widths of p ("probability") or by log-odds ("log-odds")."""
    if scale not in ("probability", "log-odds"):
        raise ValueError(f'scale {scale!r}: "probability" or "log-odds" would be accepted')
    flat = scale == "probability"
    edges = np.linspace(0.0, 1.0, BINS + 1) if flat else np.array([-np.inf, *EDGES, np.inf])
    n, p, y, _ = values(tally.shares if flat else tally.odds).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return Reliability(edges, n, p / n, y / n, *wilson(y, n))


class Quality(NamedTuple):
    """What a tally says; None where it says nothing (no examples; one class, for the AUC). `_asdict()` is JSON-safe."""

    examples: float  # Σ weight of labelled rows
    rate: float | None  # mean outcome
    expected: float | None  # mean stated probability
    observed_over_expected: float | None
    log_loss: float | None  # nats an example
    base_log_loss: float | None  # of the running base rate, (Σy+½)/(n+1) before each label
    brier: float | None
    auc: float | None
    auc_error: float | None  # the binned AUC is off by this at most
    calibration_error: float | None  # Σ (n_b/n) |mean y - mean p| over 20 equal-width bins of p
    calibration_error_squared: float | None  # Σ (n_b/n) [(mean y - mean p)² - Σp(1-p)/n_b²], no bias; may be negative


def quality(tally: Tally) -> Quality:
    """All readouts of a tally."""
    sums = sums_of(tally)
    n, y, p, _, _, brier, loss = sums.totals.tolist()
    if n <= 0.0:
        return Quality(0.0, *[None] * 10)
    *_, error, squared = binned(sums, n)
    ratio = y / p if p > 0.0 else None
    return Quality(n, y / n, p / n, ratio, loss / n, _base_loss(n, y) / n, brier / n, *auc(sums.ranks), error, squared)


def _base_loss(n: float, ones: float) -> float:
    """The log loss of the running base rate over n labels, which is the same in every order (Krichevsky & Trofimov 1981)."""
    return math.lgamma(n + 1.0) + math.log(math.pi) - math.lgamma(ones + 0.5) - math.lgamma(n - ones + 0.5)
