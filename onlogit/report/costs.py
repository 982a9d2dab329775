"""What thresholds cost, in words and as JSON values."""

from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.decisions import thresholds
from onlogit.decisions.thresholds import Choice, Curves
from onlogit.report.text import or_dash

F64 = npt.NDArray[np.float64]
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


def costs_json(grid: F64, cost_fp: float, cost_fn: float) -> dict[str, Any]:
    """One object: the choice, the highest events, and some 300 thresholds."""
    found = thresholds.curves(grid, cost_fp, cost_fn)
    choice = thresholds.choose(grid, cost_fp, cost_fn)
    return choice._asdict() | {
        "cost_fp": cost_fp,
        "cost_fn": cost_fn,
        "top": thresholds.top_calibration(grid),
        "thresholds": thresholds.thinned(found, (choice.threshold, choice.cheapest)),
    }


def costs_text(grid: F64, cost_fp: float, cost_fn: float) -> list[str]:
    """A page for a person."""
    found, choice = thresholds.curves(grid, cost_fp, cost_fn), thresholds.choose(grid, cost_fp, cost_fn)
    lines = [*choice_text(choice), "", HEAD]
    levels = sorted({*LEVELS, choice.threshold, choice.cheapest})
    for level in levels:
        mark = {choice.threshold: "  <- by costs", choice.cheapest: "  <- cheapest"}.get(level, "")
        lines.append(_row(found, level) + mark)
    lines += ["", "highest    events     stated   observed  effective positives"]
    for top in thresholds.top_calibration(grid):
        rates = " ".join(f"{or_dash(top[k], '.4f'):>10}" for k in ("stated", "observed"))
        caution = f"  {top['warning']}" if top["warning"] else ""
        lines.append(
            f"{top['highest']:>6.1%} {top['events']:>10,.0f} {rates} {top['effective_positives']:>10,.1f}{caution}"
        )
    return lines


HEAD = "threshold    volume  precision    recall  expected cost  realised cost  net benefit"


def _row(found: Curves, level: float) -> str:
    at = int(np.argmin(np.abs(found.threshold - level)))
    precision = "-" if np.isnan(found.precision[at]) else f"{found.precision[at]:.3f}"
    recall = "-" if np.isnan(found.recall[at]) else f"{found.recall[at]:.3f}"
    return (
        f"{level:>9.4f} {found.volume[at]:>9.2%} {precision:>10} {recall:>9} {found.expected_cost[at]:>14.5g} "
        f"{found.realised_cost[at]:>14.5g} {found.net_benefit[at]:>12.5f}"
    )


def choice_text(choice: Choice) -> list[str]:
    """The choice in a few lines."""
    lines = [
        f"events              {choice.events:,.0f}, {choice.effective_positives:,.0f} effective positives, "
        f"average precision {or_dash(choice.average_precision, '.4f')}",
        f"threshold by costs  {choice.threshold:.4f}, realised {choice.cost:.5g} an event",
        f"cheapest            {choice.cheapest:.4f}, realised {choice.cheapest_cost:.5g} an event; not told apart from it: "
        f"{choice.low:.4f} to {choice.high:.4f}",
        f"close calls         {choice.near:.2%} of events within .02 of the threshold",
    ]
    return lines + ([f"caution             {choice.warning}"] if choice.warning else [])
