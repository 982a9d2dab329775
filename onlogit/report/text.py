"""Figures drawn with characters: pure functions, arrays in, text out.

Everything is readable without colour, as marks differ in shape; `ASCII` is for streams that cannot encode `UNICODE`.
Cost: about a millisecond a figure.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def figure(value: float, digits: int) -> str:
    """A number with so many digits, or whole where it has more: 327,346 and not 3.273e+05."""
    return f"{value:,.0f}" if 10.0**digits <= abs(value) < 1e15 else f"{value:,.{digits}g}"


def or_dash(value: float | None, form: str, dash: str = "-") -> str:
    """A number in this format; a dash where there is none."""
    return dash if value is None else format(value, form)


def term_name(term: str, value: str | None) -> str:
    """A term, with the value that it is about where there is one."""
    return term if value is None else f"{term} = {value}"


def cut(text: str, most: int, end: str = "…") -> str:
    """At most so many characters of a text; one cut short ends as `end` says."""
    return text if len(text) <= most else text[: most - len(end)] + end


class Glyphs(NamedTuple):
    """The characters that figures are drawn with."""

    marks: tuple[str, str]  # first and second series
    both: str  # where their marks fall on one place
    dot: str  # of a diagonal or of an empty scale
    bar: str  # a vertical axis
    tick: str  # the same with a tick
    corner: str
    rule: str
    rule_tick: str
    levels: str  # nothing to full, for histograms
    alarm: str
    minus: str
    none: str  # an empty cell of a table


UNICODE = Glyphs(("●", "○"), "◉", "·", "│", "┤", "└", "─", "┴", " ▁▂▃▄▅▆▇█", "▲", "−", "–")
ASCII = Glyphs(("*", "o"), "@", ".", "|", "+", "+", "-", "+", " .:-=+x#%", "!", "-", "-")


def glyphs_for(encoding: str | None) -> Glyphs:
    """UNICODE where `encoding` has all of its characters, else ASCII."""
    try:
        "".join(part if isinstance(part, str) else "".join(part) for part in UNICODE).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def paragraph(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of at most `width` characters."""
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def scale(values: tuple[float | None, float | None], top: float, width: int, glyphs: Glyphs) -> str:
    """Two values on one line of dots from 0 to `top`; beyond it they stand at its end. None is left out."""
    cells = [glyphs.dot] * width
    for value, mark in zip(values, glyphs.marks, strict=True):
        if value is None:
            continue
        at = min(max(nearest(value / top * (width - 1)), 0), width - 1)
        cells[at] = mark if cells[at] == glyphs.dot else glyphs.both
    return "".join(cells)


def nearest(value: float) -> int:
    """The nearest whole number; halves go up, so that steps are even."""
    return math.floor(value + 0.5)


def histogram_row(counts: Sequence[float] | F64, width: int, glyphs: Glyphs) -> str:
    """Counts as one line of `width` characters, the tallest full; anything above nothing is seen."""
    counts = np.asarray(counts, np.float64)
    tallest = float(counts.max(initial=0.0))
    steps = len(glyphs.levels) - 1
    cells = []
    for column in range(width):
        count = float(counts[column * len(counts) // width])
        cells.append(glyphs.levels[math.ceil(count / tallest * steps) if tallest else 0])
    return "".join(cells)


class Curve(NamedTuple):
    """One series of a reliability diagram: per bin of p, with NaN where a bin is empty."""

    name: str
    stated: F64  # [b] mean stated probability
    observed: F64  # [b] observed rate
    examples: F64  # [b] weight of the bin


def reliability_diagram(
    first: Curve, second: Curve | None, glyphs: Glyphs, *, columns: int = 61, rows: int = 17, fewest: float = 100
) -> list[str]:
    """Stated p against observed rate, with the diagonal on which both agree; under it, where the p lie.

    The plot has `columns` x `rows` places from 0 to 100 %, 4 k + 1 of each; a bin of fewer than `fewest` examples has
    no mark. Lines are at most columns + 18 wide.
    """
    curves = [first] if second is None else [first, second]
    field = [[" "] * columns for _ in range(rows)]
    for column in range(columns):
        field[nearest(column / (columns - 1) * (rows - 1))][column] = glyphs.dot
    for curve, mark in zip(curves, glyphs.marks, strict=False):
        for x, y in _places(curve, columns, rows, fewest):
            other = field[y][x] in glyphs.marks and field[y][x] != mark
            field[y][x] = glyphs.both if other else mark
    quarter = (rows - 1) // 4
    lines = ["  came"]
    for y in reversed(range(rows)):
        tick = f"{100 * y // (rows - 1):4d} % {glyphs.tick}" if y % quarter == 0 else f"       {glyphs.bar}"
        lines.append((tick + "".join(field[y])).rstrip())
    lines += _axis(columns, glyphs)
    for curve in curves:
        lines.append(f"{curve.name:>6} {glyphs.bar}{histogram_row(curve.examples, columns, glyphs)}".rstrip())
    return lines


def _places(curve: Curve, columns: int, rows: int, fewest: float) -> list[tuple[int, int]]:
    kept = curve.examples >= fewest
    points = zip(curve.stated[kept].tolist(), curve.observed[kept].tolist(), strict=True)
    return [(nearest(p * (columns - 1)), nearest(y * (rows - 1))) for p, y in points]


def _axis(columns: int, glyphs: Glyphs) -> list[str]:
    quarter = (columns - 1) // 4
    rule = "".join(glyphs.rule_tick if x and x % quarter == 0 else glyphs.rule for x in range(columns))
    labels = [" "] * (columns + 8)
    for k in range(5):
        label = f"{25 * k} %" if k else "0"
        middle = 8 + k * quarter - (len(label) // 2 if k else 0)
        labels[middle : middle + len(label)] = label
    return [f"       {glyphs.corner}{rule}", "".join(labels).rstrip() + "  stated"]
