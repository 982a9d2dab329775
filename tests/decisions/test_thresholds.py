"""Costs at thresholds against counting event by event, against scikit-learn's average precision, and against theory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forks
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from naive import at_threshold
from pyarrow import parquet as pq

from onlogit.decisions import grid as bins
from onlogit.decisions import thresholds
from onlogit.decisions.costs import DecisionConfig
from onlogit.decisions.decider import rule_of, watched
from onlogit.errors import ConfigError
from onlogit.monitor.decisions import Costs, DecisionMonitor

F64 = npt.NDArray[np.float64]


def gridded(p: F64, y: npt.NDArray[np.int8], weight: F64 | None = None) -> F64:
    grid = bins.new_grid()
    bins.add_pairs(grid, p, y, np.ones(len(p)) if weight is None else weight)
    return grid


def sample(n: int, seed: int, centre: float = -1.0) -> tuple[F64, npt.NDArray[np.int8]]:
    draw = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-draw.normal(centre, 1.5, n)))
    return p, (draw.random(n) < p).astype(np.int8)


def test_every_threshold_is_as_counted() -> None:
    p, y = sample(3000, 1)
    weight = np.random.default_rng(2).integers(0, 4, 3000).astype(float)
    p[:4], y[4] = [0.0, 1.0, 0.0, 1.0], -1
    grid = gridded(p, y, weight)
    keep = y >= 0
    found = thresholds.curves(grid, 50.0, 10.0)
    for j in range(0, bins.BINS, 97):
        t = float(found.threshold[j]) if j else -1.0
        counted = at_threshold(p[keep], y[keep].astype(float), weight[keep], t, 50.0, 10.0)
        for name, value in counted.items():
            if not (name == "net_benefit" and j == 0):
                assert getattr(found, name)[j] == pytest.approx(value, abs=1e-9, nan_ok=True), (name, j)


def test_the_worked_threshold_and_its_close_calls() -> None:
    p, y = np.array([0.30, 0.82, 0.845, 0.9, 0.99]), np.array([0, 1, 0, 1, 1], np.int8)
    choice = thresholds.choose(gridded(p, y), 50.0, 10.0)
    assert choice.threshold == pytest.approx(0.8333, abs=5e-5)
    assert choice.near == pytest.approx(0.4)
    assert choice.warning == "rests on 3 positives only"
    assert choice.effective_positives == pytest.approx(3.0)


@pytest.mark.parametrize(("centre", "cost_fp", "cost_fn"), [(-1.0, 1.0, 3.0), (-4.0, 1.0, 20.0), (0.5, 5.0, 1.0)])
def test_the_interval_of_the_cheapest_threshold_holds_the_true_one(
    centre: float, cost_fp: float, cost_fn: float
) -> None:
    true, held = cost_fp / (cost_fp + cost_fn), 0
    for seed in range(100):
        choice = thresholds.choose(gridded(*sample(5000, seed, centre)), cost_fp, cost_fn)
        held += choice.low <= true <= choice.high
        assert choice.low <= choice.cheapest <= choice.high
    assert held >= 95


def test_average_precision_is_that_of_every_threshold() -> None:
    p, y = sample(4000, 5)
    order = np.argsort(-p)
    hits = np.cumsum(y[order])
    expected = float((y[order] * hits / np.arange(1, 4001)).sum() / hits[-1])
    assert thresholds.average_precision(gridded(p, y)) == pytest.approx(expected, abs=2e-3)
    assert thresholds.average_precision(gridded(p, np.zeros(4000, np.int8))) is None


def test_weights_stand_for_records_that_were_left_out() -> None:
    p, y = sample(200_000, 7, -3.0)
    draw = np.random.default_rng(8).random(len(p))
    kept = (y == 1) | (draw < 0.1)
    whole = thresholds.choose(gridded(p, y), 1.0, 5.0)
    part = thresholds.choose(gridded(p[kept], y[kept], np.where(y == 1, 1.0, 10.0)[kept]), 1.0, 5.0)
    assert part.cost == pytest.approx(whole.cost, rel=0.03)
    assert part.effective_positives == whole.effective_positives
    top = thresholds.top_calibration(gridded(p, y))
    assert [row["highest"] for row in top] == [0.001, 0.01, 0.1]
    assert top[2]["observed"] == pytest.approx(top[2]["stated"], abs=0.01)


def test_a_cost_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="cost_fn = -2"):
        thresholds.curves(bins.new_grid(), 1.0, -2.0)


def call(folder: Path, *args: object) -> "subprocess.CompletedProcess[str]":
    words = [*forks.COMMAND, "thresholds", *map(str, args)]
    return forks.run(words, cwd=folder, capture_output=True, text=True)


COSTS = ("--cost-fp", 50, "--cost-fn", 10)


def test_the_command(tmp_path: Path) -> None:
    p, y = sample(20_000, 9)
    late = pa.array(np.where(y == 1, "yes", "no"))
    table = pa.table({"p": pa.array(p, mask=np.arange(20_000) == 7), "late": late, "w": np.full(20_000, 2.0)})
    pq.write_table(table, tmp_path / "in.parquet")
    told = call(tmp_path, "in.parquet", "--prob", "p", "--label", "late", "--positive", "yes", *COSTS)
    assert told.returncode == 0, told.stderr
    assert "threshold by costs  0.8333" in told.stdout
    assert "19,999" in told.stdout
    told = call(tmp_path, "in.parquet", "--prob", "p", "--label", "late", "--positive", "yes", "--weight", "w", *COSTS,
                "--json")  # fmt: skip
    answer = json.loads(told.stdout)
    assert answer["events"] == 2 * 19_999
    assert answer["low"] <= answer["cheapest"] <= answer["high"]
    assert min(row["realised_cost"] for row in answer["thresholds"]) == pytest.approx(answer["cheapest_cost"])
    for args, code, message in (
        (("--prob", "q", "--label", "late", *COSTS), 3, "there is no column 'q'"),
        (("--prob", "late", "--label", "p", *COSTS), 3, "'late' has type string; it has to be a number from 0 to 1"),
        (("--prob", "p", "--label", "late", *COSTS), 3, "say which value counts as 1"),
        (("--prob", "w", "--label", "late", "--positive", "yes", *COSTS), 3, "row 0 (counting from 0): 2; accepted is"),
        (
            ("--prob", "p", "--label", "late", "--positive", "yes", "--weight", "late", *COSTS),
            3,
            "weight column 'late' has",
        ),
        (("--prob", "p", "--label", "late", "--positive", "yes", "--cost-fp", 0, "--cost-fn", 5), 2, "never dearer"),
        (("--prob", "p", "--label", "late", "--positive", "yes", "--cost-fp", -1, "--cost-fn", 1), 2, "cost_fp = -1"),
    ):
        told = call(tmp_path, "in.parquet", *args)
        assert (told.returncode, message in told.stderr) == (code, True), told.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the most memory ever held from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """Under 200 MB, libraries included; one row group of 3,000,000 pairs alone would be 27 MB."""
    draw = np.random.default_rng(0)
    p = draw.random(3_000_000)
    pq.write_table(pa.table({"p": p, "y": draw.random(len(p)) < p}), tmp_path / "in.parquet", row_group_size=len(p))
    command = [
        "thresholds",
        str(tmp_path / "in.parquet"),
        "--prob",
        "p",
        "--label",
        "y",
        "--cost-fp",
        "5",
        "--cost-fn",
        "1",
    ]
    program = (
        "import sys; from onlogit.cli import exit_code; exit_code(sys.argv[1:]); "
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    told = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout.split()[-1]) < 200 * 1024


def test_pairs_by_definition() -> None:
    grid = bins.new_grid()
    p, y = np.array([0.0, 1.0, 0.5, np.nan, 2.0, 0.25]), np.array([0, 1, 1, -1, 1, 0], np.int8)
    bins.add_pairs(grid, p, y, np.array([1.0, 2.0, 0.5, 1.0, 0.0, 3.0]))
    assert grid[:2].sum(axis=1).tolist() == [4.0, 2.5]
    assert grid[bins.EXPECTED].sum() == 2.0 + 0.25 + 0.75
    assert grid[3:].sum(axis=1).tolist() == [10.0, 4.25]
    assert (grid[0, 0], grid[1, -1], grid[1, bins.BINS // 2 - 1]) == (1.0, 2.0, 0.5)


def test_at_the_threshold_itself_nothing_is_done() -> None:
    grid = bins.new_grid()
    bins.add_pairs(grid, np.full(100, 0.5), np.zeros(100, np.int8), np.ones(100))
    assert thresholds.choose(grid, 1.0, 1.0).cost == 0.0
    monitor = DecisionMonitor((), Costs(1.0, 1.0), 1_000, 0)
    monitor.score(np.zeros(100), np.ones(100))
    assert monitor.read()[0].action_rate == 0.0
    tier = DecisionMonitor((0.5,), None, 1_000, 0)
    tier.score(np.zeros(100), np.ones(100))
    assert tier.read()[0].action_rate == 1.0
    for fp in range(1, 60):
        three = DecisionConfig(costs=(("none", 0.0, 100.0), ("call", float(fp), 10.0), ("stop", 100.0, 0.0)))
        cuts = rule_of(three).cuts
        z = np.log(cuts) - np.log1p(-cuts)
        above = DecisionMonitor(watched(three)["thresholds"], None, 1_000, 0)
        above.score(z[:1], np.ones(1))
        assert [found.action_rate for found in above.read()] == [0.0] * len(cuts)
