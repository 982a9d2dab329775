"""`onlogit score`: the records of a stream, each with p, z and z_sd behind it."""

import click

from onlogit.cli import options


@click.command()
@click.argument("model")
@options.source_options
@click.option(
    "--out", metavar="FILE", default="-", show_default=True, help="Where records go; the name says the format."
)
@click.option("--out-format", type=click.Choice(options.FORMATS), help="Format of the output; stdout gets ndjson.")
@options.prefix_option
@options.json_option
def score(
    model: str, source: str, format: str | None, batch_rows: int, out: str, out_format: str | None, prefix: str,
    as_json: bool,
) -> None:  # fmt: skip
    """State probabilities for the records of SOURCE with the model file MODEL, which stays as it is.

    The output has the input's columns, then p, z (log-odds) and z_sd (their standard deviation under the belief). Only
    the model's features have to be there: label, key and other columns are passed on. One of MODEL and SOURCE may be -.
    """
    from onlogit.cli.files import load_model
    from onlogit.cli.printing import say, to_json
    from onlogit.records import scored_schema
    from onlogit.runner import score_stream
    from onlogit.streams import open_sink, open_source

    if model == source == "-":
        raise click.UsageError("MODEL and SOURCE cannot both be stdin")
    kept = load_model(model)
    records = open_source(source, format=format, batch_rows=batch_rows)
    sink = open_sink(out, scored_schema(records.schema, prefix), format=out_format)
    try:
        count = score_stream(kept, records, sink, prefix)
        sink.close()
    except BaseException:
        sink.abort()
        raise
    if out != "-":
        say(to_json({"events": count}) if as_json else f"{count:,} records scored")
