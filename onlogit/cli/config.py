"""`onlogit config show`: every setting of the daemon, and where it comes from."""

from typing import Any

import click

from onlogit.cli import options
from onlogit.cli.daemon_options import daemon_options


@click.group()
def config() -> None:
    """Look at settings."""


@config.command()
@click.argument("file", required=False)
@click.option("--origin", is_flag=True, help="Say where each comes from: default, file, ONLOGIT_* or flag.")
@options.json_option
@options.cost_options
@daemon_options
def show(file: str | None, origin: bool, as_json: bool, **told: Any) -> None:
    """Print what `onlogit serve FILE` would run with, as TOML; a later source wins: default, file, environment, flag."""
    import json

    from onlogit.cli.printing import say
    from onlogit.daemon.sources import flags_of, flat, resolve

    settings, origins = resolve(file, flags_of(told), decisions=options.decisions_told(told))
    values = flat(settings)
    if as_json:
        rows = {n: {"value": v, "origin": origins.get(n, "default")} if origin else v for n, v in values.items()}
        say(json.dumps(rows))
        return
    section = ""
    lines: list[str] = []
    for name, value in values.items():
        within, _, last = name.rpartition(".")
        if within != section:
            lines += ["", f"[{within}]"]
            section = within
        text = f"{last} = {_toml(value)}"
        lines.append(f"{text:<40} # {origins.get(name, 'default')}" if origin else text)
    say("\n".join(lines))


def _toml(value: Any) -> str:
    import json

    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)
