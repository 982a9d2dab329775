"""`onlogit serve`: one process that scores, takes outcomes back, learns and watches, over HTTP."""

from typing import Any

import click

from onlogit.cli import options
from onlogit.cli.daemon_options import daemon_options


@click.command()
@click.argument("config", required=False)
@click.option("--model", metavar="MODEL", help="Begin a new state folder with this model file.")
@click.option("--schema", metavar="FILE", help="Settle the columns now, by those of this file.")
@click.option("--print-systemd-unit", is_flag=True, help="Print a unit file for this command, and end.")
@options.json_option
@options.cost_options
@daemon_options
def serve(config: str | None, print_systemd_unit: bool, **told: Any) -> None:
    """Serve scores and learn, until a signal. CONFIG is a TOML file; see `onlogit config show`.

    Without settings it listens on 127.0.0.1, keeps its state in ./onlogit-state, and takes its columns from the first
    events. What it has answered it has kept: killed at any moment and started again, it goes on from there. SIGTERM or
    Ctrl-C ends it after what it has accepted; a second one at once. Logs go to stderr as JSON.
    """
    if print_systemd_unit:
        from onlogit.cli.systemd import print_unit

        print_unit(config, told)
    else:
        from onlogit.cli.serving import serving

        serving(config, told)
