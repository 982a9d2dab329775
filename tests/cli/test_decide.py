"""Actions on the command line: `onlogit decide`, and the action beside each record of `score` and `run`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet as pq

Call = Callable[..., "subprocess.CompletedProcess[Any]"]
Make = Callable[..., pa.Table]
LABEL = ("--label", "late", "--positive", "yes", "--drop", "id", "--slot-bits", "8")


def test_decide_says_what_each_action_costs_and_why(onlogit: Call) -> None:
    told = onlogit("decide", "--cost-fp", 50, "--cost-fn", 10, "--p", 0.3)
    assert told.returncode == 0, told.stderr
    assert "p above 0.8333: act" in told.stdout
    assert "none: it costs 3 on average, 32 less than act" in told.stdout
    told = onlogit("decide", "--cost", "block=50,0", "--cost", "allow=0,10", "--p", 0.3, "--json")
    answer = json.loads(told.stdout)
    assert answer["steps"][1] == {"action": "block", "above": pytest.approx(0.83333, abs=1e-4)}
    assert answer["decisions"][0]["expected_costs"] == pytest.approx({"block": 35.0, "allow": 3.0})
    told = onlogit("decide", "--tier", "nudge=.6", "--tier", "offer=.95", "--p", 0.961, "--z-sd", 3, "--abstain", 2)
    assert "abstain: z_sd 3 is above 2: the evidence is thin" in told.stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "say what mistakes cost"),
        (("--cost-fp", "-1", "--cost-fn", "1"), 2, "cost_fp = -1.0 is out of range"),
        (("--cost-fp", "nan", "--cost-fn", "1"), 2, "cost_fp = nan"),
        (("--tier", "offer=.95", "--tier", "nudge=.6"), 2, "in rising order"),
        (("--tier", "offer"), 2, "--tier takes ACTION=VALUE"),
        (("--cost", "a=1,x", "--cost", "b=0,1"), 2, "--cost: 'x' is no number"),
        (("--capacity", "0/100"), 2, "1 or more"),
        (("--cost-fp", "1", "--cost-fn", "1", "--p", "2"), 2, "a probability from 0 to 1"),
        (("--cost-fp", "1", "--cost-fn", "1", "--p", ".3", "--z-sd", "nan", "--json"), 2, "z_sd = nan: the sd of"),
        (("--decisions", "absent.toml"), 2, "does not exist"),
    ],
)
def test_decide_refuses(onlogit: Call, args: tuple[str, ...], code: int, message: str) -> None:
    told = onlogit("decide", *args)
    assert told.returncode == code
    assert message in told.stderr


def test_scored_records_carry_action_and_expected_cost(onlogit: Call, tmp_path: Path, flights: Make) -> None:
    pq.write_table(flights(3000), tmp_path / "in.parquet")
    assert onlogit("learn", "in.parquet", *LABEL, "--out", "m", "--quiet").returncode == 0
    (tmp_path / "d.toml").write_text("[decisions]\ncost_fp = 3\ncost_fn = 1\nreview = 0.05\n")
    told = onlogit("score", "m", "in.parquet", "--out", "out.parquet", "--decisions", "d.toml", "--cost-fp", 1)
    assert told.returncode == 0, told.stderr
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column_names[-5:] == ["p", "z", "z_sd", "action", "expected_cost"]
    for p, action, cost in zip(*(out[name].to_pylist() for name in ("p", "action", "expected_cost")), strict=True):
        assert action == ("review" if abs(p - 0.5) <= 0.05 else "act" if p > 0.5 else "none")
        assert cost is None if action == "review" else cost == pytest.approx(min(p, 1 - p))
    told = onlogit("score", "m", "in.parquet", "--capacity", "3/1h")
    assert told.returncode == 2
    assert "needs a time column" in told.stderr
    assert onlogit("score", "m", "in.parquet", "--out", "plain.csv").returncode == 0
    assert "action" not in (tmp_path / "plain.csv").read_text().splitlines()[0]


def test_one_file_may_say_it_all(onlogit: Call, tmp_path: Path, flights: Make) -> None:
    pq.write_table(flights(500), tmp_path / "in.parquet")
    roles = 'label = "late"\npositive = "yes"\ndrop = ["id"]\nslot_bits = 8\n'
    (tmp_path / "plain.toml").write_text(roles)
    (tmp_path / "all.toml").write_text(roles + "[decisions.tiers]\nnudge = 0.3\noffer = 0.6\n")
    for name, decided in (("plain", False), ("all", True)):
        told = onlogit("run", "in.parquet", "--config", f"{name}.toml", "--quiet")
        assert told.returncode == 0, told.stderr
        records = [json.loads(line) for line in told.stdout.splitlines()]
        assert ("action" in records[0]) == decided
    assert {record["action"] for record in records} == {"none", "nudge", "offer"}


def test_a_run_that_goes_on_keeps_to_the_budget_of_the_window_it_stopped_in(
    onlogit: Call, tmp_path: Path, flights: Make
) -> None:
    table = flights(3000)
    capacity = ("--capacity", "40/900", "--out-format", "ndjson", "--quiet")
    pq.write_table(table, tmp_path / "in.parquet")
    told = onlogit("run", "in.parquet", *LABEL, *capacity, "--out", "whole.ndjson")
    assert told.returncode == 0, told.stderr
    (tmp_path / "folder").mkdir()
    for part, (first, count) in enumerate([(0, 1234), (1234, 1766)]):
        pq.write_table(table.slice(first, count), tmp_path / "folder" / f"{part}.parquet")
        told = onlogit("run", "folder", *LABEL, *capacity, "--state", "state", "--out", "cut.ndjson")
        assert told.returncode == 0, told.stderr
    assert (tmp_path / "cut.ndjson").read_bytes() == (tmp_path / "whole.ndjson").read_bytes()
    taken = [json.loads(line)["action"] == "act" for line in (tmp_path / "cut.ndjson").read_text().splitlines()]
    assert [sum(taken[k : k + 900]) for k in (0, 900, 1800)] == [40, 40, 40]
