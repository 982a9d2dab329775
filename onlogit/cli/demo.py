"""`onlogit demo`: a year of flights through the real pipeline, a live learner beside a frozen one."""

import sys

import click

from onlogit.cli.options import json_option


@click.command()
@click.option("--out", default="flights.model", show_default=True, metavar="FILE", help="Where to put the live model.")
@json_option
@click.pass_context
def demo(context: click.Context, out: str, as_json: bool) -> None:
    """Replay a year of New York's departures: each flight is scored before it departs and learned when it has landed.

    Beside the live learner a model that was frozen at the end of February keeps on stating probabilities. See month by
    month what becomes of both, and the alarm that the frozen one raises. The data comes with onlogit.
    """
    if as_json:
        from onlogit.cli.replaying import tell

        tell(out)
        return
    from onlogit.report.demo import opening
    from onlogit.report.screen import Screen

    screen = Screen(sys.stdout, sys.stderr, context.color)
    screen.say(*opening(screen))  # before the imports that take a while
    from onlogit.cli.replaying import watch

    watch(out, screen)
