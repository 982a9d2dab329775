"""Where the bytes of an output go: a file that appears whole (`AtomicFile`), or a pipe."""

import sys
from contextlib import suppress
from typing import Any, Protocol

from onlogit.errors import OutputError
from onlogit.storage.atomic import Bytes, writing


class Channel(Protocol):
    """Where a WholeSink's bytes go: an AtomicFile or a Pipe."""

    name: str
    size: int

    def write(self, data: Bytes) -> int: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


class Pipe:
    """A channel that cannot be taken back: stdout, a named pipe, a device."""

    def __init__(self, where: str) -> None:
        self.name = "stdout" if where == "-" else where
        self.size = 0
        with writing(self.name):
            self._file: Any = sys.stdout.buffer if where == "-" else open(where, "wb", buffering=0)  # noqa: SIM115
        self._own = where != "-"

    def write(self, data: Bytes) -> int:
        rest = memoryview(data).cast("B")
        self.size += len(rest)
        with writing(self.name):
            while rest:
                rest = rest[self._file.write(rest) :]
            self._file.flush()
        return memoryview(data).nbytes

    def finish(self) -> None:
        if self._own:
            with writing(self.name):
                self._file.close()

    def abort(self) -> None:
        with suppress(OutputError):
            self.finish()


class OutFile:
    """A channel as the binary file that Arrow's writers expect; deaf once `closed`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.closed = False

    def write(self, data: Bytes) -> int:
        return memoryview(data).nbytes if self.closed else self._channel.write(data)

    def tell(self) -> int:
        return self._channel.size

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True
