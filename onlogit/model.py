"""What a user holds: a schema, a fold, and a file to keep them in.

    model = onlogit.OnlineLogit(label="late", key="flight_id")
    for batch in batches:
        step = model.step(batch)        # step.p was stated before any label of the batch was learned
    model.save("late.model")

Anything that speaks the Arrow PyCapsule interface goes in: pyarrow, polars, pandas, duckdb.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.arena import Lent
from onlogit.config import Config, from_mapping, role, to_mapping
from onlogit.encoding.buffers import batch_of_table
from onlogit.errors import ConfigError, DataError, OnlogitError, StateError
from onlogit.label_delays import Medians
from onlogit.learners import Coefficients
from onlogit.merging import merged
from onlogit.monitor import Alarm, CalibrationMonitor, Quality
from onlogit.pipeline import Pipeline
from onlogit.schema import Schema
from onlogit.steps import Counts, Step
from onlogit.storage import arrays
from onlogit.turn import Turn

KIND = "onlogit model"
ACCEPTED = (
    "accepted is an Arrow record batch or table, or any data frame that speaks the Arrow PyCapsule interface (polars, "
    "pandas 2.2 or later, duckdb)"
)


def to_batch(data: Any) -> pa.RecordBatch:
    """One record batch of whatever speaks the Arrow PyCapsule interface; a DataError names what does not, what has no
    columns, and what is too large for one batch."""
    if isinstance(data, pa.RecordBatch):
        return data
    if not isinstance(data, pa.Table):
        whole = hasattr(data, "__arrow_c_array__")
        if not whole and not hasattr(data, "__arrow_c_stream__"):
            raise DataError(f"found {type(data).__name__}; {ACCEPTED}")
        try:
            data = pa.record_batch(data) if whole else pa.table(data)
        except pa.ArrowInvalid as error:  # one column by itself, say
            raise DataError(
                f"found {type(data).__name__}, which Arrow reads as no table: {error}; {ACCEPTED}"
            ) from error
    return data if isinstance(data, pa.RecordBatch) else batch_of_table(data)


def _listed(names: Iterable[str]) -> Any:
    return (names,) if isinstance(names, str) else tuple(names) if isinstance(names, Iterable) else names


class OnlineLogit:
    """Online logistic regression over a stream of record batches. Its schema is settled by the first batch.

    label: column with the outcome; bool, 0/1, -1/1, or any with `positive` named; null where it is not known yet.
    weight, key, time: columns with a row's weight, its unique key, and its time (a feature too, unless dropped).
    label_time: column that says when the record's label became known; it is learned then and not before.
    due: column, known when the event is scored, that says when its label is sure to be known; learned then, told or not.
    drop: columns that are not features. features: derived terms such as "origin*distance" or "spline(hour, 8)", as
    onlogit/terms.py has them; they may read dropped columns. config: every other setting.

    Threads: one at a time may change or save a model, else there is a StateError; any may score meanwhile, by weights as
    they are at that moment. Ctrl-C waits until a step is whole (onlogit/turn.py).
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
        due: str | None = None,
        drop: Iterable[str] = (),
        features: Iterable[str] = (),
        config: Config | None = None,
    ) -> None:
        if config is not None and not isinstance(config, Config):
            raise ConfigError(f"config: found {config!r}, expected a Config")
        self.config = config or Config()
        self.roles: dict[str, Any] = {  # the arguments but config
            "label": label, "positive": positive, "weight": weight, "key": key, "time": time,
            "label_time": label_time, "due": due, "drop": _listed(drop), "features": _listed(features),
        }  # fmt: skip
        for name, value in self.roles.items():
            if value is not None:
                role(name, value)
        self._pipeline: Pipeline | None = None
        self._turn = Turn()

    def begin(self, schema: pa.Schema) -> None:
        """Settle the schema now, before the first batch; a SchemaError names a column that does not fit."""
        if self._pipeline is None:
            by = self.config.monitor.by
            self._pipeline = Pipeline(Schema.of(schema, **self.roles, by=by), self.config)

    @classmethod
    def of(cls, pipeline: Pipeline) -> "OnlineLogit":
        """The model over a fold that was made elsewhere."""
        model = cls(config=pipeline.config)
        model._pipeline = pipeline
        return model

    @property
    def settled(self) -> bool:
        """Whether there is a schema yet."""
        return self._pipeline is not None

    @property
    def pipeline(self) -> Pipeline:
        """The fold; a ConfigError before the first batch."""
        if self._pipeline is None:
            raise ConfigError("this model has seen no data yet: give it a batch with step() first")
        return self._pipeline

    @property
    def schema(self) -> Schema:
        """The columns as the first batch settled them; a ConfigError before it."""
        return self.pipeline.schema

    def step(self, data: Any, now: int | None = None) -> Step:
        """Score each event of a batch, then learn the labels that are known by then; see `Pipeline.step`.

        `now`: microseconds since 1970 UTC, for a model with a label time, due time or horizon and no time column.
        Errors: DataError for data or values, SchemaError for columns, ConfigError for settings that do not fit them,
        StateError for a second writer. What is refused changes nothing.
        """
        batch, first = to_batch(data), not self.settled
        if now is not None and not (isinstance(now, (int, np.integer)) and abs(int(now)) < 1 << 63):
            raise DataError(f"now = {now!r}: a whole number of microseconds since 1970 UTC would be accepted")
        with self._turn.taken():
            self.begin(batch.schema)
            try:
                return self.pipeline.step(batch, now)
            except OnlogitError:
                if first:  # a batch that is refused settles nothing
                    self._pipeline = None
                raise

    def outcomes(self, data: Any) -> list[Alarm]:
        """Learn labels that came later, at once or when they are due: a batch with the key column and the label column.

        Errors: DataError, SchemaError (without a key, too), ConfigError before the first batch, StateError for a second writer.
        """
        with self._turn.taken():
            return self.pipeline.outcomes(to_batch(data))

    def finish(self) -> list[Alarm]:
        """The stream has ended: learn the labels that records still hold sealed."""
        with self._turn.taken():
            return self._pipeline.finish() if self._pipeline else []

    def predict_proba(self, data: Any) -> npt.NDArray[np.float64]:
        """The probability of the positive label for each row: float64[n]. Changes nothing; needs no label column.

        Unlike `step`, without regard to what was wrong just before: the rows may be of any time.
        """
        return self.pipeline.score(to_batch(data)).p

    def score(self, data: Any) -> Step:
        """Like `predict_proba`, with z and z_sd. Errors: DataError, SchemaError, ConfigError before the first batch."""
        return self.pipeline.score(to_batch(data))

    def freeze(self) -> None:
        """From now on score, join labels and watch, and learn nothing."""
        with self._turn.taken():
            self.pipeline.frozen = True

    def revert(self) -> list[Alarm]:
        """Take back what `on_alarm` did: events are stated and learned as before. The record of it, if there was anything."""
        with self._turn.taken():
            return self.pipeline.revert()

    def price(self, thresholds: Iterable[float], costs: Iterable[float]) -> None:
        """Count decisions at these thresholds, and at costs of a false action and of a miss, from here on."""
        monitor = replace(self.config.monitor, thresholds=tuple(thresholds), costs=tuple(costs))
        if monitor == self.config.monitor:
            return
        with self._turn.taken():
            self.config = replace(self.config, monitor=monitor)
            if self._pipeline is not None:
                self._pipeline.price(self.config)

    def acknowledge(self) -> None:
        """Faults are mended, or known: evidence starts anew, and the next alarm or warning of each kind is news again."""
        with self._turn.taken():
            self.pipeline.monitor.rearm()
            for part in (self.pipeline.features, self.pipeline.predictions, self.pipeline.beside):
                if part is not None:
                    part.rearm()

    def watch_afresh(self) -> None:
        """Quality, evidence and alarms start anew, with the events whose labels are still awaited and those to come."""
        with self._turn.taken():
            self.pipeline.monitor = CalibrationMonitor.of(self.config.monitor)
            if self.pipeline.beside is not None:
                self.pipeline.beside.begin_anew()

    def quality(self) -> Quality:
        """Progressive quality of what was stated, over every event that is settled: log loss, Brier, AUC, calibration."""
        return self.pipeline.monitor.summary()

    @property
    def counts(self) -> Counts:
        """What happened so far, in events."""
        return self.pipeline.counts

    def label_delays(self) -> Medians:
        """How long labels learned on arrival were awaited, by class; its `warning()` where one class comes much sooner."""
        return self.pipeline.delays.medians()

    def coefficients(self) -> Coefficients:
        """Weights on the log-odds scale, numbers per standard deviation."""
        return self.pipeline.learner.coefficients()

    def header(self) -> dict[str, Any]:
        """What the arrays of `state` mean: schema, config and counts, as JSON values."""
        return {"kind": KIND, "schema": self.schema.to_json(), "config": to_mapping(self.config)}

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """All that the model knows, as plain arrays."""
        with self._turn.taken():
            return self.pipeline.state()

    def lend(self) -> Lent:
        """Like `state`, for a checkpoint: what waits for labels is not copied, and stays as it is while this is held."""
        with self._turn.taken():
            return self.pipeline.lend()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model file: complete or not at all. An OutputError says why it could not be written."""
        arrays.save(path, self.header(), self.state())

    @staticmethod
    def merge(
        parts: "Mapping[str, OnlineLogit] | Iterable[OnlineLogit]", base: "OnlineLogit | None" = None, *,
        expire: bool = False, base_name: str = "the base",
    ) -> "OnlineLogit":  # fmt: skip
        """One model of what workers learned from parts of a stream: merging is adding.

        Each worker started from a copy of `base`, by default from nothing. What each learned, saw and tallied since is
        added up: tallies and counts exactly, beliefs in natural parameters (learners/merging.py), means and variances of
        numbers pooled (encoding/merging.py); weights of the SGD family are averaged (learners/sgd.py). Parts should be
        alike, rows dealt in turn and not cut by time, as the end of each counts as the present. A base that has learned
        some thousand rows brings the result nearer to learning in sequence.

        Begin anew: evidence and alarms, the quality of late, the timeline, slices, decisions, the references of features
        and of change, the map that an alarm may promote. Paths of weights are those of the base.

        A mapping, and `base_name`, give the names that errors use. ConfigError where settings differ, where a part did not
        start from `base` or began to watch afresh since, where an alarm has acted on a part since, and where events still
        wait for labels unless `expire` gives those up; SchemaError where columns differ; DataError where negative labels
        do; StateError where a part or the base is damaged. The models given stay as they are.
        """
        named = dict(parts) if isinstance(parts, Mapping) else {f"part {k}": part for k, part in enumerate(parts)}
        if not named:
            raise ConfigError("there is nothing to merge: give one model or more")
        first = next(iter(named.values()))
        begun = Pipeline(first.schema, first.config) if base is None else base.pipeline
        folds = {name: part.pipeline for name, part in named.items()}
        return OnlineLogit.of(merged(folds, base_name, begun, expire=expire))

    def __copy__(self) -> "OnlineLogit":
        """A model of its own, as one saved and loaded: what the copy learns, the original does not."""
        model = OnlineLogit(**self.roles, config=self.config)
        if self._pipeline is not None:
            model._pipeline = Pipeline(self.schema, self.config)
            model._pipeline.restore(self.state())
        return model

    def __deepcopy__(self, memo: dict[int, Any]) -> "OnlineLogit":
        return self.__copy__()

    def to_bytes(self) -> bytes:
        """The model file as bytes."""
        return arrays.pack(self.header(), self.state())


def of_state(header: dict[str, Any], state: dict[str, npt.NDArray[Any]], where: str) -> OnlineLogit:
    """The model that `header` and `state` were taken from; a StateError naming `where` if they are not of one."""
    if header.get("kind") != KIND:
        raise StateError(f"{where}: not an onlogit model (it says {header.get('kind')!r})")
    try:
        config = from_mapping(Config, header["config"], "the file's config")
        model = OnlineLogit.of(Pipeline(Schema.from_json(header["schema"]), config))
        model.pipeline.restore(state)
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
