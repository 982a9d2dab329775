"""The door to Numba: how every kernel is compiled. (The other is lanes.py, which adds vectors to the language.)

Every kernel is compiled with the same options: `nogil`, so that threads can share the work; `error_model="numpy"`, so
that a division by zero is an inf as in NumPy; fused multiply-add is allowed, and fast-math flags that assume NaN and inf
away are not. Sums keep their order, so that a result cannot depend on how a stream was cut into batches; only a
`reduction`, whose length is that of one row, may be reassociated and so vectorised.

Compiled code is cached on disk, in a folder named by a digest of all kernel sources: Numba's own check looks at the file
of the outermost function only, and would keep stale code when a function inlined from another file changes. Where no
cache folder can be written, kernels are compiled anew in each process, and one line on stderr says so.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba  # type: ignore[import-untyped,unused-ignore]
import numpy as np

F = TypeVar("F", bound=Callable[..., object])

IN_ORDER = {"contract"}
ANY_ORDER = {"contract", "reassoc", "nsz"}


def cache_folder() -> Path:
    """Where compiled kernels are kept: `NUMBA_CACHE_DIR` if set, else a folder of the user's cache."""
    told = os.environ.get("NUMBA_CACHE_DIR")
    if told:
        return Path(told)
    home = os.environ.get("XDG_CACHE_HOME")
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return (Path(home) if home else Path.home() / ".cache") / "onlogit" / f"kernels-{digest.hexdigest()[:16]}"


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _folder_or_none() -> str | None:
    folder = cache_folder()
    if _usable(folder):
        return str(folder)
    print(
        f"onlogit: cannot write the compile cache {folder}; kernels are compiled anew in every process "
        "(set NUMBA_CACHE_DIR to a folder that can be written)",
        file=sys.stderr,
    )
    return None


FOLDER = _folder_or_none()


def _compiled(function: F, *, fastmath: set[str], cache: bool = False, **told: Any) -> F:
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = FOLDER or before  # read when the function is decorated, then given back
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True} | told
    try:
        compiled: F = numba.njit(function, cache=cache, fastmath=fastmath, **options)
        return compiled
    finally:
        settings.CACHE_DIR = before


def kernel(function: F) -> F:
    """Compile `function` on its first call, once per combination of argument types; cached on disk."""
    return _compiled(function, fastmath=IN_ORDER, cache=FOLDER is not None)


def inline(function: F) -> F:
    """Compile a scalar function for use inside kernels; LLVM inlines it. Not to be called from Python, which would crash:
    it is compiled without what that takes, for a kernel to be ready sooner.

    In one that is given arrays, a branch can make Numba count references to each of them at every call, which in a loop over
    rows costs more than the row does (seen: 78 ns in place of 10, and a quarter of all that experts did, as samples of `perf`
    in NRT_incref and NRT_decref showed). Let the caller choose, clamp an index, or loop over nothing."""
    return _compiled(function, fastmath=IN_ORDER, forceinline=True, no_cpython_wrapper=True)


@inline
def unsigned(place: int) -> int:
    """A place in an array that is known not to be negative. Numba looks at every place that it cannot prove to be so, as -1
    is the last one; in a loop over 26 slots a row that took a sixth of the time to learn, and a third of that to score."""
    return np.uint64(place)  # type: ignore[return-value]


def part(function: F) -> F:
    """Part of a kernel, named for the reader: its body is put there before anything is compiled, and it is not compiled by
    itself as well. For what is called from one place; where there are several, `inline` takes less time."""
    return _compiled(function, fastmath=IN_ORDER, inline="always")


def reduction(function: F) -> F:
    """Like `inline`, and its sums may be reassociated. Only for lengths that do not depend on the batch."""
    return _compiled(function, fastmath=ANY_ORDER, forceinline=True, no_cpython_wrapper=True)
