"""Stated probabilities and outcomes from a stream, on the grid of kernels/grid.py: one pass, in bounded memory."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import columns
from onlogit.encoding.event_columns import read_weight
from onlogit.encoding.label_values import LabelValues
from onlogit.errors import DataError, SchemaError
from onlogit.kernels import grid as bins
from onlogit.schema import is_text
from onlogit.streams import open_source

F64 = npt.NDArray[np.float64]


class Pairs(NamedTuple):
    """Which columns hold what."""

    prob: str
    label: str
    positive: str | None = None
    weight: str | None = None


def read_pairs(where: str, pairs: Pairs, format: str | None = None, batch_rows: int = 65536) -> F64:
    """The grid of all labelled records; without a p or a label a record is passed over.

    SchemaError for a column that is absent or no number, DataError for a p outside [0, 1] or where no record is left.
    """
    source = open_source(where, format=format, batch_rows=batch_rows)
    try:
        names = [name for name in (pairs.prob, pairs.label, pairs.weight) if name is not None]
        for name in names:
            if name not in source.schema.names:
                raise SchemaError(f"there is no column {name!r}; found {', '.join(source.schema.names)}")
        kind = source.schema.field(pairs.prob).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            raise SchemaError(f"column {pairs.prob!r} is {kind}; a probability is a number")
        if is_text(source.schema.field(pairs.label).type) and pairs.positive is None:
            raise SchemaError(f"column {pairs.label!r} is text: say which value counts as 1, with --positive")
        labels, grid, row = LabelValues(pairs.label, pairs.positive), bins.new_grid(), 0
        while (item := source.read()) is not None:
            _add(grid, item[0], pairs, labels, row)
            row += item[0].num_rows
    finally:
        source.close()
    if not grid[:2].any():
        raise DataError(f"no record of {where} has a probability, an outcome and a weight above 0")
    return grid


def _add(grid: F64, batch: pa.RecordBatch, pairs: Pairs, labels: LabelValues, row: int) -> None:
    n = batch.num_rows
    weight = np.ones(n) if pairs.weight is None else read_weight(batch.column(pairs.weight), pairs.weight, row)
    y, labels.negative = labels.read(batch.column(pairs.label), weight, row)
    stated = batch.column(pairs.prob)
    p = columns.numbers(stated).values.astype(np.float64)
    if stated.null_count:
        y = np.where(columns.nulls(stated), np.int8(-1), y)
    bad = bins.add_pairs(grid, p, y, weight)
    if bad >= 0:
        raise DataError(
            f"column {pairs.prob!r}, row {row + bad} (counting from 0): {p[bad]:g} is no probability, 0 to 1"
        )
