"""Files that commands write and read besides streams: models, and the one rule about devices and pipes.

A name that exists and is neither a file nor a folder (a device, a named pipe) is written to, never replaced.
"""

import os
import stat
import sys
from itertools import combinations

from onlogit.errors import ConfigError, DataError, SchemaError
from onlogit.model import OnlineLogit, load, of_bytes
from onlogit.storage.atomic import AtomicFile
from onlogit.streams import Source
from onlogit.streams.channels import Pipe
from onlogit.streams.folder import is_read


def is_pipe(where: str) -> bool:
    """Whether `where` is stdin or stdout, a device or a named pipe: nothing that could be read or cut back again."""
    if where == "-":
        return True
    try:
        mode = os.stat(where).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def same_file(one: str, other: str) -> bool:
    """Whether two names are of one file, by whatever path or link, be it there or not yet."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def keep_apart(where: str, **outputs: str | None) -> None:
    """A ConfigError where two outputs are one file, or where one of them is what is read, or would be as a file of it."""
    given = {f"--{name}": path for name, path in outputs.items() if path is not None}
    for (one, path), (other, second) in combinations(given.items(), 2):
        if path == second == "-" or (not is_pipe(path) and same_file(path, second)):
            raise ConfigError(f"{one} and {other} are both {path}: name two files")
    for name, path in given.items():
        if not is_pipe(where) and not is_pipe(path) and (same_file(path, where) or is_read(where, path)):
            what = "is what is read" if same_file(path, where) else f"would be read as a file of {where}"
            raise ConfigError(f"{name} {path} {what}: write elsewhere")


def save_model(model: OnlineLogit, where: str) -> None:
    """Write a model file, whole or not at all; `-` is stdout."""
    if not is_pipe(where):
        model.save(where)
        return
    pipe = Pipe(where)
    pipe.write(model.to_bytes())
    pipe.finish()


def write_text(text: str, where: str) -> None:
    """Write a file of text, whole or not at all; `-` is stdout."""
    channel = Pipe(where) if is_pipe(where) else AtomicFile(where)
    channel.write(text.encode(errors="replace"))  # names of files may be no text
    channel.finish()


def load_model(where: str) -> OnlineLogit:
    """Read a model file; `-` is stdin."""
    if where == "-":
        return of_bytes(sys.stdin.buffer.read(), "the model on stdin")
    if not os.path.exists(where):
        raise DataError(f"cannot read the model {where}: there is no such file")
    return load(where)


def begin(model: OnlineLogit, source: Source, where: str) -> None:
    """Settle the schema of a new model by a source; a SchemaError names the file, of a folder the first one."""
    try:
        model.begin(source.schema)
    except SchemaError as error:
        raise SchemaError(f"{getattr(source, 'first', where)}: {error}") from error
