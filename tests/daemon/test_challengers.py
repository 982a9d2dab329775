"""Challengers fold the champion's journal: state is a function of it, and a promote changes who answers and nothing else."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forks
import httpx
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from daemon_process import Running

from onlogit import Config, OnlineLogit
from onlogit.daemon.challengers import Challenger
from onlogit.daemon.entries import COMMAND, EVENTS, OUTCOMES, beginning
from onlogit.daemon.fold import Fold
from onlogit.daemon.http import Request
from onlogit.daemon.inference import Inference
from onlogit.daemon.recovery import apply
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.settings import EventSettings, Settings
from onlogit.daemon.sources import resolve
from onlogit.errors import ConfigError
from onlogit.monitor.comparison import losses
from onlogit.storage import arrays
from onlogit.storage.journal import Entry

ROLES = EventSettings(label="y", key="k").roles()
CONFIG = Config(learner="sgd", slot_bits=8)
FTRL = {"name": "quick", "frozen": False, "settings": {"learner": "ftrl"}}
TERMS = {"name": "terms", "frozen": False, "settings": {}, "features": ["spline(x, 4)"]}
COPY = {"name": "copy", "frozen": True, "settings": {}}


def rows(start: int, n: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Events and their outcomes."""
    draw = np.random.default_rng(start)
    x = draw.normal(0.0, 2.0, n)
    keys = pa.array(np.arange(start, start + n))
    y = pa.array((draw.random(n) < 1 / (1 + np.exp(2.0 - x * x))).astype(np.int8))
    return pa.record_batch({"k": keys, "x": x, "y": pa.nulls(n)}), pa.record_batch({"k": keys, "y": y})


def entry(seq: int, kind: str, told: Any) -> Entry:
    if kind == COMMAND:
        return Entry(seq, kind, 0, json.dumps(told).encode(), b"")
    return Entry(seq, kind, 0, bytes(told.serialize()), bytes(told.schema.serialize()))


def journal() -> list[Entry]:
    """Events in turns with the outcomes of the turn before; challengers from the start and later; promotes."""
    told: list[tuple[str, Any]] = [(COMMAND, {"command": "challenge", "models": [FTRL, TERMS]})]
    for turn in range(16):
        told.append((EVENTS, rows(100 * turn, 100)[0]))
        if turn:
            told.append((OUTCOMES, rows(100 * (turn - 1), 100)[1]))
        if turn == 5:
            told.append((COMMAND, {"command": "challenge", "models": [FTRL, TERMS, COPY, {**FTRL, "name": "late"}]}))
        if turn == 9:
            told.append((COMMAND, {"command": "promote", "model": "terms"}))
        if turn == 12:
            told += [(COMMAND, {"command": "promote", "model": "late"}), (COMMAND, {"command": "rollback"})]
    return [entry(seq, *each) for seq, each in enumerate(told, 2)]


def begun() -> Fold:
    fold = Fold()
    fold.begin(1, beginning(ROLES, CONFIG, 50))
    return fold


def packed(fold: Fold) -> bytes:
    return arrays.pack(fold.header(), fold.state())


@pytest.mark.parametrize("stop", [0, 9, 14, 22])
def test_state_is_a_function_of_the_journal(stop: int) -> None:
    """Not of slices, and not of a stop between."""
    straight, other = begun(), begun()
    for at, each in enumerate(journal()):
        apply(straight, each)
        if each.kind == COMMAND or not other.model.settled:
            apply(other, each)
        else:
            fold = other.events if each.kind == EVENTS else other.outcomes
            batch = pa.ipc.read_record_batch(each.data, pa.ipc.read_schema(pa.py_buffer(each.shape)))
            fold(each.seq, batch, 0, most=17)
        if at == stop and other.settled:
            other = Fold.of_state(*arrays.unpack(packed(other), "here"), other.seq, "here")
    assert packed(straight) == packed(other)
    assert straight.challengers.champion == "terms"
    assert straight.challengers.names == ["terms", "quick", "initial", "copy", "late"]
    assert all(each.runs for each in straight.challengers.all)


def test_a_model_is_ready_where_it_answers() -> None:
    fold = begun()
    for each in journal():
        apply(fold, each)
    fold.challengers.all[0].out(ConfigError("it refuses an event"))
    fold.challengers.all.append(Challenger("new", FTRL))
    ready: Any = SimpleNamespace(is_set=lambda: True)
    service: Any = SimpleNamespace(
        ready=ready, settled=True, settings=Settings(), worker=SimpleNamespace(fold=fold), schema=fold.reading.schema
    )
    inference = Inference(SimpleNamespace(service=service))  # type: ignore[arg-type]

    def ready_of(name: str) -> int:
        return asyncio.run(inference.model_ready(Request("GET", "/", {}, b"", (name,), b""))).status

    def metadata_of(name: str) -> int:
        try:
            return asyncio.run(inference.metadata(Request("GET", "/", {}, b"", (name,), b""))).status
        except Refusal as refusal:
            return refusal.status

    for name in ("quick", "new"):
        assert ready_of(name) == 503
        with pytest.raises(ConfigError, match=r"no model .* at work"):
            fold.named(name)
    assert [ready_of(name) for name in ("onlogit", "terms", "initial", "copy", "late")] == [200] * 5
    assert [metadata_of(name) for name in ("onlogit", "terms", "late", "new")] == [200] * 4
    assert [metadata_of(name) for name in ("quick", "nobody")] == [404] * 2  # out, never there


def test_each_is_the_model_that_it_would_be_alone_and_is_compared_on_the_same_events() -> None:
    fold = begun()
    alone = {"initial": OnlineLogit(**ROLES, config=CONFIG)}
    alone["quick"] = OnlineLogit(**ROLES, config=Config(learner="ftrl", slot_bits=8))
    alone["terms"] = OnlineLogit(**(ROLES | {"features": ["spline(x, 4)"]}), config=CONFIG)
    apply(fold, entry(2, COMMAND, {"command": "challenge", "models": [FTRL, TERMS]}))
    z: dict[str, list[Any]] = {name: [] for name in alone}
    for turn in range(4):
        events, outcomes = rows(100 * turn, 100)
        for seq, kind, batch in ((3 + 2 * turn, EVENTS, events), (4 + 2 * turn, OUTCOMES, outcomes)):
            apply(fold, entry(seq, kind, batch))
        for name, model in alone.items():
            z[name].append(model.step(events).z)
            model.outcomes(outcomes)
    for name, model in alone.items():
        own, found = model.state(), fold.named(name).state()
        assert all((own[part] == found[part]).all() for part in own if own[part].dtype.kind != "f")
        assert all(
            np.array_equal(own[part], found[part], equal_nan=True) for part in own if own[part].dtype.kind == "f"
        )
    y = np.concatenate([rows(100 * turn, 100)[1]["y"].to_numpy() for turn in range(4)])
    figures = {each["name"]: each for each in fold.challengers.figures(fold.model)}
    for name in ("quick", "terms"):
        mine, champions = (losses(np.concatenate(z[who]), y).mean() for who in (name, "initial"))
        compared = figures[name]["compared"]
        assert compared["examples"] == 400
        assert compared["log_loss"] == pytest.approx(mine)
        assert compared["difference"] == pytest.approx(champions - mine)
        assert compared["low"] < compared["difference"] < compared["high"]


def test_a_promote_keeps_numbers_and_waiting_events_and_one_that_cannot_be_changes_nothing() -> None:
    fold = begun()
    for each in journal()[:8]:  # the last events wait
        apply(fold, each)
    apply(fold, entry(90, COMMAND, {"command": "challenge", "models": [FTRL, TERMS, {**FTRL, "name": "late"}]}))
    before = packed(fold)
    for told in (
        {"command": "promote", "model": "late"},
        {"command": "promote", "model": "no"},
        {"command": "rollback"},
    ):
        assert isinstance(apply(fold, entry(90, COMMAND, told)), ConfigError)
    assert packed(fold) == before
    count = fold.model.counts.events
    assert apply(fold, entry(91, COMMAND, {"command": "promote", "model": "quick"}))["champion"] == "quick"
    assert fold.model.config.learner == "ftrl"
    waiting = rows(300, 100)
    assert fold.outcomes(92, waiting[1], 0).fate.tolist() == [0] * 100
    stated = fold.events(93, rows(5000, 3)[0], 0)
    assert stated.event.tolist() == [count, count + 1, count + 2]


def test_a_challenger_that_cannot_be_is_out_and_the_champion_goes_on() -> None:
    fold = begun()
    wrong = {**TERMS, "features": ["spline(nothing, 4)"]}
    apply(fold, entry(2, COMMAND, {"command": "challenge", "models": [wrong]}))
    for each in journal()[1:6]:
        apply(fold, each)
    assert "nothing" in fold.challengers.figures(fold.model)[1]["out"]
    assert fold.model.counts.learned == 200
    again = Fold.of_state(*arrays.unpack(packed(fold), "here"), fold.seq, "here")
    assert packed(again) == packed(fold)


def test_settings(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('label = "y"\n[[challengers]]\nname = "quick"\nlearner = "ftrl"\n[challengers.sgd]\nrate = 0.1\n')
    (told,) = resolve(str(file), {}, {})[0].challengers
    assert told == {"name": "quick", "frozen": False, "settings": {"learner": "ftrl", "sgd": {"rate": 0.1}}}
    shown = forks.run([*forks.COMMAND, "config", "show", str(file)], check=True, capture_output=True, text=True)
    assert shown.stderr == ""
    file.write_text(shown.stdout)
    assert resolve(str(file), {}, {})[0].challengers == (told,)
    for wrong in (
        'name = "onlogit"', 'name = "A"', 'learner = "sgd"', 'name = "a"\nlearner = "x"', 'name = "a"\nport = 3',
        'name = "a"\nfrozen = 1', 'name = "a"\nfeatures = "x"', 'name = "a"\nfrozen = true\nlearner = "sgd"',
        'name = "a"\n[challengers.labels]\ndelay = 3', 'name = "a"\n[[challengers]]\nname = "a"',
    ):  # fmt: skip
        file.write_text(f"[[challengers]]\n{wrong}\n")
        with pytest.raises(ConfigError):
            resolve(str(file), {}, {})


def test_over_http(serve: Callable[..., Running], tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('label = "y"\nkey = "k"\nlearner = "sgd"\n[[challengers]]\nname = "quick"\nlearner = "ftrl"\n')
    daemon = serve(str(file))
    events = [{"k": k, "x": k / 7 % 3} for k in range(60)]
    assert daemon.post("/v1/events", events).status_code == 200
    assert daemon.post("/v1/outcomes", [{"k": k, "y": k % 2 == 0} for k in range(60)]).status_code == 200
    champion, quick = daemon.json("/v1/models")["models"]
    assert (champion["name"], quick["name"], quick["learner"]) == ("initial", "quick", "ftrl")
    assert quick["compared"]["examples"] == 60

    def asked(name: str) -> httpx.Response:
        inputs = [{"name": "x", "shape": [1], "datatype": "FP64", "data": [2.0]}]
        return daemon.post(f"/v2/models/{name}/infer", {"inputs": inputs})

    stated = {name: asked(name).json()["outputs"][0]["data"] for name in ("onlogit", "initial", "quick")}
    assert stated["onlogit"] == stated["initial"] != stated["quick"]
    assert asked("nobody").status_code == 404
    assert 'onlogit_model_difference_nats{bound="low",model="quick"}' in daemon.get("/metrics").text
    assert daemon.post("/v1/commands/promote", {"model": "nobody"}).status_code == 422
    assert daemon.post("/v1/commands/rollback", b"").status_code == 409
    assert daemon.post("/v1/commands/revert", b"").status_code == 409  # no alarm has done anything
    assert daemon.post("/v1/commands/promote", {"model": "quick"}).json()["champion"] == "quick"
    assert asked("onlogit").json()["outputs"][0]["data"] == stated["quick"]
    assert daemon.json("/v1/status")["champion"] == "quick"
    seq = daemon.json("/v1/status")["seq"]
    daemon.end(9)
    daemon = serve(str(file))
    assert daemon.json("/v1/status")["seq"] == seq  # nobody new challenges
    assert daemon.json("/v1/status")["champion"] == "quick"
    assert asked("onlogit").json()["outputs"][0]["data"] == stated["quick"]
    assert daemon.post("/v1/commands/rollback", b"").json()["champion"] == "initial"
    assert asked("onlogit").json()["outputs"][0]["data"] == stated["initial"]
