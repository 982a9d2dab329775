"""The examples run as they are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `onlogit` and `python` are those of this checkout."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, words in (("python", ""), ("onlogit", "-m onlogit ")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        (programs / name).chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}


def test_python(tmp_path: Path, environment: dict[str, str]) -> None:
    script = [sys.executable, str(ROOT / "examples" / "flights.py")]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "327,346 flights, 23.7% late" in done.stdout
    assert (tmp_path / "flights.model").exists()


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_shell(tmp_path: Path, environment: dict[str, str]) -> None:
    script = ["sh", str(ROOT / "examples" / "flights.sh")]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    scored = json.loads(done.stdout.splitlines()[-1])
    assert 0 < scored["p"] < 1
    assert scored["origin"] == "EWR"
