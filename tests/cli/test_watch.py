"""`onlogit watch` through the real command: its alarms, its figures, its refusals, and published forecasts."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

Call = Callable[..., "subprocess.CompletedProcess[Any]"]
GAMES = Path(__file__).parents[3] / "shared" / "data" / "game_forecasts.parquet"
GIVEN = ("--prob", "p", "--label", "y")


def forecasts(rows: int = 6_000, seed: int = 1) -> pa.Table:
    """Probabilities that are right for the first half, then too high by .8 logits in town 2."""
    rng = np.random.default_rng(seed)
    z, town = rng.normal(-1.0, 1.2, rows), rng.integers(0, 4, rows)
    true = z - 1.5 * ((np.arange(rows) >= rows // 2) & (town == 2))
    y = (rng.random(rows) < 1 / (1 + np.exp(-true))).astype(np.int64)
    return pa.table(
        {
            "id": np.arange(rows),
            "p": 1 / (1 + np.exp(-z)),
            "y": pa.array(y, mask=rng.random(rows) < 0.02),
            "at": pa.array(np.arange(rows) * 60_000_000, pa.timestamp("us")),
            "town": [f"town {t}" for t in town],
        }
    )


def write(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


def lines(told: "subprocess.CompletedProcess[Any]") -> list[dict[str, Any]]:
    assert told.returncode in (0, 5), told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_alarms_and_figures(onlogit: Call, tmp_path: Path) -> None:
    table = forecasts()
    source = write(table, tmp_path / "f.parquet")
    told = onlogit(
        "watch", source, *GIVEN, "--time", "at", "--by", "town", "--patience", 2000, "--json", "--fail-on-alarm"
    )
    assert told.returncode == 5
    *alarms, figures = lines(told)
    assert any(alarm["slice"] == "town=town 2" for alarm in alarms)
    assert all(alarm["event"] >= 3_000 for alarm in alarms)
    assert alarms[0]["time"].startswith("1970-01-0")
    assert figures["alarms"] == len(alarms)
    assert figures["events"] == 6_000
    assert figures["unlabelled"] == table["y"].null_count == 6_000 - figures["labelled"]
    y, p = table["y"].drop_null().to_numpy(), table["p"].to_numpy()[~table["y"].is_null().to_numpy()]
    assert figures["log_loss"] == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean(), rel=1e-6)
    assert figures["slices"][0]["value"] == "town 2"
    text = onlogit("watch", source, *GIVEN, "--time", "at", "--by", "town", "--patience", 2000)
    assert text.returncode == 0
    for word in ("slice alarm (level)", "since about event", "log loss", "Brier", "AUC", "evidence", "worst slices"):
        assert word in text.stdout
    assert text.stderr == ""


@pytest.mark.parametrize("name", ["f.csv", "f.arrow", "f.ndjson"])
def test_files_and_pipes_and_any_batch_give_the_same(onlogit: Call, tmp_path: Path, name: str) -> None:
    table = forecasts(2_500)
    wanted = onlogit("watch", write(table, tmp_path / "f.parquet"), *GIVEN, "--patience", 300, "--json")
    path = tmp_path / name
    if name == "f.csv":
        csv.write_csv(table, path)
    elif name == "f.arrow":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, 700)
    else:
        path.write_text("".join(json.dumps({k: r[k] for k in ("p", "y")}) + "\n" for r in table.to_pylist()))
    with path.open("rb") as file:
        told = onlogit("watch", "-", *GIVEN, "--patience", 300, "--json", "--batch-rows", 77, stdin=file)
    without_time = [{k: v for k, v in line.items() if k != "seconds"} for line in lines(told)]
    assert without_time == [{k: v for k, v in line.items() if k != "seconds"} for line in lines(wanted)]


def test_outcomes_of_another_source_by_key(onlogit: Call, tmp_path: Path) -> None:
    table = forecasts()
    wanted = lines(onlogit("watch", write(table, tmp_path / "f.parquet"), *GIVEN, "--json"))[-1]
    order = np.random.default_rng(0).permutation(table.num_rows)
    write(table.select(["id", "y"]).take(order), tmp_path / "outcomes.parquet")
    write(table.select(["id", "p"]), tmp_path / "events.parquet")
    joined = ("--key", "id", "--outcomes", "outcomes.parquet")
    found = lines(onlogit("watch", "events.parquet", *GIVEN, *joined, "--json"))[-1]
    assert {k: v for k, v in found.items() if k != "seconds"} == {k: v for k, v in wanted.items() if k != "seconds"}


def test_labels_that_come_late_are_judged_apart(onlogit: Call, tmp_path: Path) -> None:
    table = forecasts(3_000)
    known = pa.array(np.arange(3_000) * 60_000_000 + 600_000_000, pa.timestamp("us"))
    source = write(table.append_column("known", known), tmp_path / "f.parquet")
    figures = lines(onlogit("watch", source, *GIVEN, "--time", "at", "--label-time", "known", "--json"))[-1]
    assert figures["judged"] == pytest.approx(300, abs=8)
    assert figures["examples"] == figures["labelled"] > 2_900


def spoiled(column: str, row: int, value: object) -> pa.Table:
    table = forecasts(50)
    values = table[column].to_pylist()
    values[row] = value
    spoiled = table.set_column(table.schema.get_field_index(column), column, pa.array(values))
    return spoiled.append_column("q", spoiled["p"])


def listed() -> pa.Table:
    return forecasts(50).append_column("list", pa.array([[1]] * 50))


@pytest.mark.parametrize(
    ("table", "more", "match"),
    [
        (spoiled("p", 7, 1.5), (), "column 'p', row 7 (counting from 0): 1.5; accepted is a probability from 0 to 1"),
        (spoiled("p", 7, -0.1), (), "column 'p', row 7"),
        (spoiled("y", 9, 2), (), "column 'y', row 9 (counting from 0): label 2"),
        (spoiled("at", 9, None), ("--time", "at"), "column 'at', row 9"),
        (forecasts(50).take(list(range(49, -1, -1))), ("--time", "at"), "column 'at', row 1 (counting from 0)"),
        (forecasts(50), ("--by", "city"), "no column 'city'; its columns are id, p, y, at, town"),
        (forecasts(50), ("--label", "at"), "label column 'at' has type timestamp[us]; it has to be a bool, 0/1"),
        (forecasts(50), ("--time", "town"), "time column 'town' has type"),
        (listed(), ("--by", "list"), "slice column 'list' has type list<"),
        (spoiled("id", 3, -1), ("--weight", "id"), "column 'id', row 3 (counting from 0): -1"),
        (
            spoiled("p", 3, 1e-7),
            ("--weight", "q"),
            "column 'q', row 3 (counting from 0): 1e-07; accepted is a weight of 0, or",
        ),
        (forecasts(50), ("--weight", "town"), "weight column 'town' has type string; it has to be a number"),
    ],
)
def test_bad_input_is_named(onlogit: Call, tmp_path: Path, table: pa.Table, more: tuple[str, ...], match: str) -> None:
    told = onlogit("watch", write(table, tmp_path / "f.parquet"), *GIVEN, *more)
    assert told.returncode == 3
    assert match in told.stderr
    assert "Traceback" not in told.stderr


def test_a_null_probability_is_passed_over_and_counted(onlogit: Call, tmp_path: Path) -> None:
    table = spoiled("p", 7, None)
    figures = lines(onlogit("watch", write(table, tmp_path / "f.parquet"), *GIVEN, "--json"))[-1]
    assert figures["no_probability"] == 1
    assert figures["events"] == figures["labelled"] + figures["unlabelled"] + 1 == 50


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (("--patience", "90d"), "needs a time"),
        (("--patience", "soon"), "patience = soon"),
        (("--key", "id"), "go together"),
        (("--test", "1.5"), "level = 1.5"),
        (("--test", ".05", "--by", "town"), "leave out"),
        (("--test", ".05", "--patience", "90"), "--test and --patience exclude each other"),
        (("--reference", "7"), "reference = 7"),
        (("--weight", "p"), "named for two things"),
    ],
)
def test_usage(onlogit: Call, tmp_path: Path, args: tuple[str, ...], match: str) -> None:
    told = onlogit("watch", write(forecasts(50), tmp_path / "f.parquet"), *GIVEN, *args)
    assert told.returncode == 2
    assert match in told.stderr


@pytest.mark.skipif(not GAMES.exists(), reason=f"real forecasts not found at {GAMES}")
def test_published_forecasts(onlogit: Call, tmp_path: Path) -> None:
    """NBA forecasts are over-confident, MLB ones calibrated."""
    table = pq.read_table(GAMES).filter(pc.field("prob1_outcome") != 0.5).sort_by("date")
    args = ("--prob", "prob1", "--label", "prob1_outcome", "--time", "date", "--patience", 10_000, "--json")
    found = {}
    for league in ("nba", "mlb"):
        part = write(table.filter(pc.field("league") == league), tmp_path / f"{league}.parquet")
        found[league] = lines(onlogit("watch", part, *args, "--fail-on-alarm"))
    assert len(found["nba"]) == 2
    assert found["nba"][0]["what"] == "slope"
    assert found["nba"][0]["effect"] < 1
    assert found["nba"][0]["time"].startswith("2017-1")
    assert found["nba"][-1]["slope"] < 0.9
    assert len(found["mlb"]) == 1
    assert found["mlb"][0]["peak_evidence"] < 5_000


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_names_on_a_terminal(tmp_path: Path, encoding: str) -> None:
    town = pa.array(["Łódź", "a\x1b[31m\nfine: no alarm"] * 25)
    source = write(forecasts(50).append_column("c", town), tmp_path / "f.parquet")
    told = subprocess.run(
        [*forks.COMMAND, "watch", str(source), *GIVEN, "--by", "c"],
        env=forks.environment(PYTHONIOENCODING=encoding), capture_output=True, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert b"\x1b" not in told.stdout
    assert rb"c=a\x1b[31m\nfine: no alarm: 25 examples" in told.stdout
