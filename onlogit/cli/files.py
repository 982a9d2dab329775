"""Files that commands write and read besides streams: models, and the one rule about devices and pipes.

A name that exists and is neither a file nor a folder (a device, a named pipe) is written to, never replaced.
"""

import os
import stat
import sys

from onlogit.errors import DataError, SchemaError
from onlogit.model import OnlineLogit, load, of_bytes
from onlogit.storage.atomic import AtomicFile
from onlogit.streams import Source
from onlogit.streams.channels import Pipe


def is_pipe(where: str) -> bool:
    """Whether `where` is stdin or stdout, a device or a named pipe: nothing that could be read or cut back again."""
    if where == "-":
        return True
    try:
        mode = os.stat(where).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


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
