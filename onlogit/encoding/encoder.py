"""Record batches -> rows. Here, through `columns`, Arrow becomes numbers; nothing above this floor sees a string.

Numbers become a dense tile, standardised by robust running moments that include the row itself (kernels/gather.py says
how) and held within ±3; null, NaN and ±inf become 0, are counted, and light the slot of (column, None). Strings,
dictionaries and bools become the slot of (column, text), null being a category of its own: a dictionary gives exactly
the slots of the strings that it stands for, a dictionary of numbers those of its numbers as text. Timestamps give
`hour(column)` 0..23 and `weekday(column)` 0 (Monday)..6, dates the weekday; by the clock of the timestamp's own zone,
UTC where it has none. Lists become the slots of their entries (lists.py says how), and derived terms numbers and slots
of their own (derived.py).

Promises: any cut of the stream into batches gives the same rows and the same bytes of state; whatever can be refused is
refused before anything changed; a row of weight 0 changes nothing. Cost on one core: 6 ns a number, 10 ns a string,
6 ns a dictionary code; memory: 64 bytes a number column, one byte a slot.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.encoding.assembling import assemble
from onlogit.encoding.categories import Categories, Hashed, Leaf, name_of
from onlogit.encoding.categories import Seen as SeenCategory
from onlogit.encoding.derived import NO_PARTS, Derived, Operands
from onlogit.encoding.direct import Box, DirectRows, gapped
from onlogit.encoding.event_columns import read_key, read_time, read_weight
from onlogit.encoding.knots import Known, Warming
from onlogit.encoding.label_values import LabelValues
from onlogit.encoding.lists import ListColumns
from onlogit.encoding.lists import Seen as SeenList
from onlogit.encoding.names import Names
from onlogit.encoding.naming import Name, Namer
from onlogit.encoding.numbers import Lit, NumberColumns, Seen, Standard
from onlogit.encoding.rows import Encoded, Rows, Unnamed, numbers_alone
from onlogit.errors import ConfigError, SchemaError, StateError
from onlogit.fixed import constant
from onlogit.kernels import gather, hashing
from onlogit.schema import Role, Schema
from onlogit.states import check, like
from onlogit.terms import Bucket, Calendar, Category, Poly, Product, Read, Sparse, Term, read_as_they_are, text_of, walk

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

NO_ROWS = Rows(np.zeros((0, 0), np.float32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


class _Found(NamedTuple):
    """What is read off a batch."""

    encoded: Encoded  # but for its rows
    negative: str | None  # value of the label
    places: I64  # of the numbers in memory
    held: Any  # what holds them there
    categories: list[SeenCategory]
    lists: list[SeenList]


class Ready(NamedTuple):
    """A batch of which nothing is refused any more, its categories hashed."""

    encoded: Encoded  # but for its rows
    weight: F64  # [n] what each row counts; 0 where nothing is to change
    columns: buffers.Columns
    places: I64
    held: Any
    categories: Hashed
    lists: list[SeenList]
    update: bool


class Encoder:
    """Turns record batches of one schema into rows, and keeps the moments that this takes.

    slot_bits: 1..30; categories share 2**slot_bits slots. `dense_names` and `slot_names` name the coordinates: numbers
    by their column, categories by their column or `hour(column)`, `weekday(column)`, derived ones by their term. names:
    how many slots keep the name of what first lit them.
    """

    def __init__(self, schema: Schema, slot_bits: int = 18, names: int = 0) -> None:
        if not 1 <= slot_bits <= 30:
            raise ConfigError(f"slot_bits is {slot_bits}; it has to be 1 to 30")
        self.schema = schema
        self.slot_bits = slot_bits
        terms = schema.parsed
        self._number_columns(terms)
        self._category_leaves(terms)
        sets: list[Read | Sparse] = [Read(column.name) for column in schema.features if column.role == "set"]
        self._lists = ListColumns(sets + [term for term in terms if isinstance(term, Sparse)])
        others = tuple(term for term in terms if not isinstance(term, Sparse | Calendar | Category))
        self._derived = Derived(others, set(self._numbers.names))
        self.dense_names = self._numbers.names[: self._numbers.features] + self._derived.dense_names
        leaves = [name_of(leaf) for leaf in self._categories.leaves[: self._categories.features]]
        self.slot_names = leaves + self._lists.names + self._derived.slot_names
        self._tags = np.zeros(1 << slot_bits, np.uint8)
        self._namer = Namer(1 << slot_bits, self._numbers, self._categories, self._lists, self._derived)
        self.names = Names(names, 1 << slot_bits, [*self.dense_names, *self.slot_names])
        label = schema.with_role("label")
        self._labels = LabelValues(label.name if label else "", schema.positive)
        self._checked: tuple[pa.Schema, bool, dict[str, int]] | None = None  # the last schema that passed; not state

    def _number_columns(self, terms: tuple[Term, ...]) -> None:
        read = {column for term in terms for column in read_as_they_are(term)}
        features = [column.name for column in self.schema.features if column.role == "number"]
        hidden = [
            column.name
            for column in self.schema.columns
            if column.name in read and column.operand == "number" and column.name not in set(features)
        ]
        standard: set[str] = set()
        for part in (part for term in terms for part in walk(term)):
            inside = part.factors if isinstance(part, Product) else (part.of,) if isinstance(part, Poly) else ()
            standard |= {factor.column for factor in inside if isinstance(factor, Read)}
        self._numbers = NumberColumns(features, hidden, standard)

    def _category_leaves(self, terms: tuple[Term, ...]) -> None:
        columns = self.schema.by_name
        features: list[Leaf] = [cast(Leaf, leaf) for column in self.schema.features for leaf in column.coordinates]
        features += [term for term in terms if isinstance(term, Calendar | Category)]
        factors: dict[Leaf, None] = {}
        for part in (part for term in terms for part in walk(term) if isinstance(part, Product)):
            for factor in part.factors:
                if isinstance(factor, Calendar | Category) or (
                    isinstance(factor, Read) and columns[factor.column].operand == "category"
                ):
                    factors[factor] = None
        hidden = [leaf for leaf in factors if leaf not in set(features)]
        self._categories = Categories(features, hidden, set(factors), columns)

    def encode(self, batch: pa.RecordBatch | pa.Table, *, first_event: int = 0, update: bool = True) -> Encoded:
        """One batch as rows: `read` and `place`."""
        return self.place(self.read(batch, first_event=first_event, update=update))

    def read(
        self,
        batch: pa.RecordBatch | pa.Table,
        *,
        first_event: int = 0,
        update: bool = True,
        accept: Callable[[pa.RecordBatch, Encoded], None] | None = None,
        key: U64 | None = None,
    ) -> Ready:
        """The first part of encoding: all that may be refused, and hashes. Changes the label's negative value alone, once one is
        seen. SchemaError or DataError with nothing changed.

        first_event: number of the batch's row 0 in the stream, for messages. update=False only scores: state stays as
        it is, and label, weight, key, label time and due time may be absent. `accept` sees the batch and all but the rows, and
        may refuse by raising. key: u64[n] where `read_key` gave it before.
        """
        batch = buffers.one_batch(batch)
        columns = buffers.Columns(batch, self._match(batch.schema, scoring=not update))
        encoded, negative, places, held, categories, lists = self._read(
            columns, batch.num_rows, first_event, key, self._labels.negative
        )
        if accept is not None:
            accept(batch, encoded)
        # from here on nothing is refused; a weight of 0 is what "without update" means to the kernels
        weight = encoded.weight if update else constant(np.float64(0), batch.num_rows)
        if update:
            self._labels.negative = negative
        hashed = self._categories.hash(categories, weight, len(self._tags))
        return Ready(encoded, weight, columns, places, held, hashed, lists, update)

    def place(self, ready: Ready) -> Encoded:
        """The second part: rows, after they themselves entered the moments. New slots have no names before `name` was given
        them."""
        weight = ready.weight
        dense = np.empty((weight.size, len(self.dense_names)), np.float32)
        lit, standard = self._numbers.standardise(ready.places, weight, self._tags, dense)
        numbers = [buffers.numbers(ready.columns[name]) for name in self._numbers.names] if self._derived.terms else []
        if ready.update:
            self._categories.learn(ready.categories, weight, self._tags)
        rows, known = self._placed(dense, lit, standard, numbers, ready.categories, ready.lists, weight, ready.update)
        return ready.encoded._replace(rows=rows, unnamed=Unnamed(ready.columns, known) if ready.update else None)

    def name(self, encoded: Encoded) -> Encoded:
        """Name the slots that are new in a batch, and count all that are named; batches in the order in which they came."""
        if encoded.unnamed is not None:
            self.names.learn(encoded.rows, encoded.weight, encoded.unnamed, self._namer)
        return encoded._replace(unnamed=None)

    def check(self, batch: pa.RecordBatch, first_event: int, negative: str | None) -> str | None:
        """Raise what `read` would; nothing is changed. negative: the label's negative value by the rows before these, as
        text or None; gives that after them."""
        found = buffers.Columns(batch, self._match(batch.schema, scoring=False))
        return self._read(found, batch.num_rows, first_event, None, negative).negative

    def settled(self, batch: pa.RecordBatch, first_event: int, key: U64 | None) -> Encoded:
        """A batch but for its rows; nothing is changed. Raises what `read` would, but for what is wrong in features."""
        found = buffers.Columns(batch, self._match(batch.schema, scoring=False))
        return self._settle(found, batch.num_rows, first_event, key, self._labels.negative)[0]

    @property
    def negative(self) -> str | None:
        """The label's negative value, None while none was seen."""
        return self._labels.negative

    def _read(self, found: buffers.Columns, n: int, first_event: int, key: U64 | None, negative: str | None) -> _Found:
        """All that may be refused; nothing is changed."""
        encoded, negative = self._settle(found, n, first_event, key, negative)
        places, kept = buffers.places_of(found, self._numbers.names)
        return _Found(
            encoded, negative, places, kept, self._categories.read(found), self._lists.read(found, first_event)
        )

    def _placed(
        self, dense: F32, lit: Lit, standard: dict[str, Standard], numbers: list[buffers.Numbers],
        categories: Hashed, lists: list[SeenList], weight: F64, update: bool,
    ) -> tuple[Rows, dict[Warming, Known]]:  # fmt: skip
        """Rows of a tile in which the numbers stand already, and what they had of buckets and splines."""
        parts = NO_PARTS
        known: dict[Warming, Known] = {}
        if self._derived.terms:
            raw = dict(zip(self._numbers.names, numbers, strict=True))
            operands = Operands(raw, standard, categories.factors, weight, self._tags, update)
            parts, known = self._derived.evaluate(operands, dense, self._numbers.features)
        return assemble(dense, categories.slots, lit, parts, self._lists.place(lists, weight, self._tags)), known

    def direct(self, numbers: Sequence[str], others: dict[str, Box]) -> DirectRows:
        """What makes rows for scores of plain values: see encoding/direct.py."""
        return DirectRows(self._numbers, self._categories, self._lists, numbers, others, self._direct_rows)

    def _direct_rows(self, values: F64, categories: list[SeenCategory], lists: list[SeenList]) -> Rows:
        """Rows that change nothing; values: f64[d, n] of all numbers, NaN where missing."""
        n, weight = values.shape[1], constant(np.float64(0), values.shape[1])
        dense = np.empty((n, len(self.dense_names)), np.float32)
        values = np.ascontiguousarray(values)
        lit, standard = self._numbers.standardise(buffers.places(values), weight, self._tags, dense)
        if not (lit.some.size or categories or lists or self._derived.terms):
            return numbers_alone(dense)
        numbers = [gapped(column) for column in values] if self._derived.terms else []
        hashed = self._categories.hash(categories, weight, len(self._tags))
        return self._placed(dense, lit, standard, numbers, hashed, lists, weight, update=False)[0]

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
            if batch.schema.names.count(column.name) > 1:
                raise SchemaError(f"outcomes have two columns named {column.name!r}; rename one")
            arrays[role] = batch.column(column.name)
            if not column.accepts(arrays[role].type):
                raise SchemaError(
                    f"{role} column {column.name!r} has type {arrays[role].type}, the schema says {column.kind}"
                )
        key = read_key(arrays["key"], columns["key"].name if columns["key"] else "", 0)
        labels, self._labels.negative = self._labels.read(arrays["label"], np.ones(len(key)), 0, self._labels.negative)
        return key, labels

    def _match(self, schema: pa.Schema, scoring: bool) -> dict[str, int]:
        """Where each column of use is in batches of this Arrow schema."""
        last = self._checked
        if last is None or last[1] != scoring or not last[0].equals(schema):
            self.schema.check(schema, scoring=scoring)
            last = (schema, scoring, {name: at for at, name in enumerate(schema.names) if name in self.schema.kept})
            self._checked = last
        return last[2]

    def _settle(
        self, found: Mapping[str, pa.Array], n: int, first_event: int, key: U64 | None, negative: str | None
    ) -> tuple[Encoded, str | None]:
        """All but the rows, and the label's negative value; nothing is changed."""

        def array(role: Role) -> tuple[str, pa.Array | None]:
            column = self.schema.with_role(role)
            return (column.name, found.get(column.name)) if column else ("", None)

        (w_name, w), (k_name, k), (t_name, t) = array("weight"), array("key"), array("time")
        (_, y), (l_name, known), (d_name, d) = array("label"), array("label_time"), array("due")
        weight = constant(np.float64(1), n) if w is None else read_weight(w, w_name, first_event)
        labels = np.full(n, -1, np.int8)
        if y is not None:
            labels, negative = self._labels.read(y, weight, first_event, negative)
        if key is None and k is not None:
            key = read_key(k, k_name, first_event)
        time = None if t is None else read_time(t, t_name, first_event)
        label_time = None if known is None else read_time(known, l_name, first_event, missing=buffers.INT64_MAX)
        due = None if d is None else read_time(d, d_name, first_event, missing=buffers.INT64_MAX)
        return Encoded(NO_ROWS, labels, weight, key, time, label_time, due), negative

    @property
    def counts(self) -> dict[str, int]:
        """Oddities in rows of weight > 0 so far: null numbers, categories and list entries, NaN, infinite, and far out (7 sd
        or more from the mean, or 7 times the root mean square of a list's values); with terms that take a logarithm,
        numbers that are not above 0 under one."""
        odd = self._numbers.odd.sum(axis=0) + self._lists.odd.sum(axis=0)
        found = {
            "null": int(odd[gather.NULL] + self._categories.nulls.sum()),
            "nan": int(odd[gather.NAN]),
            "infinite": int(odd[gather.INFINITE]),
            "far": int(odd[gather.FAR] + self._derived.odd[:, gather.FAR].sum()),
        }
        return found | ({"not_positive": int(self._derived.outside.sum())} if self._derived.logs else {})

    def moments(self) -> tuple[F64, F64]:
        """Mean and sd of each dense coordinate, in raw units: f64[d] each. A standardised x is (raw - mean)/sd."""
        own = self._numbers.moments[: self._numbers.features]
        computed = self._derived.moments[[self._derived.row[name] for name in self._derived.dense_names]]
        both = np.concatenate([own, computed])
        return both[:, gather.MEAN], np.sqrt(both[:, gather.VAR])

    def seen_numbers(self) -> dict[str, Seen]:
        """What was seen of each column of numbers that is a feature or read by a term."""
        columns, sd = self._numbers, np.sqrt(self._numbers.moments[:, gather.VAR]).tolist()
        return {
            name: Seen(float(low), float(high), sd[j])
            for j, (name, (low, high)) in enumerate(zip(columns.names, columns.range, strict=True))
        }

    def slot_of(self, column: str, value: object) -> int:
        """The slot of a category: column as in `slot_names` or, with value None, `dense_names` (the missing slot).

        The value is a text or what Arrow writes as that text; None is null. For a list it is an entry, for a bucket or
        spline the number of the bucket or knot, for a product a tuple of its categories' values. SchemaError for an
        unknown column.
        """
        return int(self._hash_of(column, value) & np.uint64(self._tags.size - 1))

    def _hash_of(self, name: str, value: object) -> np.uint64:
        leaves = {name_of(leaf): leaf for leaf in self._categories.leaves[: self._categories.features]}
        if name in leaves:
            return self._categories.hash_of(leaves[name], value)
        if name in self._lists.names:
            return self._lists.hash_of(name, value)
        if name in self._derived.slot_names and (value is None or name not in self._derived.dense_names):
            return self._derived.hash_of(name, value, self._categories.hash_of)
        if value is None and name in self._numbers.names[: self._numbers.features]:
            return self._numbers.null[self._numbers.names.index(name)]
        raise SchemaError(f"{name!r} has no categories; those that have: {', '.join(self.slot_names) or 'none'}")

    def names_of(self, batch: pa.RecordBatch) -> list[dict[int, list[Name]]]:
        """For each row of a batch, what may light each slot; of the slots that it does light, all there is to say."""
        found = {name: batch.column(at) for name, at in self._match(batch.schema, scoring=True).items()}
        rows: list[dict[int, list[Name]]] = [{} for _ in range(batch.num_rows)]
        unnamed = Unnamed(found, self._derived.knots.as_they_are(batch.num_rows))
        for name, row, slots, values in self._namer.of_rows(unnamed, np.arange(batch.num_rows)):
            for i, slot, value in zip(row.tolist(), slots.tolist(), values(np.arange(len(row))), strict=True):
                rows[i].setdefault(slot, []).append(Name(name, value))
        return rows

    @property
    def groups(self) -> dict[str, int]:
        """The coordinates of which every event has one slot with the value 1, numbered: categories, buckets, and their
        products."""
        terms = {text_of(term): term for term in self._derived.terms}
        found = [name_of(leaf) for leaf in self._categories.leaves[: self._categories.features]]
        for name, term in terms.items():
            whole = isinstance(term, Product) and self._derived.numeric(term) is None
            if isinstance(term, Bucket) or whole:
                found.append(name)
        return {name: g for g, name in enumerate(found)}

    def shared(self, slot: int) -> bool:
        """Whether more than one (column, value) was seen in a slot; exact but for 1 in 127."""
        return bool(self._tags[slot] == hashing.SHARED)

    def seen(self, slot: int) -> bool:
        """Whether any (column, value) was seen in a slot."""
        return bool(self._tags[slot] != hashing.EMPTY)

    def knots(self) -> dict[str, F64]:
        """Of each bucket and spline whose warm-up is over, by its term: edges, or knots, in the number's own units."""
        found = {text_of(term): self._derived.knots.of(term) for term in self._derived.knots.row}
        return {name: knots.copy() for name, knots in found.items() if knots is not None}

    def collisions(self) -> tuple[int, int]:
        """How many slots were seen, and how many of them by more than one (column, value); exact but for 1 in 127."""
        return int(np.count_nonzero(self._tags)), int(np.count_nonzero(self._tags == hashing.SHARED))

    def _arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """The state but for the negative label, by name: the arrays themselves."""
        return {
            "moments": self._numbers.moments,
            "odd": self._numbers.odd,
            "range": self._numbers.range,
            "nulls": self._categories.nulls,
            "tags": self._tags,
            "list_moments": self._lists.moments,
            "list_odd": self._lists.odd,
            **self._derived.arrays(),
        }

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that encoding has learned, as copies of plain arrays."""
        negative = self._labels.negative
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        text = b"" if negative is None else b"=" + negative.encode()
        return {**arrays, "negative": np.frombuffer(text, np.uint8).copy(), **self.names.state()}

    def restore(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `state` gave; StateError, and nothing changed, where it does not fit this schema."""
        own = self._arrays()
        expected = [*own, "negative", *self.names.state()]
        if set(state) != set(expected):
            raise StateError(f"encoder: expected the arrays {', '.join(expected)}; found {', '.join(state)}")
        check("encoder", state, like(own))
        for moments in (state["moments"], state["list_moments"], state["term_moments"]):
            finite = np.delete(moments, [gather.WEIGHT, gather.TRIAL_WEIGHT, gather.NEXT], axis=1)
            if not np.isfinite(finite).all() or not (moments[:, [gather.VAR, gather.WEIGHT, gather.ROWS]] >= 0.0).all():
                raise StateError("encoder: moments are not finite, or a variance or weight is negative")
        if np.isnan(state["range"]).any():
            raise StateError("encoder: the range of a number is not valid")
        self._derived.knots.check(state)
        negative = state["negative"]
        try:
            text = negative.tobytes().decode()
        except UnicodeDecodeError as error:
            raise StateError("encoder: the negative label is not text") from error
        if negative.dtype != np.uint8 or (text and text[0] != "="):
            raise StateError("encoder: the negative label is not text")
        self.names.restore(state)
        for name, array in own.items():
            array[...] = state[name]
        self._labels.negative = text[1:] if text else None
