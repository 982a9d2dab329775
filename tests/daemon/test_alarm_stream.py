"""Alarms as server-sent events: each is told, whenever it is raised, and from wherever a client goes on."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from onlogit.daemon.endpoints import Endpoints
from onlogit.daemon.http import Request
from onlogit.daemon.settings import Settings


def endpoints(fold: Any) -> Any:
    service: Any = SimpleNamespace(settings=Settings(), worker=SimpleNamespace(fold=fold))
    found: Any = Endpoints(service)
    return found


def test_an_alarm_that_is_raised_while_others_are_read_is_told_next() -> None:
    fold = SimpleNamespace(raised=1, alarms=[{"id": 1}])
    stream = endpoints(fold)

    async def ask(function: Callable[[Any], Any]) -> Any:
        result = function(fold)
        if fold.raised < 2:  # the fold goes on before the HTTP thread has its answer
            fold.raised, fold.alarms = 2, [*fold.alarms, {"id": 2}]
        return result

    stream.ask = ask
    news = stream._new_alarms(0)
    told = [asyncio.run(news()) for _ in range(3)]
    assert told == [b'id: 1\ndata: {"id":1}\n\n', b'id: 2\ndata: {"id":2}\n\n', b""]


def test_a_client_goes_on_behind_what_it_was_told_or_at_the_beginning() -> None:
    began: list[int] = []
    stream = endpoints(SimpleNamespace())
    stream._new_alarms = began.append
    for told in (b"7", b"x", b"-1", b"9" * 5_000):
        headers = {b"accept": b"text/event-stream", b"last-event-id": told}
        asyncio.run(stream.alarms(Request("GET", "/v1/alarms", headers, b"", (), b"")))
    assert began == [7, 0, 0, 0]
