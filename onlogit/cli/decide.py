"""`onlogit decide`: what to do at a probability, by costs or tiers, and why."""

from typing import Any

import click

from onlogit.cli import options


@click.command()
@options.decision_options
@click.option("--p", "probabilities", type=float, multiple=True, metavar="P", help="Decide at P. Several times.")
@click.option("--z-sd", type=float, metavar="SD", help="The sd of the log-odds there.")
@options.json_option
def decide(probabilities: tuple[float, ...], z_sd: float | None, as_json: bool, **told: Any) -> None:
    """Show the thresholds that costs amount to and, at each --p, what every action costs and which one is chosen.

    With free correct decisions the threshold is cost_fp / (cost_fp + cost_fn). Nothing here is part of a model.
    """
    from onlogit.cli.deciding import reason_text, rule_text
    from onlogit.cli.printing import say
    from onlogit.decisions.decider import reason, steps_of
    from onlogit.json_lines import to_line

    config = options.decisions_of(told)
    if config is None:
        raise click.UsageError("say what mistakes cost: --cost-fp 50 --cost-fn 10, or --cost, --tier or --decisions")
    reasons = [reason(config, p, z_sd) for p in probabilities]
    steps = steps_of(config)
    if as_json:
        say(to_line({"steps": steps, "decisions": [each._asdict() for each in reasons]}))
        return
    say(rule_text(steps))
    for each in reasons:
        say(reason_text(each))
