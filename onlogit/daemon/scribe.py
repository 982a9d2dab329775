"""The scribe thread: turns what came in into journal entries, keeps them in one commit, and hands them to the fold.

JSON rows of several requests become one entry; an Arrow body is one; the first events have one before them that settles
the schema, in the same commit. While the disk takes nothing, writes are refused
with 507 and everything else goes on; the scribe tries a little write each second, and a write that is kept ends it.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon import failpoints
from onlogit.daemon.clock import Clock
from onlogit.daemon.entries import SETTLE, shape_of
from onlogit.daemon.json_rows import RowReader
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.work import MERGED, Filed, Meters, Post, Work, spans
from onlogit.errors import OnlogitError, OutputError
from onlogit.storage.journal import Journal, New
from onlogit.streams.arrow import stream_of

log = logging.getLogger("onlogit.daemon")

MOST_SHAPES = 1_000  # kept once each; a batch of yet another schema brings its own
PROBE = 1.0  # seconds between trials of a full disk


class Scribe:
    """The thread, its inbox, and the journal, which no other thread uses."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        linger_ms: float,
        post: Post,
        file: Callable[[Filed], None],
        meters: Meters,
    ) -> None:
        self.journal, self.clock, self.meters = journal, clock, meters
        self.writable = True
        self._linger = linger_ms / 1e3
        self._post, self._file = post, file
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ended = False  # nothing that comes from now on is looked at
        self._ending = threading.Lock()  # held where that is settled
        self._schemas: dict[int, tuple[pa.Schema, bytes]] = {}
        self.thread = threading.Thread(target=self._run, name="onlogit scribe", daemon=True)

    def write(self, work: Work) -> None:
        self._inbox.put(work)

    def call(self, function: Callable[[Journal], None]) -> None:
        """Have something done with the journal between two commits."""
        self._inbox.put(function)

    def end(self) -> None:
        """End the thread once all that was given before is kept."""
        with self._ending:
            self._ended = True
            self._inbox.put(None)

    def _run(self) -> None:
        while True:
            works: list[Work] = []
            calls: list[Callable[[Journal], None]] = []
            ended = self._take(works, calls)
            if works:
                self._keep(works)
            for function in calls:
                try:
                    function(self.journal)
                except OnlogitError as error:
                    log.warning("%s", error)
            if not self.writable and not works:
                self._probe()
            if ended:
                return

    def _take(self, works: list[Work], calls: list[Callable[[Journal], None]]) -> bool:
        """What has gathered; waits for the first."""
        deadline: float | None = None
        wait: float | None = None if self.writable else PROBE
        while True:
            try:
                item = self._inbox.get(timeout=wait) if deadline is None or wait else self._inbox.get_nowait()
            except queue.Empty:
                return False
            if item is None:
                return True
            (works if isinstance(item, Work) else calls).append(item)
            if deadline is None:
                deadline = time.monotonic() + self._linger
            wait = max(deadline - time.monotonic(), 0.0)

    def _probe(self) -> None:
        try:
            self.journal.probe()
        except OnlogitError:
            return
        self.writable = True
        log.warning("the journal takes writes again")

    # ---- keeping

    def _keep(self, works: Sequence[Work]) -> None:
        filed = [each for group in self._groups(works) for each in self._entries(group)]
        if not filed:
            return
        try:
            new = [self._new(each) for each in filed]
            failpoints.reach(failpoints.JOURNAL)
            first = self.journal.append(new)
        except OutputError as error:
            if self.writable:
                log.error("%s; the daemon goes on scoring, and refuses writes until there is room", error)
            self.writable = False
            self._refuse([work for each in filed for work, _, _ in each.parts], error)
            return
        failpoints.reach(failpoints.COMMITTED)
        if not self.writable:
            self.writable = True
            log.warning("the journal takes writes again")
        for seq, each in enumerate(filed, first):
            each.seq = seq
            self._file(each)

    def _refuse(self, works: list[Work], error: Exception) -> None:
        self.meters.unkept += sum(work.rows for work in works)
        self._post([(work, error) for work in works])

    def _groups(self, works: Sequence[Work]) -> list[list[Work]]:
        """Requests in their order, those that may share an entry together."""
        groups: list[list[Work]] = []
        rows = 0
        for work in works:
            last = groups[-1][-1] if groups else None
            shares = (
                last is not None and not work.alone and not last.alone and work.decoded is not None
                and work.reader is last.reader and work.kind == last.kind and rows + work.rows <= MERGED
            )  # fmt: skip
            if shares:
                groups[-1].append(work)
                rows += work.rows
            else:
                groups.append([work])
                rows = work.rows
        return groups

    def _entries(self, group: list[Work]) -> list[Filed]:
        """The entry of requests that share one; where they do not fit the schema, one of each that does."""
        try:
            batch = group[0].batch
            if group[0].decoded is not None:
                reader = group[0].reader
                assert isinstance(reader, RowReader)
                batch = reader.batch([row for work in group for row in work.decoded or ()])
        except OnlogitError as error:
            if len(group) > 1:
                return [each for work in group for each in self._entries([work])]
            self._refuse(group, error)
            return []
        except Exception as error:
            log.error("rows could not be read", exc_info=error)
            self._refuse(group, Refusal(422, f"the rows cannot be read: {error!r}"[:500]))
            return []
        filed = []
        if group[0].settles:
            filed.append(Filed(0, SETTLE, self.clock(), None, group[0].settles, [], self._redo))
        return [*filed, Filed(0, group[0].kind, self.clock(), batch, group[0].data, spans(group), self._redo)]

    def _redo(self, works: list[Work]) -> bool:
        with self._ending:
            for work in () if self._ended else works:
                work.alone = True
                self._inbox.put(work)
            return not self._ended

    def _new(self, filed: Filed) -> New:
        if filed.batch is None:
            return New(filed.kind, filed.now, filed.data)
        shape = self._shape(filed.batch.schema)
        if self.journal.shapes >= MOST_SHAPES and not self.journal.knows(shape):
            return New(filed.kind, filed.now, stream_of(filed.batch))
        return New(filed.kind, filed.now, memoryview(filed.batch.serialize()), shape)

    def _shape(self, schema: pa.Schema) -> bytes:
        """The schema as bytes; made once for each that is met often."""
        known = self._schemas.get(id(schema))
        if known is None or not known[0].equals(schema):
            for other, data in self._schemas.values():
                if other.equals(schema):
                    return data
            if len(self._schemas) >= 64:
                self._schemas.clear()
            known = (schema, shape_of(schema))
            self._schemas[id(schema)] = known
        return known[1]
