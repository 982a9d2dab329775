"""What arrays have to be before a learner takes them over from a file, which may hold anything: a kernel trusts its state."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.learners.protocol import State
from onlogit.states import Kind, check

F64 = npt.NDArray[np.float64]

LARGEST = 1e30  # of any number: products of a few of them stay finite, in single precision times a row's
WIDEST = 1e9  # of a weight, and of a variance, over the prior's or 1: a walk squares what it makes of them
SLACK = 0.01  # of the largest variance: what rounding may take from the least


def demand(fits: object, name: str, what: str) -> None:
    """A StateError that names the array, and `what` it has to be, where it does not fit."""
    if not fits:
        raise StateError(f"the learner's array {name!r} is not {what}")


def require_arrays(state: State, wanted: Mapping[str, Kind], any_number: tuple[str, ...] = ()) -> None:
    """A StateError where an array is missing, of another dtype or shape, or holds a number that is not finite, but for
    arrays that may hold `any_number`."""
    check("the learner", state, wanted)
    for name in wanted:
        if state[name].dtype.kind == "f" and name not in any_number:
            demand(within(state[name], LARGEST), name, f"of finite numbers up to {LARGEST:g}")


def require_slots(state: State, name: str, slots: int) -> None:
    """A StateError unless these are different places of a table of so many slots."""
    known = np.unique(state[name])
    fits = len(known) == len(state[name]) and (not len(known) or 0 <= int(known[0]) <= int(known[-1]) < slots)
    demand(fits, name, f"different slots of the {slots} of its table")


def require_covariances(found: F64, name: str) -> None:
    """A StateError where one of covariances [K, D, D] is not symmetric, or has a variance below 0; rounding aside."""
    turned = found.transpose(0, 2, 1)
    size = np.linalg.eigvalsh(0.5 * (found + turned))
    slack = SLACK * np.maximum(size[:, -1], 0.0)
    fits = (size[:, 0] >= -slack).all() and (np.abs(found - turned).max(axis=(1, 2)) <= slack).all()
    demand(fits, name, "a covariance")


def within(array: npt.NDArray[Any], most: float) -> bool:
    """Whether all are finite and at most so large."""
    return bool((np.abs(array) <= most).all())
