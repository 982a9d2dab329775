"""One event explained as an HTML page: the pushes as a figure that runs from the baseline to the log-odds."""

from html import escape

from onlogit.explain import EventStory, Push
from onlogit.report.cards import document
from onlogit.report.svg import Chart, nice_ticks
from onlogit.report.text import cut, term_name

MOST = 20  # pushes shown one by one
ROW, FRAME, NAMES = 20.0, 50.0, 168.0


def waterfall(story: EventStory) -> str:
    """Each bar starts where the one above it ended: from the baseline down to what is stated."""
    *named, last = story.pushes
    rest = [*named[MOST:], last]
    others = f"{len(rest) - 1} others, rounding" if len(rest) > 1 else "rounding"
    rows = [*named[:MOST], Push(others, "", sum(push.push for push in rest), "")]
    ends = [story.baseline]
    for push in rows:
        ends.append(ends[-1] + push.push)
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or 0.5
    height = ROW * (len(rows) + 2)
    chart = Chart("Pushes", (low - margin, high + margin), (0.0, len(rows) + 2.0), height + FRAME, left=NAMES)
    ticks = [(value, f"{value:+.3g}") for value in nice_ticks(low - margin, high + margin, 4)]
    chart.axes(ticks, [], "log-odds")
    _label(chart, len(rows) + 1.5, f"baseline {story.baseline:+.3f}")
    chart.dot(story.baseline, len(rows) + 1.5, "dot")
    for row, push in enumerate(rows):
        y = len(rows) + 0.5 - row
        name = term_name(push.term, push.value or None)
        told = f"{name}: {push.push:+.4f}, x {push.odds:.3g} the odds" + (f" ({push.note})" if push.note else "")
        chart.box(ends[row], y - 0.36, ends[row + 1], y + 0.36, "bar" if push.push >= 0 else "less", told)
        chart.segment(ends[row + 1], y + 0.36, ends[row + 1], y - 0.64, "even")
        _label(chart, y, name)
    _label(chart, 0.5, f"stated {story.z:+.3f}")
    chart.dot(story.z, 0.5, "dot")
    return chart.svg()


def _label(chart: Chart, y: float, text: str) -> None:
    chart.text(NAMES - 6, chart.y(y) + 4, cut(text, 28), "end", "term")


def event_page(story: EventStory, title: str) -> str:
    """The whole page, without script or network."""
    interval = "" if story.p_low is None else f", 95 % interval {story.p_low:.2%} to {story.p_high:.2%}"
    rows = "".join(
        f"<tr><td>{escape(push.term)}</td><td>{escape(push.value)}</td><td>{push.push:+.4f}</td><td>{push.odds:.3g}</td>"
        f"<td>{escape(push.note)}</td></tr>"
        for push in story.pushes
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in story.notes)
    body = (
        f'<p><b>p = {story.p:.2%}</b>{interval}</p><div class="cards"><section class="card">'
        f"<h2>From the baseline to the log-odds</h2><figure>{waterfall(story)}"
        "<figcaption>Blue pushes up, orange down; the largest first.</figcaption></figure></section>"
        '<section class="card"><h2>All pushes</h2><div class="scroll"><table><thead><tr><th>term</th><th>value</th>'
        f"<th>push</th><th>x odds</th><th></th></tr></thead><tbody>{rows}</tbody></table></div></section></div>{notes}"
    )
    return document(title, "onlogit explain", title, body)
