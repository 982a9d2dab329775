"""How docs/speed.md and docs/speed.svg are written: tables into their places, three panels into one picture."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numba  # type: ignore[import-untyped,unused-ignore]
import numpy as np

from onlogit.report.svg import Chart, labelled

STYLE = """svg{color-scheme:light dark;--soft:#5b6575;--ground:#fff;--line:#dde3ea;--main:#1f6feb;--second:#b35900}
@media(prefers-color-scheme:dark){svg{--soft:#9aa5b1;--ground:#0d1117;--line:#30363d;--main:#58a6ff;
--second:#e3a04a}}text{font:11px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--line)}
.main{fill:none;stroke:var(--main);stroke-width:2}.second{fill:none;stroke:var(--second);stroke-width:2}.dot{fill:var(--main)}
.less{fill:var(--second)}.ground{fill:var(--ground)}"""


def machine() -> str:
    """What this was measured on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores, name = os.cpu_count(), model[1] if model else platform.machine()
    return (
        f"{name}, {cores} cores; Python {platform.python_version()}, Numba {numba.__version__}, NumPy {np.__version__}."
    )


def fill(path: Path, tables: Mapping[str, str]) -> None:
    """Print each table, and put it between `<!-- its name -->` and `<!-- end -->`."""
    page = path.read_text(encoding="utf-8")
    for name, text in tables.items():
        print(f"{name}\n{text}\n")
        before, found, rest = page.partition(f"<!-- {name} -->\n")
        assert found, f"{path} has no place for {name}"
        page = before + found + text + "\n" + rest[rest.index("<!-- end -->") :]
    path.write_text(page, encoding="utf-8")


def table(head: Sequence[object], *rows: Sequence[object]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def chart(title: str, x: Sequence[float], lines: dict[str, Sequence[float]], unit: str) -> Chart:
    """One panel: nanoseconds of an event as µs against a count, a line for each name, the first one blue."""
    lines = {name: [cost / 1e3 for cost in costs] for name, costs in lines.items()}
    top = max(max(costs) for costs in lines.values()) * 1.1
    step = next(s for s in (0.1, 0.25, 0.5, 1.0, 2.5, 5.0) if top / s <= 6)
    panel = Chart(title, (0.0, max(x)), (0.0, top), height=240.0)
    ticks = [v for k, v in enumerate(x) if v == 0 or k == 0 or v - x[k - 1] > max(x) / 16]
    panel.axes(labelled(ticks), labelled(np.arange(0.0, top, step).tolist()), unit, "µs an event")
    for (name, costs), kind, dot in zip(lines.items(), ("main", "second"), ("dot", "less"), strict=False):
        panel.line(zip(x, costs, strict=True), kind)
        for at, cost in zip(x, costs, strict=True):
            panel.dot(at, cost, dot, f"{name}: {at} {unit}, {cost:.2f} µs", 2.5)
        highest = costs[-1] == max(each[-1] for each in lines.values())
        panel.text(panel.x(x[-1]), panel.y(costs[-1]) + (-8 if highest else 38), name, "end", dot)
    return panel


def side_by_side(panels: Sequence[Chart]) -> str:
    """The panels as one picture."""
    width, height = 400 * len(panels), 250
    lines = "\n".join(
        panel.svg().replace("<svg ", f'<svg x="{400 * k}" y="8" width="400" height="240" ', 1)
        for k, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="What an event costs"><style>{STYLE}</style>'
        f'<rect class="ground" width="100%" height="100%"/>\n{lines}\n</svg>\n'
    )
