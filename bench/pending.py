"""The daemon with a million events that wait for their label: restart, checkpoints, and scores meanwhile.

`python -m bench.pending`
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from daemon_process import ARROW, Running

from bench.load import resident, send, show, stream

BODY = 8192


def batch(draw: np.random.Generator, start: int, count: int) -> pa.RecordBatch:
    """Events of 20 numbers, with keys from `start` on."""
    numbers = {f"x{k}": draw.normal(size=count) for k in range(20)}
    return pa.record_batch({"key": np.arange(start, start + count), **numbers})


def at_work(daemon: Running, pending: int, ended: threading.Event) -> None:
    """A few thousand events a second, and half as many outcomes of any that wait."""
    draw = np.random.default_rng(2)
    with httpx.Client(base_url=daemon.url, timeout=30.0, headers={"content-type": ARROW}) as client:
        for start in range(pending, 10 * pending, 200):
            told = {"key": draw.choice(pending, 100, replace=False), "y": draw.integers(0, 2, 100)}
            client.post("/v1/events", content=stream(batch(draw, start, 200))).raise_for_status()
            client.post("/v1/outcomes", content=stream(pa.record_batch(told))).raise_for_status()
            if ended.wait(0.05):
                return


def scoring(daemon: Running, seen: list[tuple[float, float]], ended: threading.Event) -> None:
    """A score every 2 ms, one after the other: when each was asked, and the seconds that it took."""
    row = {f"x{k}": 0.5 for k in range(20)}
    with httpx.Client(base_url=daemon.url, timeout=30.0) as client:
        while not ended.wait(0.002):
            begin = time.perf_counter()
            client.post("/v1/score", json=row).raise_for_status()
            seen.append((begin, time.perf_counter() - begin))


def figures(seen: list[tuple[float, float]], start: float, end: float) -> dict[str, Any]:
    """Milliseconds that scores asked between two moments took."""
    took = 1e3 * np.array([seconds for begin, seconds in seen if start <= begin < end])
    return {"p50_ms": round(float(np.median(took)), 2), "p99_ms": round(float(np.quantile(took, 0.99)), 2),
            "highest_ms": round(float(took.max()), 1)}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pending", type=int, default=1_000_000)
    parser.add_argument("--learner", default="belief")
    told = parser.parse_args()
    args = ("--label", "y", "--key", "key", "--learner", told.learner, "--checkpoint-seconds", "1000",
            "--remember", str(2 * told.pending))  # fmt: skip
    draw = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        daemon = Running(Path(folder), *args)
        try:
            show("start, empty", {"seconds": daemon.figures["startup_seconds"]})
            fill(daemon, draw, told.pending)
            with beside(daemon, told.pending) as seen:
                checkpoints(daemon, seen)
            daemon.post("/v1/commands/checkpoint", b"")
        finally:
            daemon.end(signal.SIGKILL)
        sizes = {path.name: path.stat().st_size for path in daemon.state.iterdir()}
        show("files", {name: size for name, size in sizes.items() if size > 1e6})
        for _ in range(5):
            daemon = Running(Path(folder), *args)
            try:
                show("restart", {"seconds": daemon.figures["startup_seconds"]})
                assert daemon.json("/v1/status")["pending"] > 0.5 * told.pending, json.dumps(daemon.figures)
            finally:
                daemon.end(signal.SIGKILL)


def fill(daemon: Running, draw: np.random.Generator, pending: int) -> None:
    """Send so many events, and say what memory each takes."""
    before = resident(daemon)
    for start in range(0, pending, BODY):
        send(daemon, "/v1/events", stream(batch(draw, start, min(BODY, pending - start))))
    show("pending", {"bytes_each": round((resident(daemon) - before) * 1e6 / pending)})


@contextmanager
def beside(daemon: Running, pending: int) -> Iterator[list[tuple[float, float]]]:
    """Scores and learning go on inside a `with`; how long each score took."""
    ended, seen = threading.Event(), list[tuple[float, float]]()
    threads = [
        threading.Thread(target=scoring, args=(daemon, seen, ended)),
        threading.Thread(target=at_work, args=(daemon, pending, ended)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def checkpoints(daemon: Running, seen: list[tuple[float, float]]) -> None:
    """Time four checkpoints, and the scores before and during them."""
    time.sleep(3.0)
    begin = time.perf_counter()
    for number in range(4):
        asked = time.perf_counter()
        daemon.post("/v1/commands/checkpoint", b"")
        took = time.perf_counter() - asked
        show(f"checkpoint {number + 1}", {"seconds": round(took, 2)} | figures(seen, asked - 0.05, asked + took))
        time.sleep(1.0)
    show("scores before checkpoints", figures(seen, 0.0, begin - 0.05))


if __name__ == "__main__":
    main()
