"""Every setting of the daemon, declared once, with its default, its range and its text for `--help`. sources.py says where
values come from."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from onlogit.config import COLUMNS, Config
from onlogit.errors import ConfigError, require
from onlogit.terms import parse


def _told(default: Any, text: str) -> Any:
    """A field with the text that `--help` and the documentation have for it."""
    return field(default=default, metadata={"help": text})


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
        require(0 <= self.port < 65_536, "port", self.port, "0 to 65535")
        require(1024 <= self.max_body <= 1 << 30, "max_body", self.max_body, "1 kB to 1 GB")
        require(1 <= self.max_rows <= 1 << 24, "max_rows", self.max_rows, "1 to 2^24")
        require(1 <= self.max_columns <= 100_000, "max_columns", self.max_columns, "1 to 100,000")
        paced = self.rate_limit == 0 or 1e-6 <= self.rate_limit <= 1e9
        require(paced, "rate_limit", self.rate_limit, "0, or .000001 to 1,000,000,000 requests a second")
        require(self.max_waiting >= 1, "max_waiting", self.max_waiting, "1 row or more")
        require(0 < self.drain_seconds <= 86_400, "drain_seconds", self.drain_seconds, "above 0, up to 86,400 seconds")
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
        require(self.durability in ("process", "power"), "durability", self.durability, '"process" or "power"')
        waits = 0 < self.checkpoint_seconds <= 604_800
        require(waits, "checkpoint_seconds", self.checkpoint_seconds, "above 0, up to 604,800 seconds")
        require(0 <= self.keep_days <= 100_000, "keep_days", self.keep_days, "0 to 100,000 days")
        require(self.keep_bytes >= 0, "keep_bytes", self.keep_bytes, "0 bytes or more")
        require(0 <= self.early <= 1 << 24, "early", self.early, "0 to 2^24 outcomes")


@dataclass(frozen=True)
class PaceSettings:
    """How work is cut, so that scoring stays quick while learning runs. Results do not depend on it."""

    slice_ms: float = _told(
        2.0, "Learning stops for waiting scores about this often, four times as rarely while none comes."
    )
    linger_ms: float = _told(0.0, "How long a write may wait for others to share its commit.")

    def __post_init__(self) -> None:
        require(0.1 <= self.slice_ms <= 1000, "slice_ms", self.slice_ms, "0.1 to 1000 milliseconds")
        require(0 <= self.linger_ms <= 1000, "linger_ms", self.linger_ms, "0 to 1000 milliseconds")


@dataclass(frozen=True)
class NoticeSettings:
    """Where alarms go besides the log."""

    alarm_file: str = _told("", "File that alarms are appended to, as NDJSON.")
    webhook: str = _told("", "URL that alarms are posted to, signed with ONLOGIT_WEBHOOK_SECRET where that is set.")


@dataclass(frozen=True)
class EventSettings:
    """What the columns mean. A ConfigError for one in two roles, and for a derived term that is none."""

    label: str = _told("", "Column with the outcome.")
    positive: str = _told("", "The value of the label that counts as 1.")
    key: str = _told("", "Column with the unique key of a record; not a feature.")
    time: str = _told("", "Column with the time of an event; a feature too, unless dropped.")
    weight: str = _told("", "Column with the weight of a record.")
    label_time: str = _told("", "Column with the time at which the label became known.")
    due: str = _told("", "Column with the time by which the label is sure to be known; learned then.")
    drop: str = _told("", "Columns that are no features, with commas between them.")
    features: str = _told("", "Derived terms, with semicolons between them.")

    def __post_init__(self) -> None:
        parts: dict[str, str] = {}
        for part in COLUMNS:
            name = getattr(self, part)
            if name and name in parts:
                raise ConfigError(f"column {name!r} cannot be both {parts[name]} and {part}; name two columns")
            parts[name] = part
        for text in self.roles()["features"]:
            parse(text)

    def roles(self) -> dict[str, Any]:
        """The arguments of OnlineLogit."""
        told: dict[str, Any] = {name: getattr(self, name) or None for name in (*COLUMNS, "positive")}
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
    decisions: dict[str, Any] = field(default_factory=dict)  # the table [decisions], as it was told
