"""Files that are never half-written.

An `AtomicFile` collects bytes under a hidden name beside its target and takes the target's name only when it is whole
and on the disk; until then the old file stays as it was. After a crash a hidden `.NAME.*.tmp` may remain, never a
damaged NAME. Cost: one fsync of the file and one of its folder.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from onlogit.errors import OutputError


class Bytes(Protocol):
    """Anything that `os.write` takes: bytes, a memoryview, an Arrow buffer."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Turns what the system says while writing `name` into an OutputError that a user can act on."""
    try:
        yield
    except BrokenPipeError as error:
        raise OutputError(f"cannot write {name}: its reader has closed the pipe") from error
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror or error}") from error


def write_all(descriptor: int, data: Bytes) -> None:
    """Writes every byte of `data`, however many calls that takes."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in `folder` durable, where the system can open a folder at all."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AtomicFile:
    """A file being written: `finish` gives it its name, `abort` leaves no trace of it. Errors: OutputError.

    A write that fails aborts by itself. `path` may be a symbolic link; what it points to is then replaced.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = str(path)
        self.path = Path(os.path.realpath(path))
        with writing(self.name):
            if self.path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            if self.path.exists() and not self.path.is_file():
                raise OSError(22, "it is not a file that can be replaced")
            self._descriptor, self._temporary = tempfile.mkstemp(
                prefix=f".{self.path.name}.", suffix=".tmp", dir=self.path.parent
            )
            with suppress(OSError):
                os.fchmod(self._descriptor, file_mode(self.path))
        self._open = True
        self.size = 0

    def write(self, data: Bytes) -> int:
        """Adds `data`; returns its length, as a binary file does."""
        try:
            with writing(self.name):
                write_all(self._descriptor, data)
        except OutputError:
            self.abort()
            raise
        length = memoryview(data).nbytes
        self.size += length
        return length

    def finish(self) -> None:
        """Makes the bytes durable, then gives them the target's name."""
        try:
            with writing(self.name):
                os.fsync(self._descriptor)
                os.replace(self._temporary, self.path)
                sync_folder(self.path.parent)
        except OutputError:
            self.abort()
            raise
        self._close()

    def abort(self) -> None:
        """Removes what was written so far; harmless when finished or aborted already."""
        if self._open:
            self._close()
            with suppress(OSError):
                os.unlink(self._temporary)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)


def file_mode(path: Path) -> int:
    """The permissions that a file written anew at `path` would have: those of the old file, else by the umask."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
