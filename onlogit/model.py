"""What a user holds: a schema, a fold, and a file to keep them in.

    model = onlogit.OnlineLogit(label="late", key="flight_id")
    for batch in batches:
        step = model.step(batch)        # step.p was stated before any label of the batch was learned
    model.save("late.model")

Anything that speaks the Arrow PyCapsule interface goes in: pyarrow, polars, pandas, duckdb.
"""

from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.config import Config, from_mapping, to_mapping
from onlogit.errors import ConfigError, DataError, OnlogitError, StateError
from onlogit.learners import Coefficients
from onlogit.monitor import Alarm, CalibrationMonitor, Quality
from onlogit.pipeline import Counts, Pipeline, Step
from onlogit.schema import Schema
from onlogit.storage import arrays

KIND = "onlogit model"


def to_batch(data: Any) -> pa.RecordBatch:
    """One record batch of whatever speaks the Arrow PyCapsule interface; a DataError names what does not."""
    if isinstance(data, pa.RecordBatch):
        return data
    if hasattr(data, "__arrow_c_array__") and not isinstance(data, pa.Table):
        return pa.record_batch(data)
    if not isinstance(data, pa.Table):
        if not hasattr(data, "__arrow_c_stream__"):
            raise DataError(
                f"found {type(data).__name__}; accepted is an Arrow record batch or table, or any data frame that "
                "speaks the Arrow PyCapsule interface (polars, pandas 2.2 or later, duckdb)"
            )
        data = pa.table(data)
    batches = data.combine_chunks().to_batches()
    return batches[0] if batches else pa.record_batch([pa.nulls(0, f.type) for f in data.schema], schema=data.schema)


class OnlineLogit:
    """Online logistic regression over a stream of record batches. Its schema is settled by the first batch.

    label: column with the outcome; bool, 0/1, -1/1, or any with `positive` named; null where it is not known yet.
    weight, key, time: columns with a row's weight, its unique key, and its time (a feature too, unless dropped).
    label_time: column that says when the record's label became known; it is learned then and not before.
    drop: columns that are not features. features: derived terms such as "origin*distance" or "spline(hour, 8)", as
    onlogit/terms.py has them; they may read dropped columns. config: every other setting.
    """

    def __init__(
        self,
        label: str | None = None,
        *,
        positive: str | float | bool | None = None,
        weight: str | None = None,
        key: str | None = None,
        time: str | None = None,
        label_time: str | None = None,
        drop: Iterable[str] = (),
        features: Iterable[str] = (),
        config: Config | None = None,
    ) -> None:
        self.config = config or Config()
        self._roles: dict[str, Any] = {
            "label": label, "positive": positive, "weight": weight, "key": key, "time": time,
            "label_time": label_time, "drop": tuple([drop] if isinstance(drop, str) else drop),
            "features": tuple([features] if isinstance(features, str) else features),
        }  # fmt: skip
        self._pipeline: Pipeline | None = None

    def begin(self, schema: pa.Schema) -> None:
        """Settle the schema now, before the first batch; a SchemaError names a column that does not fit."""
        if self._pipeline is None:
            self._pipeline = Pipeline(Schema.of(schema, **self._roles), self.config)

    @property
    def pipeline(self) -> Pipeline:
        """The fold; a ConfigError before the first batch."""
        if self._pipeline is None:
            raise ConfigError("this model has seen no data yet: give it a batch with step() first")
        return self._pipeline

    @property
    def schema(self) -> Schema:
        return self.pipeline.schema

    def step(self, data: Any, now: int | None = None) -> Step:
        """Score each event of a batch, then learn the labels that are known by then; see `Pipeline.step`.

        `now`: microseconds since 1970 UTC, for a model with a label time and no time column.
        """
        batch = to_batch(data)
        self.begin(batch.schema)
        return self.pipeline.step(batch, now)

    def outcomes(self, data: Any) -> list[Alarm]:
        """Learn labels that came later: a batch with the key column and the label column."""
        return self.pipeline.outcomes(to_batch(data))

    def finish(self) -> list[Alarm]:
        """The stream has ended: learn the labels that records still hold sealed."""
        return self._pipeline.finish() if self._pipeline else []

    def predict_proba(self, data: Any) -> npt.NDArray[np.float64]:
        """The probability of the positive label for each row: float64[n]. Changes nothing; needs no label column."""
        return self.pipeline.score(to_batch(data)).p

    def score(self, data: Any) -> Step:
        """Like `predict_proba`, with z and z_sd."""
        return self.pipeline.score(to_batch(data))

    def freeze(self) -> None:
        """From now on score, join labels and watch, and learn nothing."""
        self.pipeline.frozen = True

    def watch_afresh(self) -> None:
        """Quality, evidence and alarms start anew, with the events whose labels are still awaited and those to come."""
        monitor = self.config.monitor
        self.pipeline.monitor = CalibrationMonitor(monitor.patience, monitor.tolerance)

    def quality(self) -> Quality:
        """Progressive quality of what was stated, over every event that is settled: log loss, Brier, AUC, calibration."""
        return self.pipeline.monitor.summary()

    @property
    def counts(self) -> Counts:
        """What happened so far, in events."""
        return self.pipeline.counts

    def coefficients(self) -> Coefficients:
        """Weights on the log-odds scale, numbers per standard deviation."""
        return self.pipeline.learner.coefficients()

    def header(self) -> dict[str, Any]:
        """What the arrays of `state` mean: schema, config and counts, as JSON values."""
        return {"kind": KIND, "schema": self.schema.to_json(), "config": to_mapping(self.config)}

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """All that the model knows, as plain arrays."""
        return self.pipeline.state()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model file: complete or not at all. An OutputError says why it could not be written."""
        arrays.save(path, self.header(), self.state())

    def to_bytes(self) -> bytes:
        """The model file as bytes."""
        return arrays.pack(self.header(), self.state())


def of_state(header: dict[str, Any], state: dict[str, npt.NDArray[Any]], where: str) -> OnlineLogit:
    """The model that `header` and `state` were taken from; a StateError naming `where` if they are not of one."""
    if header.get("kind") != KIND:
        raise StateError(f"{where}: not an onlogit model (it says {header.get('kind')!r})")
    try:
        model = OnlineLogit(config=from_mapping(Config, header["config"], "the file's config"))
        model._pipeline = Pipeline(Schema.from_json(header["schema"]), model.config)
        model._pipeline.restore(state)
    except StateError as error:
        raise StateError(f"{where}: {error}") from error
    except (OnlogitError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"{where}: its header does not describe a model: {error!r}") from error
    return model


def load(path: str | PathLike[str]) -> OnlineLogit:
    """Read a model file. A StateError says what is wrong with a damaged one, or that there is none."""
    return of_state(*arrays.load(path), where=str(path))


def of_bytes(data: bytes, where: str = "model") -> OnlineLogit:
    """The model that `OnlineLogit.to_bytes` wrote."""
    return of_state(*arrays.unpack(data, where), where=where)
