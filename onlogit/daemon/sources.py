"""Where settings come from: default < file (TOML) < environment (ONLOGIT_*) < flag.

A setting has a dotted name such as `server.port`, which is its place in the file; its last part names the flag
(`--port`) and the variable (`ONLOGIT_PORT`; for the file of tokens ONLOGIT_TOKENS_FILE). What the columns mean and the
settings of the model stand at the file's top and in [labels], [label_noise], [monitor], [belief], [sgd] and [decisions], as in
the file of other commands (`onlogit.config.read`). An unknown name or a value out of range is a ConfigError that names it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from onlogit.config import HELP, Config, flattened, from_mapping, load_toml, meant, refuse_costs, timed, to_mapping
from onlogit.daemon.settings import EventSettings, Settings
from onlogit.decisions.costs import DecisionConfig, overlaid
from onlogit.errors import ConfigError, require
from onlogit.terms import parse


class Place(NamedTuple):
    """One setting: where it is, what it is by default, and how a command line says it."""

    name: str  # dotted, from the top of `Settings`
    default: Any
    help: str
    option: str  # as in --option

    @property
    def variable(self) -> str:
        """The name that it has in the environment, ONLOGIT_OPTION; ONLOGIT_TOKENS has tokens, not the name of their file."""
        return "ONLOGIT_TOKENS_FILE" if self.option == "tokens" else "ONLOGIT_" + self.option.upper()


RENAMED = {"model.labels.delay": "label_delay", "model.monitor.features": "feature_drift"} | {
    f"model.label_noise.{name}": f"noise_{name}" for name in ("fp", "fn")
}
MOST_CHALLENGERS = 8
RESERVED = ("initial", "onlogit")  # the model that a folder begins with, and whichever is the champion
TOP = ("events", "model")  # whose settings stand at the top of the file


def places(settings: Any = None, within: str = "") -> list[Place]:
    """Every setting that is one value, and `by`; other lists can be told in a file alone, costs have flags of their own."""
    found: list[Place] = []
    settings = Settings() if settings is None else settings
    for each in fields(settings):
        name, value = f"{within}{each.name}", getattr(settings, each.name)
        if is_dataclass(value):
            found += places(value, f"{name}.")
        elif not isinstance(value, tuple | dict) or each.name in HELP:
            text = each.metadata.get("help") or HELP[each.name]
            found.append(Place(name, value, text, RENAMED.get(name, each.name)))
    return found


def outer(name: str) -> str:
    """The name that the file and `config show` have for a setting."""
    first, _, rest = name.partition(".")
    return rest if first in TOP else name


def flags_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among what a command line was told."""
    return {place.option: told[place.option] for place in places() if told.get(place.option) is not None}


def resolve(
    file: str | None, flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ,
    decisions: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Settings, dict[str, str]]:  # fmt: skip
    """The settings, and where each came from: "default", the file, the variable, or the flag.

    `flags`: by option name, those that were given; `decisions`: what they say of those. A ConfigError names what is unknown
    or out of range.
    """
    told = _read(file) if file else {}
    in_file = told.pop("decisions", {})
    require(isinstance(in_file, dict), f"{file}: decisions", in_file, "a table of settings")
    origins: dict[str, str] = {}
    for place in places():
        *path, last = place.name.split(".")
        table = told
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{file}: {part} has to be a table of settings")
        origins[outer(place.name)] = f"file {file}" if last in table else "default"
        variable, flag = environ.get(place.variable), flags.get(place.option)
        for value, origin in ((variable, place.variable), (flag, f"--{place.option}")):
            if value is not None:
                table[last] = _as_kind(place, value, origin)
                origins[outer(place.name)] = origin.replace("_", "-") if origin.startswith("--") else origin
    monitor = told["model"]["monitor"]
    at_file = f"file {file}"
    if origins["monitor.unit"] == at_file and origins["monitor.patience"] not in ("default", at_file):
        del monitor["unit"]  # it is that of the file's patience; a plain number is in events, as for other commands
        origins["monitor.unit"] = "default"
    if timed(monitor).get("unit") != monitor.get("unit"):
        origins["monitor.unit"] = origins["monitor.patience"]
    others = told.pop("challengers", [])
    found = replace(from_mapping(Settings, told, file or "settings"), decisions=overlaid(in_file, decisions))
    if found.decisions:
        DecisionConfig.of(found.decisions, f"{file or 'settings'}: decisions")
    for name in flat(found):
        if name.startswith("decisions."):
            origins[name] = "flags" if name.split(".")[1] in decisions else f"file {file}"
    origins["challengers"] = f"file {file}" if others else "default"
    return replace(found, challengers=_challengers(others, found.model, file or "settings")), origins


def _challengers(told: Any, config: Config, file: str) -> tuple[dict[str, Any], ...]:
    """[[challengers]] as the journal keeps them: name, frozen, features, settings."""
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise ConfigError(f"{file}: challengers have to be tables, each under [[challengers]]")
    require(len(told) <= MOST_CHALLENGERS, f"{file}: challengers", len(told), f"at most {MOST_CHALLENGERS}")
    found: list[dict[str, Any]] = []
    for each in told:
        settings = {name: value for name, value in each.items() if name not in ("name", "frozen", "features")}
        kept: dict[str, Any] = {"name": each.get("name"), "frozen": each.get("frozen", False), "settings": settings}
        fits = isinstance(kept["name"], str) and re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", kept["name"]) is not None
        fits = fits and kept["name"] not in RESERVED and kept["name"] not in {other["name"] for other in found}
        accepted = f"up to 32 small letters, digits, - and _; each once, and not {' or '.join(RESERVED)}"
        require(fits, f"{file}: challengers.name", kept["name"], accepted)
        require(isinstance(kept["frozen"], bool), f"{file}: challengers.frozen", kept["frozen"], "true or false")
        if "features" in each:
            features = each["features"]
            texts = isinstance(features, list) and all(isinstance(text, str) for text in features)
            require(texts, f"{file}: challengers.features", features, "a list of texts")
            for text in features:
                parse(text)
            kept["features"] = features
        if kept["frozen"] and (settings or "features" in each):
            raise ConfigError(
                f"{file}: the challenger {kept['name']!r} is a frozen copy: it has no settings of its own"
            )
        overridden(config, settings)
        found.append(kept)
    return tuple(found)


def overridden(config: Config, settings: Mapping[str, Any]) -> Config:
    """A config with other settings; a ConfigError names one that is unknown, or has to be the same for all models."""
    if "labels" in settings:
        raise ConfigError("challengers: labels have to be the same for all models")
    told = to_mapping(config)
    for name, value in settings.items():
        told[name] = told[name] | value if isinstance(told.get(name), dict) and isinstance(value, dict) else value
    return from_mapping(Config, told, "challengers")


def _read(file: str) -> dict[str, Any]:
    """The file as a mapping like `Settings`."""
    told = load_toml(file)
    refuse_costs(told, file)
    inner: dict[str, Any] = {name: {} for name in TOP}
    own = {"events": [f.name for f in fields(EventSettings)], "model": [f.name for f in fields(Config)]}
    known = [name for names in own.values() for name in names] + [f.name for f in fields(Settings) if f.name not in TOP]
    for name, value in told.items():
        within = next((top for top in TOP if name in own[top]), None)
        if within == "events":
            inner[within][name] = _as_text(name, value)
        elif within:
            inner[within][name] = value
        elif name in TOP:
            raise ConfigError(f"{file}: unknown setting {name!r}; its settings stand at the top of the file")
        elif name in known:
            inner[name] = value
        else:
            raise ConfigError(f"{file}: unknown setting {name!r}; {meant(name, known)}")
    return inner


def _as_text(name: str, value: Any) -> Any:
    """What a file says about columns as an environment would say it."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return (";" if name == "features" else ",").join(value)
    return str(value).lower() if isinstance(value, bool) else str(value) if name == "positive" else value


def _as_kind(place: Place, value: Any, origin: str) -> Any:
    """A text of the environment or of a flag as a value like the default."""
    if not isinstance(value, str) or isinstance(place.default, str):
        return value
    if isinstance(place.default, tuple):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        if isinstance(place.default, bool):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
        if place.option == "patience" and value[-1:].isalpha():  # with its unit: `from_mapping` reads it
            return value
        return type(place.default)(value)
    except (KeyError, ValueError) as error:
        kind = type(place.default).__name__
        raise ConfigError(f"{origin} = {value!r}: a value of type {kind} would be accepted") from error


def flat(settings: Settings) -> dict[str, Any]:
    """Every value by the name that the file has for it, those at its top first."""
    named = {outer(name): value for name, value in flattened(to_mapping(settings)).items()}
    del named["monitor.costs"], named["monitor.thresholds"]  # made from [decisions]
    named["challengers"] = [
        {name: value for name, value in each.items() if name != "settings"} | each["settings"]
        for each in settings.challengers
    ]
    return dict(sorted(named.items(), key=lambda item: "." in item[0]))
