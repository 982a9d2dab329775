"""Options that several commands share, each declared once, and the settings that they amount to.

Defaults are those of `config.py`. Settings may also come from the environment, as ONLOGIT_LEARNER, ONLOGIT_PATIENCE
and so on; a flag wins.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from onlogit.config import (
    ACTS,
    FORMATS,
    HELP,
    ROLES,
    SGD_RATES,
    Config,
    LabelConfig,
    LabelNoise,
    MonitorConfig,
    SgdConfig,
    read,
)
from onlogit.decisions.costs import DecisionConfig, overlaid, read_decisions
from onlogit.errors import ConfigError
from onlogit.patience import patience_of

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

CONFIG = "onlogit.config"  # where a command keeps the path of its configuration file
LEARNERS = ("belief", *SGD_RATES)
SGD = ("rate", "schedule", "l1", "l2", "batch", "averaged")
MONITOR = ("patience", "tolerance", "warm_up", "watch_change", "watch_features", "by", "slices", "on_alarm")
LABELS = ("remember", "horizon", "unresolved", "keep_negatives")
NOISE = ("noise_fp", "noise_fn")
COSTS = ("cost_fp", "cost_fn", "cost", "tier", "decisions")
SETTINGS = (
    "learner",
    "slot_bits",
    "names",
    "label_delay",
    *LABELS,
    *NOISE,
    *MONITOR,
    *SGD,
)


def _fill(context: click.Context, parameter: click.Parameter, path: str | None) -> Config | None:
    """Make what a configuration file says the defaults of the options; the settings that it amounts to."""
    if path is None:
        return None
    roles, config = read(path)
    context.meta[CONFIG] = path
    if isinstance(roles.get("positive"), bool):
        roles["positive"] = str(roles["positive"]).lower()
    labels = {("label_delay" if name == "delay" else name): value for name, value in vars(config.labels).items()}
    rate = {"learner": config.learner, "slot_bits": config.slot_bits, "names": config.names}
    noise = {"noise_fp": config.label_noise.fp, "noise_fn": config.label_noise.fn}
    context.default_map = roles | rate | labels | noise | _monitor_options(config.monitor) | vars(config.sgd)
    return config


def _monitor_options(config: MonitorConfig) -> dict[str, Any]:
    """The settings of the monitor as options have them."""
    unit = "" if config.unit == "events" else config.unit[0]
    return {
        "patience": f"{config.patience!r}{unit}",
        "tolerance": config.tolerance,
        "warm_up": config.warm_up,
        "watch_change": config.change,
        "watch_features": config.features,
        "by": config.by,
        "slices": config.slices,
        "on_alarm": config.on_alarm,
    }


def together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Several options as one decorator, listed by `--help` in this order."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def setting(flag: str, default: object, text: str, **more: Any) -> Decorator[Any]:
    """An option with a default of `config.py`, which the environment may set as well."""
    variable = "ONLOGIT_" + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(flag, default=default, show_default=True, envvar=variable, help=text, **more)


source_options = together(
    click.argument("source"),
    click.option("--format", type=click.Choice(FORMATS), help="Format of SOURCE; otherwise told by its content."),
    click.option(
        "--batch-rows", type=click.IntRange(1, 1 << 24), default=65_536, show_default=True, metavar="N",
        help="Rows read at a time. Results do not depend on it.",
    ),
)  # fmt: skip


def event_options(*, label_required: bool) -> Decorator[Any]:
    """What the columns mean."""
    return together(
        click.option(
            "--config", metavar="FILE", callback=_fill, is_eager=True,
            help="What these options say, as TOML: label = \"late\", features = [...], [labels] horizon = \"30d\". Flags win.",
        ),
        click.option("--label", metavar="COLUMN", required=label_required, help="Column with the outcome."),
        click.option("--positive", metavar="VALUE", help="The value of the label that counts as 1."),
        click.option(
            "--drop", metavar="COLUMN", multiple=True,
            help="Column that is no feature; may be given several times, or as a list with commas.",
        ),
        click.option("--weight", metavar="COLUMN", help="Column with the weight of a record."),
        click.option("--key", metavar="COLUMN", help="Column with the unique key of a record; not a feature."),
        click.option("--time", metavar="COLUMN", help="Column with the time of an event; a feature too, unless dropped."),
        click.option("--label-time", metavar="COLUMN", help="Column with the time at which the label became known."),
        click.option(
            "--due", metavar="COLUMN", help="Column with the time by which the label is sure to be known; learned then."
        ),
        click.option(
            "--feature", "features", metavar="TERM", multiple=True,
            help="Derived feature, such as \"origin*hour(at)\" or \"poly('*', 2)\", the square of every number; may be given "
            "several times.",
        ),
    )  # fmt: skip


setting_options = together(
    setting("--label-delay", LabelConfig.delay, HELP["delay"], type=int, metavar="N"),
    setting("--remember", LabelConfig.remember, HELP["remember"], type=int, metavar="N"),
    setting("--horizon", LabelConfig.horizon, HELP["horizon"], metavar="DURATION"),
    setting("--unresolved", LabelConfig.unresolved, HELP["unresolved"], type=click.Choice(["drop", "negative"])),
    setting("--keep-negatives", LabelConfig.keep_negatives, HELP["keep_negatives"], type=float, metavar="SHARE"),
    setting("--noise-fp", LabelNoise.fp, HELP["fp"], type=float, metavar="SHARE"),
    setting("--noise-fn", LabelNoise.fn, HELP["fn"], type=float, metavar="SHARE"),
    setting("--learner", Config.learner, HELP["learner"], type=click.Choice(LEARNERS)),
    setting("--slot-bits", Config.slot_bits, HELP["slot_bits"], type=int, metavar="N"),
    setting("--names", Config.names, HELP["names"], type=int, metavar="N"),
    setting("--rate", SgdConfig.rate, HELP["rate"], type=float),
    setting("--schedule", SgdConfig.schedule, HELP["schedule"], metavar="NAME"),
    setting("--l1", SgdConfig.l1, HELP["l1"], type=float),
    setting("--l2", SgdConfig.l2, HELP["l2"], type=float),
    setting("--batch", SgdConfig.batch, HELP["batch"], type=int, metavar="N"),
    setting("--averaged", SgdConfig.averaged, HELP["averaged"], is_flag=True),
    setting("--patience", MonitorConfig.patience, HELP["patience"], type=str, metavar="N"),
    setting("--tolerance", MonitorConfig.tolerance, HELP["tolerance"], type=float),
    setting("--warm-up", MonitorConfig.warm_up, HELP["warm_up"], type=int, metavar="N"),
    setting(
        "--watch-change",
        MonitorConfig.change,
        f"Judge change since the first {MonitorConfig.reference:,} labels.",
        is_flag=True,
    ),
    setting("--watch-features", MonitorConfig.features, HELP["features"], is_flag=True),
    click.option(
        "--by",
        metavar="COLUMN",
        multiple=True,
        envvar="ONLOGIT_BY",
        help=HELP["by"],
    ),
    setting("--slices", MonitorConfig.slices, HELP["slices"], type=int, metavar="N"),
    setting("--on-alarm", MonitorConfig.on_alarm, HELP["on_alarm"], type=click.Choice(ACTS)),
)

cost_options = together(
    click.option("--cost-fp", type=float, metavar="COST", help="What it costs to act where the outcome is 0."),
    click.option("--cost-fn", type=float, metavar="COST", help="What it costs not to act where the outcome is 1."),
    click.option(
        "--cost", multiple=True, metavar="ACTION=C0,C1",
        help="An action, and what it costs where the outcome is 0, and 1. Several times.",
    ),
    click.option("--tier", multiple=True, metavar="ACTION=P", help="An action from this probability on. Several times."),
    click.option(
        "--decisions", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
        help="TOML with a table [decisions] that says the same.",
    ),
)  # fmt: skip

decision_options = together(
    cost_options,
    click.option("--review", type=float, metavar="WIDTH", help="So near a threshold, in p, the action is review."),
    click.option("--capacity", metavar="K/WINDOW", help="The K highest of a window alone: 100/10000 events, 100/1h."),
    click.option("--abstain", type=float, metavar="SD", help="Where z_sd is above this, the action is abstain."),
)

prefix_option = click.option(
    "--prefix", default="", metavar="TEXT", help="Put before the names of the columns p, z and z_sd."
)
fail_option = click.option("--fail-on-alarm", is_flag=True, help="Exit with 5 if an alarm was raised.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
quiet_option = click.option("--quiet", is_flag=True, help="Print no table and no remarks on stderr.")


def names(given: Iterable[str]) -> tuple[str, ...]:
    """Column names given one by one or with commas between them."""
    return tuple(name.strip() for text in given for name in text.split(",") if name.strip())


def events_of(told: dict[str, Any]) -> dict[str, Any]:
    """The arguments of OnlineLogit that say what the columns mean."""
    return {name: told[name] for name in ROLES} | {"drop": names(told["drop"])}


def config_of(told: dict[str, Any]) -> Config:
    """The settings. A UsageError for a setting of the learner that is not used; a ConfigError for one out of range."""
    odd = given(SGD)
    if odd and told["learner"] == "belief":
        raise click.UsageError(f"{flag(odd[0])} is a setting of another learner: add --learner sgd, or leave it out")
    return replace(
        told["config"] or Config(),
        learner=told["learner"],
        slot_bits=told["slot_bits"],
        names=told["names"],
        sgd=SgdConfig(**{name: told[name] for name in SGD}),
        monitor=monitor_of(told),
        labels=LabelConfig(
            told["label_delay"],
            **{name: told[name] for name in LABELS},
        ),
        label_noise=LabelNoise(told["noise_fp"], told["noise_fn"]),
    )


def monitor_of(told: dict[str, Any]) -> MonitorConfig:
    """The settings of the monitor."""
    from onlogit.decisions.decider import watched

    patience = patience_of(told["patience"])
    return replace(
        (told["config"] or Config()).monitor,
        patience=patience.amount,
        unit=patience.unit,
        tolerance=told["tolerance"],
        warm_up=told["warm_up"],
        change=told["watch_change"],
        features=told["watch_features"],
        by=names(told["by"]),
        slices=told["slices"],
        on_alarm=told["on_alarm"],
        **watched(decisions_of(told)),
    )


def decisions_of(told: dict[str, Any]) -> DecisionConfig | None:
    """What is done at a probability; None where nothing is said of it."""
    table = decisions_told(told)
    return DecisionConfig.of(table) if table else None


def decisions_told(told: dict[str, Any]) -> dict[str, Any]:
    """The same as the table [decisions] would have it. A flag wins over the file."""
    asked: dict[str, Any] = {}
    for name in ("cost_fp", "cost_fn", "review", "capacity", "abstain"):
        if told.get(name) is not None:
            asked[name] = told[name]
    priced, tiered = (_pairs(told.get(name, ()), f"--{name}") for name in ("cost", "tier"))
    costs = {name: [_float(c, "--cost") for c in rest.split(",")] for name, rest in priced}
    tiers = {name: _float(rest, "--tier") for name, rest in tiered}
    asked |= {name: table for name, table in (("costs", costs), ("tiers", tiers)) if table}
    path = told.get("decisions") or click.get_current_context().meta.get(CONFIG)  # the file of --config may say it too
    kept = read_decisions(path, required=bool(told.get("decisions"))) if path else {}
    return overlaid(kept, asked)


def costs_of(told: dict[str, Any]) -> tuple[float, float] | None:
    """What a false action and a miss cost, of two actions; None where nothing is said that amounts to that.

    ConfigError where one of the two actions is never dearer than the other: every threshold is as good.
    """
    from onlogit.decisions.decider import watched

    config = decisions_of(told)
    found = watched(config)["costs"]
    if config is not None and len(config.costs) == 2 and not found:
        raise ConfigError(
            "costs: one of the two actions is never dearer; accepted are two mistakes that cost more than 0"
        )
    return (found[0], found[1]) if found else None


def _pairs(texts: Iterable[str], option: str) -> list[tuple[str, str]]:
    found = [(name.strip(), rest) for name, sign, rest in (text.partition("=") for text in texts) if sign]
    if len(found) < len(tuple(texts)) or len(dict(found)) < len(found):
        raise click.UsageError(f"{option} takes ACTION=VALUE, each action once")
    return found


def _float(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {text!r} is no number") from error


def given(options: Iterable[str]) -> list[str]:
    """Those of these options that the user wrote on the command line."""
    context = click.get_current_context()
    return [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]


def flag(option: str) -> str:
    return "--" + option.replace("_", "-")
