"""The monitors of several workers as one: tallies add exactly, evidence starts anew.

A tally is a sum of whole numbers, so that of all parts, each less the common base, is to the byte the tally of one monitor
that judged every event; but for the log loss of the running base rate, in which each part has its own running rate. Evidence
needs events in prediction order, which the parts together have not: it restarts at zero, and no alarm is open.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onlogit.kernels.tally import MASK, PART_BITS, Tally

State = dict[str, np.ndarray[Any, Any]]


def merge(fresh: State, base: State, parts: Sequence[State]) -> State:
    """States of calibration monitors with the same settings; `fresh` that of one that has seen nothing."""
    return fresh | {f"tally.{name}": _add(name, base, parts) for name in Tally._fields}


def _add(name: str, base: State, parts: Sequence[State]) -> np.ndarray[Any, Any]:
    key = f"tally.{name}"
    total = base[key].copy()
    for part in parts:
        total += part[key] - base[key]
        if name in ("totals", "shares", "odds"):  # two limbs
            total[..., 0] += total[..., 1] >> PART_BITS
            total[..., 1] &= MASK
    return total
