"""A systemd unit that serves what this command line, its file and its environment say.

The daemon may write its state, the folder of the alarm file and its compile cache, and nothing else. The state folder is made
before the daemon starts, as a folder that is not there cannot be made writable. Relative paths are those of the folder in
which the unit was printed.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onlogit import __version__
from onlogit.cli.options import COSTS, decisions_told
from onlogit.cli.printing import say
from onlogit.daemon.settings import Settings
from onlogit.daemon.sources import flags_of, places, resolve

UNIT = """[Unit]
Description=onlogit {version}
After=network.target

[Service]
ExecStartPre=+/bin/mkdir -p {state}
ExecStart={command}
WorkingDirectory={folder}
{environment}
CacheDirectory=onlogit
Restart=on-failure
RestartSec=1
TimeoutStopSec={stop}
KillSignal=SIGTERM
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={writable}

[Install]
WantedBy=multi-user.target
"""
SECRETS = ("ONLOGIT_TOKENS", "ONLOGIT_WEBHOOK_SECRET")


def print_unit(config: str | None, told: dict[str, Any]) -> None:
    """The unit on stdout."""
    settings, _ = resolve(config, flags_of(told), decisions=decisions_told(told))
    state = Path(settings.keep.state).resolve()
    say(
        UNIT.format(
            version=__version__, command=" ".join(word(each, command=True) for each in command(config, told)),
            folder=str(Path.cwd()).replace("%", "%%"), stop=int(settings.server.drain_seconds) + 5,
            state=word(str(state), command=True), environment="\n".join(environment(os.environ)),
            writable=" ".join(word(f"-{each}") for each in written(settings, state)),
        ).rstrip()
    )  # fmt: skip


def command(config: str | None, told: dict[str, Any]) -> list[str]:
    """The words of the command line, with files where they are."""
    words = [sys.executable, "-m", "onlogit", "serve", *([str(Path(config).resolve())] if config else [])]
    for name in ("model", "schema"):
        if told[name]:
            words += [f"--{name}", str(Path(told[name]).resolve())]
    for option in COSTS:
        given = told[option] if isinstance(told[option], tuple) else (told[option],)
        if option == "decisions" and told[option]:
            given = (Path(told[option]).resolve(),)
        words += [
            each for value in given if value is not None for each in (f"--{option.replace('_', '-')}", str(value))
        ]
    for option, value in flags_of(told).items():
        flag = option.replace("_", "-")
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words


def environment(environ: Mapping[str, str]) -> list[str]:
    """Lines with the settings that are variables now, and a word on those that are secrets; and where kernels are kept."""
    told = {place.variable: environ[place.variable] for place in places() if place.variable in environ}
    lines = [f"Environment={word(f'{name}={value}')}" for name, value in told.items()]
    lines += [f"# {name} is a secret: give it by EnvironmentFile=" for name in SECRETS if environ.get(name)]
    return [*lines, "Environment=XDG_CACHE_HOME=/var/cache"]


def written(settings: Settings, state: Path) -> list[Path]:
    """The folders that the daemon writes to."""
    alarms = settings.notices.alarm_file
    return [state, *([Path(alarms).resolve().parent] if alarms else [])]


def word(text: str, command: bool = False) -> str:
    """A text as one word of a unit; of a command line, where a $ would begin the name of a variable."""
    told = text.replace("%", "%%").replace("$", "$$") if command else text.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./$*()-]+", told):
        return told
    for mark, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        told = told.replace(mark, escaped)
    return f'"{told}"'
