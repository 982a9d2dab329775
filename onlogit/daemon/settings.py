"""Every setting of the daemon, declared once: default < file (TOML) < environment (ONLOGIT_*) < flag.

A setting has a dotted name such as `server.port`, which is its place in the file; its last part names the flag
(`--port`) and the variable (`ONLOGIT_PORT`). What the columns mean and the settings of the model stand at the file's top and
in [labels], [monitor], [belief] and [sgd], as in the file of other commands (`onlogit.config.read`). An unknown name or a
value out of range is a ConfigError that names it.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from onlogit.config import Config, from_mapping, to_mapping
from onlogit.errors import ConfigError


def _told(default: Any, text: str) -> Any:
    """A field with the text that `--help` and the documentation have for it."""
    return field(default=default, metadata={"help": text})


def _require(condition: bool, name: str, found: object, accepted: str) -> None:
    if not condition:
        raise ConfigError(f"{name} = {found!r} is out of range: {accepted}")


def is_loopback(host: str) -> bool:
    """Whether a name or an address is that of this machine for itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class ServerSettings:
    """Where it listens and what it lets in."""

    host: str = _told("127.0.0.1", "Address to listen on; another than loopback needs tokens, and TLS or --plain-http.")
    port: int = _told(8642, "Port to listen on; 0 takes a free one.")
    tokens: str = _told("", "File of tokens: a line is TOKEN SCOPE[,SCOPE]; scopes are score, learn and admin.")
    tls_cert: str = _told("", "Certificate chain, PEM.")
    tls_key: str = _told("", "Private key, PEM.")
    plain_http: bool = _told(False, "Allow HTTP without TLS on another address than loopback.")
    max_body: int = _told(32 << 20, "Bytes of a request body, after decompression.")
    max_rows: int = _told(65_536, "Rows of a request.")
    max_columns: int = _told(4_096, "Columns of a request.")
    rate_limit: float = _told(0.0, "Requests a second that one client may make; 0: no limit.")
    max_waiting: int = _told(1_000_000, "Rows that may wait to be folded before more are refused.")
    drain_seconds: float = _told(10.0, "Time that a stop may take.")

    def __post_init__(self) -> None:
        _require(0 <= self.port < 65_536, "port", self.port, "0 to 65535")
        _require(1024 <= self.max_body <= 1 << 30, "max_body", self.max_body, "1 kB to 1 GB")
        _require(1 <= self.max_rows <= 1 << 24, "max_rows", self.max_rows, "1 to 2^24")
        _require(1 <= self.max_columns <= 100_000, "max_columns", self.max_columns, "1 to 100,000")
        _require(self.rate_limit >= 0, "rate_limit", self.rate_limit, "0 requests a second or more")
        _require(self.drain_seconds > 0, "drain_seconds", self.drain_seconds, "a positive number of seconds")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("tls_cert and tls_key go together: give both, or neither")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True)
class KeepSettings:
    """What is kept on the disk, and for how long."""

    state: str = _told("onlogit-state", "Folder of the journal and the checkpoints.")
    durability: str = _told("process", 'What an answer survives: the death of the "process", or a loss of "power".')
    checkpoint_seconds: float = _told(30.0, "Time between checkpoints.")
    keep_days: float = _told(7.0, "Journal entries older than this go, once three checkpoints are newer.")
    keep_bytes: int = _told(1 << 30, "Bytes of journal beyond which old entries go, likewise.")
    early: int = _told(100_000, "Outcomes that may wait for an event that did not come yet.")

    def __post_init__(self) -> None:
        _require(self.durability in ("process", "power"), "durability", self.durability, '"process" or "power"')
        _require(self.checkpoint_seconds > 0, "checkpoint_seconds", self.checkpoint_seconds, "a positive number")
        _require(self.keep_days >= 0, "keep_days", self.keep_days, "0 days or more")
        _require(self.keep_bytes >= 0, "keep_bytes", self.keep_bytes, "0 bytes or more")
        _require(0 <= self.early <= 1 << 24, "early", self.early, "0 to 2^24 outcomes")


@dataclass(frozen=True)
class PaceSettings:
    """How work is cut, so that scoring stays quick while learning runs. Results do not depend on it."""

    slice_ms: float = _told(2.0, "Learning stops for waiting scores about this often.")
    linger_ms: float = _told(0.0, "How long a write may wait for others to share its commit.")

    def __post_init__(self) -> None:
        _require(0.1 <= self.slice_ms <= 1000, "slice_ms", self.slice_ms, "0.1 to 1000 milliseconds")
        _require(0 <= self.linger_ms <= 1000, "linger_ms", self.linger_ms, "0 to 1000 milliseconds")


@dataclass(frozen=True)
class NoticeSettings:
    """Where alarms go besides the log."""

    alarm_file: str = _told("", "File that alarms are appended to, as NDJSON.")
    webhook: str = _told("", "URL that alarms are posted to, signed with ONLOGIT_WEBHOOK_SECRET where that is set.")


@dataclass(frozen=True)
class EventSettings:
    """What the columns mean."""

    label: str = _told("", "Column with the outcome.")
    positive: str = _told("", "The value of the label that counts as 1.")
    key: str = _told("", "Column with the unique key of a record; not a feature.")
    time: str = _told("", "Column with the time of an event; a feature too, unless dropped.")
    weight: str = _told("", "Column with the weight of a record.")
    label_time: str = _told("", "Column with the time at which the label became known.")
    due: str = _told("", "Column with the time by which the label is sure to be known; learned then.")
    drop: str = _told("", "Columns that are no features, with commas between them.")
    features: str = _told("", "Derived terms, with semicolons between them.")

    def roles(self) -> dict[str, Any]:
        """The arguments of OnlineLogit."""
        told: dict[str, Any] = {
            name: getattr(self, name) or None
            for name in ("label", "positive", "key", "time", "weight", "label_time", "due")
        }  # fmt: skip
        drop = tuple(part.strip() for part in self.drop.split(",") if part.strip())
        features = tuple(part.strip() for part in self.features.split(";") if part.strip())
        return told | {"drop": drop, "features": features}


@dataclass(frozen=True)
class Settings:
    """All of it."""

    server: ServerSettings = field(default_factory=ServerSettings)
    keep: KeepSettings = field(default_factory=KeepSettings)
    pace: PaceSettings = field(default_factory=PaceSettings)
    notices: NoticeSettings = field(default_factory=NoticeSettings)
    events: EventSettings = field(default_factory=EventSettings)
    model: Config = field(default_factory=Config)
    challengers: tuple[dict[str, Any], ...] = ()  # further models on the same stream: [[challengers]] in the file


class Place(NamedTuple):
    """One setting: where it is, what it is by default, and how a command line says it."""

    name: str  # dotted, from the top of `Settings`
    default: Any
    help: str
    option: str  # as in --option and ONLOGIT_OPTION


RENAMED = {"model.labels.delay": "label_delay", "model.monitor.features": "feature_drift"}
MOST_CHALLENGERS = 8
RESERVED = ("initial", "onlogit")  # the model that a folder begins with, and whichever is the champion
TOP = ("events", "model")  # whose settings stand at the top of the file
MODEL_HELP = {
    "horizon": "Learn a label so long after its event: 90m, 12h, 30d.",
    "unresolved": "What an event without a label is when it is due: drop or negative.",
    "learner": "What learns: belief, sgd, adagrad or ftrl.",
    "slot_bits": "Categories share 2^N slots.",
    "delay": "Learn a label in a record after N further events.",
    "remember": "Events that a label may come late.",
    "patience": "Mean number of events between false alarms.",
    "tolerance": "Miscalibration that nobody minds, in logits.",
    "features": "Warn when features are no longer distributed as they were.",
    "warm_up": "Labels learned before evidence is gathered.",
}


def places(settings: Any = None, within: str = "") -> list[Place]:
    """Every setting that is one value; lists of the belief learner can be told in a file alone."""
    found: list[Place] = []
    settings = Settings() if settings is None else settings
    for each in fields(settings):
        name, value = f"{within}{each.name}", getattr(settings, each.name)
        if is_dataclass(value):
            found += places(value, f"{name}.")
        elif not isinstance(value, tuple):
            text = each.metadata.get("help") or MODEL_HELP.get(each.name, "See the documentation of the learner.")
            found.append(Place(name, value, text, RENAMED.get(name, each.name)))
    return found


def outer(name: str) -> str:
    """The name that the file and `config show` have for a setting."""
    first, _, rest = name.partition(".")
    return rest if first in TOP else name


def resolve(
    file: str | None, flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[Settings, dict[str, str]]:
    """The settings, and where each came from: "default", the file, the variable, or the flag.

    `flags`: by option name, those that were given. A ConfigError names what is unknown or out of range.
    """
    told = _read(file) if file else {}
    origins: dict[str, str] = {}
    for place in places():
        *path, last = place.name.split(".")
        table = told
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{file}: {part} has to be a table of settings")
        origins[outer(place.name)] = f"file {file}" if last in table else "default"
        variable = "ONLOGIT_" + place.option.upper()
        for value, origin in ((environ.get(variable), variable), (flags.get(place.option), f"--{place.option}")):
            if value is not None:
                table[last] = _as_kind(place, value, origin)
                origins[outer(place.name)] = origin.replace("_", "-") if origin.startswith("--") else origin
    others = told.pop("challengers", [])
    found = from_mapping(Settings, told, file or "settings")
    origins["challengers"] = f"file {file}" if others else "default"
    return replace(found, challengers=_challengers(others, found.model, file or "settings")), origins


def _challengers(told: Any, config: Config, file: str) -> tuple[dict[str, Any], ...]:
    """[[challengers]] as the journal keeps them: name, frozen, features, settings."""
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise ConfigError(f"{file}: challengers have to be tables, each under [[challengers]]")
    _require(len(told) <= MOST_CHALLENGERS, f"{file}: challengers", len(told), f"at most {MOST_CHALLENGERS}")
    found: list[dict[str, Any]] = []
    for each in told:
        settings = {name: value for name, value in each.items() if name not in ("name", "frozen", "features")}
        kept: dict[str, Any] = {"name": each.get("name"), "frozen": each.get("frozen", False), "settings": settings}
        fits = isinstance(kept["name"], str) and re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", kept["name"]) is not None
        fits = fits and kept["name"] not in RESERVED and kept["name"] not in {other["name"] for other in found}
        accepted = f"up to 32 small letters, digits, - and _; each once, and not {' or '.join(RESERVED)}"
        _require(fits, f"{file}: challengers.name", kept["name"], accepted)
        _require(isinstance(kept["frozen"], bool), f"{file}: challengers.frozen", kept["frozen"], "true or false")
        if "features" in each:
            features = each["features"]
            texts = isinstance(features, list) and all(isinstance(text, str) for text in features)
            _require(texts, f"{file}: challengers.features", features, "a list of texts")
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
    try:
        told = tomllib.loads(Path(file).read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
    inner: dict[str, Any] = {name: {} for name in TOP}
    own = {"events": {f.name for f in fields(EventSettings)}, "model": {f.name for f in fields(Config)}}
    for name, value in told.items():
        within = next((top for top in TOP if name in own[top]), None)
        if within == "events":
            inner[within][name] = _as_text(name, value)
        elif within:
            inner[within][name] = value
        elif name in TOP:
            raise ConfigError(f"{file}: unknown setting {name!r}; its settings stand at the top of the file")
        else:
            inner[name] = value
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
    try:
        if isinstance(place.default, bool):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
        return type(place.default)(value)
    except (KeyError, ValueError) as error:
        kind = type(place.default).__name__
        raise ConfigError(f"{origin} = {value!r}: a value of type {kind} would be accepted") from error


def flat(settings: Settings) -> dict[str, Any]:
    """Every value by the name that the file has for it, those at its top first."""

    def walk(mapping: dict[str, Any], within: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in mapping.items():
            found |= walk(value, f"{within}{name}.") if isinstance(value, dict) else {within + name: value}
        return found

    named = {outer(name): value for name, value in walk(to_mapping(settings), "").items()}
    named["challengers"] = [
        {name: value for name, value in each.items() if name != "settings"} | each["settings"]
        for each in settings.challengers
    ]
    return dict(sorted(named.items(), key=lambda item: "." in item[0]))
