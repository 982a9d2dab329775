"""The real command in a process of its own, and a small stream to feed it with."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest


def some_flights(rows: int, seed: int = 1) -> pa.Table:
    """Events with a number, a category and an outcome that depends on both; in the last third it turns around."""
    draw = np.random.default_rng(seed)
    x, town = draw.normal(size=rows), draw.integers(0, 4, rows)
    turned = np.where(np.arange(rows) < rows * 2 // 3, 1.0, -1.0)
    late = draw.random(rows) < 1 / (1 + np.exp(turned * (1.0 - 3.0 * x - town)))
    return pa.table(
        {
            "id": pa.array([f"f{n}" for n in range(rows)]),
            "x": pa.array([None if n % 17 == 0 else float(v) for n, v in enumerate(x)], pa.float64()),
            "town": pa.array([f"town {t}" for t in town]),
            "late": pa.array(["yes" if v else "no" for v in late]),
        }
    )


@pytest.fixture
def flights() -> Callable[..., pa.Table]:
    return some_flights


@pytest.fixture
def onlogit(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[Any]]:
    """Calls the command in tmp_path; text in and out, unless `text=False`."""

    def call(*args: object, text: bool = True, **more: Any) -> subprocess.CompletedProcess[Any]:
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        env = forks.environment(**more.pop("env", {}))
        return forks.run([*forks.COMMAND, *map(str, args)], cwd=tmp_path, text=text, env=env, **more)

    return call


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., "subprocess.Popen[Any]"]:
    """Starts the command in tmp_path and does not wait for it."""

    def start(*args: object, **more: Any) -> "subprocess.Popen[Any]":
        more = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | more
        return forks.Forked([*forks.COMMAND, *map(str, args)], cwd=tmp_path, env=forks.environment(), **more)

    return start
