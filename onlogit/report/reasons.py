"""Explanations as text: the pushes of an event as bars, and what a model believes as a table."""

from onlogit.explain import EventStory, ModelStory, Path, Push, Weight
from onlogit.printable import printable
from onlogit.report.text import Glyphs, cut, or_dash, paragraph, term_name

BAR = 24  # characters of the longest bar
WIDTH = 100


def event_text(story: EventStory, glyphs: Glyphs, most: int = 20) -> list[str]:
    """What moves one event's log-odds, the strongest first; the rest as one line, so that all of it adds up to z."""
    head = f"p = {story.p:.2%}"
    if story.p_low is not None and story.p_high is not None:
        head += f", 95 % interval {story.p_low:.2%} to {story.p_high:.2%}"
    lines = [head, f"log-odds {story.z:+.4f}" + (f", z_sd {story.z_sd:.3f}" if story.z_sd is not None else ""), ""]
    *named, last = story.pushes
    shown, rest = named[:most], [*named[most:], last]
    others = sum(push.push for push in rest)
    title = f"{len(rest) - 1} others, and rounding" if len(rest) > 1 else "rounding"
    rows = [*shown, Push(title, "", others, "")] if len(rest) > 1 or abs(others) >= 5e-5 else shown
    widest = max((len(_label(push)) for push in rows), default=8)
    tallest = max((abs(push.push) for push in rows), default=1.0) or 1.0
    lines.append(f"{'baseline':<{widest}} {story.baseline:>+9.4f}")
    for push in rows:
        bar = glyphs.levels[-1] * round(abs(push.push) / tallest * BAR)
        side = f"{bar:>{BAR}}{glyphs.bar}" if push.push < 0 else f"{'':>{BAR}}{glyphs.bar}{bar}"
        note = f"  {push.note}" if push.note else ""
        lines.append(f"{_label(push):<{widest}} {push.push:>+9.4f}  x {push.odds:<7.3g} {side}".rstrip() + note)
    lines.append(f"{'log-odds':<{widest}} {story.z:>+9.4f}")
    for note in story.notes:
        lines += ["", *paragraph(note, WIDTH)]
    if story.reaches and not any(reach.outside for reach in story.reaches):
        lines += ["", "every number lies within what was seen of its column"]
    return lines


def _label(push: Push) -> str:
    return cut(printable(term_name(push.term, push.value or None)), 44, "~")


def model_text(story: ModelStory, most: int = 20) -> list[str]:
    """What a model believes, the terms that move the log-odds most first."""
    lines = [
        f"learner {story.learner}, {story.events:,} events, {story.positives:,.0f} positives",
        f"baseline {story.baseline:+.4f} log-odds: numbers at their mean, each column of categories at its mean",
        "",
    ]
    shown = story.weights[:most]
    widest = max((len(_name(each)) for each in shown), default=4)
    head = f"{'term':<{widest}} {'typical':>8} {'weight':>9} {'odds':>8} {'95 % interval':>17} {'per unit':>10} {'events':>9}"
    lines.append(head)
    lines += [_row(each, widest) for each in shown]
    if len(story.weights) > most:
        lines.append(f"and {len(story.weights) - most:,} more (--top, or --json for all)")
    if story.paths:
        lines += ["", *_paths(story.paths[: max(most // 2, 5)])]
    if story.pairs:
        lines += ["", "weights that these data cannot tell apart, and what they can tell:"]
    for pair in story.pairs:
        sign = "+" if pair.together == "sum" else "-"
        lines.append(
            f"  {pair.first} {sign} {pair.second}: {pair.push:+.4f} with sd {pair.push_sd:.4f} "
            f"(correlation {pair.correlation:+.2f})"
        )
    lines.append("")
    for note in story.notes:
        lines += paragraph(note, WIDTH)
    return lines


def _paths(paths: list[Path]) -> list[str]:
    widest = max(len(_name(each)) for each in paths)
    lines = ["weights that moved most over the stream, by how far since a third of it, as a typical push:"]
    lines.append(f"{'term':<{widest}} {'at 1/3':>9} {'at 2/3':>9} {'now':>9} {'moved':>8}")
    for each in paths:
        told = [each.at(share) for share in (1 / 3, 2 / 3, 1.0)]
        cells = " ".join(f"{or_dash(weight, '+.4f'):>9}" for weight in told)
        lines.append(f"{_name(each):<{widest}} {cells} {each.moved:>8.4f}")
    return lines


def _name(weight: Weight | Path) -> str:
    return printable(weight.term if weight.value is None else f"{weight.term} = {weight.value}"[:44])


def _row(each: Weight, widest: int) -> str:
    known = each.odds_low is not None and each.odds_high is not None
    interval = f"{each.odds_low:.3g} to {each.odds_high:.3g}" if known else "-"
    line = f"{_name(each):<{widest}} {each.typical:>8.4f} {each.weight:>+9.4f} {each.odds_ratio:>8.3g} {interval:>17}"
    return f"{line} {or_dash(each.raw, '.4g'):>10} {or_dash(each.events, ','):>9}" + (
        f"  {each.note}" if each.note else ""
    )
