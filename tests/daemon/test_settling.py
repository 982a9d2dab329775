"""The schema is settled once, by an entry of the journal: what was acknowledged is folded by it again after any crash."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from daemon_process import ARROW, Running

from onlogit.daemon.endpoints import Endpoints
from onlogit.daemon.http import Request
from onlogit.daemon.inference import Inference
from onlogit.daemon.refusals import Refusal, refusal_of
from onlogit.daemon.service import Service
from onlogit.daemon.settings import EventSettings, KeepSettings, Settings
from onlogit.errors import ConfigError

ARGS = ("--label", "y", "--key", "id", "--learner", "sgd", "--slot-bits", "10")


def events(start: int, count: int) -> list[dict[str, Any]]:
    numbers = range(start, start + count)
    return [{"id": f"e{n}", "x": n / 7, "code": n % 3, "junk": "j", "y": n % 2 == 0} for n in numbers]


def stream(rows: list[dict[str, Any]]) -> bytes:
    batch, out = pa.RecordBatch.from_pylist(rows), pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(out.getvalue())


def replayed(state: Path, *more: str) -> str:
    """The hash of the model that a replay ends in."""
    told = forks.run([*forks.COMMAND, "replay", str(state), "--json", *more], check=True, capture_output=True)
    return str(json.loads(told.stdout)["model_sha256"])


@pytest.mark.parametrize("first", ["json", "arrow", "schema"])
@pytest.mark.parametrize("more", [("--drop", "junk"), ("--features", "category(code)")])
def test_what_was_acknowledged_before_the_first_checkpoint_is_there_after_a_crash(
    serve: Callable[..., Running], tmp_path: Path, first: str, more: tuple[str, ...]
) -> None:
    """Also where the journal has no dropped columns, and those of the schema come in another order than in the events."""
    args = (*ARGS, *more)
    if first == "schema":
        names = ["code", "junk", "y", "x", "id"]
        pq.write_table(pa.Table.from_pylist(events(0, 1)).select(names).slice(0, 0), tmp_path / "schema.parquet")
        args += ("--schema", str(tmp_path / "schema.parquet"))
    daemon = serve(*args)
    kind = {"content-type": ARROW} if first == "arrow" else {}
    body = events(0, 5)
    assert daemon.post("/v1/events", stream(body) if kind else body, **kind).status_code == 200
    assert daemon.post("/v1/events", events(5, 20)).status_code == 200
    before = daemon.json("/v1/status")
    daemon.end(signal.SIGKILL)
    again = serve(*args)
    after = again.json("/v1/status")
    assert after["counts"]["events"] == after["counts"]["learned"] == 25
    for name in ("counts", "quality", "columns", "seq"):
        assert after[name] == before[name]
    assert again.end() == 0
    assert replayed(tmp_path / "state") == replayed(tmp_path / "state", "--fresh")
    assert replayed(tmp_path / "state", "--set", "learner=ftrl") != replayed(tmp_path / "state")


def test_events_that_are_refused_settle_nothing(serve: Callable[..., Running]) -> None:
    daemon = serve(*ARGS, "--drop", "junk", "--max-waiting", "3")
    told = events(0, 2)
    for body, status in (
        ([told[0], told[1] | {"y": 5}], 422), ([told[0] | {"id": None}], 422), ("[", 400), (events(0, 4), 429),
    ):  # fmt: skip
        assert daemon.post("/v1/events", body).status_code == status
    empty = stream(told)[: -8 - 8]
    assert daemon.post("/v1/events", empty, **{"content-type": ARROW}).status_code == 400
    status = daemon.json("/v1/status")
    assert not status["settled"]
    assert status["seq"] == 1
    assert daemon.post("/v1/events", [each | {"other": 1.0} for each in told]).status_code == 200
    assert "other" in daemon.json("/v1/status")["columns"]


def test_events_before_it_is_ready_settle_nothing(tmp_path: Path) -> None:
    told = Settings(keep=KeepSettings(state=str(tmp_path)), events=EventSettings(label="y", key="id", drop="junk"))
    service = Service(told)
    body = json.dumps(events(0, 2)).encode()
    with pytest.raises(Refusal) as refused:
        asyncio.run(Endpoints(service).events(Request("POST", "/v1/events", {}, b"", (), body)))
    assert refused.value.status == 503
    assert not service.settled
    assert service.scribe.journal.last == 1
    service.stop(0.0)


def test_what_needs_a_model_is_told_to_wait_for_the_start(tmp_path: Path) -> None:
    """Without a schema: 503 until the daemon has started, then 409."""
    service = Service(Settings(keep=KeepSettings(state=str(tmp_path)), events=EventSettings(label="y")))
    endpoints = Endpoints(service)
    ways = ((Inference(endpoints).infer, ("onlogit",)), (endpoints.freeze, ()), (endpoints.rollback, ()))

    def refused() -> list[int]:
        found = []
        for way, names in ways:
            with pytest.raises((Refusal, ConfigError)) as error:
                asyncio.run(way(Request("POST", "/", {}, b"", names, b"{}")))
            found.append(refusal_of(error.value).status)
        return found

    assert refused() == [503] * 3
    service.ready.set()
    assert refused() == [409] * 3
    service.stop(0.0)


def test_two_that_come_first_are_read_by_one_schema(serve: Callable[..., Running]) -> None:
    """Whichever is accepted settles it; the other fits, or is refused."""
    daemon = serve(*ARGS, "--features", "category(code)")

    async def both() -> list[int]:
        import httpx

        async with httpx.AsyncClient(base_url=daemon.url, timeout=30) as client:
            one = client.post("/v1/events", json=events(0, 3))
            other = client.post("/v1/events", json=[each | {"more": 1.0} for each in events(3, 3)])
            return sorted(answer.status_code for answer in await asyncio.gather(one, other))

    assert asyncio.run(both()) == [200, 422]
    before = daemon.json("/v1/status")
    daemon.end(signal.SIGKILL)
    after = serve(*ARGS, "--features", "category(code)").json("/v1/status")
    assert before["counts"] == after["counts"]
    assert before["columns"] == after["columns"]
