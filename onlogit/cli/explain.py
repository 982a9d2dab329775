"""`onlogit explain`: one event's log-odds taken apart, or what a model believes."""

import click

from onlogit.cli import options
from onlogit.config import FORMATS


@click.command()
@click.argument("model")
@click.argument("source", required=False)
@click.option("--row", metavar="JSON", help="The record to explain, as a JSON object.")
@click.option("--event", type=click.IntRange(0), metavar="N", help="Explain record N of SOURCE, counted from 0.")
@click.option("--format", type=click.Choice(FORMATS), help="Format of SOURCE; otherwise told by its content.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Lines to print.")
@click.option("--html", metavar="FILE", help="Of a record: write one HTML page with a figure; - is stdout.")
@options.json_option
def explain(
    model: str, source: str | None, row: str | None, event: int | None, format: str | None, top: int, html: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Say why the model file MODEL, as it is now, states what it states of a record; without one, what it believes.

    A push is what a term adds to the log-odds, and the factor on the odds; from the baseline, pushes add up to what is
    stated. They say what the model does with a record, not what causes the outcome.
    """
    if (source is None) != (event is None) or (row is not None and source is not None):
        raise click.UsageError("give --row JSON, or SOURCE with --event N, or neither for the model itself")
    if html is not None and row is None and source is None:
        raise click.UsageError("--html shows one record; for the model itself: onlogit report MODEL --html FILE")
    if html == "-" and as_json:
        raise click.UsageError("--html - and --json both want stdout")
    import sys

    from onlogit.cli.files import keep_apart, load_model, write_text
    from onlogit.cli.printing import say
    from onlogit.cli.rows import row_of_json, row_of_source
    from onlogit.explain import explain_event, explain_model
    from onlogit.json_lines import to_line
    from onlogit.report.event_page import event_page
    from onlogit.report.reasons import event_text, model_text
    from onlogit.report.text import glyphs_for

    keep_apart(model, html=html)
    if source is not None:
        keep_apart(source, html=html)
    kept = load_model(model)
    if row is None and source is None:
        believed = explain_model(kept)
        say(to_line(believed.to_json()) if as_json else "\n".join(model_text(believed, top)))
        return
    record = row_of_json(row, kept) if row is not None else row_of_source(source or "-", event or 0, format, kept)
    story = explain_event(kept, record)
    if html is not None:
        write_text(event_page(story, f"Record {event} of {source}" if row is None else "One record"), html)
    if as_json:
        say(to_line(story.to_json()))
    elif html != "-":
        say("\n".join(event_text(story, glyphs_for(sys.stdout.encoding), top)))
