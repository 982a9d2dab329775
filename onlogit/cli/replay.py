"""`onlogit replay`: the state of a daemon at any point of its journal, or what would have been."""

from typing import Any

import click

from onlogit.cli import options


@click.command()
@click.argument("state")
@click.option("--until", type=click.IntRange(1), metavar="SEQ", help="Stop after this entry; otherwise after the last.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Ask what if: begin anew with another setting of the model, as in --set learner=sgd; may be given several times.",
)
@click.option("--fresh", is_flag=True, help="Pass checkpoints over and replay the whole journal.")
@click.option("--out", metavar="MODEL", help="Model file to write.")
@options.json_option
def replay(state: str, **told: Any) -> None:  # fmt: skip
    """Rebuild what the daemon of the folder STATE knew after an entry of its journal. STATE itself stays as it is.

    With --set the journal is folded from its first entry by a model with other settings; the figures at the end are
    progressive, and so can be compared with those of the model that was used.
    """
    from onlogit.cli.replay_journal import Replay

    Replay(state, told).run()
