"""What the daemon meets in the world: strangers, floods, garbage, a full disk, alarms that have to get out."""

import asyncio
import hashlib
import hmac
import http.server
import json
import os
import resource
import shutil
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from daemon_process import ARROW, NDJSON, Running, until

from bench.load import request
from onlogit.daemon.endpoints import STREAMS
from onlogit.daemon.notices import Notices
from onlogit.daemon.settings import NoticeSettings


def test_strangers_and_scopes(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(
        "score-score-score score\nlearn-learn-learn score,learn\nadmin-admin-admin admin\n"
    )
    daemon = serve("--label", "y", "--key", "k", "--tokens", "tokens", "--rate-limit", "20")
    row = {"k": 1, "x": 1.0}

    def ask(path: str, token: str = "") -> int:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = daemon.post(path, row, **headers)
        assert answer.status_code == 200 or list(answer.json()) == ["error"]
        return answer.status_code

    assert ask("/v1/events") == 401
    assert ask("/v1/events", "score-score-scorf") == 401
    assert ask("/v1/events", "score-score-score") == 403
    assert ask("/v1/events", "learn-learn-learn") == 200
    assert ask("/v1/score", "score-score-score") == 200
    assert ask("/v1/commands/checkpoint", "learn-learn-learn") == 403
    assert ask("/v1/commands/checkpoint", "admin-admin-admin") == 200
    assert daemon.get("/metrics").status_code == 401
    assert daemon.json("/v2/health/live")["live"]
    found = {ask("/v1/score", "score-score-score") for _ in range(80)}
    assert found <= {200, 429}
    assert 429 in found


def test_another_address_is_refused_without_tokens(serve: Callable[..., Running]) -> None:
    daemon = serve("--host", "0.0.0.0", "--label", "y", wait=False)
    assert daemon.end() == 2
    assert "needs tokens" in daemon.log.read_text()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls(serve: Callable[..., Running], tmp_path: Path) -> None:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    words += " -keyout key.pem -out cert.pem"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    daemon = serve("--label", "y", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    assert daemon.url.startswith("https://")
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    assert httpx.get(f"{daemon.url}/ready", verify=context).json()["ready"]
    with pytest.raises(httpx.TransportError):
        httpx.get(daemon.url.replace("https", "http") + "/ready")


def seeds() -> list[tuple[str, bytes, str]]:
    """Bodies that are right, to be broken."""
    rows = [{"id": f"z{n}", "x": n / 3, "town": f"t{n}"} for n in range(4)]
    batch = pa.RecordBatch.from_pylist(rows)
    dictionary = batch.set_column(2, "town", batch["town"].dictionary_encode())
    told = []
    for each, options in ((batch, None), (batch, "zstd"), (dictionary, None), (batch, "lz4")):
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, each.schema, options=pa.ipc.IpcWriteOptions(compression=options)) as writer:
            writer.write_batch(each)
        told.append(("/v1/score", bytes(out.getvalue()), ARROW))
        told.append(("/v1/events", bytes(out.getvalue()), ARROW))
    tensors = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    return [
        *told, ("/v1/events", json.dumps(rows).encode(), "application/json"),
        ("/v1/score", "\n".join(map(json.dumps, rows)).encode(), NDJSON),
        ("/v1/outcomes", b'[{"id": "z1", "late": 1}]', "application/json"),
        ("/v2/models/onlogit/infer", json.dumps(tensors).encode(), "application/json"),
        ("/v1/commands/ack", b'{"alarm": 1}', "application/json"),
    ]  # fmt: skip


def broken(body: bytes, draw: np.random.Generator) -> bytes:
    """A body with bytes changed, taken out, put in twice, or cut."""
    data = bytearray(body)
    for _ in range(int(draw.integers(1, 5))):
        at = int(draw.integers(0, max(len(data), 1)))
        kind = draw.integers(0, 5)
        if kind == 0 and data:
            data[at] = int(draw.integers(0, 256))
        elif kind == 1:
            del data[at : at + int(draw.integers(1, 9))]
        elif kind == 2:
            data[at:at] = data[at : at + int(draw.integers(1, 40))]
        elif kind == 3 and len(data) > at + 8:
            data[at : at + 8] = int(draw.integers(-(1 << 62), 1 << 62)).to_bytes(8, "little", signed=True)
        else:
            data[at:at] = bytes([draw.choice(list(b'{}[]",:0e\xff'))])
    return bytes(data[: int(draw.integers(0, len(data) + 1))] if draw.random() < 0.1 else data)


class Connection(asyncio.Protocol):
    """A connection on which one request at a time waits for its answer."""

    def __init__(self) -> None:
        self.waiting: asyncio.Future[bytes] | None = None
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._data.lower().find(b"content-length:")
        length = int(self._data[at + 15 : self._data.find(b"\r", at)])
        if len(self._data) >= end + 4 + length and self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(bytes(self._data))
            self._data.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(exc or ConnectionResetError("closed without an answer"))

    async def send(self, data: bytes) -> bytes:
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return await self.waiting


async def flood(port: int, count: int, seed: int) -> Counter[int]:
    """Send broken bodies over one connection after the other; how often each status was the answer."""
    draw, told, found = np.random.default_rng(seed), seeds(), Counter[int]()
    connection: Connection | None = None
    for _ in range(count):
        path, body, kind = told[int(draw.integers(len(told)))]
        body = broken(body, draw)
        if connection is None or connection.transport.is_closing():
            loop = asyncio.get_running_loop()
            connection = (await loop.create_connection(Connection, "127.0.0.1", port))[1]
        answer = await connection.send(request(path, body, kind.partition(";")[0]))
        status = int(answer[9:12])
        assert status < 500, (path, body, answer)
        assert status == 200 or b'{"error":' in answer
        found[status] += 1
    if connection is not None:
        connection.transport.abort()
        await asyncio.sleep(0)
    return found


BODIES = int(os.environ.get("ONLOGIT_BODIES", "1000000"))


@pytest.mark.parametrize("count", [6000, pytest.param(BODIES, marks=pytest.mark.long)])
def test_broken_bodies_break_nothing(shared: Running, count: int) -> None:
    async def floods() -> list[Counter[int]]:
        port = int(shared.url.rpartition(":")[2])
        return await asyncio.gather(*(flood(port, count // 12, seed) for seed in range(12)))

    memory = resident(shared)
    found = sum(asyncio.run(floods()), Counter[int]())
    grown = resident(shared) - memory
    print(json.dumps({"bodies": found.total(), "statuses": dict(found), "megabytes_grown": round(grown / 1e6)}))
    assert found[200] > count / 100
    assert found[400] > count / 20
    assert grown < 150e6 + 100 * count
    assert shared.json("/v1/status")["entries_put_aside"] == 0


def resident(daemon: Running) -> float:
    with open(f"/proc/{daemon.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096.0


def test_a_full_disk_stops_writes_alone_and_heals(serve: Callable[..., Running]) -> None:
    daemon = serve("--label", "y", "--key", "k", "--learner", "sgd")
    pid = daemon.process.pid
    assert daemon.post("/v1/events", {"k": 0, "x": 1.0, "note": "a"}).status_code == 200
    size = max(path.stat().st_size for path in daemon.state.iterdir())
    resource.prlimit(
        pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)
    )  # what a full disk looks like from within
    full = [daemon.post("/v1/events", {"k": n, "x": 1.0, "note": "b" * 20_000}) for n in range(1, 40)]
    refused = [n for n, answer in enumerate(full, 1) if answer.status_code != 200]
    assert refused
    assert {full[n - 1].status_code for n in refused} == {507}
    assert all(list(full[n - 1].json()) == ["error"] for n in refused)
    assert daemon.post("/v1/score", {"x": 1.0, "note": "a"}).status_code == 200
    ready = daemon.json("/ready")
    assert (ready["ready"], ready["writable"]) == (True, False)
    assert "onlogit_writable 0.0" in daemon.get("/metrics").text
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert until(lambda: bool(daemon.json("/ready")["writable"]))
    assert daemon.post("/v1/events", {"k": 99, "x": 1.0, "note": "c"}).status_code == 200
    kept = 1 + 39 - len(refused) + 1
    assert daemon.json("/v1/status")["counts"]["events"] == kept
    daemon.end(9)
    again = serve("--label", "y", "--key", "k", "--learner", "sgd")
    assert again.json("/v1/status")["counts"]["events"] == kept


def test_a_stream_ends_when_its_reader_goes(shared: Running) -> None:
    """More of them than may be open at a time, one after the other; none for who asks for the head alone."""
    assert shared.client is not None
    for _ in range(STREAMS + 2):
        with httpx.stream("GET", f"{shared.url}/v1/live") as live:
            assert live.status_code == 200
            assert next(live.iter_lines()).startswith("data: ")
    for _ in range(2):  # on one connection: the second waits until the first is answered
        assert shared.client.head("/v1/live").headers["content-type"] == "text/event-stream"


@contextmanager
def webhook(told: list[tuple[dict[str, Any], bool]]) -> Iterator[str]:
    """A receiver that fails once, and then notes alarms and whether their signature was right."""

    class Receiver(http.server.BaseHTTPRequestHandler):
        failed = False

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            right = "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
            if not Receiver.failed:
                Receiver.failed = True
                self.send_response(500)
            else:
                told.append((json.loads(body), self.headers["x-onlogit-signature"] == right))
                self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alarms"
    server.shutdown()
    thread.join()
    server.server_close()


def test_alarms_get_out(serve: Callable[..., Running], tmp_path: Path) -> None:
    """By the API, as server-sent events, to a file, and to a webhook that fails at first; acknowledged, also after a crash."""
    told: list[tuple[dict[str, Any], bool]] = []
    with webhook(told) as address:
        args = ("--label", "y", "--learner", "sgd", "--patience", "100", "--warm-up", "10", "--tolerance", "0",
                "--webhook", address, "--alarm-file", "alarms.ndjson")  # fmt: skip
        daemon = serve(*args, env={"ONLOGIT_WEBHOOK_SECRET": "secret"})
        daemon.post("/v1/events", [{"x": n % 7 / 7, "y": int(n % 4 > 0)} for n in range(2000)])
        daemon.post("/v1/commands/freeze", b"")
        daemon.post("/v1/events", [{"x": n % 7 / 7, "y": int(n % 4 == 0)} for n in range(400)])
        alarms = daemon.json("/v1/alarms")["alarms"]
        assert alarms
        with httpx.stream("GET", f"{daemon.url}/v1/alarms", headers={"accept": "text/event-stream"}) as live:
            lines = live.iter_lines()
            assert next(lines) == "id: 1"
            assert json.loads(next(lines).removeprefix("data: "))["id"] == 1
        assert until(lambda: len(told) >= len(alarms))
        assert [alarm["id"] for alarm, _ in told] == [alarm["id"] for alarm in alarms]
        assert all(right for _, right in told)
        assert daemon.post("/v1/commands/ack", {"alarm": 1}).status_code == 200
        daemon.end(9)
        again = serve(*args, env={"ONLOGIT_WEBHOOK_SECRET": "secret"})
        assert again.json("/v1/alarms")["alarms"][0]["acknowledged"]
        assert again.json("/v1/status")["frozen"]
        assert again.end() == 0
    kept = [json.loads(line)["id"] for line in (tmp_path / "alarms.ndjson").read_text().splitlines()]
    assert kept == [alarm["id"] for alarm in alarms]


def test_alarms_in_a_file_are_there_once_though_it_died_between(tmp_path: Path) -> None:
    file = tmp_path / "alarms"
    alarms = [{"id": n, "direction": "up"} for n in (1, 2, 3)]
    first = Notices(NoticeSettings(alarm_file=str(file)), tmp_path)
    first.take(alarms[:2])
    first.end(5.0)
    (tmp_path / "delivered.json").write_text("{}")  # as before the mark was written
    with open(file, "a") as raw:
        raw.write('{"id": 3, "dir')
    again = Notices(NoticeSettings(alarm_file=str(file)), tmp_path)
    again.take(alarms)
    again.end(5.0)
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [1, 2, 3]
    other = tmp_path / "other"
    other.mkdir()
    anew = Notices(NoticeSettings(alarm_file=str(file)), other)  # another stream, whose alarms have the same numbers
    anew.take(alarms[:1])
    anew.end(5.0)
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [1, 2, 3, 1]


def test_requests_beside_one_another_are_answered_each_its_own(serve: Callable[..., Running]) -> None:
    """Rows of several requests share entries and tiles; answers do not mix, and one bad request harms itself alone."""
    daemon = serve("--label", "y", "--key", "k", "--learner", "sgd")
    daemon.post("/v1/events", {"k": -1, "x": 0.0, "y": 0})
    wrong: list[Any] = []

    def run(worker: int) -> None:
        with httpx.Client(base_url=daemon.url) as client:
            for n in range(40):
                key = worker * 1000 + n
                bad = n % 10 == 9
                answer = client.post(
                    "/v1/events",
                    json=[{"k": key, "x": key / 100}, {"k": key + 500, "x": 1.0, "y": -1 if bad else None}],
                )
                score = client.post("/v1/score", json=[{"x": key / 100}] * (1 + worker))
                if answer.status_code != (422 if bad else 200) or len(score.json()["rows"]) != 1 + worker:
                    wrong.append(answer.text)
                elif not bad and [row["z"] for row in answer.json()["rows"]][:1] != [score.json()["rows"][0]["z"]]:
                    wrong.append((answer.text, score.text))

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert daemon.json("/v1/status")["counts"]["events"] == 1 + 6 * 36 * 2


@pytest.mark.parametrize("durability", ["process", "power"])
def test_durability_is_a_setting(serve: Callable[..., Running], durability: str) -> None:
    daemon = serve("--label", "y", "--durability", durability)
    assert daemon.post("/v1/events", {"x": 1.0, "y": 1}).status_code == 200
    assert daemon.json("/v1/status")["durability"] == durability
    assert daemon.figures["startup_seconds"] < 30
