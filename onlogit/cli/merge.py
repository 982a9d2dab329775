"""`onlogit merge`: the models of several workers as one."""

from itertools import combinations

import click

from onlogit.cli import options


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--base", metavar="MODEL", help="The model that all workers started from; without it, from nothing.")
@click.option("--out", metavar="MODEL", required=True, help="Model file to write; - is stdout, and nothing else then.")
@click.option("--expire", is_flag=True, help="Give up events that still wait for a label; otherwise they are an error.")
@options.json_option
def merge(models: tuple[str, ...], base: str | None, out: str, expire: bool, as_json: bool) -> None:
    """Add up what several workers learned from parts of one stream, as if one had learned all of it.

    Each MODEL has started from the same base and learned its own part. Tallies and counts add exactly; beliefs add in
    natural parameters, weights of the SGD family are averaged. Deal rows to workers in turn rather than by time, and let
    the base learn some thousand rows first. One MODEL may be - for stdin.

    Evidence for alarms restarts at zero; slices, counts of decisions, the quality of late, references of features and the
    map that an alarm may promote begin anew. A model on which an alarm has acted has to be reverted first.
    """
    from onlogit.cli.files import load_model, same_file, save_model
    from onlogit.cli.printing import say
    from onlogit.json_lines import to_line
    from onlogit.model import OnlineLogit

    given = [name for name in (*models, base) if name is not None]
    for one, other in combinations(given, 2):
        if one == other or same_file(one, other):
            found = f"{one} is given twice" if one == other else f"{one} and {other} are one file"
            raise click.UsageError(f"{found}, and what it learned would count twice")
    start = load_model(base) if base is not None else None
    parts = {name: load_model(name) for name in models}
    merged = OnlineLogit.merge(parts, start, expire=expire, base_name=f"the base {base}" if base else "the base")
    save_model(merged, out)
    counts = merged.counts
    figures = {"models": len(models), "events": counts.events, "learned": counts.learned, "expired": counts.expired}
    if out == "-":
        return
    text = f"{len(models)} models merged: {counts.events:,} events, {counts.learned:,} learned"
    say(to_line(figures) if as_json else text)
