"""The daemon over loopback: what goes in, what comes out, what is refused."""

import gzip
import json
import struct
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from daemon_process import ARROW, NDJSON, Running

from onlogit import Config, OnlineLogit


def stream(batch: pa.RecordBatch, **options: Any) -> bytes:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(out.getvalue())


def read(answer: httpx.Response) -> pa.Table:
    assert answer.status_code == 200, answer.text
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all()


def rows(start: int, count: int, seed: int = 1) -> list[dict[str, Any]]:
    draw = np.random.default_rng(seed + start)
    return [
        {"id": f"k{start + n}", "x": float(draw.normal()), "town": f"t{draw.integers(4)}"} for n in range(count)
    ]  # fmt: skip


def test_one_event_at_a_time_in_lines_and_in_arrow_are_the_same_stream(serve: Callable[..., Running]) -> None:
    """The whole flow in three forms of body; the model is that of the same stream folded in this process."""
    daemon = serve("--label", "late", "--key", "id")
    told = rows(0, 60)
    first = daemon.post("/v1/events", told[0]).json()
    assert first == {"seq": 3, "event": 0, "p": 0.5, "z": 0.0, "z_sd": first["z_sd"]}
    lines = daemon.post("/v1/events", "\n".join(map(json.dumps, told[1:20])), **{"content-type": NDJSON})
    said = [json.loads(line) for line in lines.text.splitlines()]
    assert [row["event"] for row in said] == list(range(1, 20))
    batch = pa.RecordBatch.from_pylist(told[20:])
    table = read(daemon.post("/v1/events", stream(batch), **{"content-type": ARROW}))
    assert table["event"].to_pylist() == list(range(20, 60))
    labels = [{"id": row["id"], "late": int(n % 3 == 0)} for n, row in enumerate(told)]
    assert daemon.post("/v1/outcomes", labels[:30]).json() == {
        "seq": 6, "outcomes": 30, "matched": 30, "held": 0, "duplicates": 0, "unlabelled": 0, "late": 0,
    }  # fmt: skip
    arrow = pa.RecordBatch.from_pylist(labels[30:])
    assert read(daemon.post("/v1/outcomes", stream(arrow), **{"content-type": ARROW}))["matched"].to_pylist() == [30]
    more = rows(60, 3)
    told_p = [row["p"] for row in daemon.post("/v1/events", more).json()["rows"]]

    model = OnlineLogit(label="late", key="id")
    whole = pa.Table.from_pylist([*told, *more]).append_column("late", pa.nulls(63))
    model.step(whole.slice(0, 60))
    model.outcomes(pa.Table.from_pylist(labels))
    np.testing.assert_array_equal(model.step(whole.slice(60)).p, told_p)
    status = daemon.json("/v1/status")
    assert status["counts"]["events"] == 63
    assert status["counts"]["learned"] == 60
    assert status["quality"]["log_loss"] == model.quality().log_loss
    assert daemon.end() == 0
    assert daemon.log.read_text().count('"level": "error"') == 0


def test_score_changes_nothing_and_agrees_in_every_form(shared: Running) -> None:
    before = shared.json("/v1/status")["counts"]
    told: list[dict[str, Any]] = [{"x": 1.5, "town": "Ulm"}, {"x": None, "town": None}, {"x": -1e30, "town": "new"}]
    p = [row["p"] for row in shared.post("/v1/score", told).json()["rows"]]
    assert shared.post("/v1/score", told[0]).json()["p"] == p[0]
    assert shared.post("/infer", {**told[0], "id": "k", "late": 1}).json()["p"] == p[0]
    batch = pa.RecordBatch.from_pylist(told)
    assert read(shared.post("/v1/score", stream(batch), **{"content-type": ARROW}))["p"].to_pylist() == p
    packed = stream(batch, compression="zstd")
    assert read(shared.post("/v1/score", packed, **{"content-type": ARROW}))["p"].to_pylist() == p
    zipped = gzip.compress(json.dumps(told).encode())
    assert [row["p"] for row in shared.post("/v1/score", zipped, **{"content-encoding": "gzip"}).json()["rows"]] == p
    assert shared.json("/v1/status")["counts"] == before


def test_a_score_in_a_thousand_rows(shared: Running) -> None:
    told = [{"x": n / 7, "town": f"t{n % 5}"} for n in range(1000)]
    p = [row["p"] for row in shared.post("/v1/score", told).json()["rows"]]
    assert len(p) == 1000
    assert shared.post("/v1/score", told[999]).json()["p"] == p[999]


def test_duplicates_and_early_outcomes(shared: Running) -> None:
    before = shared.json("/v1/status")["oddities"]
    once = shared.post("/v1/events", {"id": "dup", "x": 1.0, "town": "Ulm"}).json()
    again = shared.post("/v1/events", [{"id": "dup", "x": 9.0, "town": "Bonn"}, *rows(900, 1)]).json()["rows"]
    assert (again[0]["event"], again[0]["p"], again[0]["duplicate"]) == (once["event"], once["p"], True)
    assert "duplicate" not in again[1]
    assert shared.post("/v1/outcomes", {"id": "soon", "late": True}).json()["held"] == 1
    told = shared.post("/v1/outcomes", [{"id": "soon", "late": False}, {"id": "x1", "late": None}]).json()
    assert (told["outcomes"], told["matched"], told["held"], told["duplicates"], told["unlabelled"]) == (2, 0, 0, 1, 1)
    learned = shared.json("/v1/status")["counts"]["learned"]
    shared.post("/v1/events", {"id": "soon", "x": 1.0, "town": "Ulm"})
    after = shared.json("/v1/status")
    assert after["counts"]["learned"] == learned + 1
    grown = {name: count - before[name] for name, count in after["oddities"].items() if count != before[name]}
    assert grown == {
        "duplicate_events": 1, "early_outcomes": 1, "early_used": 1, "duplicate_outcomes": 1, "unlabelled_outcomes": 1,
    }  # fmt: skip


def bomb() -> bytes:
    """Twelve kilobytes that claim to be 400 megabytes."""
    return stream(pa.record_batch({"x": np.zeros(50_000_000)}), compression="zstd")


def tensor(datatype: str, data: list[Any]) -> bytes:
    """A question of /v2 about x alone."""
    told = {"name": "x", "shape": [len(data)], "datatype": datatype, "data": data}
    return json.dumps({"inputs": [told]}).encode()


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "says"),
    [
        ("/v1/events", b"", {}, 400, "empty"),
        ("/v1/events", b"{", {}, 400, "not JSON rows"),
        ("/v1/events", b"[" * 100_000, {}, 422, "object"),
        ("/v1/events", b"[]", {}, 400, "no rows"),
        ("/v1/events", b'{"id": "a", "x": 1}', {}, 422, "town"),
        ("/v1/events", b'{"id": "a", "x": "warm", "town": "b"}', {}, 422, "x"),
        ("/v1/events", b'{"id": "a", "x": 1, "town": "b", "extra": 1}', {}, 422, "extra"),
        ("/v1/events", b'{"id": null, "x": 1, "town": "b"}', {}, 422, "id"),
        ("/v1/events", b'{"id": "a", "x": 1, "town": "b", "late": 7}', {}, 422, "late"),
        ("/v1/outcomes", b'{"id": "a"}', {}, 422, "late"),
        ("/v1/outcomes", b'{"key": "a", "late": 1}', {}, 422, "key"),
        ("/v1/score", b"nothing like Arrow", {"content-type": ARROW}, 400, "Arrow"),
        ("/v1/score", b"not gzip", {"content-encoding": "gzip"}, 400, "gzip"),
        ("/v1/score", b"{}", {"content-encoding": "br"}, 415, "gzip, zstd"),
        ("/v1/score", b'{"x": 1}\n' * 70_000, {}, 413, "65536 rows"),
        ("/v1/commands/ack", b'{"alarm": 99}', {}, 422, "alarm"),
        ("/v2/models/other/infer", b"{}", {}, 404, "no such model"),
        ("/v2/models/onlogit/infer", b'{"inputs": []}', {}, 400, "no rows"),
        ("/v2/models/onlogit/infer", tensor("FP64", [[1.0], 2.0]), {}, 422, "neither all lists"),
        ("/v2/models/onlogit/infer", tensor("INT32", [1.7, 2.9]), {}, 422, "is INT32, which its data are not"),
        ("/v2/models/onlogit/infer", b"{}", {"inference-header-content-length": "9" * 5_000}, 400, "a length up to 2"),
        ("/v1/status", b"{}", {}, 405, "GET"),
        ("/../../etc/passwd", b"", {}, 404, "nothing here"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why(
    shared: Running, path: str, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    answer = shared.post(path, body, **headers)
    assert answer.status_code == status, answer.text
    assert says in answer.text
    if status != 200:
        assert list(answer.json()) == ["error"]


def test_bodies_that_grow_are_refused_before_they_do(shared: Running) -> None:
    body = bomb()
    assert len(body) < 50_000
    memory = resident(shared)
    answer = shared.post("/v1/score", body, **{"content-type": ARROW})
    assert answer.status_code == 413, answer.text
    zipped = gzip.compress(bytes(400 << 20), 1)
    answer = shared.post("/v1/score", zipped, **{"content-encoding": "gzip"})
    assert (answer.status_code, list(answer.json())) == (413, ["error"])
    answer = shared.post("/v1/score", bytes(40 << 20))
    assert (answer.status_code, list(answer.json())) == (413, ["error"])
    nulls = stream(pa.RecordBatch.from_arrays([pa.nulls(1 << 20)], names=["x"]))
    assert shared.post("/v1/score", nulls, **{"content-type": ARROW}).status_code == 413
    assert resident(shared) < memory + 120e6


def resident(daemon: Running) -> float:
    with open(f"/proc/{daemon.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096.0


def test_status_metrics_and_descriptions(shared: Running) -> None:
    text = shared.get("/v1/status", accept="text/plain").text
    assert text.startswith("ready              yes")
    metrics = shared.get("/metrics").text
    assert "onlogit_events_total" in metrics
    assert 'onlogit_http_requests_total{method="GET",route="/v1/status",status="200"}' in metrics
    for line in metrics.splitlines():
        assert line.startswith(("# HELP onlogit_", "# TYPE onlogit_", "onlogit_")), line
    assert shared.json("/openapi.json")["paths"]["/v1/events"]["post"]["summary"]
    assert shared.json("/ready") == {"ready": True, "writable": True, "settled": True}
    assert "levels" in shared.json("/v1/calibration")
    assert shared.json("/v1/alarms") == {"alarms": []}
    assert shared.get("/").headers["content-type"].startswith("text/html")


def test_inference_protocol_in_json_and_in_bytes(shared: Running) -> None:
    p = [
        row["p"]
        for row in shared.post("/v1/score", [{"x": 1.5, "town": "Ulm"}, {"x": 2.5, "town": "Bonn"}]).json()["rows"]
    ]
    assert shared.json("/v2/health/live") == {"live": True}
    assert shared.json("/v2/health/ready") == {"ready": True}
    told = shared.json("/v2/models/onlogit/versions/1")
    assert [tensor["name"] for tensor in told["inputs"]] == ["x", "town"]
    inputs: list[dict[str, Any]] = [
        {"name": "town", "shape": [2], "datatype": "BYTES", "data": ["Ulm", "Bonn"]},
        {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [[1.5], [2.5]]},
    ]
    answer = shared.post("/v2/models/onlogit/infer", {"id": "7", "inputs": inputs}).json()
    assert (answer["id"], answer["model_name"]) == ("7", "onlogit")
    assert {o["name"]: o["data"] for o in answer["outputs"]}["p"] == p
    texts = b"".join(struct.pack("<I", len(t)) + t for t in (b"Ulm", b"Bonn"))
    tail = texts + np.array([1.5, 2.5], "<f4").tobytes()
    for tensor, size in zip(inputs, (len(texts), 8), strict=True):
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": size}
    asked = {"inputs": inputs, "outputs": [{"name": "p", "parameters": {"binary_data": True}}]}
    head = json.dumps(asked).encode()
    length = {"inference-header-content-length": str(len(head))}
    raw = shared.post("/v2/models/onlogit/versions/1/infer", head + tail, **length)
    split = int(raw.headers["inference-header-content-length"])
    assert np.frombuffer(raw.content[split:], "<f8").tolist() == p
    for broken, status in ((head + tail[:-1], 422), (head + tail + b"x", 422), (head[:-1] + tail, 400)):
        assert shared.post("/v2/models/onlogit/infer", broken, **length).status_code == status


def test_triton_client(shared: Running) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(shared.url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("onlogit")
    assert client.get_model_metadata("onlogit")["platform"] == "onlogit"
    for binary in (True, False):
        x = triton.InferInput("x", [2], "FP32")
        x.set_data_from_numpy(np.array([1.5, 2.5], np.float32), binary_data=binary)
        town = triton.InferInput("town", [2], "BYTES")
        town.set_data_from_numpy(np.array([b"Ulm", b"Bonn"], object), binary_data=binary)
        wanted = [triton.InferRequestedOutput("p", binary_data=binary)]
        got = client.infer("onlogit", [x, town], outputs=wanted).as_numpy("p")
        told = shared.post("/v1/score", [{"x": 1.5, "town": "Ulm"}, {"x": 2.5, "town": "Bonn"}]).json()["rows"]
        assert got.tolist() == [row["p"] for row in told]
    client.close()


def test_labels_in_the_record_without_a_key(serve: Callable[..., Running]) -> None:
    daemon = serve("--label", "y", "--learner", "sgd")
    draw = np.random.default_rng(3)
    x = draw.normal(size=400)
    table = pa.record_batch({"x": x, "y": (draw.random(400) < 0.4).astype(np.int8)})
    for start in range(0, 400, 100):
        answer = daemon.post("/v1/events", stream(table.slice(start, 100)), **{"content-type": ARROW})
        assert answer.status_code == 200, answer.text
    model = OnlineLogit("y", config=Config(learner="sgd"))
    model.step(table)
    assert daemon.json("/v1/status")["quality"]["log_loss"] == model.quality().log_loss
    assert daemon.post("/v1/outcomes", {"id": 1, "y": 1}).status_code == 422
    refused = daemon.post("/v1/events", [{"x": 1.0, "y": 0}, {"x": 1.0, "y": -1}])
    assert refused.status_code == 422
    assert daemon.json("/v1/status")["counts"]["events"] == 400


def test_no_model_yet(serve: Callable[..., Running]) -> None:
    daemon = serve("--label", "y", "--max-columns", "2")
    for path in ("/v1/score", "/v1/outcomes", "/v2/models/onlogit/infer", "/v1/commands/freeze"):
        answer = daemon.post(path, {"inputs": []})
        assert answer.status_code == 409, answer.text
        assert "no model yet" in answer.json()["error"]
    assert "none yet" in daemon.get("/v1/status", accept="text/plain").text
    assert daemon.get("/metrics").status_code == 200
    for wide in ({"a": 1, "b": 2, "c": 3}, [{"a": 1}, {"b": 2, "c": 3}]):
        answer = daemon.post("/v1/events", wide)
        assert (answer.status_code, answer.json()["error"]) == (413, "3 columns; accepted are 2")
    assert daemon.post("/v1/events", [{"y": 1}]).json()["rows"][0]["p"] == 0.5  # of no feature: a base rate
    assert daemon.json("/v1/status")["settled"]
