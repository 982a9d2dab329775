"""Named moments at which a test lets the process die as by a power cut: ONLOGIT_FAILPOINT=name:count.

The count-th time that the moment `name` is reached, the process kills itself. Without the variable a call costs 50 ns.
"""

import os
import signal

JOURNAL, COMMITTED, FOLD, FOLDED, ANSWER, CHECKPOINT, CHECKPOINTED = POINTS = (
    "journal", "committed", "fold", "folded", "answer", "checkpoint", "checkpointed"
)  # fmt: skip

_name, _, _count = os.environ.get("ONLOGIT_FAILPOINT", "").partition(":")
_left = {_name: int(_count or 1)} if _name else {}


def reach(point: str) -> None:
    """Die here, if that was asked for."""
    if point in _left:
        _left[point] -= 1
        if _left[point] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
