"""Sources that may keep their reader waiting: opened and read in threads, so that a signal or a checkpoint need not wait."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.streams.protocols import Position, Source

AHEAD = 2  # batches read before they are asked for
PULSE = 0.1  # seconds after which a waiting loop looks at its flags
ENDED, WAITING = "ended", "waiting"


def open_patiently(opening: Callable[[], Source], stop: Callable[[], bool]) -> Source | None:
    """The source that `opening` returns; None once `stop()` is true, for a pipe may give its first records never."""
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(opening())
        except BaseException as error:  # raised again below
            answer.put(error)

    threading.Thread(target=ask, name="onlogit opening", daemon=True).start()
    while not stop():
        with suppress(queue.Empty):
            item = answer.get(timeout=PULSE)
            if not isinstance(item, BaseException):
                return item  # type: ignore[no-any-return]
            if stop():  # it may be an error only because the source saw the same
                return None
            raise item
    return None


class Ahead:
    """A source, read in a thread. Batches and errors come in their order."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._items: queue.Queue[Any] = queue.Queue(AHEAD)
        self._given_up = False
        self._thread = threading.Thread(target=self._fill, name="onlogit source", daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        item: Any = None
        while item is not ENDED and not isinstance(item, BaseException):
            try:
                item = self._source.read() or ENDED
            except BaseException as error:  # raised again where the item is taken
                item = error
            while not self._given_up:
                with suppress(queue.Full):
                    self._items.put(item, timeout=PULSE)
                    break
            else:
                return

    def read(self) -> tuple[pa.RecordBatch, Position] | str:
        """The next batch with the position after it, ENDED, or WAITING where none came for a moment."""
        try:
            item = self._items.get(timeout=PULSE)
        except queue.Empty:
            return WAITING
        if isinstance(item, BaseException):
            raise item
        return item  # type: ignore[no-any-return]

    def has_batch(self) -> bool:
        """Whether `take` would give a batch at once."""
        with self._items.mutex:
            return bool(self._items.queue) and isinstance(self._items.queue[0], tuple)

    def take(self) -> tuple[pa.RecordBatch, Position]:
        """The batch that `has_batch` saw."""
        return self._items.get()  # type: ignore[no-any-return]

    def close(self) -> bool:
        """Ends the thread; False where it is still asleep in its source, which then must be left alone."""
        self._given_up = True
        self._thread.join(5 * PULSE)
        return not self._thread.is_alive()
