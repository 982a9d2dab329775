"""The command line: parse, call, print. One file a command, loaded only when it is called.

Results go to stdout, everything else to stderr. Exit codes are those of `errors.py`: 0 done, 1 failure, 2 usage, 3 bad
data, 4 damaged state, 5 an alarm where the user asked to fail on one. A reader that closes stdout early ends a command
quietly, with 1; Ctrl-C with 130. `--help` and `--version` load neither NumPy nor Arrow nor Numba.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from onlogit import __version__
from onlogit.errors import OnlogitError

COMMANDS = {  # where each is, and what `onlogit --help` says of it
    "learn": (
        "onlogit.cli.learn:learn",
        "Learn from a stream once, in order, and say how good the probabilities were.",
    ),
    "score": ("onlogit.cli.score:score", "State probabilities for the records of a stream with a model file."),
    "merge": ("onlogit.cli.merge:merge", "Add up what several workers learned from parts of one stream."),
    "watch": ("onlogit.cli.watch:watch", "Watch any model's probabilities, and say when they stop matching outcomes."),
    "run": ("onlogit.cli.run:run", "Score and learn without end, with checkpoints and alarms."),
    "revert": ("onlogit.cli.revert:revert", "Take back what an alarm did to a model, or to a run."),
    "decide": ("onlogit.cli.decide:decide", "What to do at a probability, by what mistakes cost."),
    "thresholds": ("onlogit.cli.thresholds:thresholds", "What every threshold would have cost, from p and outcomes."),
    "explain": ("onlogit.cli.explain:explain", "Why a model states what it states of an event, and what it believes."),
    "report": ("onlogit.cli.report:report", "Reliability, evidence, costs and beliefs, as text or one HTML page."),
    "serve": ("onlogit.cli.serve:serve", "Serve scores and learn from outcomes over HTTP, without end."),
    "replay": ("onlogit.cli.replay:replay", "Rebuild a daemon's state at any point, or ask what would have been."),
    "config": ("onlogit.cli.config:config", "Show the daemon's settings and where each comes from."),
    "demo": ("onlogit.cli.demo:demo", "See on real flights how an alarm comes about."),
}


class Unused:
    """An import hook that hides pandas and scipy, which Arrow and Numba would load where they are installed, in .4 s."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname in ("pandas", "scipy"):
            raise ModuleNotFoundError(f"{fullname} is not used by commands", name=fullname)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `--help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="onlogit", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Online logistic regression for event streams: honest probabilities, and alarms when they stop being so."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.meta_path.insert(0, Unused())
    code = exit_code(args)
    # Every file is closed by now. Python's own way out would die of a source still asleep in a read of stdin, which holds
    # its lock, and of threads of Arrow that are still at work ("terminate called without an active exception").
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code(args: Sequence[str] | None = None) -> int:
    """Run one command, say on stderr what went wrong, and give the code to exit with."""
    signal.signal(signal.SIGTERM, _end)
    try:
        result: Any = cli.main(args, prog_name="onlogit", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except OnlogitError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            return _reader_gone()
        print(f"onlogit: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return _reader_gone()


def _end(number: int, frame: object) -> None:
    """SIGTERM unwinds like Ctrl-C, so that no hidden file of an unfinished output stays behind."""
    sys.exit(128 + number)


def _reader_gone() -> int:
    """Nobody reads stdout any more: let Python's last flush go nowhere, and end without a word."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return 1
