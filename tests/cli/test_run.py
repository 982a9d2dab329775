"""`onlogit run`: signals, following a folder, and what a killed run leaves when it is started again."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

import onlogit as ol
from onlogit.storage import Checkpoints, pack

Call = Callable[..., "subprocess.CompletedProcess[Any]"]
Start = Callable[..., "subprocess.Popen[Any]"]
Make = Callable[..., pa.Table]

LABEL = ("--label", "late", "--positive", "yes")
EVENT = (*LABEL, "--drop", "id", "--patience", "20", "--slot-bits", "8", "--label-delay", "37")
SMALL = ("--batch-rows", "12", "--checkpoint-seconds", "0.05")
SECONDS = 300.0  # kernels may have to be compiled first

pytestmark = pytest.mark.slow  # a process or many for each case


def until(condition: Callable[[], bool], process: "subprocess.Popen[Any]") -> None:
    """Waits for something to become true while a process lives."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, "it came to its end before that"
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)


def records(where: Path) -> int:
    """How far an output has come: lines of a file, or parts of a folder."""
    if where.is_dir():
        return len([name for name in os.listdir(where) if not name.startswith(".")])
    return where.read_bytes().count(b"\n") if where.exists() else 0


def come_to(where: Path, goal: int) -> bool:
    return records(where) >= goal


def state_of(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The model in the last checkpoint, as bytes, and the positions with it."""
    checkpoints = Checkpoints(folder)
    last = checkpoints.latest()
    checkpoints.close()
    assert last is not None
    return pack(last.header, last.arrays), last.positions


def options(folder: str, ending: str) -> tuple[str, ...]:
    return ("--state", f"{folder}/state", "--out", f"{folder}/out.{ending}", "--alarms", f"{folder}/alarms.ndjson")


@pytest.mark.parametrize(("ending", "rows", "kills"), [("ndjson", 12000, 12), ("csv", 12000, 4), ("parquet", 16000, 8)])
def test_killed_at_random_it_leaves_what_one_that_never_stopped_leaves(
    onlogit: Call, started: Start, tmp_path: Path, flights: Make, ending: str, rows: int, kills: int
) -> None:
    pq.write_table(flights(rows), tmp_path / "in.parquet", row_group_size=500)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    told = onlogit("run", "in.parquet", *EVENT, *options("whole", ending), "--save", "whole/model")
    assert told.returncode == 0, told.stderr

    draw = random.Random(f"onlogit {ending}")
    call = ("run", "in.parquet", *EVENT, *SMALL, *options("killed", ending), "--save", "killed/model")
    out = tmp_path / "killed" / f"out.{ending}"
    for kill in range(kills):
        process = started(*call)
        if kill % 4 == 3:  # somewhere in the start, or soon after it
            time.sleep(draw.uniform(0.3, 1.2))
        else:
            goal = records(out) + (1 if ending == "parquet" else draw.randint(1, rows // (3 * kills)))
            until(partial(come_to, out, goal), process)
            time.sleep(draw.uniform(0.0, 0.04))
        assert process.poll() is None, "it came to its end before it was killed: make the stream longer"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed/model").exists()
    told = onlogit(*call)
    assert told.returncode == 0, told.stderr

    assert (tmp_path / "killed/model").read_bytes() == (tmp_path / "whole/model").read_bytes()
    assert state_of(tmp_path / "killed/state")[0] == state_of(tmp_path / "whole/state")[0]
    alarms = (tmp_path / "whole/alarms.ndjson").read_bytes()
    assert alarms.count(b"\n") > 3
    assert (tmp_path / "killed/alarms.ndjson").read_bytes() == alarms
    if ending == "parquet":
        assert records(out) > 3
        assert pq.read_table(out) == pq.read_table(tmp_path / "whole/out.parquet")
        assert pq.read_table(out).num_rows == rows
    else:
        assert out.read_bytes() == (tmp_path / f"whole/out.{ending}").read_bytes()
        assert records(out) == rows + (ending == "csv")

    before = {path: path.read_bytes() for path in tmp_path.rglob("*out*") if path.is_file()}
    told = onlogit(*call)
    assert told.returncode == 0
    assert f"onlogit: nothing new: in.parquet was read to its end before ({rows:,} events)" in told.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*out*") if path.is_file()} == before
    assert (tmp_path / "killed/alarms.ndjson").read_bytes() == alarms


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_batch_and_it_goes_on(
    onlogit: Call, started: Start, tmp_path: Path, flights: Make, number: int
) -> None:
    pq.write_table(flights(6000), tmp_path / "in.parquet")
    call = ("run", "in.parquet", *EVENT, "--state", "state", "--out", "out.arrow")
    process = started(*call, "--batch-rows", "10", "--checkpoint-seconds", "1000")
    until(lambda: (tmp_path / "out.arrow").exists() and (tmp_path / "out.arrow").stat().st_size > 20_000, process)
    process.send_signal(number)
    assert process.wait() == 0
    kept, positions = state_of(tmp_path / "state")
    assert 0 < positions["source"]["row"] == positions["out"]["row"] < 6000
    with pa.ipc.open_stream(tmp_path / "out.arrow") as reader:
        assert reader.read_all().num_rows == positions["out"]["row"]
    assert onlogit(*call).returncode == 0
    with pa.ipc.open_stream(tmp_path / "out.arrow") as reader:
        table = reader.read_all()
    assert table.select(["id", "x", "town", "late"]) == flights(6000)
    assert state_of(tmp_path / "state")[0] != kept


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_signal_ends_it_while_a_pipe_gives_nothing(started: Start, tmp_path: Path, form: str) -> None:
    process = started("run", "-", "--format", form, *EVENT, "--out", "out.ndjson", stdin=subprocess.PIPE)
    assert process.stdin is not None
    if form == "csv":
        process.stdin.write(b"id,x,town,late\n")
        process.stdin.flush()
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=SECONDS) in (0, 128 + signal.SIGTERM)  # the latter if it came before it was listening
    process.stdin.close()
    assert not (tmp_path / "out.ndjson").exists()


def test_it_follows_a_folder(onlogit: Call, started: Start, tmp_path: Path, flights: Make) -> None:
    folder, out, table = tmp_path / "in", tmp_path / "out.ndjson", flights(900)
    folder.mkdir()
    call = ("run", "--follow", "in", *EVENT, "--state", "state", "--out", "out.ndjson", "--checkpoint-seconds", "0.1")
    process = started(*call)
    for n in range(3):
        csv.write_csv(table.slice(300 * n, 300), tmp_path / "new.tmp")
        os.rename(tmp_path / "new.tmp", folder / f"{n}.csv")
        until(partial(come_to, out, 300 * (n + 1)), process)
        if n == 1:
            process.kill()
            process.wait()
            process = started(*call)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert ids == table["id"].to_pylist()
    for n in range(3):
        (folder / f"{n}.csv").rename(tmp_path / f"{n}.csv")
    assert state_of(tmp_path / "state")[1]["out"]["row"] == 900


def test_what_learn_says_run_says_and_score_does_not_learn(onlogit: Call, tmp_path: Path, flights: Make) -> None:
    csv.write_csv(flights(600), tmp_path / "in.csv")
    csv.write_csv(flights(600).drop_columns(["late", "id"]), tmp_path / "bare.csv")
    learned = onlogit("learn", "in.csv", *LABEL, "--drop", "id", "--json", "--predictions", "p.csv", "--out", "m")
    ran = onlogit("run", "in.csv", *LABEL, "--drop", "id", "--json", "--out", "r.csv", "--save", "m2")
    assert (learned.returncode, ran.returncode) == (0, 0)
    assert (tmp_path / "m").read_bytes() == (tmp_path / "m2").read_bytes()
    first, second = csv.read_csv(tmp_path / "p.csv"), csv.read_csv(tmp_path / "r.csv")
    assert first.select(["p", "z", "z_sd"]) == second.select(["p", "z", "z_sd"])
    assert second.column_names == ["id", "x", "town", "late", "p", "z", "z_sd"]
    one, other = (json.loads(told.stdout.splitlines()[-1]) for told in (learned, ran))
    assert {k: v for k, v in one.items() if "second" not in k} == {k: v for k, v in other.items() if "second" not in k}
    before = (tmp_path / "m").read_bytes()
    scored = onlogit("score", "m", "bare.csv")
    assert scored.returncode == 0, scored.stderr
    lines = [json.loads(line) for line in scored.stdout.splitlines()]
    assert list(lines[0]) == ["x", "town", "p", "z", "z_sd"]
    assert [line["p"] for line in lines] == ol.load(tmp_path / "m").predict_proba(flights(600)).tolist()
    assert (tmp_path / "m").read_bytes() == before
    more = onlogit("run", "in.csv", "--model", "m", "--out", "more.csv", "--save", "m3", "--patience", "9")
    assert more.returncode == 2
    assert "--patience is settled by the model file" in more.stderr
    assert onlogit("run", "in.csv", "--model", "m", "--out", "more.csv", "--save", "m3").returncode == 0
    assert ol.load(tmp_path / "m3").counts.events == 1200


def test_a_state_folder_holds_to_its_model(onlogit: Call, tmp_path: Path, flights: Make) -> None:
    csv.write_csv(flights(100), tmp_path / "in.csv")
    call = ("run", "in.csv", "--state", "state", "--out", "out.csv")
    told = onlogit(*call)
    assert told.returncode == 2
    assert "state holds no checkpoint to go on from: give --model or --label as well" in told.stderr
    assert onlogit(*call, *LABEL, "--drop", "id").returncode == 0
    before = (tmp_path / "out.csv").read_bytes()
    for args, message in (
        ((*LABEL, "--key", "id"), "state was begun with no --key: change the command back"),
        (LABEL, "state was begun with --drop id: "),
        (
            (*LABEL, "--drop", "id", "--patience", "5000"),
            "begun with monitor.patience 100000.0 events, not 5000.0 events",
        ),
        ((*LABEL, "--drop", "id", "--horizon", "1d"), "begun with no labels.horizon: "),
        ((*LABEL, "--drop", "id", "--feature", "x*town"), "begun with no --feature: "),
        (("--label", "x", "--drop", "id"), "state was begun with --label late, not x"),
    ):
        told = onlogit(*call, *args)
        assert told.returncode == 2, told.stderr
        assert message in told.stderr
    assert onlogit(*call).returncode == 0
    assert (tmp_path / "out.csv").read_bytes() == before
    database = tmp_path / "state" / "state.sqlite"
    database.write_bytes(b"x" + database.read_bytes()[1:])
    told = onlogit(*call)
    assert told.returncode == 4
    assert "state/state.sqlite is damaged" in told.stderr


def test_bad_data_keeps_what_came_before_it(onlogit: Call, tmp_path: Path, flights: Make) -> None:
    csv.write_csv(flights(200), tmp_path / "in.csv")
    good = (tmp_path / "in.csv").read_text()
    (tmp_path / "in.csv").write_text(good.replace('"f150",', '"f150","no number",'))
    lines = (tmp_path / "in.csv").read_text().splitlines()
    lines[151] = '"f150",0.5,"town 1","maybe"'
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    call = ("run", "in.csv", *EVENT, "--batch-rows", "20", "--state", "state", "--out", "out.csv")
    told = onlogit(*call)
    assert told.returncode == 3
    assert "column 'late', row 150" in told.stderr
    assert records(tmp_path / "out.csv") == 1 + 140
    (tmp_path / "in.csv").write_text(good)
    assert onlogit(*call).returncode == 0
    assert records(tmp_path / "out.csv") == 1 + 200


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "say what learns: --model MODEL, or --label COLUMN"),
        (("--label", "late", "--model", "m"), "--label is settled by the model file"),
        (("--label", "late", "--follow"), "only a folder or a glob can be followed, and in.csv is neither"),
        (("--label", "late", "--out", "a", "--alarms", "a"), "--out and --alarms are both a"),
        (("--label", "late", "--out", "a.csv", "--alarms", "./a.csv"), "--out and --alarms are both a.csv"),
        (("--label", "late", "--out", "a.csv", "--save", "a.csv"), "--out and --save are both a.csv"),
        (("--label", "late", "--state", "s", "--out", "./in.csv"), "--out ./in.csv is what is read"),
        (("--label", "x", "--out", "what.ever"), "cannot tell the format of 'what.ever' from its name"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    onlogit: Call, tmp_path: Path, flights: Make, args: tuple[str, ...], message: str
) -> None:
    csv.write_csv(flights(20), tmp_path / "in.csv")
    told = onlogit("run", "in.csv", *args)
    assert told.returncode == 2, told.stderr
    assert message in told.stderr
    assert os.listdir(tmp_path) == ["in.csv"]


def test_no_output_is_put_where_it_would_be_read(onlogit: Call, tmp_path: Path, flights: Make) -> None:
    (tmp_path / "in").mkdir()
    csv.write_csv(flights(20), tmp_path / "in/0.csv")
    (tmp_path / "link").symlink_to("in")
    for where, out in (
        ("in", "in/out.csv"),
        ("in", "link/out.csv"),
        ("link/*.csv", "in/out.csv"),
        ("in/?.csv", "in/0.csv"),
    ):
        for more in (("--state", "s"), ("--follow",), ()):
            told = onlogit("run", where, *LABEL, "--out", out, *more)
            assert told.returncode == 2, told.stderr
            assert f"--out {out} would be read as a file of {where}" in told.stderr
    assert os.listdir(tmp_path / "in") == ["0.csv"]
    for out in ("in/out.ndjson", "in/_out.csv", "out.csv"):
        assert onlogit("run", "in/*.csv", *LABEL, "--out", out, "--state", f"state of {out[:6]}").returncode == 0


def test_stdin_cannot_be_read_again(onlogit: Call) -> None:
    told = onlogit("run", "-", *EVENT, "--state", "state", input="")
    assert told.returncode == 2
    assert "--state needs a file or a folder" in told.stderr
