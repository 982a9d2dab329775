"""`onlogit learn`: fold a stream once and say how good the probabilities were, each stated before its label was learned."""

from typing import Any

import click

from onlogit.cli import options


@click.command()
@options.source_options
@options.event_options(label_required=True)
@options.setting_options
@options.cost_options
@click.option("--out", metavar="MODEL", help="Model file to write.")
@click.option(
    "--predictions", metavar="FILE", help="Write event, p, z, z_sd and label of every record, in stream order."
)
@options.json_option
@options.quiet_option
@options.fail_option
def learn(source: str, **told: Any) -> None:
    """Learn from SOURCE once, in order.

    SOURCE is a file, a folder, a glob in quotes ('in/*.csv'), or - for stdin: Arrow, Parquet, CSV or NDJSON. Each
    record is scored before its label is learned; the figures at the end judge those scores. After a SOURCE that
    breaks off, what came whole has been learned and is written; after any other error nothing is.
    """
    from onlogit.cli.learning import Learning

    Learning(source, told).run()
