"""What the paths under /v1 do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from onlogit.daemon import status
from onlogit.daemon.answers import told
from onlogit.daemon.arrow_rows import ArrowReader, read_stream
from onlogit.daemon.commands import command
from onlogit.daemon.entries import COMMAND, EVENTS, OUTCOMES
from onlogit.daemon.first_events import FirstEvents
from onlogit.daemon.http import EVENT_STREAM, NO_STORE, TEXT, Answer, Body, Direct, Finish, Request, as_json
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.service import Service
from onlogit.daemon.work import SCORE, Work

PULSE = 0.5  # seconds between looks at what a stream has to tell
BEAT = 15.0  # seconds after which a silent stream says that it is alive
STREAMS = 64  # at a time
NEARBY = 64  # rows up to which a score is not worth a change of threads


class Endpoints:
    """Handlers over one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.limits = service.settings.server
        self._arrow = ArrowReader(self.limits)
        self._first = FirstEvents(service.settings)
        self.streams = 0
        self._estimating = asyncio.Lock()
        self._scores: list[Work] = []  # of this turn of the loop

    # ---- rows

    async def events(self, request: Request) -> Answer:
        """Score and remember, or learn at once where the label is there."""
        return await self._answered(request, EVENTS)

    async def score(self, request: Request) -> Answer:
        """What would be stated; changes nothing."""
        return await self._answered(request, SCORE)

    async def outcomes(self, request: Request) -> Answer:
        """Labels by key."""
        return await self._answered(request, OUTCOMES)

    async def _answered(self, request: Request, kind: str) -> Answer:
        work, form = await self._work(request, kind)
        return told(work, form, await self.done(work))

    def direct(self, kind: str) -> Direct:
        """The short way of one of the three: once there is a schema."""

        def begin(headers: Mapping[bytes, bytes], body: Body, reply: Callable[[Any], None]) -> Finish:
            work, form = self._read(headers, body, kind)
            work.reply = reply
            self._submit(work)
            return lambda result: told(work, form, result)

        return Direct(lambda: self.service.settled, begin)

    async def _work(self, request: Request, kind: str) -> tuple[Work, str]:
        """The request's rows, which may be the first, and the form of its answer."""
        if request.body and kind != EVENTS:
            self.service.require_model()
        elif request.body and not self.service.settled:
            return await self._first_work(request)
        return self._read(request.headers, request.body, kind)

    async def _first_work(self, request: Request) -> tuple[Work, str]:
        """The same of events that settle the schema."""
        self.service.require_ready()
        model, form = self.service.worker.fold.model, "arrow"
        if request.says(b"content-type", b"arrow"):
            batch, schema = await asyncio.to_thread(self._first.of_batch, read_stream(request.body, self.limits), model)
        else:
            self._count_rows(request.body)
            lines = request.says(b"content-type", b"ndjson")
            batch, schema = await asyncio.to_thread(self._first.of_json, request.body, lines, model)
            one = request.body.lstrip()[:1] == b"{" and batch.num_rows == 1
            form = "lines" if lines else "one" if one else "rows"
        return Work(EVENTS, ignore, batch.num_rows, batch=batch, settles=schema), form

    def _read(self, headers: Mapping[bytes, bytes], body: Body, kind: str) -> tuple[Work, str]:
        """The rows of a request by the schema, and the form of its answer."""
        said = headers.get(b"content-type", b"").lower()
        if b"arrow" not in said or not body:
            return self._json(bytes(body), b"ndjson" in said, kind)
        batch = self._arrow.read(body, self.service.schema, kind)
        return Work(kind, ignore, batch.num_rows, batch=batch), "arrow"

    def _json(self, body: bytes, lines: bool, kind: str) -> tuple[Work, str]:
        """Rows of a JSON body, and the form of the answer."""
        if not body:
            raise Refusal(400, "the body is empty: rows are expected, as JSON, NDJSON or an Arrow IPC stream")
        self._count_rows(body)
        reader = self.service.reader(kind)
        decoded, one = reader.decode(body, lines)
        return Work(kind, ignore, len(decoded), decoded, reader), "one" if one else "lines" if lines else "rows"

    def _count_rows(self, body: bytes) -> None:
        """Rows are counted by their braces before anything is built of them."""
        if body.count(b"{") > self.limits.max_rows:
            raise Refusal(413, f"more than {self.limits.max_rows} rows; send them in several requests")

    def _submit(self, work: Work) -> None:
        """Hand a request over; its answer goes to `work.reply`."""
        if not work.rows and work.kind != COMMAND:
            raise Refusal(400, "there are no rows in the body")
        if work.kind == SCORE and work.rows <= NEARBY:
            self._score_soon(work)
        else:
            self.service.submit(work)

    async def done(self, work: Work) -> Any:
        """Submit and await the answer."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        work.reply = partial(_set, future)
        self._submit(work)
        return await future

    def _score_soon(self, work: Work) -> None:
        """Score in this thread what has come in this turn of the loop, if the fold has nothing to do."""
        self._scores.append(work)
        if len(self._scores) == 1:
            asyncio.get_running_loop().call_soon(self._score_now)

    def _score_now(self) -> None:
        works, self._scores = self._scores, []
        done = self.service.worker.score_now(works) if self.service.ready.is_set() else None
        for work, result in done or ():
            work.reply(result)
        for work in works if done is None else ():
            try:
                self.service.submit(work)
            except Refusal as refusal:
                work.reply(refusal)

    # ---- readings

    async def ask(self, function: Callable[[Any], Any]) -> Any:
        """What `function(fold)` gives between two entries."""
        self.service.require_ready()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self.service.worker.call(function, lambda result: loop.call_soon_threadsafe(_set, future, result))
        return await future

    async def status(self, request: Request) -> Answer:
        """Everything in figures; text for a person where that is asked for."""
        figures = await self.ask(lambda fold: status.figures(fold, self.service))
        if request.says(b"accept", b"text/plain"):
            return Answer(status.text(figures).encode(), TEXT, 200, (NO_STORE,))
        return as_json(figures)

    async def calibration(self, request: Request) -> Answer:
        """Reliability by level of p, and the evidence."""
        figures, sums = await self.ask(lambda fold: (status.calibration(fold), status.sums(fold)))
        async with self._estimating:  # one at a time, and beside the fold
            return as_json(figures | await asyncio.to_thread(status.spans, sums))

    async def alarms(self, request: Request) -> Answer:
        """The latest alarms; as server-sent events, each new one as it is raised."""
        if request.says(b"accept", EVENT_STREAM):
            since = request.headers.get(b"last-event-id", b"0")
            return self._stream(self._new_alarms(int(since) if since.isdigit() and len(since) <= 12 else 0))
        return as_json({"alarms": await self.ask(lambda fold: list(fold.alarms))})

    async def models(self, request: Request) -> Answer:
        """The champion and its challengers: losses on the same events, and the interval of their difference."""
        return as_json({"models": await self.ask(lambda fold: fold.challengers.figures(fold.model))})

    def _new_alarms(self, last: int) -> Callable[[], Awaitable[bytes]]:
        async def news() -> bytes:
            nonlocal last
            if self.service.worker.fold.raised == last:
                return b""
            raised, alarms = await self.ask(lambda fold: (fold.raised, list(fold.alarms)))
            fresh = [alarm for alarm in alarms if alarm["id"] > last]
            last = raised
            return b"".join(b"id: %d\ndata: %s\n\n" % (alarm["id"], msgspec.json.encode(alarm)) for alarm in fresh)

        return news

    async def live(self, request: Request) -> Answer:
        """For the page: figures each second, as server-sent events."""
        turn = 0

        async def news() -> bytes:
            nonlocal turn
            turn += 1
            if turn % 2 == 0:
                return b""
            figures = await self.ask(lambda fold: status.live(fold, self.service))
            return b"data: %s\n\n" % msgspec.json.encode(figures)

        return self._stream(news)

    def _stream(self, news: Callable[[], Awaitable[bytes]]) -> Answer:
        if self.streams >= STREAMS:
            raise Refusal(429, f"{STREAMS} streams are open already", ((b"retry-after", b"10"),))

        async def stream(piece: Callable[[bytes], Awaitable[None]]) -> None:
            self.streams += 1
            silent = 0.0
            try:
                while not self.service.draining.is_set():
                    text = await news()
                    silent = 0.0 if text else silent + PULSE
                    if text or silent >= BEAT:
                        await piece(text or b": alive\n\n")
                        silent = 0.0
                    await asyncio.sleep(PULSE)
            except Refusal:
                return
            finally:
                self.streams -= 1

        return Answer(kind=EVENT_STREAM, headers=(NO_STORE,), stream=stream)

    async def history(self, request: Request) -> Answer:
        """The figures of the past, for the page."""
        return as_json({"history": list(self.service.history)})

    # ---- commands

    async def checkpoint(self, request: Request) -> Answer:
        """Keep the state now."""
        return as_json({"seq": await asyncio.to_thread(self.service.checkpoint)})

    async def freeze(self, request: Request) -> Answer:
        """Score, join labels and watch, and learn nothing from now on."""
        return await self._command("freeze")

    async def thaw(self, request: Request) -> Answer:
        """Learn again."""
        return await self._command("thaw")

    async def ack(self, request: Request) -> Answer:
        """Acknowledge an alarm, {"alarm": ID}: evidence starts anew, and the next one is news again."""
        try:
            told = msgspec.json.decode(request.body, type=dict[str, int])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Refusal(400, f'{{"alarm": ID}} is expected: {error}') from error
        known = await self.ask(lambda fold: {alarm["id"] for alarm in fold.alarms})
        if set(told) != {"alarm"} or told["alarm"] not in known:
            raise Refusal(422, '{"alarm": ID} is expected, with the id of an alarm that /v1/alarms lists')
        return await self._command("ack", alarm=told["alarm"])

    async def promote(self, request: Request) -> Answer:
        """Let a challenger answer from now on: {"model": NAME}."""
        try:
            told = msgspec.json.decode(request.body, type=dict[str, str])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Refusal(400, f'{{"model": NAME}} is expected: {error}') from error
        names = await self.ask(lambda fold: fold.challengers.names[1:])
        if set(told) != {"model"} or told["model"] not in names:
            raise Refusal(422, '{"model": NAME} is expected, with the name of a challenger that /v1/models lists')
        return await self._command("promote", model=told["model"])

    async def rollback(self, request: Request) -> Answer:
        """Let the champion before the last promote answer again."""
        return await self._command("rollback")

    async def revert(self, request: Request) -> Answer:
        """Take back what an alarm did, as on_alarm says: recalibrate, forget or freeze."""
        return await self._command("revert")

    async def _command(self, name: str, **told: Any) -> Answer:
        self.service.require_model()
        seq, result = await self.done(Work(COMMAND, ignore, data=command(name, **told)))
        return as_json({"seq": seq, **result})


def _set(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        (future.set_exception if isinstance(result, Exception) else future.set_result)(result)


def ignore(result: Any) -> None:
    """Until somebody waits."""
