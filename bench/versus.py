"""onlogit beside Vowpal Wabbit, River and scikit-learn: the same streams, the same run, one page of tables.

    pip install -e ".[bench]"
    python -m bench.versus                                      # all of it: an hour or more
    python -m bench.versus --streams elec2 flights --rounds 1
    python -m bench.versus --quick --out /tmp/versus.md         # seconds, figures without meaning

Each competitor runs in a process of its own, one at a time. A round is all of them, one after the other, and rounds
follow each other, so that a machine whose speed drifts drifts for all; the best round of each counts. What they state does
not depend on the round. What they are is in bench/peers/, one function each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.peers.feeds import NAMES
from bench.peers.protocol import Feed, Limits, Peer, log_loss
from bench.peers.registry import PEERS, VW_CACHE
from bench.versus_tables import Result, page

ROOT = Path(__file__).parents[1]
FAMILIES = ("onlogit", "vw", "sklearn", "river")
MOST_ROUNDS = 99
THREADS = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}  # threads that spin made scikit-learn ten times slower
QUICK = {"rows": 600, "rounds": 1, "prefix": 200, "refit_rows": 600, "refits": 2, "streams": ["dense", "categorical"]}


class Told(NamedTuple):
    """The command line."""

    streams: list[str]
    rows: int | None
    rounds: int
    peers: list[str]
    prefix: int
    refit_rows: int
    refits: int
    work: Path
    out: Path

    @property
    def chosen(self) -> list[Peer]:
        return [peer for peer in PEERS.values() if peer.family in (*self.peers, "plain")]

    def limits(self, round_: int) -> Limits:
        return Limits(self.prefix, self.refit_rows, self.refits, again=round_ > 0)


def main() -> None:
    """Make the feeds, run the rounds, write the page."""
    with tempfile.TemporaryDirectory() as temporary:
        told = read_told(Path(temporary))
        results = [result for name in told.streams if (result := compete(told, name))]
        text = page(results, told.limits(0))
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(text)
        print(f"wrote {told.out}")


def read_told(temporary: Path) -> Told:
    """The command line, settled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", nargs="+", choices=NAMES, help="which streams (default: all)")
    parser.add_argument("--rows", type=int, help="at most so many events of each stream (default: all)")
    parser.add_argument(
        "--rounds", type=int, help="how often each is timed (default: 3); 0: run nothing, draw what --work holds"
    )
    parser.add_argument("--peers", nargs="+", choices=FAMILIES, default=FAMILIES, help="which families (default: all)")
    parser.add_argument("--prefix", type=int, help="events for River (default: 10,000)")
    parser.add_argument(
        "--refit-rows", type=int, help="most events, the latest, to refit boosting on (default: 150,000)"
    )
    parser.add_argument("--refits", type=int, help="how often it is refitted (default: 40)")
    parser.add_argument("--quick", action="store_true", help="small and fast, to see that it runs")
    parser.add_argument("--work", type=Path, help="keep feeds and answers here, and go on from those found here")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "versus.md")
    told = vars(parser.parse_args())
    usual = Limits()._asdict() | {"rounds": 3, "streams": list(NAMES)}
    for name, value in (QUICK if told.pop("quick") else usual).items():
        told[name] = value if told.get(name) is None else told[name]
    told.pop("again", None)
    return Told(**told | {"work": told["work"] or temporary})


def compete(told: Told, name: str) -> Result | None:
    """All rounds on one stream."""
    folder = told.work / name
    if told.rounds == 0 and not (folder / "feed.json").exists():
        return None
    made = child(folder, "make", told.work / f"{name}.json", {"rows": told.rows})
    if "skipped" in made:
        print(f"{name}: skipped, {made['skipped']}", file=sys.stderr)
        return None
    result = Result(Feed.read(folder), PEERS, {}, {}, {})
    if "vw" in told.peers and told.rounds:
        child(folder, VW_CACHE.name, folder / "vw cache.json", told.limits(0)._asdict())
    for round_ in range(told.rounds or MOST_ROUNDS):
        for peer in told.chosen if round_ == 0 else again(told, result):
            out = folder / f"{peer.name}.{round_}.json"
            if told.rounds == 0 and not out.exists():
                continue
            answer = child(folder, peer.name, out, told.limits(round_)._asdict())
            add(result, peer, answer, out.with_suffix(".npy"))
    return result


def again(told: Told, result: Result) -> list[Peer]:
    """Who is timed once more: of Vowpal Wabbit's settings the default and the best."""
    timed = [peer for peer in told.chosen if peer.timed and peer.name in result.answers and result.feed.at_once]
    return [peer for peer in timed if peer.family != "vw" or peer.name in ("vw default", result.best_vw())]


def add(result: Result, peer: Peer, answer: dict[str, Any], stated: Path) -> None:
    """Keep what one run gave: the loss of each event, and the best times so far."""
    if "skipped" in answer:
        result.skipped[peer.name] = answer["skipped"]
        return
    if stated.exists():
        first, p = answer["first"], np.load(stated)
        result.losses[peer.name] = (first, log_loss(result.feed.y()[first : first + len(p)], p))
        print(f"{result.feed.name}, {peer.title}: {result.loss(peer.name):.4f}", file=sys.stderr)
    known = result.answers.setdefault(peer.name, answer)
    known["rounds"] = known.get("rounds", 0) + 1
    if answer["seconds"] is not None and answer["seconds"] < known["seconds"]:
        known["load"] = answer["load"]
    for what in ("seconds", "score_seconds", "start_up", "peak_mb"):
        if answer[what] is not None:
            known[what] = min(known[what], answer[what])


def child(folder: Path, name: str, out: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Run one competitor in a process of its own, unless its answer is there already."""
    if not out.exists():
        command = [sys.executable, "-m", "bench.peers", str(folder), name, str(out), json.dumps(told)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "STARTED": repr(time.time())} | THREADS
        if (code := subprocess.run(command, cwd=ROOT, env=environment, check=name == "make").returncode) != 0:
            return {"skipped": f"failed with exit code {code}"}  # said on the page; the others go on
    found: dict[str, Any] = json.loads(out.read_text())
    return found


if __name__ == "__main__":
    main()
