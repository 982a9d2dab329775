"""Batches on their way through the parts of a step, side by side and in order.

Each batch is taken through all parts by one thread, and each part takes the batches in their order, one at a time. There are
as many threads as processors, and no more than parts. Measured on two processors, sgd on 20 numbers: 108 ns an event with two
threads, 110 with three, 160 with one; on 26 categories 342, 349 and 498 (medians of 9 passes in turns).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Part = Callable[[Any], Any]
Turns = list[Future[None]]  # of one batch: which parts are done with it


class Relay:
    """Takes items through `parts`, where each part is given what the one before made of it.

    `threads`: at most so many items are under way at a time (default: one a processor).
    """

    def __init__(self, parts: Sequence[Part], threads: int | None = None) -> None:
        self._parts = parts
        self.threads = min(threads or os.cpu_count() or 1, len(parts))
        self._pool = ThreadPoolExecutor(self.threads, "onlogit fold")
        self._last: Turns = [_done() for _ in parts]

    def take(self, item: Any) -> Future[Any]:
        """Send the next item on its way; what the last part makes of it.

        Where a part fails, the items behind this one fail with the same error before they come to that part.
        """
        before, self._last = self._last, [Future[None]() for _ in self._parts]
        return self._pool.submit(self._run, item, before, self._last)

    def _run(self, item: Any, before: Turns, turns: Turns) -> Any:
        for at, part in enumerate(self._parts):
            try:
                before[at].result()
                item = part(item)
            except BaseException as error:
                for turn in turns[at:]:
                    turn.set_exception(error)
                raise
            turns[at].set_result(None)
        return item

    def close(self) -> None:
        """Waits for what is under way, and ends the threads."""
        self._pool.shutdown()


def _done() -> Future[None]:
    done = Future[None]()
    done.set_result(None)
    return done
