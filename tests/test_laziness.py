"""What is not needed is not loaded: the command answers at once, and the first result comes soon."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("numba", "numpy", "pyarrow")


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import onlogit; onlogit.__version__; dir(onlogit)",
        "from onlogit import Config, OnlogitError",
        "from onlogit.cli import exit_code; assert exit_code(['--help']) == 0",
        "from onlogit.cli import exit_code; assert exit_code(['--version']) == 0",
        "from onlogit.cli import exit_code; assert exit_code(['learn', '--help']) == 0",
        "from onlogit.cli import exit_code; assert exit_code(['score', '--help']) == 0",
        "from onlogit.cli import exit_code; assert exit_code(['run', '--help']) == 0",
        "from onlogit.cli import exit_code; assert exit_code(['learn']) == 2",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    told = python(f"{code}\nimport sys; print([name for name in {HEAVY} if name in sys.modules])")
    assert told.splitlines()[-1] == "[]"


def test_the_test_would_see_what_is_loaded() -> None:
    assert "numba" in python(f"import onlogit.model, sys; print([name for name in {HEAVY} if name in sys.modules])")


def test_a_model_needs_no_second_data_library() -> None:
    told = python("import sys, onlogit.runner; print(*sys.modules)").split()
    assert not {"pandas", "polars", "sklearn", "pyarrow.dataset", "matplotlib"} & set(told)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_answer_at_once(flag: str) -> None:
    seconds = []
    for _ in range(8):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "onlogit", flag], cwd=ROOT, capture_output=True, check=True, timeout=60)
        seconds.append(time.perf_counter() - begin)
        if seconds[-1] < 0.2:
            break
    assert min(seconds) < 0.2, seconds
