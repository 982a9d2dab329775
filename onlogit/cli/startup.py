"""When this process began: what `startup_seconds` is counted from."""

import os
import time

LOADED = time.perf_counter()


def since_start() -> float:
    """Seconds since this process started, with the start of Python itself: by the system's record of it, to 10 ms.

    Where the system keeps none: since this module was loaded.
    """
    try:
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.perf_counter() - LOADED
