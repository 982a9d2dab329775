"""A thread that follows another one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any


class Beside:
    """Does things one after the other in a thread of its own; or at once, where there is too little to do for one. Leaving it
    waits for all that was given, and raises what went wrong."""

    def __init__(self, name: str, alone: bool) -> None:
        self._pool = None if alone else ThreadPoolExecutor(1, name)
        self._given: list[Future[Any]] = []

    def do(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """To be done after what was given before."""
        if self._pool is not None:
            given = self._pool.submit(function, *args)
        else:
            given = Future()
            given.set_result(function(*args))
        self._given.append(given)
        return given

    def __enter__(self) -> "Beside":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        if error is None:
            for each in self._given:
                each.result()
