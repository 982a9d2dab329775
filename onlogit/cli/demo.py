"""`onlogit demo`: a year of flights through the real daemon, a live learner beside a frozen one."""

import sys
from typing import Any

import click

from onlogit.cli.options import json_option


@click.command()
@click.option("--out", default="flights.model", show_default=True, metavar="FILE", help="Where to put the live model.")
@click.option("--fast", is_flag=True, help="Without a daemon: both models in this process.")
@click.option("--flights", type=click.IntRange(1), metavar="N", help="Only the first N flights.")
@click.option("--hold/--no-hold", default=None, help="At the end, serve until Ctrl-C.  [default: on a terminal]")
@json_option
@click.pass_context
def demo(
    context: click.Context, out: str, fast: bool, flights: int | None, hold: bool | None, as_json: bool
) -> None:  # fmt: skip
    """Replay a year of New York's departures: each flight is scored before it departs and learned when it has landed.

    The live learner is a daemon (onlogit serve) on this machine, asked over HTTP, whose page shows it at work. Beside it a
    model that was frozen at the end of February keeps on stating probabilities. See month by month what becomes of both,
    and the alarm that the frozen one raises. The data comes with onlogit.
    """
    from importlib.util import find_spec

    lacking = [name for name in ("uvicorn", "httptools", "msgspec", "prometheus_client") if find_spec(name) is None]
    if not fast and lacking:
        click.echo(
            "onlogit: the daemon is not installed (install onlogit with its `serve` extra): the fast version runs",
            err=True,
        )
    terminal = sys.stdout.isatty() and sys.stdin.isatty() and not as_json
    told: dict[str, Any] = {
        "served": not fast and not lacking,
        "flights": flights,
        "hold": terminal if hold is None else hold,
    }
    if as_json:
        from onlogit.demo.run import tell

        tell(out, **told)
        return
    from onlogit.demo.page import opening
    from onlogit.demo.screen import Screen

    screen = Screen(sys.stdout, sys.stderr, context.color)
    screen.say(*opening(screen))  # before the imports that take a while
    from onlogit.demo.run import watch

    watch(out, screen, **told)
