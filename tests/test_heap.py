"""What becomes of freed memory, by the page faults of taking it again."""

import ctypes
import subprocess
import sys

import pytest

TAKE_AGAIN = """
import resource
import numpy as np
from onlogit import heap

heap.{way}()
np.ones(2_500_000)  # 20 MB, taken and freed
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(2_500_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="malloc is not glibc's")
@pytest.mark.parametrize(("way", "least", "most"), [("keep", 0, 20), ("give_back", 50, 1e9)])
def test_freed_memory_is_kept_or_given_back(way: str, least: float, most: float) -> None:
    command = [sys.executable, "-c", TAKE_AGAIN.format(way=way)]
    faults = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert least <= faults <= most
