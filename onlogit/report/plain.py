"""A report as text for a terminal."""

import numpy as np

from onlogit.report.costs import choice_text
from onlogit.report.gathering import Report
from onlogit.report.reasons import model_text
from onlogit.report.text import Curve, Glyphs, figure, histogram_row, or_dash, paragraph, reliability_diagram
from onlogit.report.watching import beside_lines, quality_lines

WIDTH = 100


def report_text(report: Report, glyphs: Glyphs, most: int = 12) -> list[str]:
    """All of a report but its longest tables."""
    r = report.reliability
    lines = [f"{report.title} ({report.kind})", "", *_headline(report)]
    if report.quality.examples > 0:
        lines += ["", *reliability_diagram(Curve("events", r.stated, r.observed, r.examples), None, glyphs, fewest=1.0)]
    lines += [*_over_time(report, glyphs), "", *_top(report)]
    if report.costs:
        lines += ["", *choice_text(report.costs.choice)]
    lines += _estimates(report)
    lines += _evidence(report, most)
    beside = beside_lines(report.watched)
    lines += ["", *beside] if beside else []
    if report.story:
        lines += ["", *model_text(report.story, most)]
    counters = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in report.counters.items() if count)
    if counters:
        lines += ["", *paragraph(counters, WIDTH)]
    told = report.story.notes if report.story else []
    for note in report.notes:
        if note not in told:
            lines += ["", *paragraph(note, WIDTH)]
    return lines


def _headline(report: Report) -> list[str]:
    q = report.quality
    return [
        f"{q.examples:,.0f} labelled events, {report.effective_positives:,.0f} effective positives, observed rate "
        f"{or_dash(q.rate, '.3%')}, observed/expected {or_dash(q.observed_over_expected, '.3f')}",
        f"log loss {or_dash(q.log_loss, '.4f')} (base rate {or_dash(q.base_log_loss, '.4f')}), AUC {or_dash(q.auc, '.4f')}, "
        f"average precision {or_dash(report.average_precision, '.4f')}, calibration error "
        f"{or_dash(q.calibration_error, '.2%')}",
    ]


def _over_time(report: Report, glyphs: Glyphs) -> list[str]:
    told = report.stretches
    if len(told) < 2:
        return []
    losses = np.array([stretch.log_loss for stretch in told])
    out = sum(abs(s.observed - s.stated) > s.range for s in told)
    return [
        "", f"log loss over time, 0 to {losses.max():.3f}:", histogram_row(losses, min(64, len(losses)), glyphs),
        f"{out} of {len(told)} stretches are off by more than chance does in 5 % of them",
        *_evidence_over_time(report, glyphs),
    ]  # fmt: skip


def _evidence_over_time(report: Report, glyphs: Glyphs) -> list[str]:
    if report.watch is None:
        return []
    heights = np.log(np.maximum([stretch.evidence for stretch in report.stretches], 1.0))
    told = f"evidence over time, 1 to {figure(float(np.exp(heights.max())), 3)} on a scale of logarithms:"
    return ["", told, histogram_row(heights, min(64, len(heights)), glyphs)]


def _estimates(report: Report) -> list[str]:
    """Calibration over all, and lately where that is known."""
    lines = []
    for name in ("overall", "lately"):
        found = report.estimates.get(name)
        if found and found["examples"]:
            told = quality_lines(found)
            lines += ["", f"{name}: {told[0]}", *told[1:]]
    return lines


def _top(report: Report) -> list[str]:
    return [
        f"highest {row['highest']:>5.1%}: stated {or_dash(row['stated'], '.3%')}, observed "
        f"{or_dash(row['observed'], '.3%')}, {row['effective_positives']:,.0f} effective positives"
        + (f"  ({row['warning']})" if row["warning"] else "")
        for row in report.top
    ]


def _evidence(report: Report, most: int) -> list[str]:
    lines, watch = [], report.watch
    if watch:
        state = "an alarm is open" if watch.open else "no alarm is open"
        lines += [
            "",
            f"evidence {figure(watch.evidence, 3)}, highest {figure(watch.peak, 3)}, "
            f"patience {watch.patience:,.6g} {watch.unit}: {state}",
        ]
    for alarm in report.alarms[-most:]:
        lines.append(
            f"alarm at {alarm.get('time') or alarm.get('event')} ({alarm.get('what')}): {alarm.get('direction')}"
        )
    return lines
