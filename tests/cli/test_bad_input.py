"""Every kind of bad input through the real command: its message, its exit code, and nothing half-written."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import csv, parquet

import onlogit as ol

Call = Callable[..., "subprocess.CompletedProcess[Any]"]
Make = Callable[..., pa.Table]

LABEL = ("--label", "late", "--positive", "yes")
EVENT = (*LABEL, "--drop", "id")
pytestmark = pytest.mark.slow  # a process for each case

WRITES = ("--out", "m", "--predictions", "p.csv")


def broken(text: str, line: int, new: str) -> str:
    lines = text.splitlines()
    lines[line] = new
    return "\n".join(lines) + "\n"


@pytest.fixture
def text(flights: Make) -> str:
    out = pa.BufferOutputStream()
    csv.write_csv(flights(600), out)
    return str(out.getvalue().to_pybytes().decode())


@pytest.fixture
def learned(tmp_path: Path, text: str) -> Path:
    """A folder with a source and a model."""
    (tmp_path / "good.csv").write_text(text)
    model = ol.OnlineLogit("late", positive="yes", drop=["id"], config=ol.Config(slot_bits=8))
    model.step(csv.read_csv(tmp_path / "good.csv"))
    model.save(tmp_path / "good.model")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "new", "args", "message"),
    [
        (500, '"f500",0.1,"town 1","no","more"', EVENT, "row 501 has 5 fields, the header has 4"),
        (500, '"f500",0.1', EVENT, "row 501 has 2 fields, the header has 4"),
        (500, '"f500",0.1,"town 1","maybe"', EVENT, r"column 'late', row 499 (counting from 0)"),
        (500, '"f7",0.1,"town 1","no"', (*LABEL, "--key", "id", "--label-delay", "550"), "column 'id', row 499"),
        (0, "id,x,town,later", EVENT, "label: there is no column 'late' (near: later)"),
    ],
    ids=["ragged-long", "ragged-short", "third-value", "key-repeats", "label-absent"],
)
def test_bad_rows_stop_it_before_anything_is_written(
    onlogit: Call, tmp_path: Path, text: str, line: int, new: str, args: tuple[str, ...], message: str
) -> None:
    (tmp_path / "bad.csv").write_text(broken(text, line, new))
    told = onlogit("learn", "bad.csv", *args, *WRITES, "--batch-rows", "100")
    assert told.returncode == 3, told.stderr
    assert message in told.stderr
    assert "Traceback" not in told.stderr
    assert told.stdout == ""
    assert os.listdir(tmp_path) == ["bad.csv"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "onlogit: cannot read none.csv: No such file or directory"),
        ("empty.csv", b"", "onlogit: empty.csv is empty (0 bytes): accepted are"),
        ("noise", bytes(range(256)), "onlogit: noise has no known format: accepted are"),
        ("short.parquet", b"PAR1 and no more", "onlogit: short.parquet is truncated, damaged, or not parquet"),
    ],
)
def test_files_that_are_none(onlogit: Call, tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    told = onlogit("learn", name, *EVENT, *WRITES)
    assert (told.returncode, told.stdout) == (3, "")
    assert told.stderr.startswith(message)
    assert os.listdir(tmp_path) == ([] if content is None else [name])


def test_of_a_truncated_stream_what_came_whole_counts(onlogit: Call, tmp_path: Path, flights: Make) -> None:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, flights(600).schema) as writer:
        writer.write_table(flights(600), max_chunksize=100)
    data = out.getvalue().to_pybytes()
    (tmp_path / "cut.arrow").write_bytes(data[: len(data) * 2 // 3])
    told = onlogit("learn", "cut.arrow", *EVENT, *WRITES, "--quiet")
    assert told.returncode == 3
    assert "onlogit: cut.arrow is truncated or damaged after 3 batches / 300 rows" in told.stderr
    assert "300 (300 labelled" in told.stdout
    assert ol.load(tmp_path / "m").counts.learned == 300
    assert csv.read_csv(tmp_path / "p.csv").num_rows == 300
    told = onlogit("run", "cut.arrow", *EVENT, "--out", "r.csv", "--save", "m2")
    assert told.returncode == 3
    assert csv.read_csv(tmp_path / "r.csv").num_rows == 300
    assert ol.load(tmp_path / "m2").counts.events == 300


def test_a_column_that_is_absent_is_said_of_its_file(onlogit: Call, tmp_path: Path, text: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(text)
    for command, source in (("learn", "in"), ("run", "in"), ("learn", "in/a.csv")):
        told = onlogit(command, source, "--label", "wrong", "--out", "o.ndjson")
        assert told.returncode == 3
        assert "in/a.csv: label: there is no column 'wrong'; found are id, x, town, late" in told.stderr


def test_a_file_of_another_schema_in_a_folder(onlogit: Call, tmp_path: Path, text: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(text)
    (tmp_path / "in" / "b.csv").write_text(text.replace('"town"', '"city"', 1))
    told = onlogit("learn", "in", *EVENT, *WRITES)
    assert (told.returncode, told.stdout) == (3, "")
    assert "in/b.csv: there is no column 'town', as there is in the files before it" in told.stderr
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("where", [0, 5000, -1])
def test_a_model_with_one_flipped_byte(onlogit: Call, learned: Path, where: int) -> None:
    data = bytearray((learned / "good.model").read_bytes())
    data[where] ^= 1
    (learned / "bad.model").write_bytes(data)
    told = onlogit("score", "bad.model", "good.csv", "--out", "s.csv")
    assert (told.returncode, told.stdout) == (4, "")
    assert told.stderr.startswith("onlogit: bad.model: ")
    assert not (learned / "s.csv").exists()


def test_a_truncated_a_foreign_and_an_absent_model(onlogit: Call, learned: Path) -> None:
    data = (learned / "good.model").read_bytes()
    (learned / "half.model").write_bytes(data[: len(data) // 2])
    for name, code in (("half.model", 4), ("good.csv", 4), ("no.model", 3)):
        told = onlogit("score", name, "good.csv", "--out", "s.csv")
        assert (told.returncode, told.stdout) == (code, ""), name
        assert name in told.stderr
        assert "Traceback" not in told.stderr
    assert sorted(os.listdir(learned)) == ["good.csv", "good.model", "half.model"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk(onlogit: Call, learned: Path) -> None:
    before = sorted(os.listdir(learned))
    for args in (
        ("learn", "good.csv", *EVENT, "--out", "/dev/full"),
        ("learn", "good.csv", *EVENT, "--predictions", "/dev/full", "--out", "m"),
        ("score", "good.model", "good.csv", "--out", "/dev/full"),
        ("run", "good.csv", "--model", "good.model", "--out", "/dev/full", "--save", "m"),
    ):
        told = onlogit(*args)
        assert (told.returncode, told.stdout) == (1, ""), args
        assert "onlogit: cannot write /dev/full: No space left on device" in told.stderr
    with open("/dev/full", "wb") as full:
        told = onlogit("learn", "good.csv", *EVENT, "--json", stdout=full)
    assert told.returncode == 1
    assert told.stderr == "onlogit: cannot write stdout: No space left on device\n"
    assert sorted(os.listdir(learned)) == before
    assert not os.path.isfile("/dev/full")


def test_a_reader_that_leaves_early(onlogit: Call, learned: Path) -> None:
    for args in (
        ("score", "good.model", "good.csv"),
        ("run", "good.csv", "--model", "good.model"),
        ("learn", "good.csv", *EVENT, "--json"),
        ("learn", "good.csv", *EVENT, "--predictions", "-", "--quiet"),
    ):
        read, write = os.pipe()
        os.close(read)
        told = onlogit(*args, stdout=write)
        os.close(write)
        assert (told.returncode, told.stderr) == (1, ""), args


def test_an_output_column_that_is_there_already(onlogit: Call, learned: Path) -> None:
    told = onlogit("score", "good.model", "good.csv", "--out", "once.csv")
    assert (told.returncode, told.stdout) == (0, "600 records scored\n")
    told = onlogit("score", "good.model", "once.csv", "--out", "twice.csv")
    assert told.returncode == 2
    assert "the input has a column 'p' already" in told.stderr
    assert "--prefix" in told.stderr
    assert not (learned / "twice.csv").exists()
    told = onlogit("score", "good.model", "once.csv", "--out", "twice.csv", "--prefix", "new_")
    assert told.returncode == 0
    table = csv.read_csv(learned / "twice.csv")
    assert table.column_names == ["id", "x", "town", "late", "p", "z", "z_sd", "new_p", "new_z", "new_z_sd"]
    assert table["p"] == table["new_p"]


ROWS = 300
DRAW = np.random.default_rng(5)
Y = DRAW.random(ROWS) < 0.4
X = DRAW.normal(Y * 1.5)  # tells much about y
INDICES = [[5, 5, 3, 1 << 40], [], [7, -2], None] * (ROWS // 4)  # unordered, twice, beyond any table of slots
VALUES = [[1e30, -1e30, 0.5, None], [], [float("nan"), float("inf")], None] * (ROWS // 4)


def pairs(indices: list[Any], values: list[Any]) -> dict[str, pa.Array]:
    return {"i": pa.array(indices, pa.list_(pa.int64())), "v": pa.array(values, pa.list_(pa.float64()))}


@pytest.mark.parametrize("learner", ["belief", "sgd"])
@pytest.mark.parametrize(
    ("columns", "args"),
    [
        ({"a": np.where(np.arange(ROWS) % 3, -1e30, 1e30), "b": np.full(ROWS, 1e308)}, ()),
        ({"a": X * 1e-320, "b": (X * 1e-42).astype(np.float32), "c": np.full(ROWS, 5e-324)}, ()),
        ({"a": np.zeros(ROWS), "b": np.full(ROWS, -7e9), "c": pa.array(["same"] * ROWS)}, ()),
        ({"a": pa.nulls(ROWS), "b": pa.nulls(ROWS, pa.float64()), "c": np.full(ROWS, np.nan)}, ()),
        (pairs(INDICES, VALUES), ("--feature", "sparse(i, v)")),
    ],
    ids=["huge", "denormal", "constant", "null", "lists"],
)
def test_odd_columns_do_not_hide_a_good_one(
    onlogit: Call, tmp_path: Path, columns: dict[str, Any], args: tuple[str, ...], learner: str
) -> None:
    parquet.write_table(pa.table({**columns, "x": X, "y": Y}), tmp_path / "e.parquet")
    rate = ("--rate", ".1") if learner == "sgd" else ()
    told = onlogit("learn", "e.parquet", "--label", "y", *args, "--learner", learner, *rate, "--json", "--out", "m")
    assert (told.returncode, told.stderr) == (0, "")
    figures = json.loads(told.stdout)
    assert figures["auc"] > 0.7
    assert figures["log_loss"] < figures["base_log_loss"]
    told = onlogit("score", "m", "e.parquet", "--out", "s.parquet")
    assert told.returncode == 0, told.stderr
    assert np.isfinite(parquet.read_table(tmp_path / "s.parquet")["z"].to_numpy()).all()


@pytest.mark.parametrize("last", [[1.0], None, [1.0, 2.0, 3.0]], ids=["short", "null", "long"])
def test_values_that_do_not_match_their_indices(onlogit: Call, tmp_path: Path, last: list[float] | None) -> None:
    table = pa.table(pairs([[4, 9]] * ROWS, [[1.0, 2.0]] * (ROWS - 1) + [last]) | {"y": Y})
    parquet.write_table(table, tmp_path / "e.parquet")
    told = onlogit("learn", "e.parquet", "--label", "y", "--feature", "sparse(i, v)", *WRITES, "--batch-rows", "100")
    assert (told.returncode, told.stdout) == (3, "")
    assert (
        f"column 'v', row {ROWS - 1} (counting from 0): {len(last or [])} values for 2 indices in column 'i'"
        in told.stderr
    )
    assert os.listdir(tmp_path) == ["e.parquet"]


@pytest.mark.parametrize("name", ["e.parquet", "e.csv"])
def test_ten_thousand_numbers(onlogit: Call, tmp_path: Path, name: str) -> None:
    noise = DRAW.standard_normal((10_000, ROWS), np.float32)
    table = pa.table({"y": Y, **{f"x{j}": column for j, column in enumerate(noise)}})
    (csv.write_csv if name == "e.csv" else parquet.write_table)(table, tmp_path / name)
    told = onlogit("learn", name, "--label", "y", "--json", timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
    figures = json.loads(told.stdout)  # of noise alone: no worse than the running rate, which has its own cost
    assert figures["log_loss"] < figures["base_log_loss"] + 8.0 / ROWS


def test_what_a_command_reads_is_not_written_over(onlogit: Call, learned: Path) -> None:
    before = (learned / "good.model").read_bytes(), (learned / "good.csv").read_bytes()
    for call in (
        ("score", "good.model", "good.csv", "--out", "good.model", "--out-format", "csv"),
        ("score", "good.model", "good.csv", "--out", "./good.csv"),
        ("run", "good.csv", "--model", "good.model", "--out", "./good.model"),
        ("run", "good.csv", "--model", "good.model", "--out", "s.csv", "--alarms", "good.model"),
        ("report", "good.model", "--html", "good.model"),
        ("explain", "good.model", "good.csv", "--event", 0, "--html", "good.model"),
        ("explain", "good.model", "good.csv", "--event", 0, "--html", "good.csv"),
    ):
        told = onlogit(*call)
        assert told.returncode == 2
        assert "is what is read: write elsewhere" in told.stderr
    assert before == ((learned / "good.model").read_bytes(), (learned / "good.csv").read_bytes())
