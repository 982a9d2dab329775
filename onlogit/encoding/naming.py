"""Slots named back to (coordinate, value): what may light each slot of some rows, and its value as text."""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.encoding.categories import Categories, Leaf, name_of
from onlogit.encoding.derived import Derived
from onlogit.encoding.lists import ListColumns
from onlogit.encoding.numbers import NumberColumns
from onlogit.encoding.rows import Unnamed
from onlogit.errors import OnlogitError
from onlogit.kernels import hashing
from onlogit.terms import Bucket, Calendar, Category, Log, Product, Read, Sparse, Spline, Term, text_of, walk

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

Values = Callable[[I64], list[str | None]]  # those at some places
Hashed = tuple[U64, Values]  # of each row: a hash, and the value that it stands for


class Name(NamedTuple):
    """What lights a slot: a coordinate of the encoder, and its value as text; None is null."""

    coordinate: str
    value: str | None

    def text(self) -> str:
        return f"{self.coordinate} = {'(missing)' if self.value is None else self.value}"


class Candidates(NamedTuple):
    """What one coordinate may light in some rows; a row may come several times, and what is not lit is no harm."""

    coordinate: str
    row: I64  # [m] position among the rows asked for
    slots: I64  # [m]
    values: Values  # of places 0 .. m - 1


class _Few(dict[str, pa.Array]):
    """Some rows of those columns that are asked for."""

    def __init__(self, unnamed: Unnamed, rows: I64) -> None:
        super().__init__()
        (self._found, self.known), self.rows = unnamed, rows

    def __missing__(self, column: str) -> pa.Array:
        self[column] = array = buffers.without_views(self._found[column]).take(pa.array(self.rows))
        return array

    def first(self, term: Term) -> int:
        """The first row of the batch at which the term was past its warm-up, so that it said something."""
        return max((self.known[part].alive for part in walk(term) if isinstance(part, Bucket | Spline)), default=0)


class _Leaves(dict[Leaf, Hashed]):
    """Of those categories that are asked for, the hashes and values in some rows."""

    def __init__(self, read: Callable[[Leaf, _Few], Hashed], few: _Few) -> None:
        super().__init__()
        self._read, self._few = read, few

    def __missing__(self, leaf: Leaf) -> Hashed:
        self[leaf] = hashed = self._read(leaf, self._few)
        return hashed


def _texts(array: pa.Array) -> Values:
    """Strings."""
    return lambda at: buffers.readable(array.take(pa.array(at)))


def _those(places: I64, values: Values) -> Values:
    """The values at these places."""
    return lambda at: values(places[at])


def _nothing(at: I64) -> list[str | None]:
    """Nulls."""
    return [None] * len(at)


class Namer:
    """Says which names the slots of rows have. Reads the parts of one encoder and changes nothing."""

    def __init__(
        self, slots: int, numbers: NumberColumns, categories: Categories, lists: ListColumns, derived: Derived
    ) -> None:
        self._mask = np.uint64(slots - 1)
        self._numbers, self._categories, self._lists, self._derived = numbers, categories, lists, derived

    def of_rows(self, unnamed: Unnamed, rows: I64) -> list[Candidates]:
        """All that may be lit in these rows of a batch, by coordinate; without coordinates that cannot be named."""
        few, cannot = _Few(unnamed, rows), suppress(pa.ArrowException, OnlogitError)
        leaves, every, told = _Leaves(self._leaf, few), np.arange(len(rows)), []
        for leaf in self._categories.leaves[: self._categories.features]:
            with cannot:
                told.append((name_of(leaf), every, *leaves[leaf]))
        for name, null in zip(self._numbers.names, self._numbers.null, strict=False):
            told.append((name, every, np.full(len(rows), null), _nothing))
        for term in self._lists.lists:
            with cannot:
                told.append(self._entries(term, few))
        for derived in self._derived.terms:
            said = np.flatnonzero(rows >= few.first(derived))  # before, a row holds nothing of it
            with cannot:
                for hashes, values in self._term(derived, few, leaves):
                    told.append((text_of(derived), said, hashes[said], _those(said, values)))
        return [Candidates(name, row, (h & self._mask).astype(np.int64), values) for name, row, h, values in told]

    def _leaf(self, leaf: Leaf, few: _Few) -> Hashed:
        column = leaf.column if isinstance(leaf, Read) else leaf.of.column
        at = self._categories.leaves.index(leaf)
        described = self._categories.columns[at]
        array = few[column]
        if described.kind in ("number", "integer", "null"):  # codes
            array = buffers.codes_as_strings(array)
        else:
            array = buffers.plain(buffers.typed(array, described.kind), column)
        if isinstance(leaf, Calendar):
            part = {"hour": pc.hour, "weekday": pc.day_of_week, "month": pc.month}[leaf.part]
            array = part(buffers.local(array, described.zone, column))
        array = array.cast(pa.large_string())
        return self._categories.seeds[at].of_texts(buffers.texts(array)), _texts(array)

    def _entries(self, term: Read | Sparse, few: _Few) -> tuple[str, I64, U64, Values]:
        at = self._lists.lists.index(term)
        indices, hashes = self._lists.hashes(term, few)
        row = np.repeat(np.arange(len(indices.starts)), indices.stops - indices.starts)
        entries = np.concatenate(
            [np.arange(*each) for each in zip(indices.starts, indices.stops, strict=True)] or [row]
        )
        of_entries = _texts(buffers.plain(indices.entries, self._lists.names[at]).cast(pa.large_string()))
        absent = np.flatnonzero(indices.absent)  # null lists light the slot of null
        null = np.full(len(absent), self._lists.seeds[at].null)

        def values(at: I64) -> list[str | None]:
            inside = at < len(entries)
            own = iter(of_entries(entries[at[inside]]))
            return [next(own) if here else None for here in inside.tolist()]

        return (
            self._lists.names[at], np.concatenate([row, absent]), np.concatenate([hashes[entries], null]), values,
        )  # fmt: skip

    def _term(self, term: Term, few: _Few, leaves: dict[Leaf, Hashed]) -> list[Hashed]:
        """The hashes and values of each part of a term; none where it has no slots, or its values no plain name."""
        derived, n = self._derived, len(few.rows)
        if isinstance(term, Log):
            return [(np.full(n, derived.seeds[text_of(term)].null), _nothing)]
        if isinstance(term, Bucket):
            codes = self._codes(term, few)
            return [] if codes is None else [self._table(term, codes)]
        if isinstance(term, Spline):
            codes = self._codes(term, few)
            left = None if codes is None else np.where(codes < 0, -1, np.maximum(codes - 1, 0))
            return (
                [] if left is None else [self._table(term, left), self._table(term, np.where(left < 0, -1, left + 1))]
            )
        factors = derived.categories(term) if isinstance(term, Product) else ()
        parts: list[Hashed] = []
        for factor in factors:
            if isinstance(factor, Read | Calendar | Category):
                parts.append(leaves[factor])
                continue
            assert isinstance(factor, Bucket)
            if (codes := self._codes(factor, few)) is None:
                return []
            parts.append(self._table(factor, codes))
        if not parts:
            return []
        joined = np.full(n, derived.seeds[text_of(term)].seed)
        for hashes, _ in parts:
            hashing.join(hashes, joined)

        def values(at: I64) -> list[str | None]:
            rows = zip(*(of_part(at) for _, of_part in parts), strict=True)
            return ["*".join("(missing)" if v is None else v for v in row) for row in rows]

        return [(joined, values)]

    def _table(self, term: Bucket | Spline, codes: I64) -> Hashed:
        table = self._derived.tables[term]
        last = len(table) - 1
        inside = np.where((codes >= 0) & (codes < last), codes, last)
        return table[inside], lambda at: [None if code == last else str(code) for code in inside[at].tolist()]

    def _codes(self, term: Bucket | Spline, few: _Few) -> I64 | None:
        """How many edges or knots lie below the number, -1 where it is missing; None before they are set."""
        knots, x = few.known[term].knots, self._number(term.of, few)
        return None if knots is None or x is None else np.where(np.isnan(x), -1, np.searchsorted(knots, x))

    def _number(self, term: Term, few: _Few) -> F64 | None:
        """A column, or its logarithm, as it is, NaN where missing; None for numbers that have no plain value."""
        if isinstance(term, Log):
            inner = self._number(term.of, few)
            return None if inner is None else np.log(np.where(inner > 0, inner, np.nan))
        if not isinstance(term, Read):
            return None
        values = buffers.numbers(few[term.column]).values.astype(np.float64)
        return np.where(buffers.nulls(few[term.column]) | ~np.isfinite(values), np.nan, values)
