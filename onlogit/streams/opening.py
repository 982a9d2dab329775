"""The two doors: `open_source` and `open_sink` choose the kind of stream."""

import os
from collections.abc import Callable, Sequence

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import ConfigError, DataError, SchemaError
from onlogit.storage.atomic import AtomicFile
from onlogit.streams.channels import Pipe
from onlogit.streams.files import FileSource
from onlogit.streams.folder import FolderSource, is_folder
from onlogit.streams.formats import checked, format_of_name
from onlogit.streams.memory import MemorySource, speaks_arrow
from onlogit.streams.passes import Settings
from onlogit.streams.protocols import Sink, Source
from onlogit.streams.sinks import TEXTS, AppendSink, PartsSink, WholeSink


def open_source(
    where: object,
    *,
    format: str | None = None,
    batch_rows: int = 65_536,
    follow: bool = False,
    stop: Callable[[], bool] | None = None,
    columns: Sequence[str] | None = None,
    types: pa.Schema | None = None,
) -> Source:
    """A source of `where`: a path, a folder, a glob, `-` for stdin, or what speaks Arrow's PyCapsule interface.

    The format is found by content, unless `format` says it: "arrow" (IPC stream), "arrow-file" (IPC file, Feather),
    "parquet", "csv", "ndjson". `columns` are the only ones read, in that order. A batch has at most `batch_rows` rows,
    and fewer where there are many columns. `follow` waits for more files in a folder until `stop()` is true. `types` has
    the types of columns that a CSV or NDJSON reader need not infer then, for instance float64 for a number that may be
    whole for long; NDJSON with all of `columns` in `types` starts at once, while it otherwise waits for the first 16
    megabytes of a pipe. Errors: ConfigError, DataError, SchemaError.
    """
    checked(format)
    if batch_rows < 1:
        raise ConfigError(f"batch_rows must be at least 1, found {batch_rows}")
    names = tuple(columns) if columns is not None else None
    if speaks_arrow(where):
        return MemorySource(where, batch_rows, names)
    if not isinstance(where, str | os.PathLike):
        raise ConfigError(f"a source is a path, '-' for stdin, or Arrow data; found {type(where).__name__}")
    path = os.fspath(where)
    settings = Settings(batch_rows, columns=names, types=types)
    if path != "-" and is_folder(path):
        return FolderSource(path, format, settings, follow, stop)
    if follow and path != "-" and not os.path.exists(path):
        raise DataError(f"cannot follow {path}: there is no such folder")
    if follow:
        raise ConfigError(f"only a folder or a glob can be followed, and {path} is neither")
    return FileSource(path, format, settings)


def open_sink(
    where: str | os.PathLike[str], schema: pa.Schema, *, format: str | None = None, resume: bool = False
) -> Sink:
    """A sink for batches of `schema`: a path, or `-` for stdout.

    The format is told by the name (.arrow or .arrows: IPC stream; .feather or .ipc: IPC file; .parquet; .csv; .ndjson
    or .jsonl), unless `format` says it; stdout, pipes and devices get NDJSON. Without `resume` a file appears only once
    it is closed; with it, the output is appended to and can be cut back by `seek`, and Parquet and IPC files become a
    folder of parts. Errors: ConfigError, SchemaError, OutputError.
    """
    path = os.fspath(where)
    if len(set(schema.names)) < len(schema.names):
        raise SchemaError(f"{path}: two columns have the same name: {', '.join(schema.names)}")
    if path == "-" or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)):
        return WholeSink(Pipe(path), checked(format) or "ndjson", schema)
    kind = checked(format) or format_of_name(path)
    if not resume:
        return WholeSink(AtomicFile(path), kind, schema)
    return AppendSink(path, kind, schema) if kind in TEXTS else PartsSink(path, kind, schema)
