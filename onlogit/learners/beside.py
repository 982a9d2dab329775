"""A worker thread with an ordered queue."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

Task = tuple[Callable[..., object], tuple[Any, ...]]


class Beside:
    """Does things one after the other in a thread of its own; or at once, where there is too little to do for one. The thread
    goes on until it is told that this is all."""

    def __init__(self, name: str, alone: bool) -> None:
        self._given: SimpleQueue[Task | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._thread = None if alone else Thread(target=self._work, name=name)
        if self._thread is not None:
            self._thread.start()

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

    def all_given(self) -> None:
        """No more will be given."""
        self._given.put(None)

    def wait(self) -> None:
        """Until all is done, of which nothing is left to give; raises what went wrong first."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
