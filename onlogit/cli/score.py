"""`onlogit score`: the records of a stream, each with p, z and z_sd behind it."""

from typing import Any

import click

from onlogit.cli import options
from onlogit.config import FORMATS


@click.command()
@click.argument("model")
@options.source_options
@click.option(
    "--out", metavar="FILE", default="-", show_default=True, help="Where records go; the name says the format."
)
@click.option("--out-format", type=click.Choice(FORMATS), help="Format of the output; stdout gets ndjson.")
@options.prefix_option
@options.decision_options
@options.json_option
def score(
    model: str, source: str, format: str | None, batch_rows: int, out: str, out_format: str | None, prefix: str,
    as_json: bool, **told: Any,
) -> None:  # fmt: skip
    """State probabilities for the records of SOURCE with the model file MODEL, which stays as it is.

    SOURCE is a file, a folder, a glob in quotes ('in/*.csv'), or - for stdin: Arrow, Parquet, CSV or NDJSON.

    The output has the input's columns, then p, z (log-odds) and z_sd (their standard deviation under the belief). Only
    the model's features have to be there: label, key and other columns are passed on. With costs, tiers or a capacity also
    action and expected_cost. One of MODEL and SOURCE may be -.
    """
    from onlogit.cli.deciding import decider_of, time_of
    from onlogit.cli.files import keep_apart, load_model
    from onlogit.cli.printing import say
    from onlogit.cli.rows import types_of
    from onlogit.json_lines import to_line
    from onlogit.records import scored, scored_schema
    from onlogit.runner import score_stream
    from onlogit.streams import open_sink, open_source

    if model == source == "-":
        raise click.UsageError("MODEL and SOURCE cannot both be stdin")
    keep_apart(source, out=out)
    keep_apart(model, out=out)
    decisions = options.decisions_of(told)
    kept = load_model(model)
    decider = decider_of(decisions, kept)
    records = open_source(source, format=format, batch_rows=batch_rows, types=types_of(kept, source))
    sink = open_sink(out, scored_schema(records.schema, prefix, decider is not None), format=out_format)
    try:
        count = score_stream(kept, records, sink, scored(prefix, decider, time_of(kept)))
        sink.close()
    except BaseException:
        sink.abort()
        raise
    if out != "-":
        say(to_line({"events": count}) if as_json else f"{count:,} records scored")
