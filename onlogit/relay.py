"""Batches on their way through the parts of a step, side by side and in order.

Each part takes the batches in their order, one at a time. There are as many threads as processors, and no more than parts; a
thread that is free takes the furthest part whose turn it is, of whichever batch. (Where each batch had a thread for all its
parts, both went at the pace of the slower processor.)
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any

Part = Callable[[Any], Any]
Way = tuple[Any, Future[Any]]  # an item, and where it is told what the last part made of it


class Relay:
    """Takes items through `parts`, where each part is given what the one before made of it.

    `threads`: at most so many items are in work at a time (default: one a processor).
    """

    def __init__(self, parts: Sequence[Part], threads: int | None = None) -> None:
        self._parts = parts
        self.threads = min(threads or os.cpu_count() or 1, len(parts))
        self._news = Condition()  # holds what follows
        self._waiting: list[deque[Way]] = [deque() for _ in parts]  # items before each part
        self._busy = [False for _ in parts]
        self._failed: list[BaseException | None] = [None for _ in parts]
        self._closed = False
        self._workers = [Thread(target=self._work, name=f"onlogit fold {k}", daemon=True) for k in range(self.threads)]
        for worker in self._workers:
            worker.start()

    def take(self, item: Any) -> Future[Any]:
        """Send the next item on its way; what the last part makes of it.

        Where a part fails, the items behind this one fail with the same error before they come to that part.
        """
        told = Future[Any]()
        with self._news:
            self._waiting[0].append((item, told))
            self._news.notify()
        return told

    def _work(self) -> None:
        while (at := self._next()) is not None:
            item, told = self._waiting[at].popleft()
            try:
                self._pass_on(at, self._made(at, item), told)
            except BaseException as error:
                told.set_exception(error)
            with self._news:
                self._busy[at] = False
                self._news.notify()

    def _next(self) -> int | None:
        """The furthest part whose turn it is, which is busy from now on; None once there will be no more."""
        with self._news:
            while True:
                for at in reversed(range(len(self._parts))):
                    if self._waiting[at] and not self._busy[at]:
                        self._busy[at] = True
                        return at
                if self._closed and not any(self._busy):
                    self._news.notify_all()
                    return None
                self._news.wait()

    def _made(self, at: int, item: Any) -> Any:
        """What a part makes of an item."""
        broken = self._failed[at]
        if broken is not None:
            raise broken
        try:
            return self._parts[at](item)
        except BaseException as error:
            self._failed[at] = error
            raise

    def _pass_on(self, at: int, item: Any, told: Future[Any]) -> None:
        if at + 1 == len(self._parts):
            told.set_result(item)
            return
        with self._news:
            self._waiting[at + 1].append((item, told))
            self._news.notify()

    def close(self) -> None:
        """Waits for what is under way, and ends the threads."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        for worker in self._workers:
            worker.join()
