"""What `onlogit serve` does once its command line is parsed. Apart, so that parsing imports nothing heavy."""

import gc
from typing import Any

import click

from onlogit.cli.files import load_model
from onlogit.cli.options import decisions_told
from onlogit.cli.printing import say
from onlogit.cli.startup import since_start
from onlogit.daemon.sources import flags_of, resolve
from onlogit.errors import ConfigError, OutputError
from onlogit.json_lines import to_line


def serving(config: str | None, told: dict[str, Any]) -> None:
    """Live until a signal."""
    gc.disable()  # until it is ready: what is loaded now stays, and need not be looked through over and over
    settings, _ = resolve(config, flags_of(told), decisions=decisions_told(told))
    if told["model"] and any(settings.events.roles().values()):
        raise click.UsageError("the columns are settled by the model file: give --model, or --label and the like")
    try:
        from onlogit.daemon.lifecycle import Daemon, log_to_stderr
    except ImportError as error:
        raise ConfigError(
            f"the daemon needs more packages ({error.name}): install onlogit with its `serve` extra"
        ) from error
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
