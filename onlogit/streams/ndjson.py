"""NDJSON, one object a line, in UTF-8: reading and writing.

Fields and types are settled by the first 16 megabytes and hold from there on: a field or a type that appears later is an
error that names its line. Text in ISO 8601 throughout (`2024-05-01T12:00:00.5Z`) becomes a timestamp in microseconds,
in UTC if it has an offset. If the columns wanted are named, other fields are passed over; if their types are given too,
a pipe is read without waiting for so much. Whole lines only are parsed, and what a pipe has given is passed on at once.
"""

import io
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from pyarrow import json as arrow_json

from onlogit.errors import DataError
from onlogit.json_lines import finite
from onlogit.streams.passes import Pass, Settings, first_line, names_wanted

BLOCK = 1 << 20
FIRST_BLOCK = 16 << 20
MARK = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 26
SLICE = 1 << 16  # rows written at a time, far below the 2 GiB that a string column can hold
TIMES = (pa.timestamp("us", "UTC"), pa.timestamp("us"))


def read(file: BinaryIO, where: str, settings: Settings) -> Pass:
    """A pass over NDJSON, from its first row; types that `settings` has are used instead of settling them."""
    columns, types = settings.columns, settings.types or pa.schema([])
    schema, others = settings.schema, "error" if columns is None else "ignore"
    if schema is None and settings.live and columns is not None and set(columns) <= set(types.names):
        schema = pa.schema([types.field(name) for name in columns])
    blocks = whole_lines(file, where, settings.live, 0 if schema is not None else FIRST_BLOCK)
    if schema is None:
        first = next(blocks, b"")
        schema = settle(first, types, where)
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in names_wanted(schema, columns, where)])
        blocks = chain((first,), blocks)
    return Pass(schema, parsed(blocks, schema, others, where))


def whole_lines(file: Any, where: str, live: bool, first: int) -> Iterator[bytes]:
    """The file in blocks of whole lines, the first of `first` bytes, however a pipe gives them, unless that is 0."""
    carry = b""
    size = first or BLOCK
    take: Callable[[int], bytes] = file.read1 if live and not first else file.read
    while chunk := take(size):
        data = carry + chunk
        at_end = take == file.read and len(chunk) < size
        end = len(data) if at_end else data.rfind(b"\n") + 1
        carry = data[end:]
        if len(carry) > LONGEST_LINE:
            raise DataError(f"{where} is not readable as NDJSON: a line is longer than {LONGEST_LINE >> 20} MiB")
        if end:
            yield data[:end]
            size, take = BLOCK, file.read1 if live else file.read
    if carry:
        yield carry


def parsed(blocks: Iterator[bytes], schema: pa.Schema, others: str, where: str) -> Iterator[pa.RecordBatch]:
    line = 1
    for block in blocks:
        try:
            yield from parse(block.removeprefix(MARK) if line == 1 else block, schema, others)
        except pa.ArrowException as error:
            raise explained(error, block, line, schema, others, where) from error
        line += block.count(b"\n")


def parse(block: bytes, schema: pa.Schema, others: str) -> list[pa.RecordBatch]:
    """The batches of a block under a settled schema. Times are parsed as text first: Arrow's JSON drops an offset."""
    options = arrow_json.ParseOptions(explicit_schema=as_text(schema), unexpected_field_behavior=others)
    table = load(block, options)
    table.validate(full=True)  # Arrow's JSON reader lets text pass that is not UTF-8
    batches: list[pa.RecordBatch] = table.cast(schema).to_batches()
    return batches


def as_text(schema: pa.Schema) -> pa.Schema:
    return pa.schema([f.with_type(pa.string()) if is_written(f.type) else f for f in schema])


def is_written(kind: pa.DataType) -> bool:
    """Whether JSON has values of this type as text that Arrow's reader does not take for them."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def load(block: bytes, options: Any) -> pa.Table:
    size = max(len(block), 32) + 1
    return arrow_json.read_json(
        io.BytesIO(block), arrow_json.ReadOptions(use_threads=False, block_size=size), parse_options=options
    )


def settle(block: bytes, types: pa.Schema, where: str) -> pa.Schema:
    """The schema of the first block, in the order of its fields: `types` where it has them, else as Arrow infers them, and
    times by their text."""
    block = block.removeprefix(MARK)
    types = pa.schema([field for field in types if json.dumps(field.name, ensure_ascii=False).encode() in block])
    given = dict(zip(types.names, types.types, strict=True))
    if not block.strip():
        raise DataError(f"{where} has no rows: an NDJSON stream needs one for its schema")
    try:
        found = load(block, arrow_json.ParseOptions()).schema
        schema = pa.schema([pa.field(field.name, given.get(field.name) or field.type) for field in found])
        table = load(block, arrow_json.ParseOptions(explicit_schema=as_text(schema)))
    except pa.ArrowException as error:
        raise explained(error, block, 1, types, "infer", where) from error
    if not schema.names:
        raise DataError(f"{where}: its first rows have no fields")
    return pa.schema([pa.field(name, given.get(name) or time_type(table[name])) for name in schema.names])


def time_type(column: pa.ChunkedArray) -> pa.DataType:
    """A timestamp type if the column is text that is ISO 8601 throughout, else the type that it has."""
    if pa.types.is_string(column.type) and column.null_count < len(column):
        for kind in TIMES:
            try:
                column.drop_null().slice(0, 64).cast(kind)  # most text is told by its first rows
                column.cast(kind)
            except pa.ArrowInvalid:
                continue
            return kind
    return column.type


def explained(error: Exception, block: bytes, line: int, schema: pa.Schema, others: str, where: str) -> DataError:
    """The error with its line and field, found by parsing parts of the block; `line` is the number of its first."""
    lines = block.split(b"\n")
    number = bisect_left(range(len(lines)), True, key=lambda last: fails(lines[: last + 1], schema, others))
    changed = re.search(r"Column\(/(.*)\) (changed from .*|was specified twice) in row", str(error))
    wrong = wrong_with(lines[number], schema, others) if number < len(lines) else None
    if wrong is None and changed:
        wrong = f"field {changed[1]!r} {changed[2]}"
    return DataError(f"{where}: line {line + number}: {wrong or 'not readable as NDJSON: ' + first_line(error)}")


def fails(lines: list[bytes], schema: pa.Schema, others: str) -> bool:
    try:
        if others == "infer":
            load(b"\n".join(lines), arrow_json.ParseOptions(explicit_schema=as_text(schema)))
        else:
            parse(b"\n".join(lines), schema, others)
    except pa.ArrowException:
        return True
    return False


def wrong_with(text: bytes, schema: pa.Schema, others: str) -> str | None:
    """What is wrong with one line, or None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"not readable as JSON: {error}"
    if not isinstance(value, dict):
        return f"a JSON object is expected, found {text.decode(errors='replace')[:40]!r}"
    for name in value:
        if name not in schema.names and others == "error":
            return f"field {name!r} is new: the rows before it have {', '.join(schema.names)}"
    for field in schema:
        try:
            parse(json.dumps({field.name: value.get(field.name)}).encode(), pa.schema([field]), "error")
        except pa.ArrowException:
            held = "null, as in all rows before," if pa.types.is_null(field.type) else field.type
            return f"field {field.name!r} is {value.get(field.name)!r:.60}, where {held} is expected"
    return None


class NdjsonText:
    """The bytes of NDJSON: no head, a line for each row, no tail.

    Floats are written with the digits that read back as the same float, and with a point or an exponent; NaN and
    infinity as null, in lists too; times as ISO 8601, with Z if they have a zone; bytes and what has no JSON form as their text.
    """

    head = b""
    tail = b""

    def __init__(self, schema: pa.Schema) -> None:
        names = [json.dumps(name, ensure_ascii=False) for name in schema.names]
        self._before = [f"{',' if place else '{'}{name}:" for place, name in enumerate(names)]

    def encode(self, batch: pa.RecordBatch) -> bytes:
        if not self._before:
            return b"{}\n" * int(batch.num_rows)
        slices = (batch.slice(start, SLICE) for start in range(0, batch.num_rows, SLICE))
        return b"".join(self._lines(each) for each in slices)

    def _lines(self, batch: pa.RecordBatch) -> bytes:
        parts: list[Any] = []
        for before, column in zip(self._before, batch.columns, strict=True):
            parts += [before, pc.fill_null(json_text(column), "null")]
        lines = pc.binary_join_element_wise(*parts, "}\n", "")
        _, ends, data = lines.buffers()  # strings lie one after the other: together they are the text
        end = memoryview(ends).cast("i")[len(lines)]
        return bytes(data[:end])


def json_text(column: pa.Array) -> pa.Array:
    """Each value as JSON, null where it is null."""
    kind, text = column.type, pa.string()
    if pa.types.is_dictionary(kind):
        return json_text(column.dictionary_decode())
    if pa.types.is_floating(kind):
        return float_text(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(text)
    if pa.types.is_timestamp(kind):
        plain = column.cast(pa.timestamp(kind.unit, "UTC")) if kind.tz else column
        return quoted(pc.replace_substring(plain.cast(text), " ", "T", max_replacements=1))
    if pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_decimal(kind):
        return quoted(column.cast(text))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return quoted(column.cast(text))
    values = [
        None if value is None else json.dumps(finite(value), ensure_ascii=False, default=str)
        for value in column.to_pylist()
    ]
    return pa.array(values, text)


def float_text(column: pa.Array) -> pa.Array:
    digits = pc.if_else(pc.is_finite(column), column, None).cast(pa.string())
    whole = pc.invert(pc.match_substring_regex(digits, r"[.e]"))
    return pc.if_else(whole, pc.binary_join_element_wise(digits, ".0", ""), digits)


def quoted(column: pa.Array) -> pa.Array:
    """JSON strings; only a batch with something to escape is taken value by value."""
    if pc.any(pc.match_substring_regex(column, r'["\\\x00-\x1f]')).as_py():
        values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in column.to_pylist()]
        return pa.array(values, pa.string())
    return pc.binary_join_element_wise('"', column, '"', "")
