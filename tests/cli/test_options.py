"""Due times, derived features and configuration files through the real command."""

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
from bench.workloads import drifting
from onlogit.config import read

Call = Callable[..., "subprocess.CompletedProcess[Any]"]

CONFIG = """
label = "y"
time = "at"
label_time = "known_at"
drop = ["id"]
features = ["a*kind", "spline(b, 8)"]
slot_bits = 10

[labels]
horizon = "1h"

[monitor]
warm_up = 50
on_alarm = "recalibrate"

[belief]
half_lives = ["inf", 500.0]
"""
FLAGS = (
    "--label", "y", "--time", "at", "--label-time", "known_at", "--drop", "id", "--feature", "a*kind",
    "--feature", "spline(b, 8)", "--slot-bits", "10", "--horizon", "1h", "--warm-up", "50",
    "--on-alarm", "recalibrate",
)  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pq.write_table(drifting(3000).table, tmp_path / "in.parquet")
    (tmp_path / "onlogit.toml").write_text(CONFIG)
    return tmp_path / "in.parquet"


def test_a_file_and_flags_say_the_same(onlogit: Call, source: Path, tmp_path: Path) -> None:
    roles, config = read(str(tmp_path / "onlogit.toml"))
    model = ol.OnlineLogit(**roles, config=config)
    model.step(pq.read_table(source))
    model.finish()
    told = onlogit("learn", source, "--config", "onlogit.toml", "--json", "--out", "m")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "m").read_bytes() == model.to_bytes()
    (tmp_path / "onlogit.toml").write_text(CONFIG.partition("[belief]")[0])
    file, flags = (onlogit("learn", source, *args, "--out", "m") for args in (("--config", "onlogit.toml"), FLAGS))
    assert file.returncode == flags.returncode == 0, file.stderr + flags.stderr
    assert ol.load(tmp_path / "m").schema.terms == ("a*kind", "spline(b, 8)")
    assert [line for line in file.stdout.splitlines() if "time " not in line] == [
        line for line in flags.stdout.splitlines() if "time " not in line
    ]


def test_flags_win_over_the_file_and_the_environment_between(onlogit: Call, source: Path, tmp_path: Path) -> None:
    args = ("--config", "onlogit.toml", "--horizon", "2h", "--drop", "id,kind", "--feature", "b*a")
    told = onlogit("learn", source, "--out", "m", *args, env={"ONLOGIT_HORIZON": "3h", "ONLOGIT_WARM_UP": "70"})
    assert told.returncode == 0, told.stderr
    model = ol.load(tmp_path / "m")
    assert model.schema.terms == ("b*a",)
    assert (model.config.labels.horizon, model.config.monitor.warm_up, model.config.slot_bits) == ("2h", 70, 10)
    assert model.config.belief.half_lives == (float("inf"), 500.0)
    assert model.schema.by_name["kind"].role == "dropped"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label = 'y'\nlable_time = 'x'", "onlogit.toml: unknown setting 'lable_time'; did you mean label_time?"),
        ("label = 'y'\n[labels]\nhorizon = '3 months'", "onlogit.toml: horizon = '3 months' is out of range"),
        ("label = 'y'\n[labels]\ndelays = 3", "onlogit.toml.labels: unknown setting 'delays'"),
        ("label = 'y'\n[monitor]\nwarm_up = 'x'", "onlogit.toml.monitor.warm_up: found 'x', expected int"),
        ("label = 'y'\nlabel_delay = 3", "onlogit.toml: unknown setting 'label_delay'; it stands in [labels] as delay"),
        ("label = 'y'\nhorizon = '1h'", "onlogit.toml: unknown setting 'horizon'; it stands in [labels] as horizon"),
        ("label = 'y'\n[belief]\nhalf_lives = []", "half_lives: found [], expected a list of one or more numbers"),
        ("label = 'y'\n[monitor]\npatience = 0.5", "patience = 0.5 is out of range: a number of events from 1 to 1e15"),
        ("label = 3", "onlogit.toml: label = 3; expected the name of a column"),
        ("features = 'a*b'", "onlogit.toml: features = 'a*b'; expected a list of texts"),
        ("label = ", "onlogit.toml is not TOML: Invalid value"),
    ],
)
def test_a_wrong_file_says_what_to_do(onlogit: Call, source: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "onlogit.toml").write_text(text)
    told = onlogit("learn", source, "--config", "onlogit.toml")
    assert (told.returncode, told.stdout) == (2, "")
    assert message in told.stderr


def test_a_wrong_term_is_pointed_at(onlogit: Call, source: Path) -> None:
    told = onlogit("learn", source, "--label", "y", "--feature", "a*kund", "--drop", "id")
    assert told.returncode == 3
    assert told.stderr.splitlines() == [
        f"onlogit: {source}: feature 'a*kund', character 3: there is no column 'kund' (near: kind)",
        "  a*kund",
        "    ^",
    ]
    told = onlogit("learn", source, "--label", "y", "--feature", "bucket(a, 1000)")
    assert told.returncode == 2
    assert told.stderr.splitlines()[1:] == ["  bucket(a, 1000)", "            ^"]


def test_a_contradiction_and_a_file_beside_a_model(onlogit: Call, source: Path) -> None:
    told = onlogit("learn", source, *FLAGS, "--label-delay", "5")
    assert told.returncode == 2
    assert "a label time and a label delay contradict each other" in told.stderr
    told = onlogit("run", source, "--model", "m", "--config", "onlogit.toml")
    assert told.returncode == 2
    assert "--config is settled by the model file" in told.stderr


def test_a_state_folder_holds_to_its_terms_in_any_spelling(onlogit: Call, source: Path) -> None:
    call = ("run", source, "--state", "state", "--out", "out.csv", "--label", "y", "--drop", "id,known_at")
    assert onlogit(*call, "--feature", "a*kind", "--feature", "hour(at)").returncode == 0
    assert onlogit(*call, "--feature", "weekday(at)", "--feature", " a * kind ").returncode == 0
    told = onlogit(*call, "--feature", "a*b")
    assert told.returncode == 2
    assert "was begun with --feature a*kind, not a*b: change the command back" in told.stderr


def test_labels_of_uneven_speed_are_told_once(onlogit: Call, tmp_path: Path) -> None:
    n, random = 4000, np.random.default_rng(3)
    y, at = random.random(n) < 0.3, np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "s")
    known = at + np.where(y, 60, 600).astype("timedelta64[s]")
    pq.write_table(
        pa.table({"x": random.standard_normal(n), "y": y, "at": at, "known": known}), tmp_path / "in.parquet"
    )
    args = ("in.parquet", "--label", "y", "--time", "at", "--label-time", "known", "--batch-rows", "500", "--json")
    for command in (("learn", *args), ("run", *args, "--out", "out.csv")):
        told = onlogit(*command)
        assert told.returncode == 0, told.stderr
        (line,) = told.stderr.splitlines()
        assert line.startswith("onlogit: positive labels come back after 6")
        assert line.endswith("Learn each label when it is sure to be known: --due COLUMN, or --horizon DURATION")
        figures = json.loads(told.stdout.splitlines()[-1])
        assert figures["label_delays_uneven"]
        assert figures["label_delay_positive"] == pytest.approx(60, rel=0.1)
        assert figures["label_delay_negative"] == pytest.approx(600, rel=0.1)
    told = onlogit("learn", *args, "--horizon", "10m")
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("command", ["learn", "run", "score", "watch"])
def test_help_says_that_a_glob_is_quoted(onlogit: Call, command: str) -> None:
    assert "a glob in quotes ('in/*.csv')" in " ".join(onlogit(command, "--help").stdout.split())
