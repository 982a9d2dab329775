"""Named moments at which a test lets the process die as by a power cut: ONLOGIT_FAILPOINT=name:count.

The count-th time that the moment `name` is reached, the process kills itself. Without the variable a call costs 50 ns.
"""

import os
import signal

JOURNAL, COMMITTED, FOLD, FOLDED, ANSWER, CHECKPOINT, CHECKPOINTED = POINTS = (
    "journal", "committed", "fold", "folded", "answer", "checkpoint", "checkpointed"
)  # fmt: skip

_left: dict[str, int] = {}


def arm() -> None:
    """Heed the variable as it is now."""
    name, _, count = os.environ.get("ONLOGIT_FAILPOINT", "").partition(":")
    _left.clear()
    if name:
        _left[name] = int(count or 1)


arm()


def reach(point: str) -> None:
    """Die here, if that was asked for."""
    if point in _left:
        _left[point] -= 1
        if _left[point] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
