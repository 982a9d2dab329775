"""What a threshold would do: cost, precision, recall and volume at every threshold, from pairs of p and outcome.

At a threshold t one acts on p > t. Acting where the outcome is 0 costs c_fp, not acting where it is 1 costs c_fn; correct
decisions are free. The expected cost takes p at its word, the realised one counts outcomes: they part where p is not
calibrated. Net benefit is TP/n - FP/n t/(1-t) (Vickers & Elkin 2006).

The cheapest threshold is an estimate, and often a vague one. Its interval holds every threshold whose cost is not above
the least by more than 1.96 standard errors of their difference, as events between the two make it. In simulation it held
the true optimum in 98 to 99 of 100 samples of 2,000 to 50,000 events.

One pass, 655 kB. Resolution: 1/512 in log-odds, so better than .0005 in p.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.decisions import grid as bins
from onlogit.decisions.costs import two_actions
from onlogit.kernels.link import numpy_sigmoid
from onlogit.kernels.tally import RANKS, WEIGHT_UNIT, Tally

F64 = npt.NDArray[np.float64]

ERRORS = 1.96  # standard errors of a difference in cost that count as none
NEAR = 0.02
FEWEST = 20.0  # positives below which no claim is made without a warning


class Curves(NamedTuple):
    """Each array [BINS + 1], by rising threshold: from acting on all to acting on none."""

    threshold: F64  # p
    volume: F64  # share of events acted on
    precision: F64  # NaN where none is
    recall: F64  # NaN without positives
    expected_cost: F64  # an event, by the stated p
    realised_cost: F64  # an event, by outcomes
    net_benefit: F64  # an event


class Choice(NamedTuple):
    """What the curves amount to at these costs."""

    threshold: float  # by the costs alone: right where p is calibrated
    cheapest: float  # of all thresholds, by outcomes
    low: float  # thresholds whose cost is not told apart from the least
    high: float
    cost: float  # an event, realised at `threshold`
    cheapest_cost: float
    near: float  # share of events within .02 of `threshold`
    near_cheapest: float
    events: float  # Σ weights
    positives: float  # Σ their weights
    effective_positives: float  # (Σ weights)² / Σ weights²: so many positives of equal weight say as much
    average_precision: float | None
    warning: str | None


def curves(grid: F64, cost_fp: float, cost_fn: float) -> Curves:
    """Every threshold of the grid; a ConfigError for a cost that is none."""
    two_actions(cost_fp, cost_fn)
    n = max(float(grid[: bins.POSITIVE + 1].sum()), 1e-300)
    fp, tp, expected_tp = (_from_above(grid[row]) for row in (bins.NEGATIVE, bins.POSITIVE, bins.EXPECTED))
    acted = fp + tp
    threshold = np.concatenate([[0.0], numpy_sigmoid(bins.edges()), [1.0]])
    with np.errstate(invalid="ignore", divide="ignore"):
        odds = threshold / (1.0 - threshold)
        benefit = (tp - np.where(fp > 0.0, fp * odds, 0.0)) / n
        return Curves(
            threshold, acted / n, tp / acted, tp / tp[0],
            ((acted - expected_tp) * cost_fp + (expected_tp[0] - expected_tp) * cost_fn) / n,
            (fp * cost_fp + (tp[0] - tp) * cost_fn) / n, benefit,
        )  # fmt: skip


def choose(grid: F64, cost_fp: float, cost_fn: float) -> Choice:
    """The threshold of the costs and the cheapest one, with what there is to say about both."""
    found = curves(grid, cost_fp, cost_fn)
    stated = cost_fp / (cost_fp + cost_fn) if cost_fp + cost_fn > 0 else 0.5
    at = int(np.searchsorted(found.threshold, stated))
    at -= at > 0 and found.threshold[at] - stated > stated - found.threshold[at - 1]
    best = int(np.argmin(found.realised_cost))
    alike = _alike(grid, found.realised_cost, best, cost_fp, cost_fn)
    n, positives = float(grid[:2].sum()), float(grid[bins.POSITIVE].sum())
    squares = float(grid[bins.POSITIVE_SQUARES].sum())
    effective = positives * positives / squares if squares > 0 else 0.0
    return Choice(
        stated, float(found.threshold[best]), float(found.threshold[alike[0]]), float(found.threshold[alike[-1]]),
        float(found.realised_cost[at]), float(found.realised_cost[best]),
        _mass_near(found, stated), _mass_near(found, float(found.threshold[best])),
        n, positives, effective, average_precision(grid),
        f"rests on {effective:.0f} positives only" if effective < FEWEST else None,
    )  # fmt: skip


def _from_above(weights: F64) -> F64:
    """Σ of the bins from each edge up: [BINS + 1], all to none."""
    return np.append(np.cumsum(weights[::-1])[::-1], 0.0)


def _alike(grid: F64, cost: F64, best: int, cost_fp: float, cost_fn: float) -> npt.NDArray[np.int64]:
    """The thresholds whose cost is not told apart from that of the best."""
    n = max(float(grid[:2].sum()), 1e-300)
    squares = grid[bins.NEGATIVE_SQUARES] * cost_fp**2 + grid[bins.POSITIVE_SQUARES] * cost_fn**2
    total = np.append(0.0, np.cumsum(squares))
    error = np.sqrt(np.abs(total - total[best])) / n
    return np.flatnonzero(cost - cost[best] <= ERRORS * error)


def _mass_near(found: Curves, threshold: float) -> float:
    low, high = np.searchsorted(found.threshold, [threshold - NEAR, threshold + NEAR])
    return float(found.volume[min(low, len(found.volume) - 1)] - found.volume[min(high, len(found.volume) - 1)])


def average_precision(grid: F64) -> float | None:
    """Σ precision x gain in recall, from the top bin down; None without positives."""
    fp, tp = _from_above(grid[bins.NEGATIVE]), _from_above(grid[bins.POSITIVE])
    if tp[0] <= 0:
        return None
    gain = grid[bins.POSITIVE] / tp[0]
    some = gain > 0
    return float(np.sum(gain[some] * tp[:-1][some] / (tp[:-1] + fp[:-1])[some]))


def top_calibration(grid: F64, shares: tuple[float, ...] = (0.001, 0.01, 0.1)) -> list[dict[str, Any]]:
    """Of the highest 0.1, 1 and 10 % of events: stated and observed rate, with what is needed to judge them."""
    fp, tp, stated = (_from_above(grid[row]) for row in (bins.NEGATIVE, bins.POSITIVE, bins.EXPECTED))
    squares = _from_above(grid[bins.POSITIVE_SQUARES])
    total, found = fp[0] + tp[0], []
    for share in shares:
        at = int(np.flatnonzero(fp + tp >= share * total)[-1]) if total else 0
        n = fp[at] + tp[at]
        effective = tp[at] ** 2 / squares[at] if squares[at] > 0 else 0.0
        rates = {"stated": stated[at] / n, "observed": tp[at] / n} if n else {"stated": None, "observed": None}
        row = {"highest": share, "events": float(n), **rates, "effective_positives": float(effective)}
        found.append(row | {"warning": f"rests on {effective:.0f} positives only" if effective < FEWEST else None})
    return found


def thinned(found: Curves, always: tuple[float, ...] = ()) -> list[dict[str, float | None]]:
    """Some 300 thresholds as records: .005 in p or .25 in log-odds apart, and those nearest to `always`."""
    kept, last_p, last_j = [0], 0.0, 0
    for j, p in enumerate(found.threshold.tolist()):
        if p - last_p >= 0.005 or j - last_j >= bins.STEPS / 4:
            kept.append(j)
            last_p, last_j = p, j
    near = [int(np.argmin(np.abs(found.threshold - t))) for t in always]
    rows = sorted({*kept, *near, len(found.threshold) - 1})
    return [
        {name: None if not np.isfinite(x := float(array[j])) else x for name, array in found._asdict().items()}
        for j in rows
    ]


def grid_of(tally: Tally) -> F64:
    """The grid that a tally's ranking bins amount to: 1/128 in z wide, weights taken as repeats."""
    grid, width = bins.new_grid(), bins.BINS // RANKS
    middle = np.arange(RANKS) * width + width // 2
    grid[bins.NEGATIVE, middle], grid[bins.POSITIVE, middle] = (tally.ranks / WEIGHT_UNIT).T
    z = middle / bins.STEPS - bins.REACH
    grid[bins.EXPECTED, middle] = grid[:2, middle].sum(axis=0) / (1.0 + np.exp(-z))
    grid[bins.NEGATIVE_SQUARES :] = grid[: bins.POSITIVE + 1]
    return grid
