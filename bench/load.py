"""The daemon under load, over loopback: `python -m bench.load`. Prints latency, throughput and memory as measured.

Single events are sent open-loop: each has a time at which it is due, and latency counts from there, so that a server
that falls behind is seen to. The client is this process and the daemon another one.
"""

import argparse
import json
import multiprocessing
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from daemon_process import ARROW, Running

from bench.workloads import dense

ROWS, LINES = 8192, 1000
CONNECTIONS = 64


def request(path: str, body: bytes, kind: str = "application/json") -> bytes:
    """A whole HTTP/1.1 request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def stream(batch: pa.RecordBatch) -> bytes:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(out.getvalue())


def connections(port: int, count: int) -> list[socket.socket]:
    """Sockets that send at once."""
    found = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for each in found:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def open_loop(port: int, requests: list[bytes], rate: float) -> np.ndarray[Any, Any]:
    """Seconds from when each request was due to its answer: [n]. One thread, which sleeps until something is to be done."""
    latency = np.empty(len(requests))
    asked: dict[int, tuple[socket.socket, int]] = {}  # by descriptor: the request that waits
    failed: list[bytes] = []
    pool, ready = connections(port, CONNECTIONS), select.epoll()
    for each in pool:
        ready.register(each, select.EPOLLIN)
    free, sent, answered = list(pool), 0, 0
    due = (time.perf_counter() + 0.05 + np.arange(len(requests)) / rate).tolist()
    while answered < len(requests):
        now = time.perf_counter()
        while free and sent < len(due) and due[sent] <= now:
            plain = free.pop()
            asked[plain.fileno()] = plain, sent
            plain.sendall(requests[sent])
            sent += 1
        more = free and sent < len(due)
        select.select([ready], [], [], max(due[sent] - time.perf_counter(), 0.0) if more else None)
        for descriptor, _ in ready.poll(0):
            plain, number = asked[descriptor]
            data = plain.recv(1 << 16)
            while not whole(data):
                data += plain.recv(1 << 16)
            latency[number] = time.perf_counter() - due[number]
            if not data.startswith(b"HTTP/1.1 200"):
                failed.append(data)
            free.append(plain)
            answered += 1
    ready.close()
    for each in pool:
        each.close()
    if failed:
        raise RuntimeError(f"{len(failed)} requests failed: {failed[0][:400].decode()}")
    return latency


def whole(data: bytes) -> bool:
    """Whether an answer is all there."""
    end = data.find(b"\r\n\r\n")
    at = data.find(b"content-length:", 0, end)
    return end >= 0 and len(data) >= end + 4 + int(data[at + 15 : data.find(b"\r", at)])


def single_events(daemon: Running, path: str, rows: list[dict[str, Any]], rate: float) -> dict[str, float]:
    """Latency of JSON events, one a request, at a rate."""
    requests = [request(path, json.dumps(row).encode()) for row in rows]
    before, counted = cpu(daemon), within(daemon, path)
    latency = open_loop(int(daemon.url.rpartition(":")[2]), requests, rate) * 1e3
    figures = {f"p{q:g}_ms": float(np.quantile(latency, q / 100)) for q in (50, 90, 99, 99.9)}
    told = {name: count - counted[name] for name, count in within(daemon, path).items()}
    figures |= {f"server_within_{name}": count / told["+Inf"] for name, count in told.items() if name != "+Inf"}
    figures["server_cpu_us"] = 1e6 * (cpu(daemon) - before) / len(rows)
    return {name: round(value, 3) for name, value in figures.items()}


def within(daemon: Running, path: str) -> dict[str, float]:
    """How many requests the daemon, by its own clock, has answered within so many seconds."""
    text = daemon.get("/metrics").text
    pattern = r'request_duration_seconds_bucket\{le="(0\.001|0\.005|\+Inf)",route="' + path + r'"\} ([0-9.]+)'
    return {"0.001": 0.0, "0.005": 0.0, "+Inf": 0.0} | {le: float(count) for le, count in re.findall(pattern, text)}


def closed_loop(daemon: Running, requests: list[bytes], threads: int = 4) -> float:
    """Requests a second, each connection sending the next one when it has its answer."""
    port = int(daemon.url.rpartition(":")[2])
    shares = [requests[k::threads] for k in range(threads)]
    failed: list[bytes] = []

    def run(share: list[bytes]) -> None:
        with connections(port, 1)[0] as plain:
            room = bytearray(1 << 22)
            for data in share:
                plain.sendall(data)
                got, whole = 0, -1
                while got != whole:
                    got += plain.recv_into(memoryview(room)[got:])
                    if whole < 0 and (end := room.find(b"\r\n\r\n", 0, got)) >= 0:
                        at = room.find(b"content-length:", 0, end)
                        whole = end + 4 + int(room[at + 15 : room.find(b"\r", at)])
                if not room.startswith(b"HTTP/1.1 200"):
                    failed.append(bytes(room[:400]))
                    return

    workers = [threading.Thread(target=run, args=(share,)) for share in shares]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise RuntimeError(failed[0].decode())
    return len(requests) / (time.perf_counter() - begin)


def send(daemon: Running, path: str, body: bytes) -> None:
    """One Arrow body."""
    answer = daemon.post(path, body, **{"content-type": ARROW})
    if answer.status_code != 200:
        raise RuntimeError(answer.text)


def cpu(daemon: Running) -> float:
    """Seconds of processor time that the daemon has used."""
    with open(f"/proc/{daemon.process.pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident(daemon: Running) -> float:
    """Megabytes."""
    with open(f"/proc/{daemon.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def awake(asked: bool) -> Iterator[None]:
    """No processor halts meanwhile: each has a process that runs when nothing else does. A virtual one that has halted may
    take milliseconds to come back, which is nothing that the daemon could do about (Linux)."""
    idle = "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))"
    told = f"import os, sys; os.sched_setaffinity(0, {{int(sys.argv[1])}}); {idle}"
    processors = sorted(os.sched_getaffinity(0)) if asked else []
    spinning = [subprocess.Popen([sys.executable, "-c", f"{told}\nwhile True: pass", str(k)]) for k in processors]
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()


@contextmanager
def learning(daemon: Running, batches: list[bytes], outcomes: list[bytes], every: float) -> Iterator[Callable[[], int]]:
    """Events and their outcomes go in beside what is measured, a body every so many seconds; how many did. From a process
    of its own, so that this one has nothing to do but to measure."""
    spawn = multiprocessing.get_context("spawn")
    ended, sent = spawn.Event(), spawn.Value("i", 0)
    process = spawn.Process(target=feed, args=(daemon.url, batches, outcomes, every, ended, sent))
    process.start()
    while not sent.value and process.is_alive():
        time.sleep(0.01)
    before = sent.value
    try:
        yield lambda: sent.value - before
    finally:
        ended.set()
        process.join()


def feed(url: str, batches: list[bytes], outcomes: list[bytes], every: float, ended: Any, sent: Any) -> None:
    """What the process beside does."""
    with httpx.Client(base_url=url, timeout=30.0, headers={"content-type": ARROW}) as client:
        for events, labels in zip(batches, outcomes, strict=True):
            for path, body in (("/v1/events", events), ("/v1/outcomes", labels)):
                client.post(path, content=body).raise_for_status()
                if ended.wait(every / 2):
                    return
            sent.value += 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--learner", default="belief", help="of the single events; the bodies use sgd")
    parser.add_argument(
        "--awake", action="store_true", help="keep processors from halting while single events are sent"
    )
    told = parser.parse_args()
    sys.setswitchinterval(1e-4)  # of this process: the threads of closed_loop take turns
    table = dense(200_000, 20).table
    keyed = table.append_column("key", pa.array(np.arange(len(table))))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("single", "bulk"):
            (Path(folder) / name).mkdir()
        daemon = Running(Path(folder) / "single", "--label", "y", "--key", "key", "--learner", told.learner)
        try:
            with awake(told.awake):
                measure_single(daemon, keyed, told.seconds, told.rate)
        finally:
            daemon.end()
        daemon = Running(Path(folder) / "bulk", "--label", "y", "--key", "key", "--learner", "sgd")
        try:
            measure_bulk(daemon, keyed, told.seconds)
        finally:
            daemon.end()


def measure_single(daemon: Running, table: pa.Table, seconds: float, rate: float) -> None:
    """Single events as JSON, with and without learning beside them."""
    events, labels = table.drop_columns(["y"]), table.select(["key", "y"])
    bodies = [stream(b) for b in events.to_batches(max_chunksize=200)]
    told = [stream(b) for b in labels.to_batches(max_chunksize=200)]
    send(daemon, "/v1/events", bodies[0])
    send(daemon, "/v1/outcomes", told[0])
    count = int(rate * seconds)
    rows = events.drop_columns(["key"]).slice(0, count).to_pylist()
    single_events(daemon, "/v1/score", rows[:2000], rate)
    show("score, JSON, alone", single_events(daemon, "/v1/score", rows, rate))
    with learning(daemon, bodies[1:300], told[1:300], 0.05) as sent:
        begin = time.perf_counter()
        figures = single_events(daemon, "/v1/score", rows, rate)
        learned = sent() * 200 / (time.perf_counter() - begin)
    show("score, JSON, while learning", figures | {"learned_per_s": round(learned)})
    keyed = [{**row, "key": 10**6 + n} for n, row in enumerate(rows)]
    show("events, JSON, journalled", single_events(daemon, "/v1/events", keyed, rate))


def measure_bulk(daemon: Running, table: pa.Table, seconds: float) -> None:
    """Arrow bodies: score-only, and journalled with keys; memory from end to end."""
    events = table.drop_columns(["y"])
    features = events.drop_columns(["key"])
    daemon.post(
        "/v1/events", stream(events.slice(0, LINES).combine_chunks().to_batches()[0]), **{"content-type": ARROW}
    )
    bodies = [request("/v1/score", stream(b), ARROW) for b in features.to_batches(max_chunksize=ROWS)[:16]]
    closed_loop(daemon, bodies)
    bodies *= int(10 * seconds)
    used = cpu(daemon)
    rate = ROWS * closed_loop(daemon, bodies)
    used = 1e6 * (cpu(daemon) - used) / len(bodies)
    show("score, Arrow, 8k rows", {"rows_per_s": round(rate), "server_cpu_us_per_body": round(used)})
    before = resident(daemon)
    parts = events.slice(LINES).to_batches(max_chunksize=LINES)
    batches = [b for b in parts if b.num_rows == LINES]
    bodies = [request("/v1/events", stream(b), ARROW) for b in batches]
    used = cpu(daemon)
    rate = LINES * closed_loop(daemon, bodies)
    used = 1e6 * (cpu(daemon) - used) / len(bodies)
    grown = (resident(daemon) - before) * 1e6 / (LINES * len(bodies))
    show(
        "events, Arrow, 1k rows",
        {"events_per_s": round(rate), "server_cpu_us_per_body": round(used), "bytes_per_pending_event": round(grown)},
    )
    labels = [b for b in table.slice(LINES).select(["key", "y"]).to_batches(max_chunksize=LINES) if b.num_rows == LINES]
    rate = LINES * closed_loop(daemon, [request("/v1/outcomes", stream(b), ARROW) for b in labels])
    show("outcomes, Arrow, 1k rows", {"outcomes_per_s": round(rate), "resident_mb": round(resident(daemon))})


def show(name: str, figures: dict[str, float]) -> None:
    print(f"{name:<30} {json.dumps(figures)}", flush=True)


if __name__ == "__main__":
    main()
