"""A source that reads the files of a folder or a glob, and may follow it as files are added.

Files are taken in the order of their names among those not read yet; a file that appears late and sorts before one
that was read is read after it. Names that start with `.` or `_`, or end in `.tmp` or `.partial`, are passed over: write
a file under such a name and rename it when it is whole.

A position holds the file being read, the rows read of it, and the names read before that are still in the folder, so
it grows with the folder, not with the stream: move files away once they are in `read`. (A file that comes back under
its old name after that is a new file.) The first file settles the columns, and their types where those are inferred;
positions remember them, so that later files are held to them though the first is gone.
"""

import base64
import glob
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import DataError, SchemaError
from onlogit.streams.files import FileSource
from onlogit.streams.passes import Settings, names_wanted, reading
from onlogit.streams.protocols import Position

POLL_SECONDS = 0.2
INFERRED = ("csv", "ndjson")


def is_glob(where: str) -> bool:
    return glob.has_magic(where) and not os.path.exists(where)


def is_folder(where: str) -> bool:
    """Whether it names many files: a folder, or a glob."""
    return os.path.isdir(where) or is_glob(where)


def files_of(where: str) -> dict[str, str]:
    """The files of a folder by name, or of a glob by path, in order."""
    with reading(where, "a folder"):
        if is_glob(where):
            found = {path: path for path in glob.glob(where)}
        else:
            found = {name: os.path.join(where, name) for name in os.listdir(where)}
    return {name: found[name] for name in sorted(found) if is_whole(found[name])}


def is_read(where: str, path: str) -> bool:
    """Whether a folder or a glob takes in a file of this name, be it there or not yet."""
    if not is_folder(where) or not is_whole(path):
        return False
    root = os.path.realpath(where)
    pattern = root if is_glob(where) else os.path.join(glob.escape(root), "*")
    places = {os.path.realpath(path), os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))}
    return any(_matches(place, pattern) for place in places)


def _matches(path: str, pattern: str) -> bool:
    names, wanted = path.split(os.sep), pattern.split(os.sep)
    return len(names) == len(wanted) and all(map(fnmatchcase, names, wanted))


def is_whole(path: str) -> bool:
    name = os.path.basename(path)
    return not name.startswith((".", "_")) and not name.endswith((".tmp", ".partial")) and not os.path.isdir(path)


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def differs(found: pa.Schema, expected: pa.Schema) -> str | None:
    """The first difference between two schemas, in words, or None."""
    for field in expected:
        if field.name not in found.names:
            return f"there is no column {field.name!r}, as there is"
        kind = found.field(field.name).type
        if kind != field.type:
            return f"column {field.name!r} is {kind}, but {field.type}"
    for name in found.names:
        if name not in expected.names:
            return f"column {name!r} is there, but not"
    return None if found.names == expected.names else f"the columns are {', '.join(found.names)}, in another order than"


class FolderSource:
    """The rows of the files of `where`, in order. With `follow`, waits for files until `stop()` is true.

    Errors: DataError for a folder without files (when following: only once `stop()` is true; until then the
    constructor waits for a first file, which gives the schema); SchemaError for a file of another schema, by name.
    """

    def __init__(
        self, where: str, format: str | None, settings: Settings, follow: bool, stop: Callable[[], bool] | None
    ) -> None:
        self.where, self._format, self._settings, self._follow = where, format, settings, follow
        self._stop = stop or (lambda: False)
        self._files = files_of(where)
        while follow and not self._files and not self._stop():
            time.sleep(POLL_SECONDS)
            self._files = files_of(where)
        if not self._files:
            raise DataError(f"{where}: there are no files to read (names that start with . or _ are passed over)")
        self._read: list[str] = []
        self._name = next(iter(self._files))
        self._file: FileSource | None = FileSource(self._files[self._name], format, settings)
        self._format = self._file.format
        self._settle(self._file.full_schema)

    def _settle(self, schema: pa.Schema) -> None:
        """Takes these columns as those of all files."""
        self._text = base64.b64encode(schema.serialize()).decode()
        self.schema = pa.schema(
            [schema.field(name) for name in names_wanted(schema, self._settings.columns, self.where)]
        )
        if self._format in INFERRED:
            self._settings = replace(self._settings, schema=schema)

    def read(self) -> tuple[pa.RecordBatch, Position] | None:
        while True:
            if self._file is None and not self._open_next():
                if not self._follow or self._stop():
                    return None
                time.sleep(POLL_SECONDS)
                if not self._open_next():
                    return no_rows(self.schema), self._position({})
            assert self._file is not None
            item = self._file.read()
            if item is not None:
                return item[0], self._position({"file": self._name, "row": item[1]["row"]})
            self._file.close()
            self._file = None
            self._read.append(self._name)

    def _position(self, place: Position) -> Position:
        return {**place, "read": json.dumps(self._read), "schema": self._text}

    def _open_next(self) -> bool:
        if self._follow:
            self._files = files_of(self.where)
            self._read = [name for name in self._read if name in self._files]
        read = set(self._read)
        name = next((name for name in self._files if name not in read), None)
        if name is not None:
            self._open(name, 0)
        return name is not None

    def _open(self, name: str, row: int) -> None:
        file = FileSource(self._files[name], self._format, self._settings)
        difference = differs(file.schema, self.schema)
        if difference:
            file.close()
            raise SchemaError(f"{file.where}: {difference} in the files before it")
        file.seek({"row": row})
        self._name, self._file = name, file

    def seek(self, position: Position) -> None:
        self.close()
        if "schema" in position:
            self._settle(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(str(position["schema"])))))
        self._read = json.loads(str(position.get("read", "[]")))
        name = str(position.get("file", ""))
        if name in self._files:
            self._open(name, int(position.get("row", 0)))
        elif name:
            raise DataError(f"{self.where}: file {name!r}, read up to row {position.get('row')}, is gone: put it back")

    @property
    def first(self) -> str:
        """The path of the file that gave the schema, before anything was read."""
        return self._files[self._name]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
