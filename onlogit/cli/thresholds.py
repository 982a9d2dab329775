"""`onlogit thresholds`: what every threshold would have done, from stated probabilities and outcomes."""

from typing import Any

import click

from onlogit.cli import options


@click.command()
@options.source_options
@click.option("--prob", required=True, metavar="COLUMN", help="Column with the stated probability.")
@click.option("--label", required=True, metavar="COLUMN", help="Column with the outcome.")
@click.option("--positive", metavar="VALUE", help="The value of the label that counts as 1.")
@click.option("--weight", metavar="COLUMN", help="Column with the weight of a record.")
@options.cost_options
@options.json_option
def thresholds(
    source: str, format: str | None, batch_rows: int, prob: str, label: str, positive: str | None, weight: str | None,
    as_json: bool, **told: Any,
) -> None:  # fmt: skip
    """Cost, precision, recall, volume and net benefit at every threshold, over the labelled records of SOURCE.

    The threshold that costs amount to is right where p is calibrated; beside it stands the one that would have been
    cheapest, with all that are not told apart from it. One pass, in bounded memory.
    """
    import os

    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # heeded by the import of pyarrow: 175 MB and not 195
    from onlogit.cli.pairs import Pairs, read_pairs
    from onlogit.cli.printing import say
    from onlogit.json_lines import to_line
    from onlogit.report.costs import costs_json, costs_text

    costs = options.costs_of(told)
    if costs is None:
        raise click.UsageError(
            "say what mistakes cost, acting and not acting: --cost-fp 50 --cost-fn 10, or --decisions"
        )
    grid = read_pairs(source, Pairs(prob, label, positive, weight), format, batch_rows)
    say(to_line(costs_json(grid, *costs)) if as_json else "\n".join(costs_text(grid, *costs)))
