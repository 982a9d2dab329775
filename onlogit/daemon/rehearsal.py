"""Compile or load every kernel on a throw-away model, so that no request waits for it."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.config import Config
from onlogit.daemon.json_rows import RowReader
from onlogit.daemon.sources import overridden
from onlogit.errors import OnlogitError
from onlogit.pipeline import Pipeline
from onlogit.schema import Column, Schema

ROWS = 32


def rehearse(schema: Schema | None, config: Config) -> None:
    """Score, learn, join an outcome: with made-up rows of the schema, or of a number, a text and a key."""
    if schema is None:
        arrow = pa.schema([("x", pa.float64()), ("town", pa.string()), ("key", pa.int64()), ("y", pa.bool_())])
        schema = Schema.of(arrow, label="y", key="key")
        config = replace(config, labels=replace(config.labels, delay=0))
    with suppress(OnlogitError):
        fold = Pipeline(schema, replace(config, slot_bits=8))
        for start, labelled in ((0, False), (ROWS, True)):
            batch = made_up(schema, start, labelled)
            fold.score(batch)
            _score_json(fold, batch)
            fold.step(batch, 0)
            if start == 0 and schema.with_role("key") and schema.with_role("label"):
                names = [column.name for role in ("key", "label") if (column := schema.with_role(role))]
                fold.outcomes(made_up(schema, 0, True).select(names))
        fold.finish()
        fold.state()


def rehearse_all(schema: Schema | None, config: Config, challengers: Iterable[Mapping[str, Any]]) -> None:
    """What the champion needs, and the challengers."""
    rehearse(schema, config)
    for each in challengers:
        if each.get("settings"):
            rehearse(schema, overridden(config, each["settings"]))


def _score_json(fold: Pipeline, batch: pa.RecordBatch) -> None:
    """Score rows as they come in a JSON body."""
    reader = RowReader(fold.schema, "score")
    names = [column.name for column in reader.fields]
    decoded, _ = reader.decode(msgspec.json.encode(batch.select(names).to_pylist()), False)
    fold.state_rows(reader.rows(decoded, fold.encoder))


def made_up(schema: Schema, start: int, labelled: bool) -> pa.RecordBatch:
    """Rows that the schema takes: record batch of ROWS rows."""
    columns = {
        column.name: _values(column, start, labelled, schema.positive)
        for column in schema.columns
        if column.kind != "any"
    }
    return pa.record_batch(columns)


def _values(column: Column, start: int, labelled: bool, positive: str | None) -> pa.Array:
    steps = np.arange(start, start + ROWS)
    if column.role in ("label", "label_time") and not labelled:
        return pa.nulls(ROWS)
    if column.role == "label":
        return _labels(column, steps % 2 == 0, positive)
    if column.role == "weight":
        return pa.array(np.ones(ROWS))
    kind: dict[str, Any] = {
        "number": lambda: pa.array(np.where(steps % 5 == 0, 0.5, steps / 7.0), mask=steps % 11 == 3),
        "integer": lambda: pa.array(steps, pa.int64()),
        "null": lambda: pa.array(steps / 7.0),
        "bool": lambda: pa.array(steps % 2 == 0),
        "text": lambda: pa.array([f"t{step}" for step in steps]),
        "timestamp": lambda: pa.array(steps * 3_600_000_000, pa.timestamp("us", column.zone)),
        "date": lambda: pa.array(steps.astype(np.int32), pa.date32()),
        "integers": lambda: pa.array([[int(step), 1] for step in steps], pa.list_(pa.int64())),
        "texts": lambda: pa.array([[f"t{step}"] for step in steps], pa.list_(pa.string())),
        "numbers": lambda: pa.array([[1.0, 2.0] for _ in steps], pa.list_(pa.float64())),
        "nulls": lambda: pa.array([[None] for _ in steps], pa.list_(pa.null())),
    }
    return kind[column.kind]()


def _labels(column: Column, ones: Any, positive: str | None) -> pa.Array:
    if column.kind == "text":
        return pa.array([positive if one else f"not {positive}" for one in ones])
    if column.kind == "bool" or (column.kind == "null" and positive is None):
        return pa.array(ones)
    if column.kind == "null":
        return pa.array([positive if one else f"not {positive}" for one in ones])
    return pa.array(np.where(ones, 1.0 if positive is None else float(positive), 0.0))
