"""`onlogit revert`: take back what an alarm did to a model."""

import click

from onlogit.cli import options


@click.command()
@click.argument("subject")
@click.option("--out", metavar="MODEL", help="Of a model file: write here, and leave it as it is; - is stdout.")
@options.json_option
def revert(subject: str, out: str | None, as_json: bool) -> None:
    """Take back what --on-alarm did last to SUBJECT, a model file or the --state folder of a run that is not at work.

    A recalibration is no longer stated, a frozen belief learns on, and one that forgot knows again what it knew before the
    alarm (what it learned since is lost). A run goes on from there with the next `onlogit run --state`. Where nothing was
    done there is nothing to take back, and the command fails. Of a daemon: its command `revert`, docs/daemon.md.
    """
    from onlogit.cli.printing import alarm_json, say
    from onlogit.cli.reverting import reverted

    act = reverted(subject, out)
    if out != "-":
        say(alarm_json(act) if as_json else act.text())
