"""`onlogit revert`: what an alarm did is taken back, from a model file and from the state of a run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet as pq

import onlogit as ol
from onlogit.config import Config, MonitorConfig
from onlogit.storage import Checkpoints

Call = Callable[..., "subprocess.CompletedProcess[Any]"]
WATCHED = ("--patience", 500, "--slot-bits", 4, "--names", 0)

pytestmark = pytest.mark.slow  # a process or many for each case


def turned(n: int = 8_000, at: int = 4_000) -> pa.Table:
    """Events whose outcome turns around, so that an alarm is raised and something is done about it."""
    draw = np.random.default_rng(3)
    x = draw.normal(size=n)
    sign = np.where(np.arange(n) < at, 2.0, -2.0)
    return pa.table({"x": x, "late": draw.random(n) < 1 / (1 + np.exp(-sign * x))})


def acted(on_alarm: str) -> ol.OnlineLogit:
    """A model that learned nothing after event 2,000, but for what its alarms made it do."""
    monitor = MonitorConfig(500.0, on_alarm=on_alarm)
    model = ol.OnlineLogit(label="late", config=Config(slot_bits=4, names=0, monitor=monitor))
    table = turned()
    model.step(table.slice(0, 2_000))
    if on_alarm != "freeze":
        model.freeze()
    model.step(table.slice(2_000))
    return model


@pytest.mark.parametrize("on_alarm", ["recalibrate", "freeze"])
def test_of_a_model_file(on_alarm: str, onlogit: Call, tmp_path: Path) -> None:
    model = acted(on_alarm)
    fold = model.pipeline
    assert fold.repair is not None
    assert fold.repair.acted
    model.save(tmp_path / "m")
    told = onlogit("revert", "m", "--out", "before", "--json")
    assert told.returncode == 0, told.stderr
    assert (json.loads(told.stdout)["kind"], json.loads(told.stdout)["what"]) == ("act", "revert")
    assert (tmp_path / "m").read_bytes() == model.to_bytes()
    model.revert()
    assert (tmp_path / "before").read_bytes() == model.to_bytes()
    assert onlogit("revert", "m").stdout == "revert at event 8000: stated and learned as before\n"
    assert (tmp_path / "m").read_bytes() == model.to_bytes()
    again = onlogit("revert", "m")
    assert again.returncode == 2
    assert "m: there is nothing to take back" in again.stderr


def test_of_a_run_which_goes_on_from_there(onlogit: Call, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(turned().slice(0, 7_500), tmp_path / "in" / "a.parquet")
    run = (
        "run",
        "in",
        "--label",
        "late",
        *WATCHED,
        "--on-alarm",
        "forget",
        "--state",
        "s",
        "--out",
        "o.ndjson",
        "--quiet",
    )
    decide = ("--capacity", "10/100")  # a decider's state is kept beside the model's
    assert onlogit(*run, *decide, "--alarms", "a.ndjson").returncode == 0
    alarms = [json.loads(line) for line in (tmp_path / "a.ndjson").read_text().splitlines()]
    assert {alarm["what"] for alarm in alarms if alarm["kind"] == "act"} == {"forget"}
    before = last(tmp_path / "s")
    told = onlogit("revert", "s")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("revert at event 7500: known is what was before")
    after = last(tmp_path / "s")
    assert after.positions == before.positions
    assert after.generation == before.generation + 1
    kept = {name for name in before.arrays if not name.startswith(("learner.", "repair."))}
    assert all(after.arrays[name].tobytes() == before.arrays[name].tobytes() for name in kept)
    known = {name.removeprefix("repair.before.") for name in before.arrays if name.startswith("repair.before.")}
    assert "mean" in known
    assert (after.arrays["learner.mean"] == before.arrays["repair.before.mean"]).all()
    pq.write_table(turned().slice(7_500), tmp_path / "in" / "b.parquet")
    assert onlogit(*run, *decide, "--alarms", "a.ndjson").returncode == 0
    assert len((tmp_path / "o.ndjson").read_text().splitlines()) == 8_000


def test_what_cannot_be_taken_back(onlogit: Call, tmp_path: Path) -> None:
    acted("warn").save(tmp_path / "warned")
    (tmp_path / "empty").mkdir()
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon" / "journal.sqlite").write_bytes(b"")
    for args, code, message in (
        (("warned",), 2, "there is nothing to take back"),
        (("absent",), 3, "no such file"),
        (("empty",), 4, "is no state of a run"),
        (("empty", "--out", "x"), 2, "--out is for a model file"),
        (("daemon",), 2, "send it the command revert"),
    ):
        told = onlogit("revert", *args)
        assert (told.returncode, message in told.stderr) == (code, True), told.stderr


def last(folder: Path) -> Any:
    checkpoints = Checkpoints(folder, hold=False)
    found = checkpoints.latest()
    checkpoints.close()
    assert found is not None
    return found
