"""Record batches -> rows. Here, through `columns`, Arrow becomes numbers; nothing above this floor sees a string.

Numbers become a dense tile, standardised by robust running moments that include the row itself (kernels/gather.py says
how) and held within ±6; null, NaN and ±inf become 0, are counted, and light the slot of (column, None). Strings,
dictionaries and bools become the slot of (column, text), null being a category of its own: a dictionary gives exactly
the slots of the strings that it stands for, a dictionary of numbers those of its numbers as text. Timestamps give
`hour(column)` 0..23 and `weekday(column)` 0 (Monday)..6, dates the weekday; by the clock of the timestamp's own zone,
UTC where it has none.

Promises: any cut of the stream into batches gives the same rows and the same bytes of state; whatever can be refused is
refused before anything changed; a row of weight 0 changes nothing. Cost on one core: 6 ns a number, 10 ns a string,
6 ns a dictionary code; memory: 64 bytes a number column, one byte a slot.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import columns as arrow
from onlogit.encoding.event_columns import read_key, read_time, read_weight
from onlogit.encoding.label_values import LabelValues
from onlogit.encoding.rows import Encoded, Rows
from onlogit.errors import ConfigError, SchemaError, StateError
from onlogit.kernels import gather, hashing
from onlogit.schema import Column, Role, Schema

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]

# one category coordinate of a batch: its name, its strings or codes, and the hashes that codes stand for (null last)
_Category = tuple[str, arrow.Texts | arrow.Codes, U64]

NULL_TAG = np.uint64(0x6E756C6C)  # tells null from every text of a column
MONDAY = 3  # 1970-01-01 was a Thursday
SIDE_BY_SIDE = 16  # float32 columns to a cache line of the tile


NO_HASHES = np.zeros(0, np.uint64)
NO_ROWS = Rows(np.zeros((0, 0), np.float32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


def hash_texts(texts: list[str], seed: np.uint64) -> U64:
    """The 64-bit hash of each text: u64[n]."""
    out = np.zeros(len(texts), np.uint64)
    hashing.hash_strings(*arrow.texts(pa.array(texts, pa.large_string())), seed, seed, out)
    return out


def mixed(values: U64) -> U64:
    """`hashing.mix` of each value: u64[n]."""
    out = np.zeros(values.size, np.uint64)
    hashing.hash_integers(values.view(np.int64), out)
    return out


class Encoder:
    """Turns record batches of one schema into rows, and keeps the moments that this takes.

    slot_bits: 1..30; categories share 2**slot_bits slots. `dense_names` and `slot_names` name the coordinates: numbers
    by their column, categories by their column or `hour(column)`, `weekday(column)`.
    """

    def __init__(self, schema: Schema, slot_bits: int = 18) -> None:
        if not 1 <= slot_bits <= 30:
            raise ConfigError(f"slot_bits is {slot_bits}; it has to be 1 to 30")
        self.schema = schema
        self.slot_bits = slot_bits
        self._numbers = [column for column in schema.features if column.role == "number"]
        self._categories = [column for column in schema.features if column.role != "number"]
        self.dense_names = [column.name for column in self._numbers]
        self.slot_names = [name for column in self._categories for name in column.coordinates]
        names = self.dense_names + self.slot_names
        seeds = hash_texts(names, np.uint64(0))
        nulls = mixed(seeds ^ NULL_TAG)
        d = len(self.dense_names)
        self._seed, self._null = dict(zip(names, seeds, strict=True)), dict(zip(names, nulls, strict=True))
        self._missing_hash = nulls[:d]
        self._tables = {
            (column.name, part): np.append(hash_texts(values, self._seed[part]), self._null[part])
            for column in self._categories
            for part, values in column.coordinates.items()
        }
        self._moments = gather.empty_moments(d)
        self._odd = np.zeros((d, 4), np.int64)
        self._nulls = np.zeros(len(self.slot_names), np.int64)
        self._tags = np.zeros(1 << slot_bits, np.uint8)
        label = schema.with_role("label")
        self._labels = LabelValues(label.name if label else "", schema.positive)
        self._checked: tuple[pa.Schema, bool, dict[str, int]] | None = None  # the last schema that passed; not state

    def encode(
        self,
        batch: pa.RecordBatch | pa.Table,
        *,
        first_event: int = 0,
        update: bool = True,
        accept: Callable[[Encoded], None] | None = None,
    ) -> Encoded:
        """One batch as rows, after its own rows entered the moments.

        first_event: number of the batch's row 0 in the stream, for messages. update=False only scores: state stays as
        it is, and label, weight, key and label time may be absent. `accept` sees all but the rows, and may refuse by
        raising. SchemaError or DataError before anything changed.
        """
        batch = arrow.one_batch(batch)
        index = self._match(batch.schema, scoring=not update)
        found = {name: batch.column(at) for name, at in index.items()}
        encoded, negative = self._settle(found, batch.num_rows, first_event)
        numbers = [arrow.numbers(found[column.name]) for column in self._numbers]
        categories = [entry for column in self._categories for entry in self._read(column, found[column.name])]
        if accept is not None:
            accept(encoded)
        # from here on nothing is refused; a weight of 0 is what "without update" means to the kernels
        weight = encoded.weight if update else np.zeros(batch.num_rows)
        dense, some, lit = self._standardise(numbers, weight)
        always = self._place(categories, weight)
        if update:
            self._labels.negative = negative
        return encoded._replace(rows=_assemble(dense, always, some, lit))

    def encode_outcomes(self, batch: pa.RecordBatch) -> tuple[U64, npt.NDArray[np.int8]]:
        """Keys, u64[n], and labels, i8[n], of outcomes that came later: the key and the label column of the schema.

        Other columns are not looked at. SchemaError where one of the two is absent, DataError where a value is refused.
        """
        columns = {role: self.schema.with_role(role) for role in ("key", "label")}
        arrays: dict[str, pa.Array] = {}
        for role, column in columns.items():
            if column is None:
                raise SchemaError(f"outcomes need a {role}, and the schema names no {role} column")
            if column.name not in batch.schema.names:
                raise SchemaError(
                    f"outcomes lack the {role} column {column.name!r}; found {', '.join(batch.schema.names)}"
                )
            arrays[role] = batch.column(column.name)
            if not column.accepts(arrays[role].type):
                raise SchemaError(
                    f"{role} column {column.name!r} has type {arrays[role].type}, the schema says {column.kind}"
                )
        key = read_key(arrays["key"], columns["key"].name if columns["key"] else "", 0)
        labels, self._labels.negative = self._labels.read(arrays["label"], np.ones(len(key)), 0)
        return key, labels

    def _match(self, schema: pa.Schema, scoring: bool) -> dict[str, int]:
        """Where each column of use is in batches of this Arrow schema."""
        last = self._checked
        if last is None or last[1] != scoring or not last[0].equals(schema):
            self.schema.check(schema, scoring=scoring)
            used = {column.name for column in self.schema.columns if column.role != "dropped"}
            last = (schema, scoring, {name: at for at, name in enumerate(schema.names) if name in used})
            self._checked = last
        return last[2]

    def _settle(self, found: dict[str, pa.Array], n: int, first_event: int) -> tuple[Encoded, str | None]:
        """All but the rows, and the label's negative value; nothing is changed."""

        def array(role: Role) -> tuple[str, pa.Array | None]:
            column = self.schema.with_role(role)
            return (column.name, found.get(column.name)) if column else ("", None)

        (w_name, w), (k_name, k), (t_name, t) = array("weight"), array("key"), array("time")
        (_, y), (l_name, known) = array("label"), array("label_time")
        weight = np.ones(n) if w is None else read_weight(w, w_name, first_event)
        labels, negative = np.full(n, -1, np.int8), self._labels.negative
        if y is not None:
            labels, negative = self._labels.read(y, weight, first_event)
        key = None if k is None else read_key(k, k_name, first_event)
        time = None if t is None else read_time(t, t_name, first_event)
        label_time = None if known is None else read_time(known, l_name, first_event, missing=arrow.INT64_MAX)
        return Encoded(NO_ROWS, labels, weight, key, time, label_time), negative

    def _read(self, column: Column, array: pa.Array) -> list[_Category]:
        """The coordinates of a category column: its strings, or codes and the hashes that they stand for."""
        array = arrow.typed(array, column.kind)
        name = column.name
        if pa.types.is_dictionary(array.type):
            codes, texts = arrow.codes(array)
            return [(name, codes, np.append(self._hashed(name, texts), self._null[name]))]
        if column.kind == "text":
            return [(name, arrow.texts(array), NO_HASHES)]
        n, (validity, shift) = len(array), arrow.bits(array)
        if column.kind == "bool":
            places = np.zeros(n, np.int32)
            gather.unpack_bits(*arrow.packed(array), places)
            return [(name, arrow.Codes(arrow.frozen(places), validity, shift), self._tables[name, name])]
        ticks, per_day = arrow.ticks(arrow.local(array, column.zone, name))
        entries: list[_Category] = []
        for part, values in column.coordinates.items():
            places = np.zeros(n, np.int32)
            if len(values) == 24:
                gather.calendar_codes(ticks, per_day // 24, 0, 24, places)
            else:
                gather.calendar_codes(ticks, per_day, MONDAY, 7, places)
            entries.append((part, arrow.Codes(arrow.frozen(places), validity, shift), self._tables[name, part]))
        return entries

    def _hashed(self, name: str, texts: arrow.Texts) -> U64:
        out = np.zeros(texts.offsets.size - 1, np.uint64)
        hashing.hash_strings(*texts, self._seed[name], self._null[name], out)
        return out

    def _standardise(self, numbers: list[arrow.Numbers], weight: F64) -> tuple[F32, I32, U8]:
        """The dense tile, and for each column with a missing number its slot, i32[m], and where it is lit, u8[m, n]."""
        n, d = weight.size, len(numbers)
        tile = np.zeros((n, d), np.float32)
        side_by_side = np.zeros((SIDE_BY_SIDE, n), np.float32)
        missing = np.zeros(n, np.uint8)
        some: list[np.int32] = []
        lit: list[U8] = []
        for first in range(0, d, SIDE_BY_SIDE):
            width = min(SIDE_BY_SIDE, d - first)
            for c in range(width):
                j = first + c
                if gather.standardise(*numbers[j], weight, self._moments[j], self._odd[j], side_by_side[c], missing):
                    slot = np.zeros(n, np.int32)
                    null = self._missing_hash[j]
                    hashing.place(np.full(n, null), weight * missing, null, self._tags, slot)
                    some.append(slot[0])
                    lit.append(missing.copy())
            gather.interleave(side_by_side[:width], first, tile)
        return tile, np.array(some, np.int32), np.stack(lit) if lit else np.zeros((0, n), np.uint8)

    def _place(self, categories: list[_Category], weight: F64) -> I32:
        """The slots that every row has: i32[k, n]."""
        out = np.zeros((len(categories), weight.size), np.int32)
        hashes = np.zeros(weight.size, np.uint64)
        for c, (name, view, table) in enumerate(categories):
            if isinstance(view, arrow.Codes):
                hashing.take_hashes(*view, table, hashes)
            else:
                hashing.hash_strings(*view, self._seed[name], self._null[name], hashes)
            self._nulls[c] += hashing.place(hashes, weight, self._null[name], self._tags, out[c])
        return out

    @property
    def counts(self) -> dict[str, int]:
        """Oddities in rows of weight > 0 so far: null numbers and categories, NaN, infinite, and clipped numbers."""
        odd = self._odd.sum(axis=0)
        return {
            "null": int(odd[gather.NULL] + self._nulls.sum()),
            "nan": int(odd[gather.NAN]),
            "infinite": int(odd[gather.INFINITE]),
            "clipped": int(odd[gather.CLIPPED]),
        }

    def moments(self) -> tuple[F64, F64]:
        """Mean and sd of each dense coordinate, in raw units: f64[d] each. A standardised x is (raw - mean)/sd."""
        return self._moments[:, gather.MEAN].copy(), np.sqrt(self._moments[:, gather.VAR])

    def slot_of(self, column: str, value: object) -> int:
        """The slot of a category: column as in `slot_names` or, with value None, `dense_names` (the missing slot).

        The value is a text or what Arrow writes as that text; None is null. SchemaError for an unknown column.
        """
        if column not in self._seed or (value is not None and column not in self.slot_names):
            raise SchemaError(f"{column!r} has no categories; those that have: {', '.join(self.slot_names) or 'none'}")
        texts = arrow.texts(pa.array([value]))
        return int(self._hashed(column, texts)[0] & np.uint64(self._tags.size - 1))

    def collisions(self) -> tuple[int, int]:
        """How many slots were seen, and how many of them by more than one (column, value); exact but for 1 in 127."""
        return int(np.count_nonzero(self._tags)), int(np.count_nonzero(self._tags == hashing.SHARED))

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that encoding has learned, as copies of plain arrays."""
        negative = self._labels.negative
        return {
            "moments": self._moments.copy(),
            "odd": self._odd.copy(),
            "nulls": self._nulls.copy(),
            "tags": self._tags.copy(),
            "negative": np.frombuffer(b"" if negative is None else b"=" + negative.encode(), np.uint8).copy(),
        }

    def restore(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `state` gave; StateError, and nothing changed, where it does not fit this schema."""
        own: dict[str, np.ndarray[Any, Any]] = {
            "moments": self._moments,
            "odd": self._odd,
            "nulls": self._nulls,
            "tags": self._tags,
        }
        if set(state) != {*own, "negative"}:
            raise StateError(f"encoder: expected the arrays {', '.join([*own, 'negative'])}; found {', '.join(state)}")
        for name, array in own.items():
            if state[name].shape != array.shape or state[name].dtype != array.dtype:
                raise StateError(
                    f"encoder: {name} is {state[name].dtype}{state[name].shape}, not {array.dtype}{array.shape}"
                )
        moments = state["moments"]
        finite = np.delete(moments, [gather.WEIGHT, gather.TRIAL_WEIGHT, gather.NEXT], axis=1)
        if not np.isfinite(finite).all() or not (moments[:, [gather.VAR, gather.WEIGHT, gather.ROWS]] >= 0.0).all():
            raise StateError("encoder: moments are not finite, or a variance or weight is negative")
        negative = state["negative"]
        try:
            text = negative.tobytes().decode()
        except UnicodeDecodeError as error:
            raise StateError("encoder: the negative label is not text") from error
        if negative.dtype != np.uint8 or (text and text[0] != "="):
            raise StateError("encoder: the negative label is not text")
        for name, array in own.items():
            array[...] = state[name]
        self._labels.negative = text[1:] if text else None


def _assemble(dense: F32, always: I32, some: I32, lit: U8) -> Rows:
    k, n = always.shape
    most = k * n + int(np.count_nonzero(lit))
    starts = np.zeros(n + 1, np.int64)
    slots, values = np.zeros(most, np.int32), np.zeros(most, np.float32)
    found = np.full(1 << (4 * (k + some.size) + 1).bit_length(), -1, np.int64)
    end = hashing.assemble(always, some, lit, found, starts, slots, values)
    return Rows(dense, starts, slots[:end], values[:end])
