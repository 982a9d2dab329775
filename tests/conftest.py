"""Puts tests/ and the repository on the path, so that tests share naive.py and bench/workloads.py."""

import sys
from pathlib import Path

from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

settings.register_profile("onlogit", deadline=None)  # the first example of a test may compile a kernel
settings.load_profile("onlogit")
