"""Stated probabilities and outcomes, as columns of record batches -> arrays. Refuses a batch as a whole, and names the row.

A row counts where it has a probability; one whose probability is null or NaN is passed over and counted. A null label is an
outcome that is not known. Cost: 12 ns an event, most of it the logarithm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.encoding.event_columns import NO_TIME, read_key, read_time, read_weight
from onlogit.encoding.label_values import LabelValues
from onlogit.errors import ConfigError, DataError, SchemaError, StateError
from onlogit.monitor.sound import require_counts
from onlogit.schema import kind_in_role, kind_of
from onlogit.states import check

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Columns:
    """Which column is what."""

    prob: str
    label: str
    positive: str | None = None
    weight: str | None = None
    time: str | None = None
    label_time: str | None = None
    key: str | None = None
    by: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        own = [name for name in (self.prob, self.label, self.weight, self.time, self.label_time, self.key) if name]
        twice = next((name for name in own if own.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"column {twice!r} is named for two things; name two columns")
        if self.label_time and not self.time:
            raise ConfigError("a label time means something beside the time of the event: name a time column as well")

    @property
    def names(self) -> list[str]:
        """The columns that have to be there, the label included, each once."""
        named = (self.prob, self.label, self.weight, self.time, self.label_time, self.key, *self.by, *self.features)
        return list(dict.fromkeys(name for name in named if name is not None))


class Given(NamedTuple):
    """n rows as read."""

    z: F64  # log-odds; 0 where there is no probability
    y: I8  # 1, 0, or -1 for not known
    weight: F64  # 0 where there is no probability
    time: I64 | None  # microseconds, not falling
    known: I64 | None  # when the label was known
    key: U64 | None
    no_probability: int
    negative: str | None  # the label's negative value, as settled after these rows


class Reader:
    """Reads batches in order. `rows` were read so far."""

    def __init__(self, columns: Columns, labelled: bool = True) -> None:
        self.columns = columns
        self.rows = 0
        self._labelled = labelled  # whether labels are in the records
        self._labels = LabelValues(columns.label, columns.positive)
        self._clock = NO_TIME

    def read(self, batch: pa.RecordBatch) -> Given:
        """One batch, and nothing is changed (`accept` goes on). SchemaError or DataError where it is not what it has to be."""
        batch = buffers.one_batch(batch)
        columns, n, first = self.columns, batch.num_rows, self.rows
        p = read_probability(_column(batch, columns.prob), columns.prob, first)
        missing = np.isnan(p)
        weight = np.ones(n)
        if columns.weight:
            weight = read_weight(_column(batch, columns.weight), columns.weight, first)
        if missing.any():
            weight = np.where(missing, 0.0, weight)
        y, negative = np.full(n, -1, np.int8), self._labels.negative
        if self._labelled:
            kind_in_role("label", columns.label, _column(batch, columns.label).type)
            y, negative = self._labels.read(_column(batch, columns.label), weight, first, negative)
        time = self._times(batch, first)
        known = None
        if columns.label_time and time is not None:
            known = read_time(_column(batch, columns.label_time), columns.label_time, first, missing=NO_TIME)
        key = read_key(_column(batch, columns.key), columns.key, first) if columns.key else None
        for name in columns.by:
            kind_in_role("slice", name, _column(batch, name).type)
        for name in columns.features:
            _column(batch, name)
        with np.errstate(divide="ignore"):
            z = np.where(missing, 0.0, np.log(p) - np.log1p(-p))
        return Given(z, y, weight, time, known, key, int(np.count_nonzero(missing)), negative)

    def accept(self, given: Given) -> None:
        """Go on behind what was read."""
        self._labels.negative = given.negative
        self.rows += len(given.z)
        if given.time is not None and len(given.time):
            self._clock = int(given.time[-1])

    def state(self) -> dict[str, Array]:
        """What reading depends on, as copies."""
        negative = self._labels.negative
        text = b"" if negative is None else b"=" + negative.encode()
        return {"rows": np.array([self.rows, self._clock]), "negative": np.frombuffer(text, np.uint8).copy()}

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of the same columns. StateError, with nothing changed, if it is not one."""
        check("watch", state, {"rows": (np.int64, (2,)), "negative": (np.uint8, (None,))})
        require_counts(state["rows"][:1], "watch.rows")
        try:
            text = state["negative"].tobytes().decode()
        except UnicodeDecodeError as error:
            raise StateError("watch: the negative label is not text") from error
        self._labels.negative = text[1:] if text else None
        self.rows, self._clock = (int(x) for x in state["rows"])

    def _times(self, batch: pa.RecordBatch, first: int) -> I64 | None:
        name = self.columns.time
        if name is None:
            return None
        array = _column(batch, name)
        if kind_of(array.type) not in ("timestamp", "date", "null"):
            raise SchemaError(
                f"time column {name!r} has type {array.type}; it has to be a timestamp or a date: cast it"
            )
        time = read_time(array, name, first)
        falls = np.flatnonzero(np.diff(time, prepend=max(self._clock, time[0]) if self._clock == NO_TIME and time.size
                                       else self._clock) < 0)  # fmt: skip
        if falls.size:
            raise DataError(
                f"column {name!r}, row {first + falls[0]} (counting from 0): {array[int(falls[0])]} is earlier than the "
                "row before it; accepted are times in order: sort the events by the time at which they were scored"
            )
        return time


def read_probability(array: pa.Array, name: str, first: int) -> F64:
    """Probabilities, float64[n]; NaN where null or NaN. SchemaError or DataError for what is none."""
    if kind_of(array.type) not in ("number", "integer", "null"):
        raise SchemaError(
            f"probability column {name!r} has type {array.type}; it has to be a number from 0 to 1: cast it"
        )
    array = buffers.plain(array, name)
    p = np.asarray(buffers.numbers(array).values, np.float64)
    if array.null_count:
        p = np.where(buffers.nulls(array), np.nan, p)
    odd = (p < 0.0) | (p > 1.0)
    if odd.any():
        row = int(np.argmax(odd))
        raise DataError(
            f"column {name!r}, row {first + row} (counting from 0): {p[row]:g}; accepted is a probability from 0 to 1, or "
            "null"
        )
    return p


def read_outcomes(batches: Iterator[pa.RecordBatch], columns: Columns) -> tuple[U64, I8]:
    """Keys, ascending and each once (its first outcome counts), and their labels: u64[n], i8[n]. Null labels are left out."""
    labels = LabelValues(columns.label, columns.positive)
    keys, ys, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int8)], 0
    for batch in batches:
        key = read_key(_column(batch, columns.key or ""), columns.key or "", rows)
        y, labels.negative = labels.read(_column(batch, columns.label), np.ones(len(key)), rows, labels.negative)
        keys.append(key[y >= 0])
        ys.append(y[y >= 0])
        rows += len(key)
    key, at = np.unique(np.concatenate(keys), return_index=True)
    return key, np.concatenate(ys)[at]


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    at = batch.schema.get_field_index(name)
    if at < 0:
        raise SchemaError(f"there is no column {name!r}; found are {', '.join(batch.schema.names)}")
    return batch.column(at)
