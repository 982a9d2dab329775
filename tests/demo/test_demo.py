"""`onlogit demo`, run as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from onlogit.model import load

COMMAND = [sys.executable, "-m", "onlogit", "demo"]


def run(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "0", **environment}
    return subprocess.run([*COMMAND, *args], cwd=folder, env=environ, capture_output=True, text=True, timeout=300)


@cache
def told() -> tuple[Path, list[dict[str, Any]]]:
    """The folder and the records of one run with --json."""
    folder = Path(mkdtemp())
    done = run(folder, "--json", "--fast")
    assert (done.returncode, done.stderr) == (0, "")
    return folder, [json.loads(line) for line in done.stdout.splitlines()]


def test_json_tells_each_month_each_alarm_and_a_summary() -> None:
    folder, records = told()
    months = [record for record in records if record["record"] == "month"]
    assert [month["month"] for month in months] == [f"2013-{k:02d}" for k in range(1, 13)]
    assert sum(month["events"] for month in months) == 327_346
    assert [month["frozen"] is None for month in months] == [True] * 2 + [False] * 10
    assert records[-1]["record"] == "summary"
    assert records[-1]["model"] == "flights.model"
    assert (folder / "flights.model").exists()
    frozen = [record for record in records if record["record"] == "alarm" and record["model"] == "frozen"]
    assert frozen
    assert all(alarm["time"] >= "2013-03-01T05:00:00Z" and alarm["evidence"] >= alarm["patience"] for alarm in frozen)
    assert records[-1]["frozen"]["alarms"] == len(frozen)


def test_live_is_calibrated_and_frozen_is_not() -> None:
    summary = told()[1][-1]
    live, frozen = summary["live"], summary["frozen"]
    assert live["log_loss"] < 0.48 < frozen["log_loss"] < 0.57
    assert live["log_loss"] < summary["base_rate"]["log_loss"] - 0.06
    assert live["calibration_error"] < 0.025 < 0.05 < frozen["calibration_error"]
    judged = 327_346 - sum(record["events"] for record in told()[1] if record.get("month") in ("2013-01", "2013-02"))
    assert sum(part["examples"] for part in live["reliability"]) == judged


def test_page_is_plain_text_80_wide_in_ascii_where_it_must_be() -> None:
    folder, records = told()
    done = run(folder, "--fast", PYTHONIOENCODING="ascii")  # beside the model of the run before, which it may replace
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if "flights.parquet" not in line) < 80
    rows = [line for line in lines if line[:3] in ("Jan", "Mar", "Dec") and line[3:6] == "   "]
    assert len(rows) == 3
    march = next(record for record in records if record.get("month") == "2013-03")
    assert f"{march['frozen']['log_loss']:.3f}".lstrip("0") in rows[1].split()
    alarm = next(line for line in lines if "ALARM" in line)
    assert lines.index(alarm) > next(k for k, line in enumerate(lines) if "learns nothing more" in line)
    assert "flights.model" in done.stdout


def test_nothing_of_somebody_elses_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "flights.model").write_text("mine")
    done = run(tmp_path, "--json", "--fast")
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert (tmp_path / "flights.model").read_text() == "mine"
    assert run(tmp_path, "--json", "--out", "nowhere/x.model").returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("args", [("--fast",), ()], ids=["fast", "served"])
def test_ctrl_c_ends_it_quietly(tmp_path: Path, args: tuple[str, ...]) -> None:
    (tmp_path / "temporary").mkdir()
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(
        [*COMMAND, *args], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"onlogit demo" in process.stdout.readline()
        while not process.stdout.readline().startswith(b"Jan"):
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().strip() == b""
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert not list((tmp_path / "temporary").iterdir())  # where the daemon was


def test_served_by_a_daemon_it_tells_what_the_fast_one_tells(tmp_path: Path) -> None:
    count = 53_000  # into March
    served, fast = (
        [json.loads(line) for line in run(tmp_path, "--json", "--flights", str(count), *how).stdout.splitlines()]
        for how in ((), ("--fast",))
    )
    assert served[0]["record"] == "serving"
    assert [record["record"] for record in served[1:]] == [record["record"] for record in fast]
    assert served[-1]["events"] == fast[-1]["events"] == count
    assert served[-1]["frozen"] == fast[-1]["frozen"]
    assert served[-1]["live"]["log_loss"] == pytest.approx(fast[-1]["live"]["log_loss"], abs=0.004)
    again = run(tmp_path, "--flights", "2000")  # may replace the model of a demo, and ends where the data does
    assert (again.returncode, again.stderr) == (0, "")
    assert "2,000 flights" in again.stdout
    assert load(tmp_path / "flights.model").counts.events == 2000


def test_without_the_daemons_packages_the_fast_version_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvicorn'] = None\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = run(tmp_path, "--json", "--flights", "2000", PYTHONPATH=path)
    assert done.returncode == 0
    assert [json.loads(line)["record"] for line in done.stdout.splitlines()] == ["month", "summary"]
    assert len(done.stderr.splitlines()) == 1
    assert "install onlogit with its `serve` extra" in done.stderr
