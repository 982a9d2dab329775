"""One competitor on one feed in a process of its own: `python -m bench.peers FEED_FOLDER PEER ANSWER.json LIMITS`.

Writes the times and the peak memory as JSON, and what was stated beside it as .npy. With `make` for a peer, makes the
feed itself.
"""

import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.feeds import make
from bench.peers.protocol import Feed, Limits, Peer, Skipped, peak_mb
from bench.peers.registry import PEERS, VW_CACHE

STARTED = float(os.environ.get("STARTED", "nan"))  # of this process, by the clock of who started it
LOAD = os.getloadavg()[0]


def compete(peer: Peer, feed: Feed, limits: Limits, out: Path) -> dict[str, Any]:
    """Run it, save what it stated, and say what it took."""
    if find_spec(peer.needs) is None:
        raise Skipped(f"{peer.needs} is not installed")
    started: dict[str, float] = {}

    def warm() -> None:
        started.update(seconds=time.time() - STARTED, mb=peak_mb())

    answer = peer.run(feed, limits, warm)
    if answer.p is not None:
        if not np.isfinite(answer.p).all():
            raise ValueError(f"{peer.name} stated something else than a probability")
        np.save(out.with_suffix(".npy"), answer.p)
    return answer._asdict() | {
        "p": None, "start_up": started.get("seconds"), "start_mb": started.get("mb"),
        "peak_mb": answer.peak_mb or peak_mb(), "load": LOAD,
    }  # fmt: skip


def main() -> None:
    folder, name, out, told = sys.argv[1:]
    try:
        if name == "make":
            rows = json.loads(told)["rows"]
            Path(folder).mkdir(parents=True, exist_ok=True)
            found: dict[str, Any] = make(Path(folder).name, Path(folder), rows)._asdict() | {"folder": folder}
        else:
            peer = VW_CACHE if name == VW_CACHE.name else PEERS[name]
            found = compete(peer, Feed.read(Path(folder)), Limits(**json.loads(told)), Path(out))
    except Skipped as reason:
        found = {"skipped": str(reason)}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
