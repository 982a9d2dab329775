"""What the HTML page of a report is put together from."""

from html import escape
from typing import Any

from onlogit.report.text import figure


def card(title: str, body: str, caption: str = "", kind: str = "") -> str:
    """A section of the page: a heading, a figure or a table, and what is said below it."""
    under = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<section class="card {kind}"><h2>{escape(title)}</h2><figure>{body}{under}</figure></section>'


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Rows under their heads; on a narrow screen it can be pushed sideways."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def in_figures(value: Any) -> str:
    """A number in four significant figures; a dash where there is none."""
    return figure(value, 4) if isinstance(value, int | float) else "–"
