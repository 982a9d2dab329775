"""Draws docs/demo.svg, the end of `onlogit demo --fast` as a picture: `python bench/draw_demo.py [OUT.svg]`.

The page is a real one, in the colours of a terminal, up to where it starts to name files.
"""

import io
import re
import sys
import tempfile
from html import escape
from pathlib import Path

from onlogit.demo.run import watch
from onlogit.demo.screen import Screen

CHARACTER, LINE, MARGIN = 8.4, 18, 20
COLOURS = {"1": "#ffffff", "2": "#7d8590", "36": "#39c5cf", "33": "#e3b341", "1;31": "#ff7b72"}
PLAIN, GROUND = "#d0d7de", "#0d1117"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
STYLED = re.compile(r"\x1b\[([\d;]*)m")


class Terminal(io.StringIO):
    encoding = "utf-8"


def page() -> list[str]:
    """The lines from the table to the last word on what was seen."""
    out = Terminal()
    with tempfile.TemporaryDirectory() as folder:
        watch(f"{folder}/flights.model", Screen(out, colour=True), served=False, flights=None, hold=False)
    lines = out.getvalue().splitlines()
    first = next(k for k, line in enumerate(lines) if "log loss" in line)
    last = next(k for k, line in enumerate(lines) if " a second through " in line)
    return lines[first : last - 1]


def spans(line: str) -> str:
    """A line of text with its colours. Each stretch has its place and width, so that any font lines up."""
    parts, at, colour = [], 0, PLAIN
    for k, piece in enumerate(STYLED.split(line)):
        if k % 2:
            colour = COLOURS.get(piece, PLAIN)
            continue
        for found in re.finditer(r"\S+(?: \S+)*", piece):
            x, width = MARGIN + (at + found.start()) * CHARACTER, len(found[0]) * CHARACTER
            parts.append(
                f'<tspan x="{x:.1f}" textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs" fill="{colour}">'
                f"{escape(found[0])}</tspan>"
            )
        at += len(piece)
    return "".join(parts)


def draw(lines: list[str]) -> str:
    """The SVG of lines with colours."""
    width = MARGIN * 2 + max(len(STYLED.sub("", line)) for line in lines) * CHARACTER
    height = MARGIN * 2 + len(lines) * LINE
    body = "\n".join(
        f'<text y="{MARGIN + (k + 0.75) * LINE:.1f}">{spans(line)}</text>' for k, line in enumerate(lines) if line
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="The end of onlogit demo in a terminal">\n'
        f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>\n'
        f'<g font-family="{FONT}" font-size="14" xml:space="preserve">\n{body}\n</g>\n</svg>\n'
    )


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "demo.svg"
    out.parent.mkdir(exist_ok=True)
    out.write_text(draw(page()), encoding="utf-8")
