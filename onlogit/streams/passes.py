"""One pass over one file: what the reader of each format returns, and what all formats share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.errors import DataError, SchemaError


@dataclass(frozen=True)
class Settings:
    """How to make a pass. A reader may use `skip`, `columns` and `batch_rows` to do less work; it need not."""

    batch_rows: int = 65_536
    skip: int = 0  # rows before the first one wanted
    columns: tuple[str, ...] | None = None  # those wanted, or all
    types: pa.Schema | None = None  # of columns whose types a format that has to infer them need not
    schema: pa.Schema | None = None  # of all columns, settled before
    live: bool = False  # a pipe: take what is there rather than wait for more


class Pass(NamedTuple):
    """The batches of a file, in order, with its schema (of all its columns, or of those wanted)."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    skipped: int = 0  # rows before the first batch that were skipped already, at most `Settings.skip`


def first_line(error: BaseException) -> str:
    """An Arrow message without the C++ or the Python that may follow."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text.partition(". Detail: ")[0].removeprefix("IOError: ")


@contextmanager
def reading(where: str, format: str) -> Iterator[None]:
    """Turns whatever Arrow or the system says while reading into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror or first_line(error)}") from error
    except (pa.ArrowException, UnicodeDecodeError, MemoryError) as error:  # damaged sizes ask for any memory
        raise DataError(f"{where} is truncated, damaged, or not {format}: {first_line(error)}") from error


def names_wanted(schema: pa.Schema, columns: tuple[str, ...] | None, where: str) -> list[str]:
    """The names to read of a file with this schema. Errors: SchemaError for a name that is missing or there twice."""
    names: list[str] = schema.names
    for name in names:
        if names.count(name) > 1:
            raise SchemaError(f"{where}: column {name!r} is there {names.count(name)} times")
    for name in columns or ():
        if name not in names:
            raise SchemaError(f"{where}: there is no column {name!r}; its columns are {', '.join(names)}")
    return list(columns) if columns is not None else names


def settled(schema: pa.Schema) -> pa.Schema:
    """The types that batches are given in: whole seconds become microseconds, views plain text and bytes."""
    return pa.schema([pa.field(field.name, settled_type(field.type)) for field in schema])


def settled_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, settled_type(kind.value_type), kind.ordered)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = settled_type(kind.value_type)
        if inner == kind.value_type:
            return kind
        if pa.types.is_fixed_size_list(kind):
            return pa.list_(inner, kind.list_size)
        return pa.list_(inner) if pa.types.is_list(kind) else pa.large_list(inner)
    return {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(kind, kind)
