"""Uvicorn's protocol with a short way for requests whose answer is a matter of rows.

They need no task, no queue of messages and no ASGI: each is admitted, handed to the service and answered by callbacks, in
one write. Clients that stay send the same head again and again, so heads that went the short way are known by their bytes,
and are neither parsed nor admitted anew. What there is of a large body beyond the bytes that came with its head goes from
the socket to its place, and is copied no more. Everything else goes the long way. One request at a time is answered on a
connection; what is pipelined behind it waits, as uvicorn has it.
"""

import asyncio
import functools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import httptools
import msgspec
import numpy as np
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from onlogit.daemon.http import JSON, Answer, Application, Body, Direct, failed

SMALL = 1 << 14  # bytes of a body that the parser may bring in pieces
HEADS = 512  # that are known at a time
LONGEST = 2048  # bytes of a head that is known


class Known(NamedTuple):
    """What the head of a request on the short way amounts to."""

    path: str
    direct: Direct
    scope: str
    headers: dict[bytes, bytes]
    size: int  # of the body


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._between = True  # two messages, as the parser sees it
        self._data = b""  # that the parser is given, where a message begins with it
        self._served = 0.0  # when the last answer went the short way, by the loop's clock

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        application = self.app
        if self._between and self._free() and isinstance(application, Application):
            end = data.find(b"\r\n\r\n") + 4
            known = application.heads.get(data[:end])
            there = len(data) - end
            if known is not None and (there == known[0].size or there < known[0].size > SMALL):
                what, client = known
                exchange = Exchange(self, what)
                self.cycle = exchange  # type: ignore[assignment]  # what uvicorn looks at is the same
                exchange.waits = False
                if there == what.size:
                    exchange.begin(client, data[end:])
                else:
                    self._fill(exchange, client, memoryview(data)[end:])
                return
        self._data = data if self._between else b""
        super().data_received(data)
        waiting = self.cycle
        if isinstance(waiting, Exchange) and waiting.waits and waiting.known.size > SMALL:
            self._fill_rest(waiting)
        self._data = b""

    def _fill_rest(self, exchange: "Exchange") -> None:
        """The parser has brought the head of a large body, and the beginning: the rest goes by it."""
        exchange.waits = False
        client = exchange.admit()
        if client is None:  # what still comes of the body is passed over by the parser
            return
        self._remember(exchange.known, client)
        self.parser = httptools.HttpRequestParser(self)  # as uvicorn begins
        with suppress(AttributeError):
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._between = True
        self._fill(exchange, client, memoryview(exchange.body))

    def _fill(self, exchange: "Exchange", client: str, there: Body) -> None:
        self.transport.set_protocol(Filler(self, exchange, client, there))

    def on_body(self, body: bytes) -> None:
        """The parser has a piece of a body."""
        if not isinstance(self.cycle, Exchange):
            super().on_body(body)
        elif self.cycle.waits:
            self.cycle.body += body

    def on_message_begin(self) -> None:
        """The parser sees a message begin."""
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        known = self._short_way()
        if known is None:
            super().on_headers_complete()
        else:
            self.cycle = Exchange(self, known)  # type: ignore[assignment]

    def _free(self) -> bool:
        """Whether the next request may be answered at once."""
        idle = self.cycle is None or self.cycle.response_complete
        crowded = self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency
        return idle and not crowded and not self.flow.write_paused

    def _short_way(self) -> Known | None:
        """A request that needs none of what only the long way has."""
        application = self.app
        route = application.direct.get(self.url) if isinstance(application, Application) else None
        if route is None or route.direct is None or self.parser.get_method() != b"POST" or not self._free():
            return None
        if self.expect_100_continue or self.parser.get_http_version() != "1.1":
            return None
        if self.parser.should_upgrade() or not self.parser.should_keep_alive():
            return None
        headers = dict(self.headers)
        size = headers.get(b"content-length", b"")
        plain = b"transfer-encoding" not in headers and b"content-encoding" not in headers
        fits = size.isdigit() and len(size) <= 12 and int(size) <= self.app.max_body
        if not plain or not fits or not route.direct.takes():
            return None
        return Known(route.path, route.direct, route.scope or "", headers, int(size))

    def on_message_complete(self) -> None:
        """The request is there."""
        self._between = True
        super().on_message_complete()
        exchange = self.cycle
        if isinstance(exchange, Exchange) and exchange.waits:
            exchange.waits = False
            client = exchange.admit()
            if client is not None:
                self._remember(exchange.known, client)
                exchange.begin(client, bytes(exchange.body))
        self._data = b""  # a second message in the same bytes is not their beginning

    def _remember(self, known: Known, client: str) -> None:
        """Know the head that the parser was given with what it made of it."""
        head = self._data[: self._data.find(b"\r\n\r\n") + 4]
        if not head.startswith(b"POST ") or len(head) > LONGEST:
            return
        heads = self.app.heads
        if len(heads) >= HEADS:
            del heads[next(iter(heads))]
        heads[head] = known, client

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        body = msgspec.json.encode({"error": msg})
        self.transport.write(b"%s%d\r\n\r\n%s" % (head_of(400, JSON, (), True), len(body), body))
        self.transport.close()

    def answered(self) -> None:
        """An answer on the short way is written."""
        self.server_state.total_requests += 1
        self._served = self.loop.time()
        if self.pipeline or self.timeout_keep_alive_task is None:
            self.on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """The time is up, unless requests went the short way meanwhile: they leave the timer alone."""
        left = self._served + self.timeout_keep_alive - self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            left = self.timeout_keep_alive
        if left > 0.0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()


class Filler(asyncio.BufferedProtocol):
    """Takes the place of a connection's protocol until a body is whole. Room for it is there from the beginning: at most
    what a body may have, for one who was admitted."""

    def __init__(self, owner: Protocol, exchange: "Exchange", client: str, there: Body) -> None:
        self._owner, self._exchange, self._client = owner, exchange, client
        # a bytearray would be filled with zeros first, a fifth of what the thread does for bodies of 650 kB
        self._room, self._filled = np.empty(exchange.known.size, np.uint8).data, len(there)
        self._room[: len(there)] = there

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._room[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many came."""
        self._filled += nbytes
        if self._filled == len(self._room):
            self._owner.transport.set_protocol(self._owner)
            self._exchange.begin(self._client, self._room)

    def eof_received(self) -> None:
        """No more will come."""
        self._owner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._owner.resume_writing()


class Exchange:
    """A request on the short way, and its answer; in its attributes it is like uvicorn's RequestResponseCycle."""

    __slots__ = (
        "_begun", "_finish", "_protocol", "body", "disconnected", "keep_alive", "known", "more_body", "response_complete",
        "waits",
    )  # fmt: skip

    message_event = asyncio.Event()  # set by uvicorn to wake a task; nobody waits for it here
    _finish: Callable[[Any], Answer]

    def __init__(self, protocol: Protocol, known: Known) -> None:
        self._protocol, self.known, self._begun = protocol, known, time.perf_counter()
        self.body = bytearray()
        self.more_body = self.keep_alive = self.waits = True  # waits: for its body
        self.disconnected = self.response_complete = False

    def admit(self) -> str | None:
        """Who asks; None where that is refused, and answered so. A function of the head, which may be kept."""
        known = self.known
        try:
            return str(self._protocol.app.gate.admit(known.headers, known.scope))
        except Exception as error:
            self._answer(failed(error, "POST", known.path))
            return None

    def begin(self, client: str, body: Body) -> None:
        """Hand the request over; client: "" for that of this address."""
        protocol, known = self._protocol, self.known
        try:
            protocol.app.gate.pace(client or (protocol.client[0] if protocol.client else ""))
            self._finish = known.direct.begin(known.headers, body, self.take)
        except Exception as error:
            self._answer(failed(error, "POST", known.path))

    def take(self, result: Any) -> None:
        """What the service answers: a result, or the exception that says why there is none."""
        finish = self._finish
        del self._finish  # it knows the work and that knows this: the body would stay until garbage is collected
        try:
            if isinstance(result, Exception):
                raise result
            answer = finish(result)
        except Exception as error:
            answer = failed(error, "POST", self.known.path)
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        protocol = self._protocol
        self.response_complete = True
        if not self.disconnected:
            close = not self.keep_alive or any(name == b"connection" for name, _ in answer.headers)
            head = head_of(answer.status, answer.kind, answer.headers, not self.keep_alive)
            protocol.transport.write(b"%s%d\r\n\r\n%s" % (head, len(answer.body), answer.body))
            if close:
                protocol.transport.close()
            protocol.answered()
        protocol.app.observe(self.known.path, "POST", answer.status, time.perf_counter() - self._begun)


@functools.lru_cache(256)
def head_of(status: int, kind: bytes, headers: tuple[tuple[bytes, bytes], ...], close: bool) -> bytes:
    """The head of an answer up to its length."""
    told = [(b"content-type", kind), *headers]
    if close:
        told = [*(each for each in told if each[0] != b"connection"), (b"connection", b"close")]
    return STATUS_LINE[status] + b"".join(b"%s: %s\r\n" % each for each in told) + b"content-length: "
