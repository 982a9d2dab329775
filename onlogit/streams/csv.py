"""CSV in UTF-8 with a header: reading and writing.

Types are inferred from the first 16 megabytes and hold from there on; a later value that does not fit is an error that
names its row and column. An empty field, quoted or not, is null, and so are NA, NULL, NaN and their kin. Floats are
written with the digits that read back as the same float, strings in quotes.
"""

import csv as plain_csv
import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import csv

from onlogit.errors import DataError, SchemaError
from onlogit.streams.passes import Pass, Settings, first_line, settled

BLOCK = 16 << 20


def read(file: BinaryIO, where: str, settings: Settings) -> Pass:
    """A pass over a CSV file, from its first row; types that `settings` has are used instead of inferring them."""
    reader = opened(file, where, settings.schema or settings.types)
    schema = settled(reader.schema)
    if schema != reader.schema and file.seekable():  # whole seconds so far: fractions may follow
        file.seek(0)
        reader = opened(file, where, schema)
    return Pass(reader.schema, csv_batches(reader, where))


def opened(file: BinaryIO, where: str, schema: pa.Schema | None) -> Any:
    """Arrow's reader, which has parsed the first block."""
    try:
        return csv.open_csv(
            file,
            read_options=csv.ReadOptions(block_size=BLOCK, use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=schema, strings_can_be_null=True),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise explained(error, where, header(file)) from error


def header(file: BinaryIO) -> list[str]:
    """The names of all columns; none where a pipe cannot be read again."""
    if not file.seekable():
        return []
    file.seek(0)
    text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
    try:
        return next(filter(None, plain_csv.reader(text)), [])
    finally:
        text.detach()


def csv_batches(reader: Any, where: str) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise explained(error, where, reader.schema.names) from error
        yield batch


def explained(error: Exception, where: str, names: list[str]) -> DataError:
    """What Arrow found, with the column by name where `names` has it. Its `Row #n` counts lines of the file, the header
    being 1."""
    text = first_line(error).removeprefix("CSV parse error: ")
    text = re.sub(r"^Row #(\d+): Expected (\d+) columns, got (\d+).*", r"row \1 has \3 fields, the header has \2", text)
    found = re.match(r"In CSV column #(\d+): (?:Row #(\d+): )?(?:CSV conversion error to )?(.*)", text)
    if found:
        number, row, rest = found.groups()
        column = repr(names[int(number)]) if int(number) < len(names) else f"number {int(number) + 1}"
        kind, _, value = rest.partition(": ")
        text = f"row {row}, column {column}: {value or rest}"
        if value:
            text += f", where the rows before it held {'nothing' if kind == 'null' else kind}"
    return DataError(f"{where}: not readable as CSV: {text}")


class CsvText:
    """The bytes of a CSV file: `head` is its header line, `encode` gives the lines of a batch, and there is no tail."""

    def __init__(self, schema: pa.Schema) -> None:
        out = io.BytesIO()
        try:
            csv.CSVWriter(out, schema).close()
        except pa.ArrowInvalid as error:
            message = f"a CSV file cannot hold a column of this kind ({first_line(error)}): write .parquet or .ndjson"
            raise SchemaError(message) from error
        self.head = out.getvalue()
        self.tail = b""

    def encode(self, batch: pa.RecordBatch) -> bytes:
        out = io.BytesIO()
        csv.write_csv(batch, out, csv.WriteOptions(include_header=False))
        return out.getvalue()
