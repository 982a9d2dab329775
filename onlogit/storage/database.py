"""A SQLite file of onlogit's: made whole or not at all, known by its kind and version, with errors for a user."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from onlogit.errors import OutputError, StateError
from onlogit.storage.atomic import sync_folder, writing

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FORMAT")


class Kind(NamedTuple):
    """What a file is, by the header of SQLite's format and by its tables."""

    name: str  # in errors
    application: int
    version: int
    tables: str


def connect(path: Path, statements: int = 128) -> sqlite3.Connection:
    """A connection without Python's implicit transactions, which waits for nobody. For one thread at a time.

    `statements`: how many are kept for their next use. A kept one holds a copy of the blob that it wrote last."""
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=statements)


def create(path: Path, kind: Kind) -> None:
    """An empty file; it has its name only once it is whole, so that an empty file is known to be damage."""
    new = path.with_name(f"{path.name}.new")
    with writing(str(path)):
        new.unlink(missing_ok=True)
        with closing(connect(new)) as connection:
            connection.executescript(
                f"{kind.tables} PRAGMA application_id = {kind.application}; PRAGMA user_version = {kind.version};"
            )
        os.replace(new, path)
        sync_folder(path.parent)


def check(connection: sqlite3.Connection, path: Path, kind: Kind) -> None:
    """A StateError unless the file is of this kind and version."""
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != kind.application:
        raise StateError(f"{path} is not a {kind.name} of onlogit: name another folder, or move it away")
    if version != kind.version:
        raise StateError(f"{path} has format version {version}; this onlogit reads {kind.version}")


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """Turns what SQLite says into an error for a user."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(DAMAGED):
            raise StateError(f"{path} is damaged: {error}") from error
        raise OutputError(f"cannot use {path}: {error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All that is written within it, or nothing."""
    with speaking(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
