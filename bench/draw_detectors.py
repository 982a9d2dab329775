"""Draws docs/monitor.svg from the table of delays in docs/monitor.md: python -m bench.draw_detectors"""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "monitor.md"
CHOSEN = {  # row of the table: what the picture calls it, and its colour
    "e-detector, tolerance .1": ("onlogit", "#0b6e4f"),
    "e-detector, tolerance 0": ("onlogit, tolerance 0", "#6fb98f"),
    "risk-adjusted CUSUM, tuned to ±.3": ("CUSUM tuned to ±.3", "#7d8597"),
    "ADWIN on y - p": ("ADWIN", "#d98324"),
    "Page-Hinkley on y - p": ("Page-Hinkley", "#e0aa5b"),
    "DDM on wrong decisions": ("DDM", "#b23a48"),
}
WIDTH, LEFT, BAR, TOP = 760, 170, 13, 44
MOST = 20_000.0


def delays(page: str) -> tuple[list[str], dict[str, list[float]]]:
    """The changes, and each chosen detector's mean delays in events."""
    lines = [
        [cell.strip() for cell in line.strip("|\n ").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    head = next(cells for cells in lines if cells[0] == "detector")
    rows = {cells[0]: cells[1:-1] for cells in lines if cells[0] in CHOSEN}
    return head[1:-1], {
        CHOSEN[name][0]: [float(re.sub(r"[ ,].*", "", cell.replace(",", ""))) for cell in rows[name]] for name in CHOSEN
    }


def draw(page: str) -> str:
    """The picture as SVG."""
    changes, found = delays(page)
    height = TOP + len(changes) * (len(found) * BAR + 26) + 10
    scale = (WIDTH - LEFT - 90) / MOST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="12" y="20" font-size="13" fill="#222">Events from a change to the alarm, at one budget of false alarms '
        "(mean; a miss counts as 20,000)</text>",
    ]
    y = TOP
    colours = dict(CHOSEN.values())
    for k, change in enumerate(changes):
        parts.append(f'<text x="12" y="{y + 10}" font-weight="bold" fill="#222">{change}</text>')
        y += 16
        for name, values in found.items():
            width = values[k] * scale
            parts.append(f'<text x="{LEFT - 6}" y="{y + 10}" text-anchor="end" fill="#444">{name}</text>')
            parts.append(
                f'<rect x="{LEFT}" y="{y + 1}" width="{width:.1f}" height="{BAR - 2}" fill="{colours[name]}"/>'
            )
            parts.append(f'<text x="{LEFT + width + 4:.1f}" y="{y + 10}" fill="#444">{values[k]:,.0f}</text>')
            y += BAR
        y += 10
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PAGE.with_suffix(".svg").write_text(draw(PAGE.read_text()))
