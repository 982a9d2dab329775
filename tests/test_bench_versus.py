"""The comparison with the peers still runs: a small stream of numbers and categories, every competitor, one page."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.peers.protocol import in_order_of_labels, log_loss

ROOT = Path(__file__).parents[1]


def rows(page: str, heading: str) -> list[dict[str, str]]:
    """The table under a heading, by the names of its columns."""
    lines = page.split(f"## {heading}")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def number(cell: str) -> float:
    found = re.match(r"\**([\d.,]+)", cell)
    assert found, f"{cell!r} is not a figure"
    return float(found[1].replace(",", ""))


@pytest.mark.slow
def test_quick_run_fills_every_table(tmp_path: Path) -> None:
    for module in ("vowpalwabbit", "sklearn", "river"):
        pytest.importorskip(module)
    out = tmp_path / "versus.md"
    command = [sys.executable, "-m", "bench.versus", "--quick", "--streams", "categorical", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    page = out.read_text()
    losses = rows(page, "Log loss")
    assert [row["stream"] for row in losses] == ["categorical"]
    for row in losses:  # 600 events teach something to those who learn well, and nobody's labels leak
        base = number(row["running rate"])
        for name in ("onlogit belief", "VW best of nine"):
            assert 0.8 * base < number(row[name]) < base, (name, row)
        assert row.keys() >= {"last label", "VW default", "scikit-learn SGD", "onlogit sgd"}
    for heading, name in (
        ("River", "River adaptive forest"),
        ("Gradient", "boosting refit"),
        ("Memory", "scikit-learn SGD"),
    ):
        assert all(number(row[name]) > 0 for row in rows(page, heading)), heading
    for row in rows(page, "Speed"):
        assert all(
            number(row[name]) > 0 for name in ("VW default", "scikit-learn SGD", "onlogit sgd", "onlogit belief")
        )
        assert sum("**" in cell for cell in row.values()) >= 1


def test_labels_are_learned_after_the_events_that_they_wait_for() -> None:
    place = np.array([3, 2, 9, 4])
    assert list(in_order_of_labels(place)) == [(0, []), (1, [1]), (2, [0]), (3, [3])]


def test_loss_of_a_stated_certainty_is_held() -> None:
    assert log_loss(np.array([1, 0, 1]), np.array([0.0, 0.25, 1.0])) == pytest.approx(
        [13.8155, 0.28768, 1e-6], rel=1e-4
    )
