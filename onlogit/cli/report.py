"""`onlogit report`: all there is at hand about a model, a run, or stated probabilities, as text or one HTML page."""

from typing import Any

import click

from onlogit.cli import options
from onlogit.config import FORMATS


@click.command()
@click.argument("subject")
@click.option("--html", metavar="FILE", help="Write one HTML page that needs nothing else; - is stdout.")
@options.cost_options
@click.option("--alarms", metavar="FILE", help="NDJSON of alarms, as `run --alarms` writes it, to list.")
@click.option("--prob", metavar="COLUMN", default="p", show_default=True, help="Of predictions: the probability.")
@click.option("--label", metavar="COLUMN", default="label", show_default=True, help="Of predictions: the outcome.")
@click.option("--positive", metavar="VALUE", help="Of predictions: the value of the label that counts as 1.")
@click.option("--weight", metavar="COLUMN", help="Of predictions: the weight of a record.")
@click.option("--format", type=click.Choice(FORMATS), help="Format of predictions; otherwise told by content.")
@options.json_option
def report(
    subject: str, html: str | None, alarms: str | None, prob: str, label: str, positive: str | None,
    weight: str | None, format: str | None, as_json: bool, **told: Any,
) -> None:  # fmt: skip
    """Reliability, quality over time, evidence, costs and beliefs of SUBJECT, as far as it holds them.

    SUBJECT is a model file, the --state folder of a run (which may be at work), or records with a probability and an
    outcome, such as `learn --predictions` writes. Costs of two actions give a cost curve, with their threshold on it.
    """
    if html == "-" and as_json:
        raise click.UsageError("--html - and --json both want stdout")
    import sys

    from onlogit.cli.files import keep_apart, write_text
    from onlogit.cli.pairs import Pairs
    from onlogit.cli.printing import say
    from onlogit.cli.reporting import gathered
    from onlogit.json_lines import to_line
    from onlogit.report.page import page
    from onlogit.report.plain import report_text
    from onlogit.report.text import glyphs_for

    keep_apart(subject, html=html)
    found = gathered(subject, Pairs(prob, label, positive, weight), options.costs_of(told), alarms, format)
    if html is not None:
        write_text(page(found), html)
    if as_json:
        say(to_line(found.to_json()))
    elif html is None:
        say("\n".join(report_text(found, glyphs_for(sys.stdout.encoding))))
    elif html != "-":
        say(f"{html}: {found.quality.examples:,.0f} labelled events, {found.kind}")
