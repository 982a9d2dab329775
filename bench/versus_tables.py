"""The page that bench/versus.py writes: tables in Markdown, with what each figure means and what it leaves out."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import onlogit
from bench.peers.protocol import F64, STEADY, Feed, Limits, Peer
from bench.peers.scikit_learn import WARM_ROWS

VW_BEST = "vw best"
BUSY = 1.5
CORE = ("onlogit sgd", "onlogit adagrad", "onlogit ftrl", "onlogit belief")
WHOLE = ("rate", "last", "vw default", VW_BEST, "sgdclassifier", "sgdclassifier .01", *CORE)
TIMED = ("vw default", VW_BEST, "sgdclassifier", *CORE)
PREFIX = ("rate", "last", "river", "forest", VW_BEST, *CORE)
REFIT = ("rate", "last", "boosting", VW_BEST, *CORE)
INTRODUCTION = """# onlogit and its peers

Written by `python -m bench.versus`; do not edit by hand. {machine} {versions} {load}

Log loss is progressive, in nats: each event is scored before its label is learned, and every stated probability is judged
by the same code (nobody's is read as closer to 0 or 1 than 1e-6). All read the same columns, labels come to all at the
same places, and nothing is tuned for a stream, except that Vowpal Wabbit (VW) is shown at its default **and at the best of
nine settings, chosen in hindsight** for each stream: the default, `-l` .05, .1, 2 and 5, `--power_t` 0 and .25, `--coin`,
`--ftrl`. onlogit runs at its defaults: *belief* is the default learner. The best of each row is bold.

*Running rate* is the share of positives so far. *Last label* is the share of positives after a last known label like the
present one, and in brackets how often "same as the last label" is right: where that is high, the stream's labels are
autocorrelated, and a low loss owes much to that.
"""


class Result(NamedTuple):
    """What came of one stream."""

    feed: Feed
    peers: dict[str, Peer]
    losses: dict[str, tuple[int, F64]]  # by competitor: first event, loss of it and those that follow
    answers: dict[str, dict[str, Any]]  # by competitor: best times, peak memory, note
    skipped: dict[str, str]

    def loss(self, name: str, first: int = 0, last: int | None = None) -> float:
        """Mean log loss over the events first .. last (the end of what it stated: None)."""
        start, loss = self.losses[name]
        return float(loss[max(first - start, 0) : None if last is None else last - start].mean())

    def best_vw(self, first: int = 0, last: int | None = None) -> str | None:
        """Vowpal Wabbit's setting with the lowest loss over those events."""
        names = [name for name in self.losses if self.peers[name].family == "vw"]
        return min(names, key=lambda name: self.loss(name, first, last)) if names else None

    def rows_of(self, name: str) -> tuple[int, int]:
        """The first event that a competitor stated, and the one after the last."""
        first, loss = self.losses[name]
        return first, first + len(loss)


def page(results: list[Result], limits: Limits) -> str:
    """The whole page."""
    at_once = [r for r in results if r.feed.at_once]
    introduction = INTRODUCTION.format(machine=_machine(), versions=_versions(), load=_load(at_once))
    counts = {max(answer["rounds"] for answer in r.answers.values()) for r in at_once if r.answers} or {0}
    rounds = " to ".join(str(each) for each in sorted({min(counts), max(counts)}))
    parts = [
        introduction,
        "## Log loss\n",
        _losses(results, WHOLE),
        "## Speed\n",
        f"Thousand events a second, learned / scored only; the best of {rounds}, start-up and compiling apart, after a "
        f"throw-away model took the first {STEADY:,} events in the same process (scikit-learn's {WARM_ROWS:,}, River's "
        "none), and left its memory behind: new pages cost virtual machines so much that a first pass over a million events "
        "may take twice as long. onlogit and scikit-learn start from Arrow batches in a file, and their time includes "
        "encoding; onlogit's also its quality figures and its calibration monitor, on both cores (a batch is hashed, "
        "encoded, learned and judged part by part, by two threads, and read from the file in another; the default "
        "learner's mixture has one more). VW starts from its own binary cache, where names are hashed already, on two "
        "threads (one parses, one learns). scikit-learn takes mini-batches of 256. River's is in the table of prefixes.\n",
        _table(at_once, TIMED, _speed, lambda r, name: -_per_second(r, name)),
        "## Memory\n",
        "Peak of the process in MB (in brackets: when its libraries were loaded and warm, before the first event).\n",
        _table(at_once, TIMED, _memory, lambda r, name: round(r.answers[name]["peak_mb"])),
        "## Start-up\n",
        _start_up(at_once),
        "## River, on a prefix\n",
        f"River takes events one by one in Python, so it gets the first {limits.prefix:,}; the others are judged on the "
        "same events (VW's best setting is the best there); a stream whose labels are all the same until then is left "
        "out. River's columns show thousand events a second in brackets. "
        "Logistic regression with a standard scaler and one-hot categories; adaptive random forest of ten trees.\n",
        _on_rows_of("river", results, PREFIX),
        "## Gradient boosting, refitted along the stream\n",
        f"What one would do without an online learner: scikit-learn's HistGradientBoosting fitted anew {limits.refits} "
        f"times at even distances on all events whose labels are known by then, the latest {limits.refit_rows:,} at "
        "most. Judged from the "
        "first fit on, all on the same events. Its column shows the seconds of all fits (on all cores) in brackets.\n",
        _on_rows_of("boosting", results, REFIT),
        *_skipped(results),
        "## To repeat it\n",
        '    pip install -e ".[bench]"\n    python -m bench.versus\n',
        "The real streams are read from a folder beside the checkout (see `bench/streams.py`); those that are absent are "
        "left out. `--streams`, `--peers`, `--rows` and `--rounds` make it shorter, `--work FOLDER` goes on from where a "
        "run stopped. A competitor is one function in `bench/peers/`.",
    ]
    return "\n".join(parts) + "\n"


def _table(results: list[Result], names: tuple[str, ...], cell: Any, cost: Any) -> str:
    """One row a stream, one column a competitor that answered anywhere; the lowest cost is bold."""
    shown = [n for n in names if any(_there(r, n) for r in results)]
    if not shown:
        return "Nobody ran.\n"
    lines = ["| stream | events | delay | " + " | ".join(_title(results[0], n) for n in shown) + " |"]
    lines.append("|---|---|---|" + "---|" * len(shown))
    for r in results:
        costs = {n: cost(r, _settled(r, n)) for n in shown if _there(r, n)}
        cells = [_bold(cell(r, _settled(r, n)), costs[n] == min(costs.values())) if n in costs else "–" for n in shown]
        if VW_BEST in costs:
            cells[shown.index(VW_BEST)] += f" ({_settled(r, VW_BEST)[3:]})"
        lines.append(f"| {r.feed.name} | {r.feed.rows:,} | {r.feed.delay} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _losses(results: list[Result], names: tuple[str, ...]) -> str:
    return _table(results, names, lambda r, n: _digits(r.loss(n)) + _right(r, n), _shown)


def _on_rows_of(name: str, results: list[Result], names: tuple[str, ...]) -> str:
    """The table of losses, each cut to the events that `name` stated."""
    cut = []
    for r in (r for r in results if name in r.losses):
        first, last = r.rows_of(name)
        if np.ptp(r.feed.y()[first:last]) == 0:
            continue  # one label only: nothing to tell apart
        whole = {
            n: (start, loss) for n, (start, loss) in r.losses.items() if start <= first and r.rows_of(n)[1] >= last
        }
        parts = {n: (first, loss[first - start : last - start]) for n, (start, loss) in whole.items()}
        cut.append(r._replace(feed=r.feed._replace(rows=last - first), losses=parts))
    beside = {"river": _thousands, "forest": _thousands, "boosting": lambda r, n: f"{r.answers[n]['seconds']:,.0f} s"}

    def cell(r: Result, n: str) -> str:
        return _digits(r.loss(n)) + (f" ({beside[n](r, n)})" if n in beside else "")

    return _table(cut, names, cell, _shown)


def _start_up(results: list[Result]) -> str:
    """Seconds from the start of a process to the first event, over streams."""
    spans = []
    for name in ("vw default", "sgdclassifier", "river", *CORE):
        seconds = [r.answers[name]["start_up"] for r in results if name in r.answers]
        if seconds:
            spans.append(f"{_title(results[0], name)} {min(seconds):.1f} to {max(seconds):.1f}")
    return (
        "Seconds from the start of a process to its first event: Python and libraries imported, compiled code loaded or "
        "compiled, warmed up; over the streams: " + "; ".join(spans) + ".\n"
    )


def _skipped(results: list[Result]) -> list[str]:
    reasons = sorted({f"{r.peers[n].title}: {why}" for r in results for n, why in r.skipped.items()})
    return ["## Left out\n", *(f"- {reason}" for reason in reasons), ""] if reasons else []


def _settled(r: Result, name: str) -> str:
    return (r.best_vw() or name) if name == VW_BEST else name


def _there(r: Result, name: str) -> bool:
    return _settled(r, name) in r.losses


def _title(r: Result, name: str) -> str:
    return "VW best of nine" if name == VW_BEST else r.peers[name].title


def _bold(text: str, best: bool) -> str:
    number, space, rest = text.partition(" (")
    return f"**{number}**{space}{rest}" if best else text


def _digits(loss: float) -> str:
    return f"{loss:.4f}" if loss >= 0.01 else f"{loss:.5f}"


def _shown(r: Result, name: str) -> float:
    return float(_digits(r.loss(name)))  # equal to the last digit is equal


def _right(r: Result, name: str) -> str:
    return f" ({100 * float(r.answers[name]['note']):.0f} %)" if name == "last" else ""


def _per_second(r: Result, name: str) -> float:
    return float(r.answers[name]["events"] / r.answers[name]["seconds"])


def _thousands(r: Result, name: str, what: str = "seconds") -> str:
    rate = r.answers[name]["events"] / r.answers[name][what] / 1e3
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _speed(r: Result, name: str) -> str:
    return f"{_thousands(r, name)} / {_thousands(r, name, 'score_seconds')}"


def _memory(r: Result, name: str) -> str:
    return f"{r.answers[name]['peak_mb']:,.0f} ({r.answers[name]['start_mb']:,.0f})"


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"On {names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}:"
    )


def _load(results: list[Result]) -> str:
    """How busy the machine was when the best times were taken; the comparison itself is a load of 1."""
    loads = [a["load"] for r in results for n, a in r.answers.items() if r.peers[n].timed and a.get("load") is not None]
    if not loads:
        return ""
    middle = float(np.median(loads))
    once = [
        a["load"] for r in results for n, a in r.answers.items() if not r.peers[n].timed and a.get("load") is not None
    ]
    slow = f", those that are timed once at up to {max(once):.1f}" if once and max(once) > BUSY else ""
    busy = " Other work ran at the same time: take speeds and start-up for a rough guide." if middle > BUSY else ""
    return f"Median load of the machine when the times shown were taken: {middle:.1f} (1 is this comparison itself){slow}.{busy}"


def _versions() -> str:
    found = [f"onlogit {onlogit.__version__}"]
    for name in ("vowpalwabbit", "scikit-learn", "river", "numba", "numpy", "pyarrow"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) + "."
