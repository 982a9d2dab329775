"""Puts tests/ and the repository on the path, so that tests share naive.py and bench/workloads.py."""

import os
import sys
from pathlib import Path

from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

# no deadline: the first example of a test may compile a kernel; where CI decides, it decides alike every time
settings.register_profile("onlogit", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("onlogit")
