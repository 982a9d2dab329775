"""`onlogit learn` through the real command: what it prints, what it writes, and how it ends."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from forks import COMMAND, environment
from pyarrow import csv
from pyarrow import parquet as pq

import onlogit as ol

Call = Callable[..., "subprocess.CompletedProcess[Any]"]
Make = Callable[..., pa.Table]

FIGURES = {
    "examples", "labelled", "log_loss", "base_log_loss", "brier", "auc", "calibration_error", "seconds",
    "startup_seconds", "examples_per_second", "learner", "alarms",
}  # fmt: skip
ROWS = 1500
EVENT = ("--label", "late", "--positive", "yes", "--drop", "id")


@pytest.fixture
def source(tmp_path: Path, flights: Make) -> Path:
    path = tmp_path / "flights.csv"
    csv.write_csv(flights(ROWS), path)
    return path


def test_the_monitor_by_flags(onlogit: Call, source: Path, tmp_path: Path) -> None:
    flags = ("--patience", "1e4", "--watch-change", "--watch-features", "--out", "m")
    told = onlogit("learn", source, *EVENT, *flags)
    assert told.returncode == 0, told.stderr
    monitor = ol.load(tmp_path / "m").config.monitor
    assert (monitor.patience, monitor.unit, monitor.change, monitor.features) == (1e4, "events", True, True)
    refused = onlogit("learn", source, *EVENT, "--patience", "9d")
    assert refused.returncode == 2
    assert "name a time column" in refused.stderr


def test_figures_predictions_and_model_agree(onlogit: Call, source: Path, tmp_path: Path, flights: Make) -> None:
    told = onlogit(
        "learn", source, *EVENT, "--json", "--out", "m", "--predictions", "p.parquet", "--patience", "200",
        "--batch-rows", "70",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    *alarms, figures = (json.loads(line) for line in told.stdout.splitlines())
    assert figures.keys() >= FIGURES
    assert figures["examples"] == figures["labelled"] == ROWS
    assert figures["alarms"] == len(alarms) > 0
    assert {alarm["kind"] for alarm in alarms} == {"calibration"}
    assert figures["examples_per_second"] == pytest.approx(ROWS / figures["seconds"])
    assert 0 < figures["startup_seconds"] < 120
    rows = pq.read_table(tmp_path / "p.parquet")
    assert rows.column_names == ["event", "p", "z", "z_sd", "label"]
    assert rows["event"].to_pylist() == list(range(ROWS))
    y = np.array([late == "yes" for late in flights(ROWS)["late"].to_pylist()])
    assert rows["label"].to_pylist() == y.tolist()
    p = rows["p"].to_numpy()
    assert -np.log(np.where(y, p, 1 - p)).mean() == pytest.approx(figures["log_loss"], rel=1e-6)
    assert np.square(y - p).mean() == pytest.approx(figures["brier"], rel=1e-6)
    model = ol.load(tmp_path / "m")
    assert model.counts.events == ROWS
    assert told.stderr == ""


def test_the_table_doubles_and_the_summary_is_for_people(onlogit: Call, source: Path) -> None:
    told = onlogit("learn", source, *EVENT, "--patience", "200", "--fail-on-alarm")
    assert told.returncode == 5
    head, *lines = told.stderr.splitlines()
    assert head.split() == ["examples", "since", "last", "average", "rate", "label", "p", "seconds"]
    counts = [int(line.split()[0]) for line in lines if line.strip()[0].isdigit()]
    assert counts == [2**n for n in range(11)]
    assert "calibration alarm" in told.stderr
    assert told.stderr.splitlines()[-1].startswith("onlogit: alarms raised: ")
    assert "log loss" in told.stdout
    assert "alarm" not in told.stdout.replace("alarms  ", "")


def test_nothing_on_stderr_when_quiet(onlogit: Call, source: Path) -> None:
    told = onlogit("learn", source, *EVENT, "--quiet", env={"NO_COLOR": "1"})
    assert (told.returncode, told.stderr) == (0, "")
    assert "\x1b" not in told.stdout


def test_records_on_stdout_are_alone_there(onlogit: Call, source: Path) -> None:
    told = onlogit("learn", source, *EVENT, "--predictions", "-", "--quiet")
    assert told.returncode == 0
    assert [json.loads(line)["event"] for line in told.stdout.splitlines()] == list(range(ROWS))
    assert "log loss" in told.stderr


def test_reads_stdin_and_writes_the_model_to_stdout(onlogit: Call, source: Path, tmp_path: Path) -> None:
    onlogit("learn", source, *EVENT, "--out", "m")
    told = onlogit("learn", "-", *EVENT, "--out", "-", "--quiet", text=False, input=source.read_bytes())
    assert told.stdout == (tmp_path / "m").read_bytes()


def test_settings_reach_the_learner(onlogit: Call, source: Path, tmp_path: Path) -> None:
    flags = (
        "--learner",
        "sgd",
        "--rate",
        "0.5",
        "--schedule",
        "sqrt",
        "--l1",
        "0.01",
        "--l2",
        "0.001",
        "--batch",
        "4",
        "--averaged",
    )
    more = ("--slot-bits", "9", "--tolerance", "0.2", "--warm-up", "10", "--label-delay", "30")
    told = onlogit("learn", source, *EVENT, *flags, *more, "--out", "m", "--json", env={"ONLOGIT_PATIENCE": "777"})
    assert told.returncode == 0, told.stderr
    config = ol.load(tmp_path / "m").config
    assert config.sgd == ol.SgdConfig(rate=0.5, schedule="sqrt", l1=0.01, l2=0.001, batch=4, averaged=True)
    assert (config.learner, config.slot_bits, config.labels.delay) == ("sgd", 9, 30)
    assert config.monitor == ol.MonitorConfig(patience=777.0, tolerance=0.2, warm_up=10)
    assert json.loads(told.stdout.splitlines()[-1])["labelled"] == ROWS  # those still sealed at the end as well


def test_what_is_not_finite_is_null(onlogit: Call, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("x,late\n1.5,\n")
    told = onlogit("learn", "few.csv", "--label", "late", "--json")
    assert told.returncode == 0, told.stderr
    figures = json.loads(told.stdout, parse_constant=lambda name: pytest.fail(name))
    assert (figures["examples"], figures["labelled"], figures["log_loss"], figures["auc"]) == (1, 0, None, None)


def test_time_is_counted_from_the_first_record(source: Path) -> None:
    command = [*COMMAND, "learn", str(source), *EVENT, "--json"]  # no fork: that has imports and kernels behind it
    told = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=120)
    figures = json.loads(told.stdout.splitlines()[-1])
    assert figures["seconds"] < figures["startup_seconds"] / 2  # few records
    assert math.isfinite(figures["examples_per_second"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--label", "late"), "holds text: say which value is positive"),
        ((*EVENT, "--rate", "0.1"), "--rate is a setting of another learner"),
        ((), "Missing option '--label'"),
        ((*EVENT, "--slot-bits", "99"), "slot_bits = 99 is out of range: 1 to 26"),
        ((*EVENT, "--nonsense"), "No such option"),
        (
            (*EVENT, "--out", "b.csv", "--predictions", "./b.csv"),
            "--out and --predictions are both b.csv: name two files",
        ),
        ((*EVENT, "--predictions", "./flights.csv"), "--predictions ./flights.csv is what is read: write elsewhere"),
    ],
)
def test_a_wrong_call_says_what_to_do(onlogit: Call, source: Path, args: tuple[str, ...], message: str) -> None:
    told = onlogit("learn", source, *args)
    assert told.returncode == (3 if "positive" in message else 2)
    assert message in told.stderr
    assert told.stdout == ""


def test_the_monitor_by_a_configuration_file(onlogit: Call, source: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'label = "late"\npositive = "yes"\ndrop = ["id"]\nfeatures = ["x*town"]\n'
        "[monitor]\npatience = 777\nfeatures = true\nchange = true\nreference = 300\n"
    )
    told = onlogit("learn", source, "--config", "c.toml", "--out", "m", "--json")
    assert told.returncode == 0, told.stderr
    model = ol.load(tmp_path / "m")
    wanted = ol.MonitorConfig(patience=777.0, features=True, change=True, reference=300)
    assert model.config.monitor == wanted
    assert model.schema.terms == ("x*town",)
    watch = model.pipeline.features
    assert watch is not None
    assert watch.begun
    assert model.pipeline.monitor.reference_map is not None


def test_known_flips_of_labels_by_flag_and_by_file(onlogit: Call, source: Path, tmp_path: Path) -> None:
    (tmp_path / "with.toml").write_text("label_noise = {fp = 0.2, fn = 0.1}\n")
    ways = ["--noise-fp", "0.2", "--noise-fn", "0.1"], ["--config", "with.toml"]
    told = [json.loads(onlogit("learn", source, *EVENT, *way, "--json").stdout.splitlines()[-1]) for way in ways]
    assert [(each["noise_fp"], each["noise_fn"]) for each in told] == [(0.2, 0.1)] * 2
    assert told[0]["log_loss"] == told[1]["log_loss"]
    person = onlogit("learn", source, *EVENT, *ways[0])
    assert "0.2 of the 0s and 0.1 of the 1s are labelled wrong: quality is that of the labels" in person.stdout
    average = [float(line.split()[2]) for line in person.stderr.splitlines() if line.split()[:1] == ["1024"]]
    config = ol.Config(label_noise=ol.config.LabelNoise(fp=0.2, fn=0.1))
    step = ol.OnlineLogit("late", positive="yes", drop=["id"], config=config).step(csv.read_csv(source).slice(0, 1024))
    of_label = np.where(step.y > 0, 0.2 + 0.7 * step.p, 0.8 - 0.7 * step.p)
    assert average == [pytest.approx(-np.log(of_label).mean(), abs=1e-6)]  # the table is of labels too
    refused = onlogit("learn", source, *EVENT, "--noise-fp", "0.5")
    assert refused.returncode == 2
    assert "label_noise.fp = 0.5 is out of range" in refused.stderr


@pytest.mark.parametrize("command", ["learn", "run"])
def test_a_column_that_is_text_for_one_cell_is_remarked(onlogit: Call, tmp_path: Path, command: str) -> None:
    cells = [f"{n / 8},{n % 9 if n % 9 else 'x'},{n % 2}" for n in range(2000)]
    cells[3] = ",1,0"
    cells[500] = "n/a!,1,0"
    (tmp_path / "f.csv").write_text("x,mixed,y\n" + "\n".join(cells) + "\n")
    call = (command, "f.csv", "--label", "y", "--batch-rows", 1000)
    told = onlogit(*call)
    assert told.returncode == 0, told.stderr
    assert [line for line in told.stderr.splitlines() if "is read as text" in line] == [
        "onlogit: column 'x' is read as text because of 'n/a!' in row 500 (counting from 0): 998 of 999 values are numbers"
    ]
    assert "is read as text" not in onlogit(*call, "--quiet").stderr
    cells[500] = "1,1,0"
    (tmp_path / "f.csv").write_text("x,mixed,y\n" + "\n".join(cells) + "\n")
    assert "is read as text" not in onlogit(*call).stderr
