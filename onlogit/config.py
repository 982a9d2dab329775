"""Every setting, declared once, with its default and its range. Flags, files and the environment all fill these.

A setting out of range is a ConfigError that names it, at the moment when the config is made and not when it is used.
"""

import dataclasses
import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Final, TypeVar

from onlogit.errors import ConfigError, require
from onlogit.patience import patience_of

C = TypeVar("C")


LEAST = 1e-30  # of what may not be 0: its inverse is finite in single precision
WIDEST = 1e4  # variance; from 1e5 on, weights of all sizes leave more rounding in single precision than belief


def _are_variances(priors: tuple[tuple[float, float], ...]) -> bool:
    return all(len(prior) == 2 and all(LEAST <= v <= WIDEST for v in prior) for prior in priors)


@dataclass(frozen=True)
class BeliefConfig:
    """The default learner: half-lives x priors give the experts, which a mixture weighs. Nothing here needs tuning.

    half_lives: learned examples after which one counts half, each above 0; inf: never forget.
    priors: pairs (variance of weights, variance of the bias), in squared log-odds per standard deviation of a number.
    lasting_priors: in place of `priors`, and as many, where the half-life is infinite.
    switching: chances per example, in [0, 1), that another expert becomes the best.
    stacking_half_life: of the last word, which combines what the experts say, in learned examples.
    stacking_prior: variance of its weights around "what the mixture says".
    dense_limit: numbers beyond this many, 0 to 512, get a variance each instead of a full covariance.
    """

    half_lives: tuple[float, ...] = (math.inf, 1e4, 600.0, 40.0)
    priors: tuple[tuple[float, float], ...] = ((0.01, 1.0), (1.0, 10.0))
    lasting_priors: tuple[tuple[float, float], ...] = ((0.1, 1.0), (3.0, 10.0))
    switching: tuple[float, ...] = (0.0, 1e-4, 1e-2)
    stacking_half_life: float = 1e5
    stacking_prior: float = 0.01
    dense_limit: int = 128

    def __post_init__(self) -> None:
        _settle_types(self)
        require(
            len(self.half_lives) > 0 and all(h >= LEAST for h in self.half_lives),
            "half_lives", self.half_lives, "one or more numbers of examples, 1e-30 or more (inf: never forget)",
        )  # fmt: skip
        require(
            len(self.priors) > 0 and _are_variances(self.priors),
            "priors", self.priors, "pairs (variance of weights, variance of bias), each 1e-30 to 10,000",
        )  # fmt: skip
        require(
            _are_variances(self.lasting_priors)
            and (math.inf not in self.half_lives or len(self.lasting_priors) == len(self.priors)),
            "lasting_priors", self.lasting_priors, f"pairs as in priors, and {len(self.priors)} of them as there",
        )  # fmt: skip
        require(
            len(self.switching) > 0 and all(0 <= a < 1 for a in self.switching),
            "switching", self.switching, "one or more rates in [0, 1)",
        )  # fmt: skip
        require(self.stacking_half_life > 0, "stacking_half_life", self.stacking_half_life, "a positive number")
        within = LEAST <= self.stacking_prior <= WIDEST
        require(within, "stacking_prior", self.stacking_prior, "a variance, 1e-30 to 10,000")
        require(0 <= self.dense_limit <= 512, "dense_limit", self.dense_limit, "0 to 512")

    def experts(self) -> list[tuple[float, float, float]]:
        """Half-life, variance of weights and variance of the bias of each expert."""
        priors = {life: self.priors if life < math.inf else self.lasting_priors for life in self.half_lives}
        return [(life, *prior) for life in self.half_lives for prior in priors[life]]


SGD_RATES = {"sgd": 0.01, "adagrad": 0.2, "ftrl": 0.2}
"""The rate of each learner of the SGD family unless another is given."""


@dataclass(frozen=True)
class SgdConfig:
    """Stochastic gradient descent: the learners "sgd", "adagrad" and "ftrl", on one example or a mini-batch at a time.

    rate: step per unit of gradient, at the start; 0: that of SGD_RATES.
    schedule: "constant", "sqrt" (rate / √(1 + t/10,000)) or "inverse" (rate / (1 + t/10,000)); not for ftrl.
    l1: penalty l1 |w|, 0 or more; never on the bias; a slot pays when it is touched; ftrl gives exact zeros.
    l2: penalty l2/2 |w|², likewise.
    batch: weight of the examples whose mean gradient makes one step, 1 to 1,000,000.
    averaged: sgd: state the mean of all past weights, not the last ones.
    """

    rate: float = 0.0
    schedule: str = "constant"
    l1: float = 0.0
    l2: float = 0.0
    batch: int = 1
    averaged: bool = False

    def __post_init__(self) -> None:
        _settle_types(self)
        within = self.rate == 0 or LEAST <= self.rate <= 1e6
        require(within, "rate", self.rate, "a number from 1e-30 to 1,000,000, or 0 for the learner's own")
        require(
            self.schedule in ("constant", "sqrt", "inverse"),
            "schedule", self.schedule, '"constant", "sqrt" or "inverse"',
        )  # fmt: skip
        require(0 <= self.l1 < math.inf, "l1", self.l1, "zero or a positive number")
        require(0 <= self.l2 < math.inf, "l2", self.l2, "zero or a positive number")
        require(1 <= self.batch <= 1_000_000, "batch", self.batch, "1 to 1,000,000 examples")


ACTS = ("warn", "recalibrate", "forget", "freeze")


@dataclass(frozen=True)
class MonitorConfig:
    """When an alarm is worth raising.

    patience: mean number of events between false alarms that is accepted, from 1, or of units of time, above 0.
    unit: "events", or "minutes", "hours", "days", "weeks" of the stream's time; a patience of "90d" says both.
    tolerance: miscalibration that nobody minds, 0 to .5 logits.
    warm_up: labels to learn before what is stated gathers evidence.
    change: judge change since a reference window, not the probabilities as such.
    features: warn when features are no longer distributed as in the reference window.
    reference: events of that window, 200 or more.
    by: columns of whose values each is watched as well.
    slices: values of such a column that are watched one by one, 1 to 1,048,576; later ones together.
    thresholds: of p, each between 0 and 1, decisions at which are counted.
    costs: of acting on a 0 and of missing a 1, both or none: a threshold more, and costs in alarms.
    on_alarm: beside "warn": "recalibrate" what is stated, "forget" what held before, or "freeze" all.
    """

    patience: float = 100_000.0
    unit: str = "events"
    tolerance: float = 0.1
    warm_up: int = 1_000
    change: bool = False
    features: bool = False
    reference: int = 10_000
    by: tuple[str, ...] = ()
    slices: int = 1_000
    thresholds: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    on_alarm: str = "warn"

    def __post_init__(self) -> None:
        for name, value in timed({"patience": self.patience}).items():  # a unit where it is a text
            object.__setattr__(self, name, value)
        if isinstance(self.by, str):
            object.__setattr__(self, "by", (self.by,))
        _settle_types(self)
        units = ("events", "minutes", "hours", "days", "weeks")
        require(self.unit in units, "unit", self.unit, f"one of {', '.join(units)}")
        enough = self.patience >= 1 if self.unit == "events" else self.patience > 0
        accepted = f"a number of {self.unit} {'from 1' if self.unit == 'events' else 'above 0'} to 1e15"
        require(enough and self.patience <= 1e15, "patience", self.patience, accepted)
        require(0 <= self.tolerance <= 0.5, "tolerance", self.tolerance, "0 to 0.5 logits")
        require(0 <= self.warm_up <= 1 << 40, "warm_up", self.warm_up, "0 to 1,099,511,627,776 labels")
        require(self.on_alarm in ACTS, "on_alarm", self.on_alarm, '"warn", "recalibrate", "forget" or "freeze"')
        require(200 <= self.reference <= 1 << 40, "reference", self.reference, "200 events or more")
        require(all(isinstance(name, str) for name in self.by), "by", self.by, "names of columns")
        require(len(set(self.by)) == len(self.by), "by", self.by, "each column once")
        require(1 <= self.slices <= 1 << 20, "slices", self.slices, "1 to 1,048,576 values of a column")
        within = all(isinstance(t, float) and 0 < t < 1 for t in self.thresholds)
        require(within, "thresholds", self.thresholds, "probabilities between 0 and 1")
        priced = len(self.costs) in (0, 2) and all(isinstance(c, float) and 0 < c < 1e12 for c in self.costs)
        require(priced, "costs", self.costs, "two positive numbers, of a false action and of a miss")


UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}  # seconds
LONGEST = 1_000 * 366 * UNITS["d"]


def seconds(name: str, text: str) -> int:
    """A duration such as "90m", "12h" or "30d" in seconds; a ConfigError names the setting where it is none."""
    accepted = "a whole number with a unit, such as 90m, 12h, 30d (units s, m, h, d, w), at most 1,000 years"
    fits = isinstance(text, str) and re.fullmatch(r"[0-9]{1,15}[smhdw]", text) is not None
    require(fits and 0 < int(text[:-1]) * UNITS[text[-1]] <= LONGEST, name, text, accepted)
    return int(text[:-1]) * UNITS[text[-1]]


@dataclass(frozen=True)
class LabelConfig:
    """When a label is learned.

    delay: a label in the record is learned after so many further events were scored, fewer than `remember`.
    remember: an event is remembered for its label while at most so many later ones are scored.
    horizon: a label is due so long after its event, in units s, m, h, d, w ("30d"); "": no such rule.
    unresolved: what an event without a label is when it is due: "drop", or "negative".
    keep_negatives: share of negatives not near a positive to learn, .0001 to 1, weight 1/share; all are judged.
    """

    delay: int = 0
    remember: int = 1_000_000
    horizon: str = ""
    unresolved: str = "drop"
    keep_negatives: float = 1.0

    def __post_init__(self) -> None:
        _settle_types(self)
        require(1 <= self.remember <= 1 << 40, "remember", self.remember, "1 event or more")
        require(0 <= self.delay < self.remember, "delay", self.delay, f"0 to {self.remember - 1} events")
        require(1e-4 <= self.keep_negatives <= 1, "keep_negatives", self.keep_negatives, "a share from .0001 to 1")
        require(self.unresolved in ("drop", "negative"), "unresolved", self.unresolved, '"drop" or "negative"')
        if self.horizon != "":
            seconds("horizon", self.horizon)

    @property
    def horizon_us(self) -> int:
        """The horizon in microseconds, 0 for none."""
        return 1_000_000 * seconds("horizon", self.horizon) if self.horizon else 0


@dataclass(frozen=True)
class LabelNoise:
    """How often labels are wrong, where that is known; both 0: never. Each below .5, so that together they are below 1.

    fp: share of true negatives that are labelled 1.
    fn: share of true positives that are labelled 0.
    """

    fp: float = 0.0
    fn: float = 0.0

    def __post_init__(self) -> None:
        _settle_types(self)
        for name, rate in (("fp", self.fp), ("fn", self.fn)):
            require(0 <= rate < 0.5, f"label_noise.{name}", rate, "a share from 0 to below .5")


@dataclass(frozen=True)
class Config:
    """All of it. Settings of a learner that is not `learner` are kept and not used.

    learner: "belief", or one of the SGD family: "sgd", "adagrad", "ftrl".
    slot_bits: 2**slot_bits slots for hashed categories, 1 to 26.
    names: so many slots, 0 to 16,777,216, keep the name of the category that first lit them, for explanations.
    belief, sgd: of those learners. monitor: when to raise an alarm. labels: when to learn one. label_noise: how many are wrong.
    """

    learner: str = "belief"
    slot_bits: int = 18
    names: int = 4096
    belief: BeliefConfig = field(default_factory=BeliefConfig)
    sgd: SgdConfig = field(default_factory=SgdConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)
    label_noise: LabelNoise = field(default_factory=LabelNoise)

    def __post_init__(self) -> None:
        _settle_types(self)
        require(self.learner in ("belief", *SGD_RATES), "learner", self.learner, '"belief", "sgd", "adagrad" or "ftrl"')
        forgets = self.learner == "belief" or self.monitor.on_alarm != "forget"
        require(forgets, "on_alarm", "forget", f'the learner {self.learner!r} has no belief; take learner = "belief"')
        require(1 <= self.slot_bits <= 26, "slot_bits", self.slot_bits, "1 to 26")
        require(0 <= self.names <= 1 << 24, "names", self.names, "0 to 16,777,216")


HELP = {
    "learner": "What learns: belief, sgd, adagrad or ftrl.",
    "slot_bits": "Categories share 2^N slots.",
    "names": "Categories whose names are kept, for explanations.",
    "stacking_half_life": "belief: half-life of the last word, which combines what the experts say, in learned examples.",
    "stacking_prior": "belief: variance of the weights of the last word.",
    "dense_limit": "belief: numbers beyond this many get a variance each instead of a full covariance.",
    "rate": "sgd, adagrad, ftrl: step per unit of gradient; 0: the learner's own.",
    "schedule": "sgd, adagrad: constant, sqrt or inverse.",
    "l1": "sgd, adagrad, ftrl: penalty on the size of weights.",
    "l2": "sgd, adagrad, ftrl: penalty on squared weights.",
    "batch": "sgd, adagrad, ftrl: examples in one step.",
    "averaged": "sgd: state the mean of all past weights.",
    "patience": "Mean time between false alarms: in events, or as 90d, 12h.",
    "unit": "What a patience without a unit is in: events, or minutes, hours, days or weeks of the stream's time.",
    "tolerance": "Miscalibration that nobody minds, in logits.",
    "warm_up": "Labels learned before evidence is gathered.",
    "change": "Judge change since a reference window, the first labels, not the probabilities as such.",
    "features": "Warn when features, or what is stated, drift.",
    "reference": "Labels, or events, of the window that change and drift are held against.",
    "by": "Watch each value of this column as well, dropped or not; several, or a list.",
    "slices": "Values of a column watched one by one.",
    "on_alarm": "What an alarm does beside warning: recalibrate, forget or freeze; warn: nothing more.",
    "delay": "Learn a label in a record after N further events.",
    "remember": "A label may come so many events late; then its event is given up.",
    "horizon": "Learn a label so long after its event: 90m, 12h, 30d.",
    "unresolved": "What an event without a label is when it is due: drop or negative.",
    "keep_negatives": "Learn this share of the negatives that are not near a positive, with weight 1/share.",
    "fp": "Share of true 0s labelled 1.",
    "fn": "Share of true 1s labelled 0.",
}
"""What `--help` says of every setting that is one value, and of `by`, by its name."""

COLUMNS: Final = ("label", "key", "time", "weight", "label_time", "due")
"""Roles of one column each."""
ROLES = (*COLUMNS, "positive", "drop", "features")
"""What a configuration file says about columns, beside the settings: arguments of `OnlineLogit`."""
FORMATS = ("arrow", "arrow-file", "parquet", "csv", "ndjson")
"""Of files: `arrow` is the IPC stream, `arrow-file` the IPC file (Feather version 2)."""


def load_toml(path: str) -> dict[str, Any]:
    """A TOML file; a ConfigError names it where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def read(path: str) -> tuple[dict[str, Any], Config]:
    """A TOML file of roles of columns and settings, as `OnlineLogit(**roles, config=config)` takes them.

    Roles and the settings of `Config` stand at the top, those of its parts in tables [labels], [label_noise], [monitor],
    [belief], [sgd].
    ConfigError, naming the file and the setting, for what cannot be read, is unknown or is out of range.
    """
    found = load_toml(path)
    found.pop("decisions", None)  # decisions/costs.py reads that
    refuse_costs(found, path)
    known = [*ROLES, *(f.name for f in dataclasses.fields(Config))]
    for name in found:
        if name not in known:
            raise ConfigError(f"{path}: unknown setting {name!r}; {meant(name, known)}")
    try:
        roles = {name: role(name, value) for name, value in found.items() if name in ROLES}
        return roles, from_mapping(Config, {k: v for k, v in found.items() if k not in ROLES}, path)
    except ConfigError as error:
        raise error if str(error).startswith(path) else ConfigError(f"{path}: {error}") from error


OF_FLAGS = {
    "label_delay": "labels.delay", "noise_fp": "label_noise.fp", "noise_fn": "label_noise.fn",
    "watch_change": "monitor.change", "watch_features": "monitor.features",
}  # fmt: skip
"""Settings of which a flag has another name than the file."""


def meant(name: str, known: list[str]) -> str:
    """What may be meant by a name at the top of a file that is none of those known there: a hint for an error."""
    settings = flattened(to_mapping(Config()))
    place = OF_FLAGS.get(name) or next((each for each in settings if each.endswith(f".{name}")), "")
    table, _, setting = place.partition(".")
    if setting:
        return f"it stands in [{table}] as {setting}"
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


MADE = ("costs", "thresholds")  # settings of the monitor that a file does not have: they are made from [decisions]


def refuse_costs(found: Mapping[str, Any], path: str) -> None:
    """A ConfigError where a file has costs or thresholds in the wrong table."""
    monitor = found.get("monitor")
    for name in MADE:
        if isinstance(monitor, Mapping) and name in monitor:
            raise ConfigError(f"{path}: monitor.{name} is made from the table [decisions]: state costs or tiers there")


def role(name: str, value: Any) -> Any:
    """What is said of columns, as it was given; a ConfigError where it is of another type."""
    if name in ("drop", "features"):
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise ConfigError(f"{name} = {value!r}; expected a list of texts")
    elif name == "positive":
        if not isinstance(value, str | Real):
            raise ConfigError(f"positive = {value!r}; expected a text, a number, true or false")
    elif not isinstance(value, str):
        raise ConfigError(f"{name} = {value!r}; expected the name of a column")
    return value


def to_mapping(config: Any) -> dict[str, Any]:
    """A config as plain JSON values; an infinite number becomes the text "inf"."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, tuple):
            return [plain(v) for v in value]
        return "inf" if value == math.inf else value

    return plain(config)  # type: ignore[no-any-return]


def flattened(mapping: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Every value by its dotted name.

    >>> flattened({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        found |= flattened(value, f"{within}{name}.") if isinstance(value, dict) else {within + name: value}
    return found


def from_mapping(kind: type[C], mapping: Mapping[str, Any], where: str = "config") -> C:
    """The inverse of `to_mapping`; an unknown name or a value of another type is a ConfigError that names it."""
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    mapping = timed(mapping) if kind is MonitorConfig else mapping
    given: dict[str, Any] = {}
    for name, value in mapping.items():
        if name not in known:
            accepted = (each for each in known if kind is not MonitorConfig or each not in MADE)
            raise ConfigError(f"{where}: unknown setting {name!r}; known are {', '.join(accepted)}")
        default = getattr(kind(), name)
        given[name] = _like(default, value, f"{where}.{name}")
    return kind(**given)


def timed(monitor: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the monitor with a patience such as "90d" as a number and its unit, whatever they say of the unit."""
    if not isinstance(monitor.get("patience"), str):
        return monitor
    patience = patience_of(monitor["patience"])
    return {**monitor, "patience": patience.amount} | ({} if patience.tick is None else {"unit": patience.unit})


def _like(default: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(default):
        if isinstance(value, type(default)):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: found {value!r}, expected a table of settings")
        return from_mapping(type(default), value, where)
    value = value.tolist() if hasattr(value, "tolist") else value  # a scalar or an array of NumPy's
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or (default and not value):
            more = "" if not default else f" of one or more {'lists' if isinstance(default[0], tuple) else 'numbers'}"
            raise ConfigError(f"{where}: found {value!r}, expected a list{more}")
        if not default:  # of texts or of numbers: what takes it says which
            return tuple(v if isinstance(v, str) else _like(0.0, v, where) for v in value)
        return tuple(_like(default[0], v, where) for v in value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: found {value!r}, expected true or false")
        return value
    if isinstance(default, float):
        if value == "inf":
            return math.inf
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{where}: found {value!r}, expected a number")
        return float(value)
    if isinstance(value, bool) or not isinstance(value, type(default)):
        raise ConfigError(f"{where}: found {value!r}, expected {type(default).__name__}")
    return value


def _settle_types(config: Any) -> None:
    """Each setting as a file would have it: a ConfigError where one is not of the type of its default."""
    for f in dataclasses.fields(config):
        default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        object.__setattr__(config, f.name, _like(default, getattr(config, f.name), f.name))
