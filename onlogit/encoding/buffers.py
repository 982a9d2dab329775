"""Arrow columns as NumPy arrays: the buffers themselves wherever their layout allows, casts where it does not.

Every array that leaves here is aligned and read-only, so that each kernel meets few types. Validity goes along as
Arrow's bitmap with the bit at which it starts; an empty bitmap means that all is valid. Offsets and codes are passed on
as they are: the kernels read what points outside its array as empty or null.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from onlogit.errors import DataError, SchemaError
from onlogit.kernels import layout

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

T = TypeVar("T", bound=np.generic)

INT64_MAX = np.iinfo(np.int64).max
INT32_MAX = np.iinfo(np.int32).max
DAY = 86_400
TYPES = {"text": pa.large_string(), "bool": pa.bool_(), "timestamp": pa.timestamp("us"), "date": pa.date32()}
TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def frozen(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """The array, aligned and read-only."""
    if not array.flags.aligned:
        array = array.copy()
    array.flags.writeable = False
    return array


_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
ALL_VALID = np.zeros(0, np.uint8)
ALL_VALID.flags.writeable = False


class Numbers(NamedTuple):
    """Values with their validity."""

    values: F32 | F64  # [n]
    validity: U8
    shift: int


class Texts(NamedTuple):
    """Strings i = data[offsets[i]:offsets[i + 1]] with their validity."""

    data: U8
    offsets: I32 | I64  # [n + 1]
    validity: U8
    shift: int


FLOAT32, FLOAT64 = pa.float32(), pa.float64()


class Codes(NamedTuple):
    """Positions in a dictionary, of texts or of a fixed table, with their validity."""

    codes: I32  # [n]
    validity: U8
    shift: int


def batch_of_table(table: pa.Table) -> pa.RecordBatch:
    """A table as one record batch, copied where it has several chunks. DataError where it is too large for that."""
    try:
        batches = table.combine_chunks().to_batches()
    except pa.ArrowInvalid as error:
        raise DataError(f"the table cannot be made one batch: {error}; give it in parts") from error
    if len(batches) > 1:  # a column of strings ends at 2 GiB
        raise DataError("the table is too large for one batch, as a column has more than 2 GiB; give it in parts")
    return batches[0] if batches else pa.record_batch([pa.nulls(0, f.type) for f in table.schema], schema=table.schema)


def one_batch(data: pa.RecordBatch | pa.Table) -> pa.RecordBatch:
    """A table as one record batch; a record batch as it is.

    DataError where buffers are shorter than the batch says, as a damaged file may have them.
    """
    if isinstance(data, pa.Table):
        data = batch_of_table(data)
    try:
        data.validate()
    except pa.ArrowException as error:
        raise DataError(f"a record batch is damaged: {error}") from error
    return data


def bits(array: pa.Array) -> tuple[U8, int]:
    """The validity bitmap and the bit at which this array starts in it."""
    buffer = array.buffers()[0] if array.null_count else None
    if buffer is None:
        return ALL_VALID, 0
    return frozen(np.frombuffer(buffer, np.uint8)), array.offset


def _values(array: pa.Array, dtype: type[np.generic], which: int = 1, extra: int = 0) -> npt.NDArray[np.generic]:
    """The values of a fixed-width buffer that belong to this array, in place."""
    buffer, n = array.buffers()[which], len(array) + extra
    if buffer is None or buffer.size == 0:  # an empty array may come without
        return frozen(np.zeros(n, dtype))
    size = np.dtype(dtype).itemsize
    return frozen(np.frombuffer(buffer, dtype, n, array.offset * size))


def typed(array: pa.Array, kind: str) -> pa.Array:
    """A column of null type as nulls of its kind; any other as it is."""
    kind_of_values = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return pa.nulls(len(array), TYPES[kind]) if pa.types.is_null(kind_of_values) else array


def numbers(array: pa.Array) -> Numbers:
    """Any number column as float32 (in place), float64 (in place) or cast to float64; null columns as all missing."""
    single = array.type == FLOAT32  # few calls of Arrow: a request of one row has this for each of its columns
    if not single and array.type != FLOAT64:
        array = array.cast(FLOAT64, safe=False)
    n, start = len(array), array.offset
    validity, buffer = array.buffers()
    values: Any
    if buffer is None or buffer.size == 0:  # an empty array may come without
        values = np.zeros(n, np.float32 if single else np.float64)
    else:
        values = np.frombuffer(buffer, np.float32 if single else np.float64, n, start * (4 if single else 8))
    if validity is None or not array.null_count:
        return Numbers(frozen(values), ALL_VALID, 0)
    return Numbers(frozen(values), frozen(np.frombuffer(validity, np.uint8)), start)


class Columns(Mapping[str, pa.Array]):
    """The columns of a batch by name, each made an Arrow array when it is asked for: that takes Arrow 2 us."""

    def __init__(self, batch: pa.RecordBatch, index: Mapping[str, int]) -> None:
        self.batch, self.index = batch, index
        self._made: dict[str, pa.Array] = {}

    def __getitem__(self, name: str) -> pa.Array:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self.batch.column(self.index[name])
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def __len__(self) -> int:
        return len(self.index)


def places_of(columns: Columns, names: Sequence[str]) -> tuple[I64, Any]:
    """Where in memory d number columns are, [d, 4], as `gather.standardise_columns` wants it, and what has to be kept while
    they are read.

    All at once by Arrow's C data interface: 1 us a column, where each by itself costs 10.
    """
    if not names:
        return np.zeros((0, 4), np.int64), None
    floats = columns.batch.select([columns.index[name] for name in names])
    types = floats.schema.types
    if any(each not in (FLOAT32, FLOAT64) for each in types):
        types = [each if each == FLOAT32 else FLOAT64 for each in types]
        cast = [columns[name].cast(each, safe=False) for name, each in zip(names, types, strict=True)]
        floats = pa.RecordBatch.from_arrays(cast, list(names))
    found, singles = np.empty((len(names), 4), np.int64), np.array([each == FLOAT32 for each in types], np.uint8)
    exported = floats.__arrow_c_array__()[1]
    if not layout.find_columns(_pointer(exported, b"arrow_array"), singles, found):  # values at an odd address
        copies = [pa.concat_arrays([each, each[:0]]) for each in floats.columns]
        exported = pa.RecordBatch.from_arrays(copies, list(names)).__arrow_c_array__()[1]
        layout.find_columns(_pointer(exported, b"arrow_array"), singles, found)
    return found, exported


def places(columns: F64) -> I64:
    """The same, [d, 4], of d columns float64[d, n] in C order, NaN where missing."""
    found = np.empty((len(columns), 4), np.int64)
    layout.rows_as_columns(columns, found)
    return found


def texts(array: pa.Array) -> Texts:
    """Strings in place (string, large_string), or whatever Arrow can write as text (string_view, numbers, bools)."""
    kind = array.type
    small = pa.types.is_string(kind)
    if not small and not pa.types.is_large_string(kind):
        array = array.cast(pa.large_string())
    offsets = _values(array, np.int32 if small else np.int64, extra=1)
    buffer = array.buffers()[2]
    data = ALL_VALID if buffer is None else frozen(np.frombuffer(buffer, np.uint8))
    return Texts(data, offsets, *bits(array))  # type: ignore[arg-type]


def codes_as_texts(array: pa.Array) -> Texts:
    """Numbers that are codes, as text."""
    return texts(codes_as_strings(array))


def codes_as_strings(array: pa.Array) -> pa.Array:
    """Numbers that are codes, as strings: a whole one without point or exponent, whatever its type; NaN is null."""
    if pa.types.is_integer(array.type):
        return array.cast(pa.large_string())
    missing = nulls(array)
    values = np.where(missing, np.nan, numbers(array).values).astype(np.float64)
    whole = np.abs(values) < 2.0**63
    whole[whole] = values[whole] == np.floor(values[whole])
    integers = pa.array(np.where(whole, values, 0.0).astype(np.int64)).cast(pa.large_string())
    others = pa.array(values, mask=np.isnan(values)).cast(pa.large_string())
    return pc.if_else(pa.array(whole), integers, others)


def codes(array: pa.DictionaryArray) -> tuple[Codes, Texts]:
    """The codes of a dictionary column, and its dictionary as text."""
    indices = array.indices
    if pa.types.is_int32(indices.type):
        places = _values(indices, np.int32)
    else:  # unsigned and 64-bit codes: what is no int32 cannot be a place in the dictionary, hence -1
        wide = np.asarray(indices.fill_null(0)).astype(np.int64)
        places = frozen(np.where((wide >= 0) & (wide < INT32_MAX), wide, -1).astype(np.int32))
    return Codes(places, *bits(indices)), texts(array.dictionary)  # type: ignore[arg-type]


def packed(array: pa.Array) -> tuple[U8, int]:
    """The packed bits of a bool column and the bit at which they start."""
    buffer = array.buffers()[1]
    if buffer is None or buffer.size == 0:
        return frozen(np.zeros(len(array) // 8 + 1, np.uint8)), 0
    return frozen(np.frombuffer(buffer, np.uint8)), array.offset


def ticks(array: pa.Array) -> tuple[I64, int]:
    """Timestamps and dates as int64 in their own unit (garbage where null), and how many ticks a day has."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        return _values(array, np.int64), TICKS_PER_SECOND[kind.unit] * DAY  # type: ignore[return-value]
    if pa.types.is_date64(kind):
        return _values(array, np.int64), 1000 * DAY  # type: ignore[return-value]
    return frozen(_values(array, np.int32).astype(np.int64)), 1


def local(array: pa.Array, zone: str, name: str) -> pa.Array:
    """Timestamps as the clock of `zone` shows them, without a zone; dates and UTC as they are."""
    if zone == "UTC" or not pa.types.is_timestamp(array.type):
        return array
    try:
        return pc.local_timestamp(array)
    except pa.ArrowException as error:
        raise SchemaError(f"column {name!r}: time zone {zone!r} is not known here; cast it to UTC") from error


def nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    """True where a plain array is null: [n]."""
    return flags(array.is_null()) if array.null_count else np.zeros(len(array), np.bool_)


def flags(array: pa.Array) -> npt.NDArray[np.bool_]:
    """A column of bools without nulls: [n]. Through NumPy's own door Arrow would import pandas, if it is there: 30 MB."""
    buffer, first = array.buffers()[1], array.offset
    if not len(array) or buffer is None:
        return np.zeros(len(array), np.bool_)
    whole = np.frombuffer(buffer, np.uint8)[first // 8 : (first + len(array) + 7) // 8]
    return np.unpackbits(whole, bitorder="little")[first % 8 :][: len(array)].astype(np.bool_)


def int64s(array: pa.Array) -> I64:
    """A column of integers without nulls, copied: int64[n]; of unsigned ones of 64 bits, the same bits."""
    wide = array.type in (pa.int64(), pa.uint64())
    values = _values(array, np.int64) if wide else np.asarray(array)
    return values.astype(np.int64)


def whole_numbers(array: pa.Array) -> npt.NDArray[np.signedinteger[Any]]:
    """A column of signed whole numbers without nulls, in place: [n]."""
    return _values(array, np.dtype(f"i{array.type.bit_width // 8}").type)  # type: ignore[return-value]


def plain(array: pa.Array, name: str) -> pa.Array:
    """A dictionary array as the values that it stands for; any other array as it is. DataError for a code that has none."""
    if not pa.types.is_dictionary(array.type):
        return array
    try:
        return without_views(array).dictionary_decode()
    except IndexError as error:
        raise _outside(name) from error


def check_codes(array: pa.Array, name: str) -> None:
    """DataError where a dictionary array has a code without a value, as a damaged batch may have; 7 us, and .06 ns a row."""
    if pa.types.is_dictionary(array.type):
        least, most = (end.as_py() for end in pc.min_max(array.indices).values())
        if least is not None and not 0 <= least <= most < len(array.dictionary):
            raise _outside(name)


def _outside(name: str) -> DataError:
    return DataError(f"column {name!r}: a dictionary code points outside its dictionary")


def readable(array: pa.Array) -> list[str | None]:
    """Strings as Python has them, whether they are UTF-8 or not."""
    try:
        texts: list[str | None] = array.to_pylist()
        return texts
    except UnicodeDecodeError:
        plain = array.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "replace") for value in plain]


def without_views(array: pa.Array) -> pa.Array:
    """Strings where an array has string views, also in its dictionary or its lists: of views Arrow takes no rows."""
    kind = _without_views(array.type)
    return array if kind == array.type else array.cast(kind)


def rows_without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same of all columns of a batch, whose metadata go where there are views."""
    if not has_views(batch.schema):
        return batch
    return pa.RecordBatch.from_arrays([without_views(array) for array in batch.columns], names=batch.schema.names)


def has_views(schema: pa.Schema) -> bool:
    """Whether a column holds string views."""
    return any(_without_views(kind) != kind for kind in schema.types)


def _without_views(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_views(kind.value_type), kind.ordered)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _without_views(kind.value_type)
        return kind if inner == kind.value_type else pa.large_list(inner)
    return kind


def microseconds(array: pa.Array, name: str, first_event: int) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Timestamps and dates as microseconds since 1970 UTC, and where they are null; DataError if out of int64."""
    at, per_day = ticks(array)
    missing = nulls(array)
    per_us = per_day // (DAY * 10**6)
    if per_us >= 1:
        return np.where(missing, 0, at // per_us), missing
    factor = DAY * 10**6 // per_day
    limit = INT64_MAX // factor
    bad = ~missing & ((at > limit) | (at < -limit))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"column {name!r}, row {first_event + row} (counting from 0): time {at[row]} {array.type} is beyond "
            "the microseconds that 64 bits hold"
        )
    return np.where(missing, 0, at) * factor, missing
