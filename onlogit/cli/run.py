"""`onlogit run`: score and learn without end, with checkpoints, alarms, and a way to stop and to go on."""

from typing import Any

import click

from onlogit.cli import options
from onlogit.config import FORMATS


@click.command()
@options.source_options
@click.option("--follow", is_flag=True, help="SOURCE is a folder: go on with new files as they appear, until a signal.")
@click.option("--model", metavar="MODEL", help="Begin with this model file, instead of a new model by --label.")
@options.event_options(label_required=False)
@options.setting_options
@click.option("--out", metavar="FILE", default="-", show_default=True, help="Where scored records go.")
@click.option("--out-format", type=click.Choice(FORMATS), help="Format of --out; otherwise told by its name.")
@options.prefix_option
@options.decision_options
@click.option("--alarms", metavar="FILE", help="Where alarms go, as NDJSON; otherwise to stderr.")
@click.option("--state", metavar="FOLDER", help="Keep checkpoints there, and go on from the last one.")
@click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="N",
    help="Time between checkpoints.",
)
@click.option("--save", metavar="MODEL", help="Model file to write at the end.")
@options.json_option
@options.quiet_option
@options.fail_option
def run(source: str, **told: Any) -> None:  # fmt: skip
    """Score every record of SOURCE, then learn its label when that is known, until SOURCE ends or a signal comes.

    SOURCE is a file, a folder, a glob in quotes ('in/*.csv'), or - for stdin: Arrow, Parquet, CSV or NDJSON.

    With --state a run that was killed continues from its last checkpoint, and leaves what one that never stopped would
    have left: --out and --alarms are then appended to and cut back (a Parquet or IPC file becomes a folder of parts);
    stdout and pipes cannot be cut back, and get records again. SIGTERM or Ctrl-C ends the run after the batch at hand;
    a second one ends it at once. Labels still to come when SOURCE ends stay sealed, for the run that goes on.
    """
    from onlogit.cli.running import Running

    Running(source, told).run()
