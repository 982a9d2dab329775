"""HTTP without a framework: an ASGI application that routes, admits, reads bodies within limits, and answers.

Every refusal is `{"error": ...}` with the status that fits. A body is counted as it arrives, also while it is being
decompressed, and refused before more of it is held. A stream of events ends when its reader goes.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.refusals import Refusal, refusal_of
from onlogit.daemon.security import Gate
from onlogit.errors import OnlogitError

log = logging.getLogger("onlogit.http")

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Pieces = Callable[[Callable[[bytes], Awaitable[None]]], Coroutine[Any, Any, None]]
JSON, TEXT, NDJSON = b"application/json", b"text/plain; charset=utf-8", b"application/x-ndjson"
ARROW = b"application/vnd.apache.arrow.stream"
EVENT_STREAM = b"text/event-stream"
NO_STORE = (b"cache-control", b"no-store")


@dataclass(slots=True)
class Request:
    """One request, with the body read."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    query: bytes
    names: tuple[str, ...]  # the variable parts of the path
    body: bytes

    def says(self, header: bytes, text: bytes) -> bool:
        """Whether a header has this text in it."""
        return text in self.headers.get(header, b"").lower()


@dataclass(slots=True)
class Answer:
    """A whole answer; or a stream of events, where `stream` is given the function that sends a piece."""

    body: bytes = b""
    kind: bytes = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: Pieces | None = None


Handler = Callable[[Request], Awaitable[Answer]]
Finish = Callable[[Any], Answer]


Body = bytes | memoryview


class Direct(NamedTuple):
    """How a request is answered by callbacks, without a task of its own: see daemon/protocol.py."""

    takes: Callable[[], bool]  # whether it does that by now
    # given headers, body, and what takes the result; what makes an answer of the result
    begin: Callable[[Mapping[bytes, bytes], Body, Callable[[Any], None]], Finish]


@dataclass(frozen=True)
class Route:
    """What answers a path. A part in braces stands for any one name."""

    method: str
    path: str
    scope: str | None  # of the token; None: anyone
    handler: Handler
    direct: Direct | None = None


Observe = Callable[[str, str, int, float], None]  # route, method, status, seconds


class Application:
    """The ASGI application over some routes. `observe` is told of each answer."""

    def __init__(self, routes: list[Route], gate: Gate, max_body: int, observe: Observe) -> None:
        self._exact = {(r.method, r.path): r for r in routes if "{" not in r.path}
        self._patterns = [(r, r.path.split("/")) for r in routes if "{" in r.path]
        self._methods = {path: [r.method for r in routes if r.path == path] for path in {r.path for r in routes}}
        self.heads: dict[bytes, Any] = {}  # of requests on the short way: what they amount to, and who asks
        self.direct = {r.path.encode(): r for r in routes if r.direct is not None}
        self.gate, self.max_body, self.observe = gate, max_body, observe

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begin, path = time.perf_counter(), scope["path"]
        headers = dict(scope["headers"])
        route, answer = None, None
        try:
            route, names = self._route(scope["method"], path)
            if route.scope is not None:
                client = scope["client"][0] if scope.get("client") else ""
                self.gate.check(headers, client, route.scope)
            body = await read_body(receive, headers, self.max_body) if route.method == "POST" else b""
            answer = await route.handler(Request(route.method, path, headers, scope["query_string"], names, body))
        except ConnectionError:
            return
        except Exception as error:
            answer = failed(error, scope["method"], path)
        await self._send(answer, scope["method"], receive, send)
        self.observe(route.path if route else "", scope["method"], answer.status, time.perf_counter() - begin)

    def _route(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        method = "GET" if method == "HEAD" else method
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, ()
        parts, others = path.split("/"), list(self._methods.get(path, ()))
        for route, pattern in self._patterns:
            names = matched(pattern, parts)
            if names is not None:
                if route.method == method:
                    return route, names
                others.append(route.method)
        if others:
            allowed = ", ".join(sorted(set(others)))
            raise Refusal(405, f"{path} takes {allowed}", ((b"allow", allowed.encode()),))
        raise Refusal(404, "there is nothing here; /openapi.json lists what there is")

    async def _send(self, answer: Answer, method: str, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", answer.kind), *answer.headers]
        if answer.stream is None:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            if answer.stream is not None and method != "HEAD":
                await streamed(answer.stream, receive, send)
            await send({"type": "http.response.body", "body": answer.body})
        except OSError:
            return  # the client went away


async def streamed(stream: Pieces, receive: Receive, send: Send) -> None:
    """Send the pieces of a stream until it ends or the client goes: a server need not say so when something is sent."""

    async def piece(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    streaming, leaving = asyncio.create_task(stream(piece)), asyncio.create_task(gone())
    try:
        await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        streaming.cancel()
        leaving.cancel()
        await asyncio.wait((streaming, leaving))
    if not streaming.cancelled():
        streaming.result()


def matched(pattern: list[str], parts: list[str]) -> tuple[str, ...] | None:
    """The names that a path has where a pattern has braces; None where it is another path."""
    if len(pattern) != len(parts):
        return None
    names: list[str] = []
    for want, have in zip(pattern, parts, strict=True):
        if want.startswith("{"):
            if not have:
                return None
            names.append(have)
        elif want != have:
            return None
    return tuple(names)


def failed(error: Exception, method: str, path: str) -> Answer:
    """An error as an answer; one that nobody foresaw goes to the log."""
    if not isinstance(error, Refusal | OnlogitError):
        log.error("%s %s failed", method, path, exc_info=error)
    refusal = refusal_of(error)
    return Answer(msgspec.json.encode({"error": refusal.text}), JSON, refusal.status, refusal.headers)


def as_json(value: Any, status: int = 200) -> Answer:
    """A value as a JSON answer; what is not finite is null."""
    return Answer(msgspec.json.encode(value), JSON, status, (NO_STORE,))


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """The body, decompressed; 413 as soon as it is known to be too large, 400 where it is broken off."""
    told = headers.get(b"content-length", b"0")
    if told.isdigit() and int(told) > most:
        raise too_large(most)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise too_large(most)
        parts.append(part)
        if not message.get("more_body"):
            break
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    return body if coding == b"identity" else decompressed(body, coding, most)


def decompressed(body: bytes, coding: bytes, most: int) -> bytes:
    """A gzip or zstd body, read up to the limit and no further."""
    if coding not in (b"gzip", b"zstd"):
        raise Refusal(415, "content-encoding has to be gzip, zstd or identity")
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), coding.decode()) as stream:
            parts: list[bytes] = []
            size = 0
            while part := stream.read(min(1 << 20, most + 1 - size)):
                parts.append(part)
                size += len(part)
                if size > most:
                    raise too_large(most)
            return b"".join(parts)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise Refusal(400, f"the body is not {coding.decode()}: {str(error)[:200]}") from error


def too_large(most: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most} bytes; send it in parts", ((b"connection", b"close"),))
