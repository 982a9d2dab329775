"""The door to Numba: a compile cache that keeps nothing stale, and work goes on where it cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import onlogit

ONE_KERNEL = """
import numpy as np
from onlogit.kernels.link import probabilities
p = np.empty(1)
probabilities(np.zeros(1), p)
print(p[0])
"""
ONE_STEP = """
import gc, pyarrow as pa, onlogit
from numba.core.dispatcher import Dispatcher
model = onlogit.OnlineLogit("y", config=onlogit.Config(learner="sgd"))
model.step(pa.table({"x": [1.0, 2.0], "y": [0, 1]}))
used = [each for each in gc.get_objects() if isinstance(each, Dispatcher) and each.stats.cache_path]
print(sum(len(each.stats.cache_hits) for each in used), sum(len(each.stats.cache_misses) for each in used))
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(onlogit.__file__).parents[1]), **environment}
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)


def test_work_goes_on_without_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = run(ONE_KERNEL, NUMBA_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert done.returncode == 0
    assert done.stdout == "0.5\n"
    assert done.stderr.count("\n") == 1
    assert "cannot write the compile cache" in done.stderr


def test_kernels_are_cached_on_disk(tmp_path: Path) -> None:
    assert run(ONE_KERNEL, NUMBA_CACHE_DIR=str(tmp_path)).stderr == ""
    (kept,) = tmp_path.rglob("*.nbc")
    assert kept.name.startswith("link.probabilities")
    before = kept.stat().st_mtime_ns
    assert run(ONE_KERNEL, NUMBA_CACHE_DIR=str(tmp_path)).stdout == "0.5\n"
    assert kept.stat().st_mtime_ns == before


def test_a_second_start_compiles_nothing() -> None:
    run(ONE_STEP)
    done = run(ONE_STEP)
    hits, misses = map(int, done.stdout.split())
    assert hits > 5, done.stderr
    assert misses == 0


def test_no_kernel_assumes_that_nan_and_infinity_are_absent() -> None:
    from onlogit.kernels import jit

    for flags in (jit.IN_ORDER, jit.ANY_ORDER):
        assert not flags & {"nnan", "ninf", "fast"}
