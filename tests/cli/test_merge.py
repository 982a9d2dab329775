"""`onlogit merge` through the real command."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet as pq

import onlogit as ol

Call = Callable[..., "subprocess.CompletedProcess[Any]"]
EVENT = ("--label", "late", "--positive", "yes", "--drop", "id", "--slot-bits", "8", "--quiet")


def test_two_workers_as_one(onlogit: Call, tmp_path: Path, flights: Callable[..., pa.Table]) -> None:
    for name, rows in {"a": flights(300, 1), "b": flights(500, 2)}.items():
        pq.write_table(rows, tmp_path / f"{name}.parquet")
        assert onlogit("learn", f"{name}.parquet", *EVENT, "--out", name).returncode == 0
    told = onlogit("merge", "a", "b", "--out", "m", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"models": 2, "events": 800, "learned": 800, "expired": 0}
    assert ol.load(tmp_path / "m").quality().examples == 800
    again = onlogit("merge", "m", "--base", "a", "--out", "-", text=False)
    assert again.returncode == 0, again.stderr
    assert ol.model.of_bytes(again.stdout).counts.events == 800
    twice = onlogit("merge", "a", "a", "--out", "n")
    assert twice.returncode == 2
    assert "a is given twice" in twice.stderr
    (tmp_path / "link").symlink_to("b")
    for one, other in (("a", "./a"), ("b", "link")):
        same = onlogit("merge", one, other, "--out", "n")
        assert same.returncode == 2
        assert f"{one} and {other} are one file" in same.stderr
    stranger = onlogit("merge", "b", "--base", "a", "--out", "n")
    assert stranger.returncode == 2
    assert "b did not start from the base a" in stranger.stderr
    behind = onlogit("merge", "a", "--base", "b", "--out", "n")
    assert behind.returncode == 2
    assert "a has seen less than the base b" in behind.stderr
    assert not (tmp_path / "n").exists()
