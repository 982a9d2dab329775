"""Checkpoints of a run in one SQLite file, `FOLDER/state.sqlite`.

A checkpoint is state and stream positions packed as one checksummed blob (`arrays.pack`), with large arrays as pages
that checkpoints share (pages.py), written in one transaction, so a process killed at any instant finds its last
checkpoint or the one before, whole. `save` returns once the disk has it. The last three are kept; when the newest does
not match its checksum the one before is given, with a warning: since the positions are of the same instant, to continue
from it is right, only longer.

One process at a time: a second one is refused while the first lives, and the lock dies with its process. Others may
read the file meanwhile. Cost: about three times the blob is written for each save, and four times what changed in large
arrays; no memory between saves.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from onlogit.errors import ConfigError, OutputError, StateError
from onlogit.storage import pages
from onlogit.storage.arrays import Array, Header, pack, unpack
from onlogit.storage.atomic import writing
from onlogit.storage.database import Kind, check, connect, create, speaking, transaction

FILE = "state.sqlite"
KEEP = 3
CHUNK = 64 << 20  # SQLite takes blobs below 1e9 bytes only

TABLES = f"""
    CREATE TABLE checkpoint (generation INTEGER PRIMARY KEY, chunks INTEGER NOT NULL);
    CREATE TABLE chunk (generation INTEGER, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (generation, number));
    {pages.TABLES}
"""
KIND = Kind("state file", 0x6F6E6C67, 2, TABLES)  # "onlg"

Positions = dict[str, dict[str, int | str]]


def holds_checkpoints(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is the state of a run, or of a daemon."""
    return (Path(folder) / FILE).exists()


class Checkpoint(NamedTuple):
    header: Header  # as it was saved
    arrays: dict[str, Array]  # as they were saved
    positions: Positions  # of each stream, by name
    generation: int  # the number of the checkpoint, counted from 1
    warning: str | None  # for the user, loudly, if a newer checkpoint was damaged


class Checkpoints:
    """The checkpoints in `folder`, which is made if need be, and held by this process until `close`; without `hold` only
    read, while another process may be writing them.

    Errors: ConfigError if another process holds it, OutputError if it cannot be written, StateError if its file is
    damaged, foreign, or from a newer format.
    """

    def __init__(self, folder: str | os.PathLike[str], *, hold: bool = True) -> None:
        self.path = Path(folder) / FILE
        self._lock: sqlite3.Connection | None = None
        if not hold:
            with speaking(self.path):
                self._connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", timeout=10, uri=True)
                check(self._connection, self.path, KIND)
            return
        with writing(str(folder)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.path.parent)
        try:
            with speaking(self.path):
                if not self.path.exists():
                    create(self.path, KIND)
                self._connection = connect(self.path, statements=0)
                check(self._connection, self.path, KIND)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            self.close()
            raise

    def save(self, header: Mapping[str, Any], arrays: Mapping[str, Array], positions: Positions) -> int:
        """Makes one checkpoint durable and returns its number; on an error the older ones are untouched."""
        with speaking(self.path):
            (last,) = self._connection.execute("SELECT max(generation) FROM checkpoint").fetchone()
            generation = (last or 0) + 1
            small, paged, cut = pages.cut(arrays)
            whole = {"generation": generation, "header": header, "positions": positions, "paged": paged}
            data = memoryview(pack(whole, small))
            chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
            with transaction(self._connection, self.path):
                run = self._connection.execute
                run("INSERT INTO checkpoint VALUES (?, ?)", (generation, len(chunks)))
                for number, chunk in enumerate(chunks):
                    run("INSERT INTO chunk VALUES (?, ?, ?)", (generation, number, chunk))
                pages.write(self._connection, generation, cut)
                for table in ("checkpoint", "chunk"):
                    run(f"DELETE FROM {table} WHERE generation <= ?", (generation - KEEP,))
                pages.forget(self._connection, generation - KEEP)
            # Out of the log and into the file, where damage is found by the checksum rather than passed over.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return generation

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, None if none was ever saved. Errors: StateError if all are damaged."""
        return next(self.kept(), None)

    def kept(self) -> Iterator[Checkpoint]:
        """The checkpoints that are whole, newest first. Errors: StateError, at the end, if there are some and none is."""
        with speaking(self.path):
            rows = self._connection.execute("SELECT generation, chunks FROM checkpoint ORDER BY generation DESC")
            found = [(int(generation), int(chunks)) for generation, chunks in rows]
        damage: list[str] = []
        for generation, chunks in found:
            try:
                header, arrays = self._read(generation, chunks)
            except StateError as error:
                damage.append(str(error))
                continue
            warning = f"{'; '.join(damage)}; continuing from checkpoint {generation}, an older one" if damage else None
            yield Checkpoint(header["header"], arrays, header["positions"], generation, warning)
        if len(damage) == len(found) > 0:
            raise StateError(f"no checkpoint is whole: {'; '.join(damage)}")

    def _read(self, generation: int, chunks: int) -> tuple[Header, dict[str, Array]]:
        where = f"{self.path}, checkpoint {generation}"
        query = "SELECT data FROM chunk WHERE generation = ? ORDER BY number"
        try:
            parts = [part for (part,) in self._connection.execute(query, (generation,))]
        except sqlite3.Error as error:
            raise StateError(f"{where}: damaged: {error}") from error
        if len(parts) != chunks or not all(isinstance(part, bytes) for part in parts):
            raise StateError(f"{where}: damaged: it has {len(parts)} of its {chunks} chunks")
        header, arrays = unpack(b"".join(parts), where)
        if header.get("generation") != generation:
            raise StateError(f"{where}: damaged: it calls itself checkpoint {header.get('generation')!r}")
        try:
            return header, arrays | pages.read(self._connection, header.get("paged", {}), where)
        except sqlite3.Error as error:
            raise StateError(f"{where}: damaged: {error}") from error

    def close(self) -> None:
        """Lets go of the folder. Harmless twice."""
        if hasattr(self, "_connection"):
            self._connection.close()
        if self._lock is not None:
            self._lock.close()


def lock(folder: Path) -> sqlite3.Connection:
    """Holds the folder while the connection is open. SQLite's own lock, so the system frees it when a process dies."""
    path = folder / "lock.sqlite"
    try:
        connection = connect(path)
    except sqlite3.Error as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        connection.close()
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            raise ConfigError(f"{folder} is in use by another process: stop it, or name another folder") from error
        raise OutputError(f"cannot lock {path}: {error}") from error
    return connection
