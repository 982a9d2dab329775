"""Strings, dictionaries, bools and instants -> the hashes of their categories, and the slots of those that are features."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.encoding.hashes import Seed, seeds
from onlogit.kernels import derive, hashing, layout
from onlogit.kernels.gather import STAGGER
from onlogit.schema import CALENDAR, Column
from onlogit.terms import Calendar, Category, Read, Term, text_of

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

Leaf = Read | Category | Calendar  # a category that is read off one column

MONDAY = 3  # 1970-01-01 was a Thursday
NO_HASHES = np.zeros(0, np.uint64)


def name_of(leaf: Leaf) -> str:
    """The coordinate's name: the column's, or `hour(column)` and so on."""
    return leaf.column if isinstance(leaf, Read) else text_of(leaf)


class Seen(NamedTuple):
    """One category of a batch: its strings, or codes and the hashes that they stand for (null last)."""

    view: buffers.Texts | buffers.Codes
    table: U64


class Hashed(NamedTuple):
    """The categories of a batch as hashes and what they come to; k features, n rows."""

    slots: I32  # [k, n + STAGGER]
    prints: U8  # [k, n] fingerprints
    nulls: I64  # [k] rows of weight > 0 that have none
    factors: dict[Leaf, U64]  # the hashes that terms ask for


class Categories:
    """State: nulls i64[k], how many rows of weight > 0 had none, by feature. `hidden` leaves are hashed for terms only."""

    def __init__(
        self, features: list[Leaf], hidden: list[Leaf], factors: set[Leaf], columns: dict[str, Column]
    ) -> None:
        self.leaves = features + hidden
        self.features = len(features)
        self.factors = factors  # leaves whose hashes terms ask for
        self.columns = [columns[leaf.column if isinstance(leaf, Read) else leaf.of.column] for leaf in self.leaves]
        self.seeds = seeds(name_of(leaf) for leaf in self.leaves)
        self.tables = [self._table(*entry) for entry in zip(self.leaves, self.columns, self.seeds, strict=True)]
        self.nulls = np.zeros(len(features), np.int64)

    @staticmethod
    def _table(leaf: Leaf, column: Column, seed: Seed) -> U64:
        texts = (
            CALENDAR[leaf.part] if isinstance(leaf, Calendar) else ["false", "true"] if column.kind == "bool" else []
        )
        return seed.table(texts)

    def read(self, found: Mapping[str, pa.Array]) -> list[Seen]:
        """Every category of a batch; nothing is changed."""
        return [self.read_one(j, found[self.columns[j].name]) for j in range(len(self.leaves))]

    def read_one(self, j: int, array: pa.Array) -> Seen:
        """One category of a batch."""
        leaf, column = self.leaves[j], self.columns[j]
        if column.kind in ("number", "integer", "null"):
            return Seen(buffers.codes_as_texts(array), NO_HASHES)
        array = buffers.typed(array, column.kind)
        if pa.types.is_dictionary(array.type):
            codes, texts = buffers.codes(array)
            return Seen(codes, np.append(self.seeds[j].of_texts(texts), self.seeds[j].null))
        if column.kind == "text":
            return Seen(buffers.texts(array), NO_HASHES)
        places, (validity, shift) = np.zeros(len(array), np.int32), buffers.bits(array)
        if not isinstance(leaf, Calendar):
            layout.unpack_bits(*buffers.packed(array), places)
        else:
            ticks, per_day = buffers.ticks(buffers.local(array, column.zone, column.name))
            if leaf.part == "hour":
                layout.calendar_codes(ticks, per_day // 24, 0, 24, places)
            elif leaf.part == "weekday":
                layout.calendar_codes(ticks, per_day, MONDAY, 7, places)
            else:
                derive.months(ticks, per_day, places)
        return Seen(buffers.Codes(buffers.frozen(places), validity, shift), self.tables[j])

    def hash(self, seen: list[Seen], weight: F64, size: int) -> Hashed:
        """Hashes, and the slots, of which there are `size`; nothing is changed."""
        k, n = self.features, weight.size
        slots, prints, nulls = np.empty((k, n + STAGGER), np.int32), np.empty((k, n), np.uint8), np.zeros(k, np.int64)
        scratch, factors = np.empty(n, np.uint64), {}
        for j, (view, table) in enumerate(seen):
            hashes = scratch
            if self.leaves[j] in self.factors:
                hashes = factors[self.leaves[j]] = np.empty(n, np.uint64)
            if isinstance(view, buffers.Codes):
                hashing.take_hashes(*view, table, hashes)
            else:
                hashing.hash_strings(*view, *self.seeds[j], hashes)
            if j < k:
                nulls[j] = hashing.find_slots(hashes, weight, self.seeds[j].null, size, slots[j], prints[j])
        return Hashed(slots, prints, nulls, factors)

    def learn(self, hashed: Hashed, weight: F64, tags: U8) -> None:
        """Count the nulls of rows of weight > 0, and mark the slots that these have."""
        if self.features:
            self.nulls += hashed.nulls
            hashing.leave_marks(hashed.slots, hashed.prints, weight, tags)

    def hash_of(self, leaf: Term, value: object) -> np.uint64:
        """The hash of one category: a text, or what Arrow writes as that text; None is null."""
        j = next(j for j, own in enumerate(self.leaves) if own == leaf)
        array = pa.array([value])
        number = self.columns[j].kind in ("number", "integer") and pa.types.is_floating(array.type)
        return np.uint64(self.seeds[j].of_texts((buffers.codes_as_texts if number else buffers.texts)(array))[0])
