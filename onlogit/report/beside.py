"""Cards about what is watched beside calibration: slices, decisions, features."""

from collections.abc import Mapping
from typing import Any

from onlogit.report.cards import card, in_figures, number, table


def beside_cards(watched: Mapping[str, Any]) -> list[str]:
    """Of those that are watched, as `Beside.figures()` has them."""
    return [*_decisions(watched), *_features(watched), *_slices(watched)]


def _decisions(watched: Mapping[str, Any]) -> list[str]:
    """At each threshold what was done lately, and what that cost."""
    rows = [
        [f"{d['threshold']:.4g}", f"{d['action_rate']:.2%}", number(d["action_rate_reference"], ".2%"), f"{d['near']:.2%}",
         *(in_figures(d[name]) for name in ("expected_cost", "expected_cost_known", "realised_cost"))]
        for d in watched.get("decisions", ())
    ]  # fmt: skip
    if not rows:
        return []
    outlook = watched.get("outlook") or {}
    caption = (
        "Over the last events scored: how many are acted on, now and over the first events; how many lie within half a logit of "
        "the threshold; cost per 1,000 as stated. Then, over the last that are settled, the cost promised and paid."
    )
    if outlook.get("unknown"):
        caption += (
            f" {outlook['unknown']:.1%} of the last {outlook['events']:,} events have no outcome yet; by what each score has "
            f"meant so far, {outlook['rate']:.3%} of all will be 1."
        )
    heads = ["threshold", "acted on", "at first", "near", "cost stated", "promised", "paid"]
    return [card("Decisions", table(heads, rows), caption, "wide")]


def _features(watched: Mapping[str, Any]) -> list[str]:
    """How far each is from its reference."""
    rows = [
        [f["feature"], f"{f['psi']:.3f}", f"{f['psi_by_chance']:.3f}", f["moved"], f"{f['reference']:.1%}", f"{f['share']:.1%}",
         in_figures(f["peak"])]
        for f in watched.get("features", ())
    ]  # fmt: skip
    heads = ["feature", "PSI", "chance", "moved most", "reference", "late", "evidence"]
    caption = (
        "How far late events are from the first ones, and what chance alone stays below. Feature drift alone does not make a "
        "probability wrong."
    )
    return [card("Drift of features", table(heads, rows), caption, "wide")] if rows else []


def _slices(watched: Mapping[str, Any]) -> list[str]:
    """The slices with most evidence against them."""
    rows = [
        [f"{s['column']}={s['value']}", f"{s['examples']:,}", f"{s['expected']:.3%}", f"{s['observed']:.3%}",
         f"{s['shift']:+.2f}", in_figures(s["peak"]), in_figures(s["needed"])]
        for s in watched.get("slices", ())
    ]  # fmt: skip
    heads = ["slice", "events", "stated", "observed", "logits", "evidence", "needed alone"]
    return [card("Worst slices", table(heads, rows), "", "wide")] if rows else []
