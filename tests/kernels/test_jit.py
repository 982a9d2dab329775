"""The door to Numba: a compile cache that keeps nothing stale, and work goes on where it cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import onlogit

ONE_STEP = """
import pyarrow as pa, onlogit
model = onlogit.OnlineLogit("y", config=onlogit.Config(learner="sgd"))
print(len(model.step(pa.table({"x": [1.0, 2.0], "y": [0, 1]})).p))
"""


def run(cache: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(onlogit.__file__).parents[1])}
    return subprocess.run([sys.executable, "-c", ONE_STEP], env=env, capture_output=True, text=True, check=False)


def test_work_goes_on_without_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = run(tmp_path / "file" / "cache")
    assert done.returncode == 0
    assert done.stdout == "2\n"
    assert done.stderr.count("\n") == 1
    assert "cannot write the compile cache" in done.stderr


def test_kernels_are_cached_on_disk(tmp_path: Path) -> None:
    assert run(tmp_path).stderr == ""
    kept = sorted(path.name for path in tmp_path.rglob("*.nbi"))
    assert any(name.startswith("sgd.walk") for name in kept)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert run(tmp_path).stdout == "2\n"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == times


def test_no_kernel_assumes_that_nan_and_infinity_are_absent() -> None:
    from onlogit.kernels import jit

    for flags in (jit.IN_ORDER, jit.ANY_ORDER):
        assert not flags & {"nnan", "ninf", "fast"}
