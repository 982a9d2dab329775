"""Decisions on the command line: a decider for a model, and one probability decided with its reasons."""

from typing import Any

from onlogit.decisions.costs import DecisionConfig
from onlogit.decisions.decider import Decider, Reason
from onlogit.errors import ConfigError
from onlogit.model import OnlineLogit


def time_of(model: OnlineLogit) -> str | None:
    """The name of the model's time column."""
    column = model.schema.with_role("time")
    return column.name if column else None


def decider_of(config: DecisionConfig | None, model: OnlineLogit) -> Decider | None:
    """A decider for what this model states; a ConfigError where the model does not state what it takes."""
    if config is None:
        return None
    decider = Decider(config)
    if decider.needs_time and time_of(model) is None:
        raise ConfigError("a capacity for each stretch of time needs a time column, and the model names none: give the "
                          "capacity for a number of events, as in --capacity 100/10000")  # fmt: skip
    if config.abstain < float("inf") and model.config.learner != "belief":
        raise ConfigError(f"the learner {model.config.learner!r} states no z_sd to abstain by: leave --abstain out")
    return decider


def reason_text(reason: Reason) -> str:
    """For a person."""
    widest = max(len(name) for name in reason.expected_costs or {reason.action: 0.0})
    lines = [f"p = {reason.p:.4g}" + ("" if reason.z_sd is None else f", z_sd {reason.z_sd:.3g}")]
    for name, cost in reason.expected_costs.items():
        lines.append(f"  {name:<{widest}}  {cost:>10.4g}" + ("   <- cheapest" if name == reason.cheapest else ""))
    return "\n".join([*lines, f"{reason.action}: {reason.why}"])


def rule_text(steps: list[dict[str, Any]]) -> str:
    """Thresholds and what is done between them."""
    lines = [f"p above {step['above']:.4g}: {step['action']}" for step in steps if step["above"] is not None]
    rest = f"otherwise: {steps[0]['action']}"
    never = [f"never: {step['action']}" for step in steps if step.get("never")]
    return "\n".join([*reversed(lines), rest, *never])
