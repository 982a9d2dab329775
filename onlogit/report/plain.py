"""A report as text for a terminal."""

import numpy as np

from onlogit.report.costs import choice_text
from onlogit.report.gathering import Report
from onlogit.report.reasons import model_text
from onlogit.report.text import Curve, Glyphs, histogram_row, paragraph, reliability_diagram

WIDTH = 100


def report_text(report: Report, glyphs: Glyphs, most: int = 12) -> list[str]:
    """All of a report but its longest tables."""
    q = report.quality
    lines = [f"{report.title} ({report.kind})", ""]
    lines.append(
        f"{q.examples:,.0f} labelled events, {report.effective_positives:,.0f} effective positives, observed rate "
        f"{_number(q.rate, '.3%')}, observed/expected {_number(q.observed_over_expected, '.3f')}"
    )
    lines.append(
        f"log loss {_number(q.log_loss, '.4f')} (base rate {_number(q.base_log_loss, '.4f')}), AUC {_number(q.auc, '.4f')}, "
        f"average precision {_number(report.average_precision, '.4f')}, calibration error "
        f"{_number(q.calibration_error, '.2%')}"
    )
    r = report.reliability
    if q.examples > 0:
        lines += ["", *reliability_diagram(Curve("events", r.stated, r.observed, r.examples), None, glyphs, fewest=1.0)]
    if len(report.stretches) > 1:
        losses = np.array([stretch.log_loss for stretch in report.stretches])
        lines += [
            "",
            f"log loss over time, 0 to {losses.max():.3f}:",
            histogram_row(losses, min(64, len(losses)), glyphs),
        ]
        out = sum(abs(s.observed - s.stated) > s.range for s in report.stretches)
        lines.append(f"{out} of {len(report.stretches)} stretches are off by more than chance does in 5 % of them")
    for row in report.top:
        caution = f"  ({row['warning']})" if row["warning"] else ""
        lines += [""] if row is report.top[0] else []
        lines.append(
            f"highest {row['highest']:>5.1%}: stated {_number(row['stated'], '.3%')}, observed "
            f"{_number(row['observed'], '.3%')}, {row['effective_positives']:,.0f} effective positives{caution}"
        )
    if report.costs:
        lines += ["", *choice_text(report.costs.choice)]
    if report.watch:
        watch = report.watch
        state = "an alarm is open" if watch.open else "no alarm is open"
        lines += [
            "",
            f"evidence {watch.evidence:,.3g}, highest {watch.peak:,.3g}, patience {watch.patience:,.0f}: {state}",
        ]
    for alarm in report.alarms[-most:]:
        lines.append(
            f"alarm at {alarm.get('time') or alarm.get('event')} ({alarm.get('what')}): {alarm.get('direction')}"
        )
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


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
