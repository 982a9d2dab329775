"""`onlogit config`, `replay` and what `serve` says without serving."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import Config, OnlineLogit
from onlogit.daemon.entries import BEGIN, EVENTS, beginning
from onlogit.daemon.settings import EventSettings
from onlogit.storage import Checkpoints
from onlogit.storage.journal import Journal, New

Call = Callable[..., "subprocess.CompletedProcess[Any]"]


def test_config_show_says_where_each_setting_comes_from(onlogit: Call, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text('label = "late"\ndrop = ["a", "b"]\n[labels]\ndelay = 3\n')
    done = onlogit(
        "config", "show", "serve.toml", "--origin", "--json", "--port", 9, env={"ONLOGIT_KEY": "id"}
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["label"] == {"value": "late", "origin": "file serve.toml"}
    assert told["key"] == {"value": "id", "origin": "ONLOGIT_KEY"}
    assert told["server.port"] == {"value": 9, "origin": "--port"}
    assert told["server.host"]["origin"] == "default"
    text = onlogit("config", "show", "serve.toml").stdout
    (tmp_path / "again.toml").write_text(text)
    assert onlogit("config", "show", "again.toml").stdout == text
    assert onlogit("config", "show", "absent.toml").returncode == 2


def test_columns_to_watch_by_come_from_a_flag_a_variable_or_the_file(onlogit: Call, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text('[monitor]\nby = ["a", "b"]\n')
    for args, env, value, origin in (
        (("--by", "country", "--by", "plan,age"), {}, ["country", "plan", "age"], "--by"),
        ((), {"ONLOGIT_BY": "country, plan"}, ["country", "plan"], "ONLOGIT_BY"),
        ((), {}, ["a", "b"], "file serve.toml"),
    ):
        told = json.loads(onlogit("config", "show", "serve.toml", "--origin", "--json", *args, env=env).stdout)
        assert told["monitor.by"] == {"value": value, "origin": origin}
    assert (
        "serve --by country,plan" in onlogit("serve", "--print-systemd-unit", "--by", "country", "--by", "plan").stdout
    )


def test_a_systemd_unit_runs_this_command(onlogit: Call) -> None:
    text = onlogit("serve", "--print-systemd-unit", "--label", "late", "--port", 9, "--plain-http").stdout
    assert "-m onlogit serve --port 9 --plain-http --label late" in text
    assert "Restart=on-failure" in text


def test_a_systemd_unit_may_do_what_the_settings_say(onlogit: Call, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text('[notices]\nalarm_file = "news/alarms.ndjson"\n')
    secrets = {"ONLOGIT_TOKENS": "score-score-score score", "ONLOGIT_WEBHOOK_SECRET": "hush-hush"}
    text = onlogit(
        "serve", "serve.toml", "--print-systemd-unit", "--webhook", "http://x/$a%20", "--features", "a*b; c*d",
        env={"ONLOGIT_STATE": "else where", "ONLOGIT_PLAIN_HTTP": "yes", **secrets},
    ).stdout  # fmt: skip
    lines = dict(line.partition("=")[::2] for line in text.splitlines())
    where = tmp_path.resolve()
    assert lines["ReadWritePaths"] == f'"-{where}/else where" -{where}/news'
    assert lines["ExecStartPre"] == f'+/bin/mkdir -p "{where}/else where"'
    assert lines["ExecStart"].endswith(f'serve {where}/serve.toml --webhook http://x/$$a%%20 --features "a*b; c*d"')
    assert lines["CacheDirectory"] == "onlogit"
    told = [line for line in text.splitlines() if line.startswith("Environment=")]
    assert told == [
        "Environment=ONLOGIT_PLAIN_HTTP=yes", 'Environment="ONLOGIT_STATE=else where"',
        "Environment=XDG_CACHE_HOME=/var/cache",
    ]  # fmt: skip
    assert all(name in text and value not in text for name, value in secrets.items())
    if shutil.which("systemd-analyze"):
        (tmp_path / "onlogit-test.service").write_text(text)
        checked = subprocess.run(["systemd-analyze", "verify", tmp_path / "onlogit-test.service"], capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, b"")


def test_serve_refuses_what_cannot_be_meant(onlogit: Call, tmp_path: Path) -> None:
    for args, says in (
        (("--port", "x"), "--port = 'x'"),
        (("--host", "0.0.0.0", "--label", "y"), "needs tokens"),
        (("--durability", "none"), '"process" or "power"'),
        (("--host", "203.0.113.77", "--plain-http", "--tokens", "tokens"), "cannot"),
        (("--webhook", "ftp://x"), "http://"),
        (("--label", "y", "--key", "y"), "column 'y' cannot be both label and key"),
        (("--due", "t", "--time", "t"), "column 't' cannot be both time and due"),
        (
            ("--label", "y", "--patience", "90d", "--port", 0),
            "a patience of 90 days needs the time of events: name a time",
        ),
        (("--label", "y", "--features", "a*b; a*"), "feature 'a*', character 3: invalid syntax"),
    ):
        done = onlogit("serve", "--state", "s", *args)
        assert done.returncode == 2
        assert says in done.stderr
    state = Checkpoints(tmp_path / "held")
    done = onlogit("serve", "--state", "held", "--port", 0)
    assert (done.returncode, "in use by another process" in done.stderr) == (2, True)
    state.close()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A state folder whose journal has ten entries of events."""
    journal = Journal(tmp_path)
    journal.append([New(BEGIN, 0, beginning(EventSettings(label="y").roles(), Config(), 10))])
    for batch in batches():
        journal.append([New(EVENTS, 0, bytes(batch.serialize()), bytes(batch.schema.serialize()))])
    journal.close()
    Checkpoints(tmp_path).close()
    return tmp_path


def batches() -> list[pa.RecordBatch]:
    return [
        pa.record_batch({"x": [n / 5, -1.0], "y": pa.array([n % 2, 1], pa.int8())}) for n in range(10)
    ]  # fmt: skip


@pytest.mark.parametrize("learner", ["belief", "sgd"])
def test_replay_until_an_entry_and_what_if(onlogit: Call, kept: Path, learner: str) -> None:
    done = onlogit("replay", kept, "--until", 5, "--set", f"learner={learner}", "--out", "a.model", "--json")
    assert done.returncode == 0, done.stderr
    model = OnlineLogit("y", config=Config(learner=learner))
    for batch in batches()[:4]:
        model.step(batch)
    assert (kept / "a.model").read_bytes() == model.to_bytes()
    assert json.loads(done.stdout)["seq"] == 5


def test_replay_says_what_is_wrong(onlogit: Call, kept: Path, tmp_path: Path) -> None:
    assert onlogit("replay", kept, "--set", "learner").returncode == 2
    assert "unknown" in onlogit("replay", kept, "--set", "lerner=sgd").stderr
    assert onlogit("replay", kept / "absent").returncode == 3
    assert onlogit("replay", kept, "--until", 1).returncode == 3
    journal = Journal(kept)
    journal.trim(4, 1 << 60, 0)
    journal.close()
    done = onlogit("replay", kept, "--fresh")
    assert (done.returncode, "no longer kept" in done.stderr) == (4, True)


def test_the_state_of_a_run_is_none_of_a_daemon(onlogit: Call, tmp_path: Path) -> None:
    """It is refused, and stays as it was."""
    (tmp_path / "in.csv").write_text("x,y\n" + "1.5,1\n-0.5,0\n" * 20)
    run = ("run", "in.csv", "--state", "s", "--label", "y", "--out", "out.ndjson", "--alarms", "alarms.ndjson")
    assert onlogit(*run).returncode == 0
    for _ in range(2):
        done = onlogit("serve", "--state", "s", "--label", "y", "--port", 0)
        assert (done.returncode, "s is the state of a run: name another folder" in done.stderr) == (2, True), (
            done.stderr
        )
    assert "there is nothing to take back" in onlogit("revert", "s").stderr
    assert onlogit(*run).returncode == 0
    assert onlogit("report", "s").returncode == 0


def test_the_state_of_a_daemon_is_none_of_a_run(onlogit: Call, kept: Path) -> None:
    (kept / "in.csv").write_text("x,y\n1.5,1\n")
    done = onlogit("run", "in.csv", "--state", ".", "--label", "y")
    assert (done.returncode, ". is the state of a daemon: name another folder" in done.stderr) == (2, True)
    done = onlogit("report", ".")
    assert (done.returncode, "(onlogit replay . --out MODEL)" in done.stderr) == (2, True)
    assert onlogit("replay", ".", "--out", "a.model").returncode == 0
    assert onlogit("report", "a.model").returncode == 0
