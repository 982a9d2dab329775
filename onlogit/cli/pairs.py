"""Stated probabilities and outcomes from a stream, on the grid of decisions/grid.py: one pass, in bounded memory."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.decisions import grid as bins
from onlogit.encoding.event_columns import read_weight
from onlogit.encoding.label_values import LabelValues
from onlogit.errors import DataError, SchemaError
from onlogit.monitor.reading import read_probability
from onlogit.schema import is_text, kind_in_role
from onlogit.streams import open_source

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]


class Pairs(NamedTuple):
    """Which columns hold what."""

    prob: str
    label: str
    positive: str | None = None
    weight: str | None = None


def read_pairs(where: str, pairs: Pairs, format: str | None = None, batch_rows: int = 65536) -> F64:
    """The grid of all labelled records. Errors as of `each_pair`."""
    grid = bins.new_grid()
    for p, y, weight in each_pair(where, pairs, format, batch_rows):
        bins.add_pairs(grid, p, y, weight)
    return grid


def each_pair(
    where: str, pairs: Pairs, format: str | None = None, batch_rows: int = 65536
) -> Iterator[tuple[F64, I8, F64]]:
    """By batch: p, y (-1 where one of the two is missing) and weight.

    SchemaError for a column that is absent or no number; DataError for a probability, label or weight that means nothing,
    and at the end where no record has all three.
    """
    source, some = open_source(where, format=format, batch_rows=batch_rows), False
    try:
        _check(source.schema, pairs)
        labels, row = LabelValues(pairs.label, pairs.positive), 0
        while (item := source.read()) is not None:
            batch = item[0]
            n, p = batch.num_rows, read_probability(batch.column(pairs.prob), pairs.prob, row)
            weight = np.ones(n) if pairs.weight is None else read_weight(batch.column(pairs.weight), pairs.weight, row)
            y, labels.negative = labels.read(batch.column(pairs.label), weight, row, labels.negative)
            missing = np.isnan(p)
            y, row = np.where(missing, np.int8(-1), y), row + n
            some = some or bool(((y >= 0) & (weight > 0.0)).any())
            yield np.where(missing, 0.5, p), y, weight
        if not some:
            raise DataError(f"no record of {where} has a probability, an outcome and a weight above 0")
    finally:
        source.close()


def _check(schema: pa.Schema, pairs: Pairs) -> None:
    for name in (pairs.prob, pairs.label, pairs.weight):
        if name is not None and name not in schema.names:
            raise SchemaError(f"there is no column {name!r}; found {', '.join(schema.names)}")
    kind_in_role("label", pairs.label, schema.field(pairs.label).type)
    if is_text(schema.field(pairs.label).type) and pairs.positive is None:
        raise SchemaError(f"column {pairs.label!r} is text: say which value counts as 1, with --positive")
