"""The daemon at work for a while, and whether its memory grows: `python -m bench.soak 600`."""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from daemon_process import Running

from bench.load import resident, send, show, stream
from bench.workloads import dense


def main() -> None:
    """Work and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=600.0)
    parser.add_argument("--learner", default="belief")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Running(Path(folder), "--label", "y", "--key", "key", "--learner", told.learner)
        try:
            soak(daemon, told.seconds)
        finally:
            daemon.end()


def soak(daemon: Running, seconds: float, every: float = 0.05, rows: int = 250) -> None:
    """Events, their outcomes a hundred bodies later, and single scores, with memory looked at each second."""
    table = dense(50_000, 20).table
    features = table.drop_columns(["y"])
    single = [json.dumps(row).encode() for row in features.slice(0, 100).to_pylist()]
    seen: list[tuple[float, float]] = []
    begin = time.perf_counter()
    for turn in itertools.count():
        now = time.perf_counter() - begin
        if now > seconds:
            break
        for number, path in ((turn, "/v1/events"), (turn - 100, "/v1/outcomes")):
            key = pa.array(np.arange(number * rows, (number + 1) * rows))
            part = table.slice(number * rows % len(table), rows).append_column("key", key)
            part = part.drop_columns(["y"]) if path == "/v1/events" else part.select(["key", "y"])
            if number >= 0:
                send(daemon, path, stream(part.combine_chunks().to_batches()[0]))
        for body in single[turn % 50 : turn % 50 + 5]:
            if daemon.post("/v1/score", body).status_code != 200:
                raise RuntimeError("a score was refused")
        if now >= len(seen):
            seen.append((now, resident(daemon)))
        time.sleep(max(begin + (turn + 1) * every - time.perf_counter(), 0.0))
    show("soak", slope(np.array(seen)) | {"events": turn * rows, "pending": daemon.json("/v1/status")["pending"]})


def slope(seen: np.ndarray[Any, Any]) -> dict[str, float]:
    """Growth of memory over the last two thirds: megabytes that a straight line rises by, and the scatter about it."""
    late = seen[len(seen) // 3 :]
    line = np.polyfit(late[:, 0], late[:, 1], 1)
    scatter = float(np.std(late[:, 1] - np.polyval(line, late[:, 0])))
    rise = float(line[0]) * float(late[-1, 0] - late[0, 0])
    marks = {"first": seen[0, 1], "third": late[0, 1], "last": late[-1, 1], "highest": seen[:, 1].max()}
    return {
        "seconds": round(float(seen[-1, 0])), "rise_mb": round(rise, 2), "scatter_mb": round(scatter, 2),
        **{f"{name}_mb": round(float(value), 1) for name, value in marks.items()},
    }  # fmt: skip


if __name__ == "__main__":
    main()
