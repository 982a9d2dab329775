"""What `onlogit serve` does once its command line is parsed. Apart, so that parsing imports nothing heavy."""

import gc
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from onlogit import __version__
from onlogit.cli.files import load_model
from onlogit.cli.options import COSTS, decisions_told
from onlogit.cli.printing import say
from onlogit.cli.startup import since_start
from onlogit.daemon.sources import places, resolve
from onlogit.errors import ConfigError, OutputError
from onlogit.report.values import to_line

UNIT = """[Unit]
Description=onlogit {version}
After=network.target

[Service]
ExecStart={command}
WorkingDirectory={folder}
StateDirectory=onlogit
Restart=on-failure
RestartSec=1
TimeoutStopSec={stop}
KillSignal=SIGTERM
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={state}

[Install]
WantedBy=multi-user.target
"""


def flags_of(told: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given as flags."""
    return {place.option: told[place.option] for place in places() if told.get(place.option) is not None}


def serving(config: str | None, told: dict[str, Any]) -> None:
    """Live until a signal."""
    gc.disable()  # until it is ready: what is loaded now stays, and need not be looked through over and over
    settings, _ = resolve(config, flags_of(told), decisions=decisions_told(told))
    if told["model"] and any(settings.events.roles().values()):
        raise click.UsageError("the columns are settled by the model file: give --model, or --label and the like")
    try:
        from onlogit.daemon.lifecycle import Daemon, log_to_stderr
    except ImportError as error:
        raise ConfigError(f"the daemon needs more packages ({error.name}): pip install 'onlogit[serve]'") from error
    log_to_stderr()
    model = load_model(told["model"]).to_bytes() if told["model"] else None
    schema = None
    if told["schema"]:
        from onlogit.streams import open_source

        source = open_source(told["schema"])
        schema = source.schema
        source.close()

    def ready(server: Any, service: Any) -> None:
        figures = {
            "address": server.address, "state": settings.keep.state, "startup_seconds": round(since_start(), 3),
            "replayed": service.replayed, "seq": service.worker.fold.seq,
        }  # fmt: skip
        say(
            to_line(figures)
            if told["as_json"]
            else f"onlogit serves on {server.address} (state in {settings.keep.state})"
        )

    if not Daemon(settings, model, schema, ready).run():
        raise OutputError(
            "stopped before a last checkpoint was kept; the journal has everything, the next start replays it"
        )


def print_unit(config: str | None, told: dict[str, Any]) -> None:
    """A systemd unit that runs this command line."""
    settings, _ = resolve(config, flags_of(told), decisions=decisions_told(told))
    words = [sys.executable, "-m", "onlogit", "serve", *([str(Path(config).resolve())] if config else [])]
    for name in ("model", "schema"):
        if told[name]:
            words += [f"--{name}", str(Path(told[name]).resolve())]
    for option in COSTS:
        given = told[option] if isinstance(told[option], tuple) else (told[option],)
        if option == "decisions" and told[option]:
            given = (Path(told[option]).resolve(),)
        words += [
            word for value in given if value is not None for word in (f"--{option.replace('_', '-')}", str(value))
        ]
    for option, value in flags_of(told).items():
        flag = option.replace("_", "-")
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    say(
        UNIT.format(
            version=__version__, command=shlex.join(words), folder=Path.cwd(),
            stop=int(settings.server.drain_seconds) + 5, state=Path(settings.keep.state).resolve(),
        ).rstrip()
    )  # fmt: skip
