"""`onlogit merge`: the models of several workers as one."""

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
    natural parameters, weights of the SGD family are averaged. Evidence for alarms restarts at zero. Deal rows to workers
    in turn rather than by time, and let the base learn some thousand rows first. One MODEL may be - for stdin.
    """
    from onlogit.cli.files import load_model, save_model
    from onlogit.cli.printing import say
    from onlogit.json_lines import to_line
    from onlogit.model import OnlineLogit

    given = [name for name in (*models, base) if name is not None]
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise click.UsageError(f"{twice} is given twice, and what it learned would count twice")
    start = load_model(base) if base is not None else None
    merged = OnlineLogit.merge({name: load_model(name) for name in models}, start, expire=expire)
    save_model(merged, out)
    counts = merged.counts
    figures = {"models": len(models), "events": counts.events, "learned": counts.learned, "expired": counts.expired}
    if out == "-":
        return
    text = f"{len(models)} models merged: {counts.events:,} events, {counts.learned:,} learned"
    say(to_line(figures) if as_json else text)
