"""The journal: every input of a fold, in the order in which it is folded, in `FOLDER/journal.sqlite`.

`append` writes any number of entries in one transaction (group commit) and returns once they are kept: with
durability "process" they survive the death of the process, with "power" also that of the machine (one fsync a commit).
An entry has a checksum of its own; a damaged one is a StateError that names it. The journal has a file of its own
beside the checkpoints, because SQLite has one writer a file, and no answer should wait for a checkpoint.

Knows bytes, not models: an entry is a kind, a time, a shape (bytes that many entries share, such as a schema; kept once)
and data. Cost: the data is written twice (log and file); memory: that of one commit.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from onlogit.errors import StateError
from onlogit.storage.database import Kind, check, connect, create, speaking, transaction

FILE = "journal.sqlite"
SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}
READ = 64  # entries fetched at a time
TRIM = 500  # entries deleted in one transaction, so that no commit waits long
OVERHEAD = 64  # bytes of an entry besides its data, roughly

TABLES = """
    CREATE TABLE entry (
        seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, now INTEGER NOT NULL, shape INTEGER NOT NULL,
        check_sum INTEGER NOT NULL, data BLOB NOT NULL
    );
    CREATE TABLE shape (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE skipped (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL);
    CREATE TABLE probe (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
KIND = Kind("journal", 0x6F6E6C6A, 1, TABLES)  # "onlj"


def has_journal(folder: str | os.PathLike[str]) -> bool:
    """Whether there is a journal in a folder, which is the state of a daemon then, and of no run."""
    return (Path(folder) / FILE).exists()


class New(NamedTuple):
    """An entry to be written."""

    kind: str
    now: int  # microseconds since 1970 UTC
    data: bytes | memoryview
    shape: bytes = b""


class Entry(NamedTuple):
    """An entry as it was written."""

    seq: int  # from 1, without gaps
    kind: str
    now: int
    data: bytes
    shape: bytes


class Journal:
    """The journal in `folder`, which has to exist and to be held by this process (or read only, while another writes).

    Errors: OutputError where it cannot be written (a full disk), StateError where it is damaged or foreign.
    """

    def __init__(self, folder: str | os.PathLike[str], durability: str = "process") -> None:
        self.path = Path(folder) / FILE
        with speaking(self.path):
            if not self.path.exists():
                create(self.path, KIND)
            self._connection = connect(self.path)
            run = self._connection.execute
            check(self._connection, self.path, KIND)
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA wal_autocheckpoint = 8000")
            run(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
            self._shapes = {bytes(data): int(key) for key, data in run("SELECT id, data FROM shape")}
            first, last = run("SELECT min(seq), max(seq) FROM entry").fetchone()
            latest = run("SELECT now FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
            kept = run("SELECT coalesce(sum(length(data)), 0) FROM entry").fetchone()[0]
        self.first, self.last = int(first or 1), int(last or 0)
        self.latest = int(latest[0]) if latest else 0  # the time of the last entry when this was opened
        self.size = int(kept) + OVERHEAD * (self.last - self.first + 1)  # bytes of entries

    @property
    def shapes(self) -> int:
        """How many shapes are kept."""
        return len(self._shapes)

    def knows(self, shape: bytes) -> bool:
        """Whether this shape is kept."""
        return shape in self._shapes

    def append(self, entries: Sequence[New]) -> int:
        """Keeps entries, in order, all or none; the number of the first."""
        first, shapes, rows = self.last + 1, dict(self._shapes), []
        new: list[tuple[int, bytes]] = []
        for seq, entry in enumerate(entries, first):
            shape = 0
            if entry.shape:
                if entry.shape not in shapes:
                    shapes[entry.shape] = len(shapes) + 1
                    new.append((shapes[entry.shape], entry.shape))
                shape = shapes[entry.shape]
            rows.append((seq, entry.kind, entry.now, shape, _check_sum(seq, entry.kind, entry.data), entry.data))
        with transaction(self._connection, self.path):
            if new:
                self._connection.executemany("INSERT INTO shape VALUES (?, ?)", new)
            self._connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._shapes, self.last = shapes, self.last + len(rows)
        self.size += sum(len(row[5]) + OVERHEAD for row in rows)
        return first

    def read(self, after: int, until: int | None = None) -> Iterator[Entry]:
        """The entries after `after` and up to `until`, in order; those that were skipped for good are left out."""
        until = self.last if until is None else min(until, self.last)
        if after + 1 < self.first and after < until:
            raise StateError(f"{self.path}: entries before {self.first} are no longer kept, {after + 1} is wanted")
        shapes = {key: data for data, key in self._shapes.items()}
        skipped = self.skipped()
        query = (
            "SELECT seq, kind, now, shape, check_sum, data FROM entry WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        )
        while after < until:
            with speaking(self.path):
                rows = self._connection.execute(query, (after, until, READ)).fetchall()
            for seq, kind, now, shape, check_sum, data in rows:
                whole = isinstance(data, bytes) and check_sum == _check_sum(seq, kind, data)
                if seq != after + 1 or not whole or (shape and shape not in shapes):
                    raise StateError(f"{self.path}: entry {after + 1} is damaged or missing")
                after = seq
                if seq not in skipped:
                    yield Entry(seq, kind, now, data, shapes.get(shape, b""))
            if not rows:
                raise StateError(f"{self.path}: entry {after + 1} is missing")

    def skip(self, seq: int, reason: str) -> None:
        """Leave an entry out of every later reading: it was found to break the fold."""
        with transaction(self._connection, self.path):
            self._connection.execute("INSERT OR REPLACE INTO skipped VALUES (?, ?)", (seq, reason[:1000]))

    def skipped(self) -> dict[int, str]:
        """The entries left out, and why."""
        with speaking(self.path):
            return {int(seq): reason for seq, reason in self._connection.execute("SELECT seq, reason FROM skipped")}

    def trim(self, keep_from: int, oldest: int, most_bytes: int) -> int:
        """Delete entries below `keep_from` that are older than the time `oldest`, or too many by size; how many went.

        At most a few hundred at a time: call it again.
        """
        query = "SELECT seq, now, length(data) FROM entry WHERE seq < ? ORDER BY seq LIMIT ?"
        with speaking(self.path):
            rows = self._connection.execute(query, (keep_from, TRIM)).fetchall()
        gone, freed = 0, 0
        for _, now, length in rows:
            if now >= oldest and self.size - freed <= most_bytes:
                break
            gone, freed = gone + 1, freed + length + OVERHEAD
        if gone:
            with transaction(self._connection, self.path):
                self._connection.execute("DELETE FROM entry WHERE seq <= ?", (rows[gone - 1][0],))
            self.first, self.size = rows[gone - 1][0] + 1, self.size - freed
        return gone

    def probe(self) -> None:
        """Write and forget a little, to learn whether the disk takes bytes again."""
        with transaction(self._connection, self.path):
            self._connection.execute("INSERT OR REPLACE INTO probe VALUES (1, zeroblob(65536))")
        with transaction(self._connection, self.path):
            self._connection.execute("DELETE FROM probe")

    def limit(self, pages: int) -> None:
        """Let the file have at most so many pages, as a full disk would (for tests)."""
        self._connection.execute(f"PRAGMA max_page_count = {pages}")

    def close(self) -> None:
        """Lets go of the file. Harmless twice."""
        self._connection.close()


def _check_sum(seq: int, kind: str, data: bytes | memoryview) -> int:
    return zlib.crc32(data, zlib.crc32(f"{seq} {kind}".encode()))
