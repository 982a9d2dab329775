"""The options of the daemon: one for every setting that is one value, made from their declarations."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from onlogit.daemon.sources import Place, places

F = TypeVar("F", bound=Callable[..., Any])


def daemon_options(function: F) -> F:
    """Adds them all; the value of one that was not given is None."""
    for place in reversed(places()):
        function = _option(place)(function)
    return function


def _option(place: Place) -> Callable[[F], F]:
    flag, shown = "--" + place.option.replace("_", "-"), place.default
    if isinstance(place.default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", place.option, default=None, help=place.help)
    if isinstance(place.default, tuple):  # as one text, with commas
        return click.option(flag, place.option, multiple=True, metavar="COLUMN", callback=_joined, help=place.help)
    text = place.help if shown == "" else f"{place.help}  [default: {shown}]"
    return click.option(flag, place.option, default=None, metavar=type(place.default).__name__.upper(), help=text)


def _joined(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> str | None:
    return ",".join(given) or None
