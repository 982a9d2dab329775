"""Features as bins, settled from the first half of a reference window; the second half then counts them.

A number gets ten quantile bins, and bins below, above and missing. A quantile that makes up a twentieth of all values or more,
as 0 does in a flag or a small count, has a bin of its own: it would be no border between 0 and 1. A category gets bins for its
24 most frequent values, for other ones that the first half had, for unseen ones and for missing ones. Since bins and counts come
from different halves, the counts are a sample like any later one: a column of which every tenth value is new shows a tenth
unseen in both.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.errors import SchemaError, StateError
from onlogit.monitor.sound import MOST, ascending
from onlogit.schema import kind_of
from onlogit.states import check

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

QUANTILES = 10
ATOM = 0.05  # the share from which on a value has a bin of its own
MOST_EDGES = 2 * (QUANTILES + 1)
FREQUENT = 24
MOST_VALUES = 10_000  # remembered of a category; with more of them, unseen ones count as other
MISSING, OTHER, UNSEEN = range(3)  # bins of a category before those of its values; of a number only the first
NUMBERS, CATEGORIES = "number", "category"


def kind_of_column(array: pa.Array, name: str) -> str | None:
    """NUMBERS, CATEGORIES, or None for a column of nulls alone. SchemaError for any other type."""
    kind = kind_of(array.type)
    if kind == "null":
        return None
    if kind in ("number", "integer"):
        return NUMBERS
    if kind in ("text", "bool"):
        return CATEGORIES
    raise SchemaError(
        f"column {name!r} has type {array.type}; a feature to watch is a number, a bool, a string or a dictionary of them"
    )


@dataclass
class Bins:
    """The bins of one column. Before they are settled, `numbers` or `values` hold what the first half has had."""

    name: str
    kind: str | None = None
    edges: F64 | None = None  # of a number: where bins begin; the last one is just above the range
    codes: dict[str, int] | None = None  # of a category: value -> bin
    full: bool = False  # more values than are remembered
    numbers: list[F64] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        return self.edges is not None or self.codes is not None

    def check(self, array: pa.Array) -> None:
        """SchemaError where the column is of another kind than before; DataError for a code outside its dictionary."""
        buffers.check_codes(array, self.name)
        kind = kind_of_column(array, self.name)
        if kind is not None and self.kind is not None and kind != self.kind:
            raise SchemaError(
                f"column {self.name!r} has type {array.type}, and was a {self.kind} before; cast it to that"
            )

    def collect(self, array: pa.Array) -> None:
        """Take in values of the first half."""
        self.kind = self.kind or kind_of_column(array, self.name)
        if self.kind == NUMBERS:
            self.numbers.append(_numbers(array))
        elif self.kind == CATEGORIES:
            texts, index = _texts(array)
            places, first, counts = np.unique(index, return_index=True, return_counts=True)
            for k in np.argsort(first):  # in the order in which they came
                text, count = texts[places[k]], counts[k]
                if text is None:
                    continue
                if text in self.values or len(self.values) < MOST_VALUES:
                    self.values[text] = self.values.get(text, 0) + int(count)
                else:
                    self.full = True

    def settle(self) -> None:
        """Make bins of what was collected."""
        if self.kind == CATEGORIES:
            frequent = sorted(self.values, key=lambda text: (-self.values[text], text))
            self.codes = {text: 3 + k if k < FREQUENT else OTHER for k, text in enumerate(frequent)}
            self.values = {}
            return
        self.edges = _edges(np.concatenate([np.zeros(0), *self.numbers]))
        self.numbers = []

    def bins(self, array: pa.Array) -> I32:
        """The bin of each row: int32[n]."""
        if self.codes is None:
            assert self.edges is not None
            if self.kind is None or pa.types.is_null(array.type):
                return np.zeros(len(array), np.int32)
            x = _numbers(array)
            at = np.searchsorted(self.edges, x, side="right").astype(np.int32) + 1
            at[np.isnan(x)] = MISSING
            return at
        texts, index = _texts(array)
        new = OTHER if self.full else UNSEEN
        table = np.array([MISSING if text is None else self.codes.get(text, new) for text in texts], np.int32)
        found: I32 = table[index]
        return found

    def label(self, j: int) -> str:
        """A bin in words."""
        if j == MISSING:
            return "missing"
        if self.codes is not None:
            if j in (OTHER, UNSEEN):
                return "other" if j == OTHER else "unseen"
            return next((repr(text) for text, code in self.codes.items() if code == j), "other")
        edges = self.edges
        if edges is None or not edges.size:
            return "present"
        if j == 1:
            return f"below {_said(edges[0])}"
        if j > edges.size:
            return f"above {_said(edges[-1])}"
        low, high = edges[j - 2], edges[j - 1]
        return _said(low) if high == np.nextafter(low, np.inf) else f"{_said(low)} to {_said(high)}"

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """Everything remembered, as arrays; texts as UTF-8 with an end for each."""
        codes = self.codes if self.codes is not None else self.values
        texts = [text.encode() for text in codes]
        kind = [None, NUMBERS, CATEGORIES].index(self.kind)
        return {
            "kind": np.array([kind, self.edges is not None, self.codes is not None, self.full], np.int64),
            "begins": np.zeros(0) if self.edges is None else self.edges.copy(),
            "numbers": np.concatenate([np.zeros(0), *self.numbers]),
            "texts": np.frombuffer(b"".join(texts), np.uint8).copy(),
            "ends": np.cumsum([len(text) for text in texts], dtype=np.int64),
            "codes": np.array(list(codes.values()), np.int64),
        }

    def of_kind(self, kind: str) -> bool:
        """Whether a column of the schema, of this kind, can have been watched so."""
        expected = {"number": NUMBERS, "integer": NUMBERS, "text": CATEGORIES, "bool": CATEGORIES}.get(kind)
        return expected is None or self.kind in (None, expected)

    @classmethod
    def of(cls, name: str, state: dict[str, np.ndarray[Any, Any]]) -> "Bins":
        """The bins whose state() this is. StateError for anything else."""
        wanted = {"kind": "i8", "begins": "f8", "numbers": "f8", "texts": "u1", "ends": "i8", "codes": "i8"}
        check(f"bins of {name!r}", state, {part: (dtype, (None,)) for part, dtype in wanted.items()})
        kind, ends, codes = state["kind"].tolist(), [0, *state["ends"].tolist()], state["codes"].tolist()
        begins, size = state["begins"], len(codes)
        whole = len(kind) == 4 and 0 <= kind[0] <= 2 and len(ends) == size + 1 and ends == sorted(ends)
        if not whole or ends[-1] != state["texts"].size or begins.size > MOST_EDGES or size > MOST_VALUES:
            raise StateError(f"bins of {name!r}: their parts contradict one another")
        own, by_edges, by_codes, full = [None, NUMBERS, CATEGORIES][kind[0]], *(int(flag) for flag in kind[1:])
        if not {by_edges, by_codes, full} <= {0, 1} or any(
            given and own not in kinds
            for given, kinds in (
                (by_edges, (None, NUMBERS)), (by_codes or full or size, (CATEGORIES,)),
                ((by_edges and begins.size) or state["numbers"].size, (NUMBERS,)),
            )
        ):  # fmt: skip
            raise StateError(f"bins of {name!r}: these are not of a {own or 'column of nulls'}")
        if begins.size and not (
            by_edges and ascending(begins) and np.isfinite(begins[:-1]).all() and begins[-1] > -np.inf
        ):
            raise StateError(f"bins of {name!r}: where they begin does not ascend")
        frequent = sorted(code for code in codes if code != OTHER)
        if by_codes and frequent != list(range(3, 3 + min(size, FREQUENT))):
            raise StateError(f"bins of {name!r}: there is no such bin")
        if not by_codes and codes and not 1 <= min(codes) <= sum(codes) <= MOST:
            raise StateError(f"bins of {name!r}: a value was not counted")
        if (by_edges or by_codes) and state["numbers"].size:
            raise StateError(f"bins of {name!r}: they are settled, and still collect")
        raw = state["texts"].tobytes()
        try:
            texts = [raw[a:b].decode() for a, b in pairwise(ends)]
        except UnicodeDecodeError as error:
            raise StateError(f"bins of {name!r}: a value is not text") from error
        found = dict(zip(texts, codes, strict=True))
        if len(found) < size:
            raise StateError(f"bins of {name!r}: a value is there twice")
        return cls(
            name,
            own,
            begins.copy() if by_edges else None,
            found if by_codes else None,
            bool(full),
            [state["numbers"].copy()] if state["numbers"].size else [],
            {} if by_codes else found,
        )

    @property
    def collected(self) -> int:
        """How many values of the first half are held: of a number each, of a category those that are remembered."""
        return sum(self.values.values()) if self.values else sum(len(part) for part in self.numbers)

    @property
    def used(self) -> int:
        """How many bins there are."""
        if self.codes is not None:
            return min(3 + len(self.codes), 3 + FREQUENT)
        return 2 + (self.edges.size if self.edges is not None else 0)


def bounds(counts: F64, miss: float) -> tuple[F64, F64]:
    """Shares that every bin has with probability 1 - miss all at once: Chernoff's bound n KL(o, e) <= log(2 bins / miss)."""
    n = float(counts.sum())
    limit = math.log(2.0 * counts.size / miss) / n
    shares = counts / n
    low, high = _solve(shares, limit, -1.0), _solve(shares, limit, 1.0)
    return low, high


def _solve(shares: F64, limit: float, side: float) -> F64:
    inner, outer = shares.copy(), np.full(shares.size, 1.0 if side > 0 else 0.0)
    for _ in range(60):
        middle = (inner + outer) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.where(shares > 0.0, shares * np.log(shares / middle), 0.0)
            right = np.where(shares < 1.0, (1.0 - shares) * np.log((1.0 - shares) / (1.0 - middle)), 0.0)
        fits = left + right <= limit
        inner, outer = np.where(fits, middle, inner), np.where(fits, outer, middle)
    return outer


def _edges(x: F64) -> F64:
    """Where bins begin that hold the finite values of x; the last one begins just above them."""
    x = np.sort(x[np.isfinite(x)])
    if not x.size:
        return x
    places = np.linspace(0, x.size - 1, QUANTILES + 1).round().astype(np.int64)
    quantiles = np.unique(x[places])
    often = np.searchsorted(x, quantiles, side="right") - np.searchsorted(x, quantiles) >= ATOM * x.size
    top = quantiles == x[-1]
    return np.unique(np.concatenate([quantiles[often | ~top], np.nextafter(quantiles[often | top], np.inf)]))


def _said(edge: float) -> str:
    return f"{0.0 if abs(edge) < 1e-300 else edge:.4g}"


def _numbers(array: pa.Array) -> F64:
    """float64[n]; NaN where missing."""
    x = np.asarray(buffers.numbers(array).values, np.float64)
    return np.where(buffers.nulls(array), np.nan, x) if array.null_count else x.copy()


def _texts(array: pa.Array) -> tuple[list[str | None], npt.NDArray[np.int64]]:
    """Distinct texts with None at the end, and the place of each row's."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    texts = [*buffers.readable(array.dictionary.cast(pa.large_string())), None]
    return texts, np.asarray(array.indices.cast(pa.int64()).fill_null(len(texts) - 1))
