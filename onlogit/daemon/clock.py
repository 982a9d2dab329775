"""The journal's time: it goes on evenly though somebody sets the machine's clock, and never back, not even over a restart.

Labels that are due after a while are due by it. The machine's clock is asked once, at the start; from then on the time since
the start of the machine counts.
"""

import time

BOOT = getattr(time, "CLOCK_BOOTTIME", None)  # goes on while the machine sleeps; Linux alone has it


def wall() -> int:
    """Microseconds since 1970 UTC, as the machine's clock says now."""
    return time.time_ns() // 1000


def steady() -> int:
    """Microseconds since some moment that stays the same."""
    return (time.monotonic_ns() if BOOT is None else time.clock_gettime_ns(BOOT)) // 1000


class Clock:
    """Microseconds since 1970 UTC, from `after` on at the earliest: the time of the last entry."""

    def __init__(self, after: int = 0) -> None:
        self._base = max(wall(), after) - steady()

    def __call__(self) -> int:
        return self._base + steady()
