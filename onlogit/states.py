"""States: arrays by their names, of a whole and its parts, and whether those of a file are such as are wanted."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError

Array = np.ndarray[Any, Any]
Kind = tuple[npt.DTypeLike, tuple[int | None, ...]]  # dtype and shape, in which None is any length


def under(state: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def by_part(state: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The arrays of each part, by the rest of their names: "3.codes" is "codes" of the part "3". One look at each name."""
    parts: dict[str, dict[str, Array]] = {}
    for name, array in state.items():
        part, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(part, {})[rest] = array
    return parts


def like(arrays: Mapping[str, Array], *, any_length: Iterable[str] = ()) -> dict[str, Kind]:
    """The kinds of these arrays; some may be of `any_length`."""
    return {name: (a.dtype, (None, *a.shape[1:]) if name in any_length else a.shape) for name, a in arrays.items()}


def check(what: str, state: Mapping[str, Array], wanted: Mapping[str, Kind], *, finite: bool = False) -> None:
    """A StateError where an array is missing, of another dtype or shape, or not finite where all have to be."""
    for name, (dtype, shape) in wanted.items():
        given = state.get(name)
        if given is None or given.dtype != dtype or not _fits(given.shape, shape):
            found = "missing" if given is None else _shown(given.dtype, given.shape)
            raise StateError(f"{what}: the array {name!r} is {found}; accepted is {_shown(dtype, shape)}")
        if finite and not np.isfinite(given).all():
            raise StateError(f"{what}: the array {name!r} holds a number that is not finite")


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(n in (None, m) for m, n in zip(found, shape, strict=True))


def _shown(dtype: npt.DTypeLike, shape: tuple[int | None, ...]) -> str:
    return f"{np.dtype(dtype)}[{', '.join('n' if n is None else str(n) for n in shape)}]"
