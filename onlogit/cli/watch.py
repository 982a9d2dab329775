"""`onlogit watch`: do anybody's probabilities match what happens?"""

from typing import Any

import click

from onlogit.cli import options
from onlogit.config import MonitorConfig


@click.command()
@options.source_options
@click.option("--prob", metavar="COLUMN", required=True, help="Column with the stated probability of a 1.")
@click.option("--label", metavar="COLUMN", required=True, help="Column with the outcome; null: not known.")
@click.option("--positive", metavar="VALUE", help="The value of the label that counts as 1.")
@click.option("--weight", metavar="COLUMN", help="Column with the weight of a record.")
@click.option("--time", metavar="COLUMN", help="Column with the time at which an event was scored; must not fall.")
@click.option("--label-time", metavar="COLUMN", help="Column with the time at which the outcome became known.")
@click.option("--key", metavar="COLUMN", help="Column with the key by which outcomes are joined.")
@click.option("--outcomes", metavar="SRC", help="Where outcomes are, by key, if not in SOURCE. Read whole, first.")
@click.option(
    "--by", metavar="COLUMN", multiple=True, help="Watch each value of this column as well; several, or a list."
)
@click.option(
    "--slices", type=int, default=1_000, show_default=True, metavar="N", help="Values of a column with a slice each."
)
@click.option(
    "--feature-columns",
    metavar="COLUMNS",
    multiple=True,
    help="Warn when one of these columns, or the probability, is no longer distributed as in the first events.",
)
@options.cost_options
@click.option(
    "--reference", type=int, default=0, metavar="N",
    help="Judge change since the first N labelled events, not the probabilities as such; features likewise.",
)  # fmt: skip
@click.option(
    "--patience", default="10000", show_default=True, metavar="A", envvar="ONLOGIT_PATIENCE",
    help="Mean time between false alarms, at least: in events, or as 90d, 12h, 4w.",
)  # fmt: skip
@options.setting("--tolerance", MonitorConfig.tolerance, "Miscalibration that nobody minds, in logits.", type=float)
@click.option(
    "--window", type=int, default=10_000, show_default=True, metavar="N", help="Events that recent figures are about."
)
@click.option(
    "--test", type=float, metavar="LEVEL",
    help="Instead of a watch, test once whether SOURCE is calibrated, at this level (such as .05).",
)  # fmt: skip
@options.fail_option
@options.json_option
@click.option("--quiet", is_flag=True, help="Print alarms alone: no summary, and no remark on stderr.")
def watch(source: str, fail_on_alarm: bool, **told: Any) -> None:
    """Watch the stated probabilities of any model, in the order in which they were stated.

    SOURCE is a file, a folder, a glob in quotes ('in/*.csv'), or - for stdin: Arrow, Parquet, CSV or NDJSON, with a
    probability and an outcome in each record. Alarms come as they are raised, and a summary at the end. While
    probabilities are right to within the tolerance, false alarms come at most once in the patience, on average;
    nothing needs tuning.
    """
    from onlogit.cli.watching import Watching

    Watching(source, told).run(fail_on_alarm)
