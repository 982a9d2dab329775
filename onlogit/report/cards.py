"""What the HTML page of a report is put together from."""

from html import escape
from typing import Any

from onlogit.report.text import figure, or_dash

STYLE = """
:root{color-scheme:light dark;--ink:#1b2330;--soft:#5b6575;--ground:#fff;--card:#f6f8fa;--line:#dde3ea;--main:#1f6feb;
--band:#1f6feb26;--second:#b35900;--bad:#c62828;--good:#1a7f37}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--ground:#0d1117;--card:#161b22;--line:#30363d;
--main:#58a6ff;--band:#58a6ff33;--second:#e3a04a;--bad:#ff7b72;--good:#56d364}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1320px;margin:0 auto;padding:20px 16px 48px}h1{font-size:1.5rem;margin:.2em 0;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:0 0 .3em}p{margin:.3em 0}.soft,figcaption{color:var(--soft);font-size:.875rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:10px;margin:18px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.tile b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:.8rem}
.tile .bad{color:var(--bad)}.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:16px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px;min-width:0}.wide{grid-column:1/-1}
@media(min-width:860px){.span{grid-column:span 2}}
figure{margin:0}svg{display:block;width:100%;height:auto;max-width:560px;margin:0 auto}.scroll{overflow-x:auto}
text{font:11px system-ui,sans-serif;fill:var(--soft)}.term{fill:var(--ink)}.grid{stroke:var(--line);stroke-width:1}
.even{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 4}.main{fill:none;stroke:var(--main);stroke-width:2}
.second{fill:none;stroke:var(--second);stroke-width:2}.band{fill:var(--band)}.dot{fill:var(--main)}.bar{fill:var(--main);
opacity:.75}.less{fill:var(--second);opacity:.85}.range{stroke:var(--main);stroke-width:1.5}.mark{stroke:var(--second);
stroke-width:2;stroke-dasharray:6 3}.patience{stroke:var(--bad);stroke-width:2}table{border-collapse:collapse;width:100%;
font-size:.875rem;font-variant-numeric:tabular-nums}th,td{padding:3px 8px 3px 0;text-align:right;border-bottom:1px solid
var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere;
min-width:6em}th{color:var(--soft);font-weight:600}.note{border-left:3px solid var(--second);padding:2px 10px;margin:6px 0}
@media print{:root{--ink:#000;--soft:#444;--ground:#fff;--card:#fff;--line:#bbb;--main:#0b4fb3;--band:#0b4fb322;--second:#8a4500;
--bad:#a00}main{max-width:none;padding:0}.card,.tile{break-inside:avoid}.cards{grid-template-columns:1fr 1fr}body{font-size:12px}}
"""


def document(head: str, kind: str, title: str, body: str) -> str:
    """A whole page, without script or network; `head` is what the browser's tab says. The body is HTML, the rest is text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
        f'initial-scale=1"><link rel="icon" href="data:,"><title>{escape(head)}</title><style>{STYLE}</style></head>'
        f'<body><main><p class="soft">{escape(kind)}</p><h1>{escape(title)}</h1>{body}</main></body></html>\n'
    )


def card(title: str, body: str, caption: str = "", kind: str = "") -> str:
    """A section of the page: a heading, a figure or a table, and what is said below it."""
    under = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<section class="card {kind}"><h2>{escape(title)}</h2><figure>{body}{under}</figure></section>'


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Rows under their heads; on a narrow screen it can be pushed sideways."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def number(value: float | None, form: str) -> str:
    """A number in this format; a dash where there is none."""
    return or_dash(value, form, "–")


def in_figures(value: Any) -> str:
    """A number in four significant figures; a dash where there is none."""
    return figure(value, 4) if isinstance(value, int | float) else "–"
