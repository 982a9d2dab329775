"""A report as one HTML page: no script, no network, readable on a phone, on paper, in light and in dark."""

import math
from html import escape
from typing import Any

import numpy as np

from onlogit.explain import odds
from onlogit.monitor.timeline import Stretch
from onlogit.report.beside import beside_cards
from onlogit.report.cards import card, document, in_figures, number, table
from onlogit.report.gathering import Report
from onlogit.report.svg import Chart, compact, labelled, nice_ticks
from onlogit.report.text import cut, figure, term_name

MOST = 20  # terms and pairs shown
MOST_PATHS = 8


def page(report: Report) -> str:
    """The whole page."""
    cards = [
        _reliability(report), *_over_time(report), *_costs(report), *_evidence(report), *_weights(report), *_paths(report),
        *_alarms(report), *_estimates(report), *beside_cards(report.watched), _top(report), *_counters(report),
    ]  # fmt: skip
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in report.notes)
    body = f'{_tiles(report)}<div class="cards">{"".join(cards)}</div>{notes}'
    return document(f"onlogit: {report.title}", f"onlogit report, {report.kind}", report.title, body)


def _tiles(report: Report) -> str:
    q = report.quality
    told = [
        ("labelled events", f"{q.examples:,.0f}", ""),
        (
            "positives, effective",
            f"{report.effective_positives:,.0f}",
            "bad" if report.effective_positives < 20 else "",
        ),
        ("observed rate", number(q.rate, ".3%"), ""),
        ("observed / expected", number(q.observed_over_expected, ".3f"), ""),
        ("log loss", number(q.log_loss, ".4f"), ""),
        ("of the base rate", number(q.base_log_loss, ".4f"), ""),
        ("AUC", number(q.auc, ".4f"), ""),
        ("average precision", number(report.average_precision, ".4f"), ""),
        ("calibration error", number(q.calibration_error, ".2%"), ""),
    ]
    tiles = (f'<div class="tile"><span>{name}</span><b class="{kind}">{value}</b></div>' for name, value, kind in told)
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _reliability(report: Report) -> str:
    r = report.reliability
    ticks = [(k / 4, f"{25 * k} %") for k in range(5)]
    chart = Chart("Reliability diagram", (0.0, 1.0), (0.0, 1.0), 330.0)
    chart.axes(ticks, ticks, "stated", "came true").segment(0, 0, 1, 1, "even")
    kept = np.flatnonzero(r.examples > 0)
    for j in kept.tolist():
        told = f"stated {r.stated[j]:.1%}, came {r.observed[j]:.1%} ({r.low[j]:.1%} to {r.high[j]:.1%}), "
        chart.segment(r.stated[j], r.low[j], r.stated[j], r.high[j], "range")
        chart.dot(r.stated[j], r.observed[j], "dot", told + f"{r.examples[j]:,.0f} events")
    most = float(r.examples.max(initial=1.0)) or 1.0
    counts = Chart("Events by stated probability", (0.0, 1.0), (0.0, math.log10(most + 1.0)), 110.0)
    powers = [10**k for k in range(int(math.log10(most + 1.0)) + 1)]
    every = max(1, math.ceil(len(powers) / 4))
    shown = powers[::every]
    counts.axes([], [(math.log10(n + 1.0), compact(n)) for n in shown], "", "events")
    for j in kept.tolist():
        counts.box(r.edges[j] + 0.004, 0.0, r.edges[j + 1] - 0.004, math.log10(r.examples[j] + 1.0), "bar",
                   f"{r.examples[j]:,.0f} events from {r.edges[j]:.0%} to {r.edges[j + 1]:.0%}")  # fmt: skip
    return card("Do stated probabilities come true?", chart.svg() + counts.svg(),
                 "Of events given each probability, the share that came true, with 95 % intervals; below, how many.")  # fmt: skip


def _over_time(report: Report) -> list[str]:
    told = report.stretches
    if len(told) < 2:
        return []
    end, middle = _end(told), [s.first + s.events / 2 for s in told]
    x = labelled(nice_ticks(0.0, end, 4))
    top = max(s.log_loss for s in told)
    loss = Chart("Log loss over time", (0.0, end), (0.0, top * 1.08 or 1.0), 210.0)
    loss.axes(x, labelled(nice_ticks(0.0, top * 1.08 or 1.0, 4)), "events", "log loss")
    loss.line(zip(middle, [s.log_loss for s in told], strict=True), "main")
    gaps = [s.observed - s.stated for s in told]
    reach = max(*(abs(g) for g in gaps), *(s.range for s in told)) * 1.1 or 0.01
    gap = Chart("Observed less stated over time", (0.0, end), (-reach, reach), 210.0)
    gap.axes(x, [(v, f"{v:+.3g}") for v in nice_ticks(-reach, reach, 4)], "events", "observed less stated")
    gap.band([(m, -s.range, s.range) for m, s in zip(middle, told, strict=True)], "band").segment(0, 0, end, 0, "even")
    gap.line(zip(middle, gaps, strict=True), "main")
    return [
        card("Log loss over time", loss.svg(), "By stretches of the stream."),
        card("Calibration over time", gap.svg(), "The band holds what chance alone does to 95 % of stretches."),
    ]


def _costs(report: Report) -> list[str]:
    if report.costs is None:
        return []
    curves, choice = report.costs.curves, report.costs.choice
    kept = np.unique(np.linspace(0, len(curves.threshold) - 1, 800).astype(int))
    kept = kept[(curves.threshold[kept] > 0.0005) | (kept == 0)]
    t, real = curves.threshold[kept], curves.realised_cost[kept]
    top = float(min(real.max(), max(real[0], real[-1], 1e-12) * 1.05))
    chart = Chart("Cost at each threshold", (0.0, 1.0), (0.0, top * 1.05), 260.0)
    ticks = [(k / 4, f"{k / 4:g}") for k in range(5)]
    chart.axes(ticks, labelled(nice_ticks(0.0, top * 1.05, 4)), "threshold", "cost an event")
    chart.box(
        choice.low, 0.0, choice.high, top * 1.05, "band", f"not told apart: {choice.low:.3f} to {choice.high:.3f}"
    )
    chart.line(zip(t.tolist(), curves.expected_cost[kept].tolist(), strict=True), "second")
    chart.line(zip(t.tolist(), real.tolist(), strict=True), "main")
    chart.segment(choice.threshold, 0.0, choice.threshold, top * 1.05, "mark")
    caption = (
        f"Blue: realised; orange: expected by p; dashed: the threshold of costs {report.costs.cost_fp:g} and "
        f"{report.costs.cost_fn:g}, {choice.threshold:.4f}, realised {choice.cost:.4g} an event. Cheapest in hindsight: "
        f"{choice.cheapest:.4f} at {choice.cheapest_cost:.4g}; shaded, what is not told apart from it. "
        f"{choice.near:.1%} of events lie within .02 of the threshold."
    )
    return [card("What thresholds cost", chart.svg(), caption)]


def _end(told: list[Stretch]) -> float:
    return float(told[-1].first + told[-1].events)


def _evidence(report: Report) -> list[str]:
    """Evidence over the stream, the highest of each stretch, and where alarms were raised."""
    watch, told = report.watch, report.stretches
    if watch is None:
        return []
    now, peak = figure(watch.evidence, 3), figure(watch.peak, 3)
    caption = (
        f"{'An alarm is open.' if watch.open else 'No alarm is open.'} Evidence that stated probabilities do not hold: "
        f"now {now}, highest {peak}; an alarm at {watch.patience:,.6g} {watch.unit} (red), after which it starts anew."
    )
    if len(told) < 2:
        return [card("Evidence and alarms", "", caption)]
    top, end = math.log10(max(watch.patience, watch.peak, 10.0)) * 1.05, _end(told)
    chart = Chart("Evidence against calibration", (0.0, end), (0.0, top), 210.0)
    powers = range(0, int(top) + 1, max(1, int(top) // 5))
    chart.axes(labelled(nice_ticks(0.0, end, 4)), [(float(k), compact(10.0**k)) for k in powers], "events", "evidence")
    limit = math.log10(watch.patience)
    chart.segment(0.0, limit, end, limit, "patience")
    chart.line(((s.first + s.events / 2, math.log10(max(s.evidence, 1.0))) for s in told), "main")
    for alarm in report.alarms:
        if alarm.get("kind") not in ("drift", "act") and isinstance(alarm.get("event"), int):
            height = math.log10(max(float(alarm.get("evidence") or 1.0), 1.0))
            chart.dot(
                float(alarm["event"]), min(height, top), "dot", f"{alarm.get('what')} at event {alarm['event']:,}"
            )
    return [card("Evidence and alarms", chart.svg(), caption)]


def _alarms(report: Report) -> list[str]:
    """Those of the last that are told, and where in the stream each began and was raised."""
    shown = sorted(report.alarms[-MOST:], key=lambda alarm: int(alarm.get("event") or 0))
    if not shown:
        return []
    rows = [
        [str(a.get("time") or a.get("event")), str(a.get("kind", "")), str(a.get("slice") or a.get("what")),
         str(a.get("direction")), in_figures(a.get("evidence"))]
        for a in shown
    ]  # fmt: skip
    heads = ["when", "kind", "what", "what happens", "evidence"]
    return [*_when(report, shown), card("Alarms", table(heads, rows), "", "wide")]


def _when(report: Report, alarms: list[dict[str, Any]]) -> list[str]:
    """A line for each alarm, warning and act, from its onset to its event."""
    placed = [a for a in alarms if isinstance(a.get("event"), int) and isinstance(a.get("onset_event"), int)]
    if not placed:
        return []
    end = float(max(report.counters.get("events", 0), *(a["event"] for a in placed)))
    chart = Chart(
        "Alarms over the stream", (0.0, end), (0.0, float(len(placed))), 20.0 * len(placed) + 48.0, left=110.0
    )
    chart.axes(labelled(nice_ticks(0.0, end, 4)), [], "events")
    for row, each in enumerate(placed):
        y, name = len(placed) - row - 0.5, f"{each.get('slice') or each.get('kind')} {each.get('what')}"
        chart.text(104.0, chart.y(y) + 4, cut(name, 17), "end", "term")
        warns = each.get("kind") in ("drift", "act")
        chart.segment(float(max(each["onset_event"], 0)), y, float(each["event"]), y, "mark" if warns else "patience")
        chart.dot(float(each["event"]), y, "dot", f"{name} at event {each['event']:,}", 3.5)
    caption = "From where each began, as estimated, to where it was raised. Red: p is wrong; dashed: warnings and acts."
    return [card("Alarms over the stream", chart.svg(), caption)]


READINGS = {
    "observed / expected": "observed_over_expected", "level, logits": "level",
    "  from, at all times": "level_low", "  to": "level_high", "Cox intercept": "intercept", "Cox slope": "slope",
    "log loss": "log_loss", "Brier score": "brier", "  reliability": "reliability", "  resolution": "resolution",
    "  uncertainty": "uncertainty", "calibration error": "calibration_error",
    "  squared, without bias": "calibration_error_squared", "  smooth": "smooth_calibration_error", "AUC": "auc",
    "average precision": "average_precision",
}  # fmt: skip


def _estimates(report: Report) -> list[str]:
    """Every reading, over all events, over the last ones, and over a past that fades."""
    told = {name: found for name, found in report.estimates.items() if found["examples"]}
    if not told:
        return []
    rows = [["examples", *(f"{found['examples']:,.0f}" for found in told.values())]]
    rows += [[name, *(_reading(key, found[key]) for found in told.values())] for name, key in READINGS.items()]
    return [card("Calibration", table(["", *told], rows))]


def _reading(key: str, value: float | None) -> str:
    """Four decimals, five for what is small; of levels, which are read to two, two."""
    if value is None:
        return "–"
    if key.startswith("level"):
        return f"{value:+.2f}"
    return f"{value:.4f}" if abs(value) >= 0.01 else f"{value:.5f}"


def _weights(report: Report) -> list[str]:
    story = report.story
    if story is None or not story.weights:
        return []
    shown = story.weights[:MOST]
    reach = max(max([abs(w.weight), *(abs(math.log(b)) for b in (w.odds_low, w.odds_high) if b)]) for w in shown)
    reach = min(reach, 3.0 * max(abs(w.weight) for w in shown)) * 1.05 or 1.0
    chart = Chart("Weights", (-reach, reach), (0.0, float(len(shown))), 22.0 * len(shown) + TOP_AND_BOTTOM, left=150.0)
    chart.axes([(v, f"x {odds(v):.3g}") for v in nice_ticks(-reach, reach, 4)], [], "factor on the odds")
    chart.segment(0.0, 0.0, 0.0, float(len(shown)), "even")
    for row, each in enumerate(shown):
        y = len(shown) - row - 0.5
        name = term_name(each.term, each.value)
        chart.text(144.0, chart.y(y) + 4, cut(name, 23), "end", "term")
        if each.odds_low and each.odds_high:
            chart.segment(math.log(each.odds_low), y, math.log(each.odds_high), y, "range")
        chart.dot(each.weight, y, "dot", f"{name}: x {each.odds_ratio:.3g}", 3.5)
    rows = [
        [term_name(w.term, w.value), f"{w.typical:.3f}", f"{w.odds_ratio:.3g}",
         "–" if w.odds_low is None else f"{w.odds_low:.3g} to {w.odds_high:.3g}",
         number(w.raw, ".3g"), number(w.events, ",")]
        for w in shown
    ]  # fmt: skip
    heads = ["term", "typical push", "odds", "95 %", "per unit", "events"]
    caption = "By how far a term typically moves the log-odds. Numbers per standard deviation; categories against the "
    cards = [card("What the model believes", chart.svg(), caption + "mean of their column. Bars: 95 % intervals.")]
    cards.append(card("The same in figures", table(heads, rows), kind="span"))
    if story.pairs:
        told = [
            [f"{p.first} {'+' if p.together == 'sum' else '−'} {p.second}", f"{p.push:+.3f}", f"{p.push_sd:.3f}",
             f"{p.correlation:+.2f}"]
            for p in story.pairs[:MOST]
        ]  # fmt: skip
        cards.append(
            card("Weights that go together", table(["stable", "push", "sd", "correlation"], told),
                  "The data do not tell the two apart; of the sum or difference they are sure.")
        )  # fmt: skip
    return cards


def _paths(report: Report) -> list[str]:
    if report.story is None or not report.story.paths:
        return []
    shown = report.story.paths[:MOST_PATHS]
    end = float(shown[0].events[-1])
    late = [[w for e, w in zip(each.events, each.weights, strict=True) if e >= end / 3] for each in shown]
    span = max(max(weights) - min(weights) for weights in late) or 1.0  # one scale for all rows
    chart = Chart(
        "Weights over time", (0.0, end), (0.0, float(len(shown))), 44.0 * len(shown) + TOP_AND_BOTTOM, left=150.0
    )
    chart.axes(labelled(nice_ticks(0.0, end, 4)), [], "events")
    for row, (each, weights) in enumerate(zip(shown, late, strict=True)):
        y, middle = len(shown) - row - 0.5, (max(weights) + min(weights)) / 2
        name = term_name(each.term, each.value)
        chart.text(144.0, chart.y(y) - 2, cut(name, 23), "end", "term")
        first = each.at(1 / 3)
        chart.text(144.0, chart.y(y) + 12, f"{number(first, '+.2f')} → {each.weights[-1]:+.2f}", "end")
        chart.segment(0.0, y, end, y, "even")
        points = (
            (float(e), y + min(max((w - middle) / span, -0.6), 0.6) * 0.8)
            for e, w in zip(each.events, each.weights, strict=True)
        )
        chart.line(points, "main")
    caption = (
        "The weights that moved most since a third of the stream, all on one scale: the height of a row is "
        f"{span / 0.8:.2f} log-odds. Under each name its weight at a third, and now."
    )
    return [card("Which weights moved", chart.svg(), caption)]


TOP_AND_BOTTOM = 48.0


def _top(report: Report) -> str:
    rows = [
        [f"{row['highest']:.1%}", f"{row['events']:,.0f}",
         *(number(row[k], ".3%") for k in ("stated", "observed")),
         f"{row['effective_positives']:,.0f}" + (" !" if row["warning"] else "")]
        for row in report.top
    ]  # fmt: skip
    heads = ["highest", "events", "stated", "observed", "positives"]
    caution = " ! rests on fewer than 20." if any(row["warning"] for row in report.top) else ""
    return card("At the top", table(heads, rows), "Positives: effective number, by weights." + caution)


def _counters(report: Report) -> list[str]:
    rows = [[name.replace("_", " "), f"{count:,}"] for name, count in report.counters.items() if count]
    return [card("Counters", table(["what", "events"], rows))] if rows else []
