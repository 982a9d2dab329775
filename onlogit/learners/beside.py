"""A worker thread with an ordered queue."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import Any

Task = tuple[Callable[..., object], tuple[Any, ...]]


class Beside:
    """Does things one after the other in a thread of its own; or at once, where there is too little to do for one. Leaving it
    waits for all that was given, and raises what went wrong first."""

    def __init__(self, name: str, alone: bool) -> None:
        self._given: SimpleQueue[Task | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._thread = None if alone else Thread(target=self._work, name=name)

    def do(self, function: Callable[..., object], *args: Any) -> None:
        """To be done after what was given before."""
        if self._thread is None:
            function(*args)
        else:
            self._given.put((function, args))

    def done(self) -> Event:
        """Set once all is done that was given so far."""
        event = Event()
        self.do(event.set)
        return event

    def _work(self) -> None:
        while (task := self._given.get()) is not None:
            function, args = task
            try:
                function(*args)
            except BaseException as error:
                self._error = self._error or error

    def __enter__(self) -> "Beside":
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._given.put(None)
            self._thread.join()
        if error is None and self._error is not None:
            raise self._error
