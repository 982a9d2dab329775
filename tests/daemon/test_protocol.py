"""Small requests go a short way that is not to be told from the long one; heads are known by their bytes and no other way."""

import gc
import json
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from daemon_process import Running

from onlogit.daemon.http import Answer, Direct
from onlogit.daemon.protocol import Exchange, Known
from onlogit.daemon.work import Work

BODY = json.dumps({"x": 0.5, "town": "Ulm"}).encode()


def head(*lines: str, size: int = len(BODY), path: str = "/v1/score") -> bytes:
    told = ["host: localhost", f"content-length: {size}", *lines]
    return f"POST {path} HTTP/1.1\r\n".encode() + "\r\n".join(told).encode() + b"\r\n\r\n"


@contextmanager
def connected(daemon: Running) -> Iterator[tuple[socket.socket, Any]]:
    with socket.create_connection(("127.0.0.1", int(daemon.url.rpartition(":")[2])), 10.0) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with plain.makefile("rb") as file:
            yield plain, file


def answer(file: Any) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of the next answer."""
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name] = value
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(file.readline(), 16):
            body += file.read(size)
            file.readline()
        file.readline()
    else:
        body = file.read(int(headers["content-length"]))
    return status, headers, json.loads(body)


def test_both_ways_give_the_same_answer(shared: Running) -> None:
    with connected(shared) as (plain, file):
        plain.sendall(head() + BODY)
        first = answer(file)
        for part in (  # by the bytes of the head; in pieces; with another head; and ways that only the long one knows
            [head() + BODY], [head(), BODY], [head()[:9], head()[9:] + BODY[:4], BODY[4:]], [head("x-trace: 1") + BODY],
            [head("content-encoding: identity") + BODY], [head("expect: 100-continue") + BODY],
        ):  # fmt: skip
            for piece in part:
                plain.sendall(piece)
            if b"expect" in part[0]:
                assert file.readline().startswith(b"HTTP/1.1 100")
                file.readline()
            assert answer(file) == first
        chunked = b"POST /v1/score HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        plain.sendall(chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        assert answer(file) == first
        assert first[0] == 200
        assert first[1]["content-type"] == "application/json"


def test_pipelined_requests_are_answered_in_their_order(shared: Running) -> None:
    xs = [0.1 * k for k in range(12)]
    bodies = [json.dumps({"x": x, "town": "Ulm"}).encode() for x in xs]
    alone = [shared.post("/v1/score", body).json()["p"] for body in bodies]
    with connected(shared) as (plain, file):
        plain.sendall(head() + BODY)  # a head that is known then
        answer(file)
        mixed = [
            head(size=len(body)) + body if k % 3 else b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n"
            for k, body in enumerate(bodies)
        ]
        plain.sendall(b"".join(mixed))
        for k, p in enumerate(alone):
            _, _, told = answer(file)
            assert told["p"] == p if k % 3 else told["ready"]


def test_a_head_is_not_mistaken_for_the_one_before_it_in_the_same_bytes(shared: Running) -> None:
    """Two requests with different heads sent at once; then each alone, which must not be taken for the other."""
    one, other = head("x-a: 1"), head("x-b: 1", path="/v1/outcomes", size=2)
    for _ in range(2):
        with connected(shared) as (plain, file):
            plain.sendall(one + BODY + other + b"[]")
            assert answer(file)[0] == 200
            assert answer(file)[0] == 400
            plain.sendall(one + BODY)
            assert "p" in answer(file)[2]
            plain.sendall(other + b"[]")
            assert answer(file)[0] == 400


def large(rows: int = 3000) -> bytes:
    return json.dumps([{"x": 0.001 * k, "town": "Ulm"} for k in range(rows)]).encode()


def test_large_bodies_come_in_whatever_pieces(shared: Running) -> None:
    body = large()
    first, again = head(size=len(body)), head("x-trace: 2", size=len(body))
    with connected(shared) as (plain, file):
        told = []
        for start, cuts in (
            (first, [0]), (first, [1, 20_000]), (first, [len(body) - 1]), (again, [5]), (again, [17_000, 17_001]),
            (again, list(range(0, len(body), 9_999))),
        ):  # fmt: skip
            plain.sendall(start)
            for a, b in pairwise([0, *cuts, len(body)]):
                plain.sendall(body[a:b])
                time.sleep(0.002)
            told.append(answer(file))
        assert told[0][0] == 200
        assert len(told[0][2]["rows"]) == 3000
        assert all(each == told[0] for each in told)
        plain.sendall(first + body + head() + BODY + first + body[:9])  # others behind it, and one before its end
        assert answer(file) == told[0]
        assert answer(file)[0] == 200
        plain.sendall(body[9:])
        assert answer(file) == told[0]


def test_whoever_leaves_within_a_large_body_leaves_nothing_behind(shared: Running) -> None:
    body = large()
    with connected(shared) as (plain, file):
        plain.sendall(head(size=len(body)) + body)
        answer(file)
    for part in (b"", body[:100], body[:-1]):
        with connected(shared) as (plain, _):
            plain.sendall(head(size=len(body)) + part)
    with connected(shared) as (plain, file):
        plain.sendall(head(size=33 << 20) + body)
        assert answer(file)[0] == 413
    assert shared.get("/ready").status_code == 200


def test_errors_on_the_short_way(shared: Running) -> None:
    for body, status in ((b"", 400), (b"{", 400), (b"[]", 400), (b'{"x": 1}', 422), (b'{"x": "no", "town": "a"}', 422)):
        with connected(shared) as (plain, file):
            for _ in range(2):  # not known by its bytes, then known
                plain.sendall(head(size=len(body)) + body)
                told = answer(file)
                assert told[0] == status
                assert set(told[2]) == {"error"}
            plain.sendall(head("connection: close") + BODY)
            told = answer(file)
            assert told[0] == 200
            assert told[1]["connection"] == "close"
            assert file.read() == b""


def test_what_is_no_http_is_told_so_in_json(shared: Running) -> None:
    with connected(shared) as (plain, file):
        plain.sendall(b"nothing like HTTP\r\n\r\n")
        status, headers, told = answer(file)
        assert (status, headers["content-type"], headers["connection"]) == (400, "application/json", "close")
        assert "Invalid HTTP" in told["error"]
        assert file.read() == b""


def test_a_known_head_does_not_let_in_what_it_did_not(serve: Callable[..., Running], tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-for-scores score\na-token-to-learn-by score,learn\n")
    daemon = serve("--label", "late", "--key", "id", "--learner", "sgd", "--tokens", str(tokens), "--rate-limit", "40")
    learn, score = ("authorization: Bearer a-token-to-learn-by", "authorization: Bearer a-token-for-scores")
    event = json.dumps({"id": "a", "x": 1.0, "town": "Ulm"}).encode()
    with connected(daemon) as (plain, file):
        plain.sendall(head(learn, size=len(event), path="/v1/events") + event)
        assert answer(file)[0] == 200
        for line, path, status in (
            (learn, "/v1/score", 200), (score, "/v1/score", 200), (score, "/v1/outcomes", 403), ("x: 1", "/v1/score", 401),
            ("authorization: Bearer a-token-for-scoreS", "/v1/score", 401),
        ):  # fmt: skip
            for _ in range(2):
                plain.sendall(head(line, path=path) + BODY)
                assert answer(file)[0] == status
    body = large()
    for line, status in ((score, 200), ("x: 1", 401), ("x: 1", 401)):
        with connected(daemon) as (plain, file):
            plain.sendall(head(line, size=len(body)) + body[:50])
            if status == 401:
                assert answer(file)[0] == status  # before the body is there
                plain.sendall(body[50:] + head(score) + BODY)
            else:
                plain.sendall(body[50:])
                assert answer(file)[0] == status
                plain.sendall(head(score) + BODY)
            assert answer(file)[0] == 200
    with connected(daemon) as (plain, file):
        told = []
        for _ in range(60):
            plain.sendall(head(score) + BODY)
            told.append(answer(file)[0])
        assert told.count(429) >= 15
        assert set(told) == {200, 429}
    counted = daemon.get("/metrics", authorization="Bearer a-token-to-learn-by").text
    assert 'onlogit_http_requests_total{method="POST",route="/v1/score",status="429"}' in counted


class Rows:
    """In the place of a batch: it can be seen to go."""


def test_a_request_that_was_answered_is_let_go_at_once() -> None:
    """Not when garbage is collected: bodies added up until then, and collecting them held up those who came next."""
    submitted: list[Work] = []
    sent: list[bytes] = []
    alive: list[Callable[[], Rows | None]] = []

    def begin(headers: Any, body: Any, reply: Callable[[Any], None]) -> Callable[[Any], Answer]:
        rows: Any = Rows()
        alive.append(weakref.ref(rows))
        work = Work("score", reply, batch=rows)
        submitted.append(work)
        return lambda p: Answer(json.dumps([p] * (1 + work.rows)).encode())

    protocol: Any = SimpleNamespace(
        app=SimpleNamespace(gate=SimpleNamespace(pace=lambda client: None), observe=lambda *told: None),
        transport=SimpleNamespace(write=sent.append), answered=lambda: None, client=None,
    )  # fmt: skip
    exchange = Exchange(protocol, Known("/v1/score", Direct(lambda: True, begin), "score", {}, 0))
    gc.disable()
    try:
        exchange.begin("", b"")
        assert alive[0]() is not None
        submitted.pop().reply(0.25)
        del exchange
        assert alive[0]() is None
    finally:
        gc.enable()
    assert sent[0].endswith(b"[0.25]")
