"""The summary of `onlogit watch`, for a person."""

from collections.abc import Mapping
from typing import Any

from onlogit.printable import printable
from onlogit.report.text import or_dash

ENOUGH = 1_000.0  # evidence at which a recalibration is worth telling


def summary(figures: Mapping[str, Any]) -> str:
    """Counts, estimates over all and lately, evidence, worst slices."""
    lines = [("events", _counts(figures))]
    for name, label in (("", "overall"), ("lately", "lately")):
        found = figures[name] if name else figures
        if found["examples"]:
            lines += [(label, text) if k == 0 else ("", text) for k, text in enumerate(quality_lines(found))]
    lines.append(("evidence", _evidence(figures)))
    better = figures["recalibration"]
    if better["evidence"] >= ENOUGH:
        told = f"log-odds {better['level']:+.2f} {better['slope']:+.2f} x stated would do better from here on"
        lines.append(
            ("mend", f"{told}: evidence {better['evidence']:,.4g}, where chance reaches {ENOUGH:,.0f} once in as many")
        )
    return "\n".join([*(f"{name:<10} {value}" for name, value in lines), *beside_lines(figures)])


def beside_lines(figures: Mapping[str, Any]) -> list[str]:
    """The worst slices, decisions and features, those of them that are watched."""
    text = []
    if figures.get("slices"):
        text += ["worst slices, by their evidence", *map(_slice, figures["slices"])]
    text += [line for found in figures.get("decisions", ()) for line in _decision(found)]
    if figures.get("outlook") and figures["outlook"]["unknown"] > 0.0:
        text.append(_outlook(figures["outlook"]))
    if figures.get("features"):
        text += ["features, late against the reference, by their evidence", *map(_feature, figures["features"])]
    return text


def _counts(figures: Mapping[str, Any]) -> str:
    odd = [
        f"{figures[name]:,} {what}"
        for name, what in (
            ("unlabelled", "without outcome yet"),
            ("no_probability", "without probability"),
            ("no_weight", "of weight 0"),
        )
        if figures[name]
    ]
    apart = figures["labelled"] - figures["judged"]
    odd += [f"{apart:,} not judged, as others stood too near"] if apart else []
    labelled = f"{figures['labelled']:,} with outcome"
    return f"{figures['events']:,} ({', '.join([labelled, *odd])})"


def quality_lines(found: Mapping[str, Any]) -> list[str]:
    """What estimates say, as `Estimates._asdict()` has them."""

    def number(name: str, form: str) -> str:
        return or_dash(found[name], form)

    return [
        f"{found['examples']:,.0f} examples, observed {number('rate', '.4f')}, expected {number('expected', '.4f')} "
        f"(ratio {number('observed_over_expected', '.3f')}), level {number('level', '+.2f')} logits "
        f"({number('level_low', '+.2f')} to {number('level_high', '+.2f')})",
        f"log loss {number('log_loss', '.5f')}, Brier {number('brier', '.5f')} (reliability {number('reliability', '.5f')}, "
        f"resolution {number('resolution', '.5f')}, uncertainty {number('uncertainty', '.5f')})",
        f"AUC {number('auc', '.4f')}, average precision {number('average_precision', '.4f')}, calibration error "
        f"{number('calibration_error', '.4f')} (smooth {number('smooth_calibration_error', '.4f')}, squared without bias "
        f"{number('calibration_error_squared', '.2g')})",
        f"true log-odds = {number('intercept', '+.3f')} (se {number('intercept_error', '.3f')}) + "
        f"{number('slope', '.3f')} (se {number('slope_error', '.3f')}) x stated",
    ]


def _evidence(figures: Mapping[str, Any]) -> str:
    threshold = f"{figures['patience']:,.6g}" + ("" if figures["unit"] == "1/level" else f" {figures['unit']}")
    return (
        f"{figures['evidence']:,.1f} now, {figures['peak_evidence']:,.1f} at most, an alarm at {threshold}; "
        f"alarms: {figures['alarms']}" + (f", warnings: {figures['warnings']}" if figures["warnings"] else "")
    )


def _slice(found: Mapping[str, Any]) -> str:
    return printable(
        f"  {found['column']}={found['value']}: {found['examples']:,} examples, observed {found['observed']:.4f}, expected "
        f"{found['expected']:.4f}, {found['shift']:+.2f} logits (se {found['shift_error']:.2f}), evidence "
        f"{found['peak']:,.0f} at most, {found['needed']:,.0f} needed alone"
    )


def _feature(found: Mapping[str, Any]) -> str:
    ks = ""
    if found["kolmogorov_smirnov"] is not None:
        ks = f", KS {found['kolmogorov_smirnov']:.3f} (chance: below {found['kolmogorov_smirnov_by_chance']:.3f})"
    return printable(
        f"  {found['feature']}: PSI {found['psi']:.3f} (chance: below {found['psi_by_chance']:.3f}), Jensen-Shannon "
        f"{found['jensen_shannon']:.4f} (chance: below {found['jensen_shannon_by_chance']:.4f}){ks}, {found['moved']} "
        f"{found['reference']:.1%} -> {found['share']:.1%}, evidence {found['peak']:,.0f} at most"
    )


def _decision(found: Mapping[str, Any]) -> list[str]:
    def share(name: str) -> str:
        before = found[name + "_reference"]
        return f"{found[name]:.2%}" + ("" if before is None else f" (reference {before:.2%})")

    lines = [
        f"decisions at p >= {found['threshold']:.4g}, last {found['events']:,} events: acted on {share('action_rate')}, near the "
        f"threshold {share('near')}; by stated p {found['expected_true']:.2%} rightly, {found['expected_false']:.2%} wrongly, "
        f"{found['expected_missed']:.2%} missed"
    ]
    if found["expected_cost"] is not None:
        cost = f"  cost per 1,000 events: {found['expected_cost']:,.1f} by stated p"
        if found["realised_cost"] is not None:
            cost += (
                f"; over the last {found['known']:,} with an outcome {found['realised_cost']:,.1f}, "
                f"{found['expected_cost_known']:,.1f} promised"
            )
        lines.append(cost)
    return lines


def _outlook(found: Mapping[str, Any]) -> str:
    return (
        f"outlook    {found['unknown']:.1%} of the last {found['events']:,} events have no outcome yet; with the rate that each "
        f"bin of p has had so far, {found['rate']:.4f} of all will be 1. That cannot see a change in what p means."
    )
