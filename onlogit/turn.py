"""One change of a model at a time, and each of them whole.

A change takes one thread: another that would begin one meanwhile gets an error, and nothing of it is done. Ctrl-C waits until
the change is over, a second one does not. What breaks a change off in its middle leaves a model of no further use, which is
said from then on.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from onlogit.errors import OnlogitError, StateError


class Turn:
    """Whose turn it is to change a model; a copy begins with nobody's."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken  # what broke a change off
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["Turn"], tuple[str]]:
        return Turn, (self.broken,)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A change, or a look that has to see the model whole. StateError where another one is under way, or was broken off.

        An OnlogitError has changed nothing; whatever else comes out has broken the model.
        """
        with _patient():
            if not self._lock.acquire(blocking=False):
                raise StateError(
                    "another thread is changing this model: let one at a time step, learn or save; any may score meanwhile"
                )
            try:
                if self.broken:
                    raise StateError(
                        f"a step of this model was broken off in the middle by {self.broken}: load the file saved last"
                    )
                yield
            except OnlogitError:
                raise
            except BaseException as error:
                self.broken = type(error).__name__
                raise
            finally:
                self._lock.release()


@contextmanager
def _patient() -> Iterator[None]:
    """Lets the first SIGINT wait until the end, in the thread that it comes to."""
    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(before):
        yield
        return
    asked: list[FrameType | None] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            before(number, frame)
        asked.append(frame)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if len(asked) == 1:
            before(signal.SIGINT, asked[0])
