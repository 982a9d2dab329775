"""Killed at any moment and started again, the daemon is one that was never killed: nothing lost, nothing learned twice.

It is killed 50 times, at named moments in turn and in between at random ones; ONLOGIT_KILLS says how often in the long run
(`pytest -m long`, 500). Most are daemons by fork (forks.py), which are up sooner; each tenth is started as a user
would. The client knows its answers alone: what was not answered it sends again, and the key tells the daemon what it has
already.
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import httpx
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from daemon_process import Running

from onlogit import Config, OnlineLogit
from onlogit.daemon.failpoints import POINTS

KILLS = int(os.environ.get("ONLOGIT_KILLS", "500"))
ARGS = (
    "--label",
    "late",
    "--key",
    "id",
    "--drop",
    "note",
    "--learner",
    "sgd",
    "--slot-bits",
    "10",
    "--checkpoint-seconds",
    "0.25",
)


def operation(number: int) -> tuple[str, list[dict[str, Any]]]:
    """The number-th request: events in turns with the outcomes of those three turns before; now and then a promote."""
    if number % 14 == 13:
        return "/v1/commands/promote", [{"model": champion(number)}]
    turn, kind = divmod(number, 2)
    if kind == 0:
        return "/v1/events", events(turn)
    if turn < 3:
        return "/v1/outcomes", []
    return "/v1/outcomes", [{"id": row["id"], "late": int(row["x"] > 0.3)} for row in events(turn - 3)]


def champion(number: int) -> str:
    """Who is the champion after the number-th request."""
    return ("initial", "quick")[(number + 1) // 14 % 2]


def events(turn: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(turn)
    return [
        {"id": f"{turn}-{n}", "x": float(draw.normal()), "town": f"t{n % 3}", "note": "-"} for n in range(1 + turn % 5)
    ]


def send(daemon: Running, number: int) -> bool:
    """One request; whether it was answered."""
    path, rows = operation(number)
    try:
        promoted = path == "/v1/commands/promote"  # what was done already is refused when it is sent again
        return not rows or daemon.post(path, rows[0] if promoted else rows).status_code in (200, 422 * promoted)
    except httpx.TransportError:
        return False


def reference(count: int) -> OnlineLogit:
    """The champion of models that were given the first `count` requests, each once."""
    learner = {"initial": "sgd", "quick": "ftrl"}[champion(count - 1)]
    model = OnlineLogit(label="late", key="id", drop=["note"], config=Config(learner=learner, slot_bits=10))
    for number in range(count):
        path, rows = operation(number)
        table = pa.Table.from_pylist(rows)
        if path == "/v1/events":
            model.step(table.append_column("late", pa.nulls(len(rows))))
        elif rows and path == "/v1/outcomes":
            model.outcomes(table)
    return model


def replayed(state: Path, out: Path) -> bytes:
    """The model that the state folder amounts to, from the first entry of its journal."""
    forks.run([*forks.COMMAND, "replay", str(state), "--fresh", "--out", str(out)], check=True, capture_output=True)
    return out.read_bytes()


@pytest.mark.parametrize("kills", [50, pytest.param(KILLS, marks=pytest.mark.long)])
def test_a_killed_daemon_is_one_that_was_never_killed(
    serve: Callable[..., Running], tmp_path: Path, kills: int
) -> None:
    draw = np.random.default_rng(int(os.environ.get("ONLOGIT_SEED", "1")))
    (tmp_path / "serve.toml").write_text('[[challengers]]\nname = "quick"\nlearner = "ftrl"\n')
    number = unanswered = 0
    for kill in range(kills):
        point = POINTS[kill // 2 % len(POINTS)] if kill % 2 == 0 else ""
        count = draw.integers(1, 3 if point.startswith("check") else 30)
        env = {"ONLOGIT_FAILPOINT": f"{point}:{count}" if point else ""}
        start = subprocess.Popen if kill % 10 == 0 else forks.Forked
        daemon = serve("serve.toml", *ARGS, env=env, wait=False, start=start)
        if not daemon.url:
            daemon.end(signal.SIGKILL)  # it died on its way up: in a checkpoint, or in its first entries
            continue
        timer = threading.Timer(float(draw.uniform(0.05, 0.5)) if not point else 8.0, daemon.process.kill)
        timer.start()
        while send(daemon, number):
            number += 1
        unanswered += 1
        timer.cancel()
        assert daemon.end(signal.SIGKILL) == -signal.SIGKILL
    last = serve("serve.toml", *ARGS)
    assert send(last, number)
    told = last.json("/v1/models")["models"]
    assert [each["name"] for each in told] == sorted(["initial", "quick"], key=lambda name: name != champion(number))
    counts = last.json("/v1/status")
    assert last.end() == 0
    model = reference(number + 1)
    assert counts["counts"]["events"] == model.counts.events
    assert counts["counts"]["learned"] == model.counts.learned
    assert counts["entries_put_aside"] == 0
    assert replayed(tmp_path / "state", tmp_path / "fresh.model") == model.to_bytes()
    words = ["replay", str(tmp_path / "state"), "--out", str(tmp_path / "quick.model")]
    forks.run([*forks.COMMAND, *words], check=True, capture_output=True)
    assert (tmp_path / "quick.model").read_bytes() == model.to_bytes()
    print(json.dumps({"kills": kills, "requests": number + 1, "unanswered": unanswered}))
    assert number > kills


def test_sigterm_answers_and_keeps_what_was_accepted(serve: Callable[..., Running]) -> None:
    daemon = serve(*ARGS)
    answered: list[int] = []

    def flood(worker: int) -> None:
        with httpx.Client(base_url=daemon.url) as client:
            for n in range(10_000):
                try:
                    rows = [{"id": f"{worker}-{n}", "x": 1.0, "town": "a", "note": "-"}]
                    if client.post("/v1/events", json=rows).status_code != 200:
                        return
                except httpx.TransportError:
                    return
                answered.append(n)

    threads = [threading.Thread(target=flood, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    while len(answered) < 50:
        threads[0].join(0.01)
    assert daemon.end(signal.SIGTERM) == 0
    for thread in threads:
        thread.join()
    again = serve(*ARGS)
    assert again.figures["replayed"] == 0
    events_kept = again.json("/v1/status")["counts"]["events"]
    assert len(answered) <= events_kept <= len(answered) + 4


def test_a_second_signal_ends_it_at_once(serve: Callable[..., Running]) -> None:
    daemon = serve(*ARGS)
    assert daemon.client is not None
    with daemon.client.stream("GET", "/v1/live") as live:
        next(live.iter_lines())
        os.kill(daemon.process.pid, signal.SIGINT)
        os.kill(daemon.process.pid, signal.SIGTERM)
        threading.Event().wait(0.3)
        if daemon.process.poll() is None:
            os.kill(daemon.process.pid, signal.SIGTERM)
        assert daemon.process.wait(5) in (-signal.SIGTERM, -signal.SIGINT, 0)


@pytest.mark.parametrize("damage", ["newest", "all"])
def test_a_damaged_checkpoint_is_passed_over_loudly(serve: Callable[..., Running], damage: str) -> None:
    import sqlite3

    daemon = serve(*ARGS[:-2], "--checkpoint-seconds", "1000")
    for number in range(12):
        assert send(daemon, number)
        if number % 4 == 3:
            daemon.post("/v1/commands/checkpoint", b"")
    before = daemon.json("/v1/status")
    daemon.end(signal.SIGKILL)
    with sqlite3.connect(daemon.state / "state.sqlite") as raw:
        where = "WHERE generation = (SELECT max(generation) FROM chunk)" if damage == "newest" else ""
        raw.execute(f"UPDATE chunk SET data = zeroblob(length(data)) {where}")
    raw.close()
    again = serve(*ARGS)
    after = again.json("/v1/status")
    for name in ("counts", "quality", "oddities", "seq"):
        assert after[name] == before[name]
    assert "checkpoint" in again.log.read_text()
    assert again.figures["replayed"] >= (4 if damage == "newest" else 9)
