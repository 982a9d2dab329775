"""What a user holds: a schema, a fold, and a file to keep them in.

    model = onlogit.OnlineLogit(label="late", key="flight_id")
    for batch in batches:
        step = model.step(batch)        # step.p was stated before any label of the batch was learned
    model.save("late.model")

Anything that speaks the Arrow PyCapsule interface goes in: pyarrow, polars, pandas, duckdb.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from itertools import zip_longest
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.arena import Lent
from onlogit.config import Config, flattened, from_mapping, to_mapping
from onlogit.encoding import Encoder
from onlogit.encoding import merging as encoders
from onlogit.encoding.buffers import batch_of_table
from onlogit.errors import ConfigError, DataError, OnlogitError, SchemaError, StateError
from onlogit.label_delays import Medians
from onlogit.labels import VOID
from onlogit.learners import Coefficients
from onlogit.learners.protocol import Units
from onlogit.memory import NEVER
from onlogit.monitor import Alarm, CalibrationMonitor, Quality
from onlogit.monitor import merging as monitors
from onlogit.monitor import repair as repairs
from onlogit.pipeline import Pipeline
from onlogit.schema import FEATURE_ROLE, Column, Schema
from onlogit.states import under
from onlogit.steps import Counts, Step
from onlogit.storage import arrays
from onlogit.turn import Turn
from onlogit.weight_paths import of_named

State = dict[str, npt.NDArray[Any]]

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
        self.config = config or Config()
        self.roles: dict[str, Any] = {  # the arguments but config
            "label": label, "positive": positive, "weight": weight, "key": key, "time": time,
            "label_time": label_time, "due": due, "drop": tuple([drop] if isinstance(drop, str) else drop),
            "features": tuple([features] if isinstance(features, str) else features),
        }  # fmt: skip
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
        return self.pipeline.schema

    def step(self, data: Any, now: int | None = None) -> Step:
        """Score each event of a batch, then learn the labels that are known by then; see `Pipeline.step`.

        `now`: microseconds since 1970 UTC, for a model with a label time, due time or horizon and no time column.
        """
        batch, first = to_batch(data), not self.settled
        with self._turn.taken():
            self.begin(batch.schema)
            try:
                return self.pipeline.step(batch, now)
            except OnlogitError:
                if first:  # a batch that is refused settles nothing
                    self._pipeline = None
                raise

    def outcomes(self, data: Any) -> list[Alarm]:
        """Learn labels that came later, at once or when they are due: a batch with the key column and the label column."""
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
        """Like `predict_proba`, with z and z_sd."""
        return self.pipeline.score(to_batch(data))

    def freeze(self) -> None:
        """From now on score, join labels and watch, and learn nothing."""
        self.pipeline.frozen = True

    def revert(self) -> list[Alarm]:
        """Take back what `on_alarm` did: events are stated and learned as before. The record of it, if there was anything."""
        with self._turn.taken():
            return self.pipeline.revert()

    def price(self, thresholds: Iterable[float], costs: Iterable[float]) -> None:
        """Count decisions at these thresholds, and at costs of a false action and of a miss, from here on."""
        monitor = replace(self.config.monitor, thresholds=tuple(thresholds), costs=tuple(costs))
        if monitor != self.config.monitor:
            self.config = replace(self.config, monitor=monitor)
            if self._pipeline is not None:
                self._pipeline.price(self.config)

    def acknowledge(self) -> None:
        """Faults are mended, or known: evidence starts anew, and the next alarm or warning of each kind is news again."""
        self.pipeline.monitor.rearm()
        for part in (self.pipeline.features, self.pipeline.predictions, self.pipeline.beside):
            if part is not None:
                part.rearm()

    def watch_afresh(self) -> None:
        """Quality, evidence and alarms start anew, with the events whose labels are still awaited and those to come."""
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
        folds = [(name, part.pipeline) for name, part in named.items()]
        _check_alike([*folds, (base_name, begun)])
        start = _settled(base_name, begun, False)
        states = {name: _settled(name, fold, expire) for name, fold in folds}
        for name, state in states.items():
            _check_descent(name, state, base_name, start)
        try:
            return OnlineLogit.of(_sum(first.pipeline, start, states))
        except StateError as error:
            damaged = _damaged(first.pipeline, base_name, start, states)
            raise StateError(f"{damaged} cannot be merged: {error}") from error

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


# ---- merging


def _check_alike(folds: list[tuple[str, Pipeline]]) -> None:
    """SchemaError or ConfigError naming the first difference between a fold and the first one."""
    first, model = folds[0]
    schema, config = model.schema, flattened(to_mapping(model.config))
    for name, fold in folds:
        for own, theirs in zip_longest(schema.columns, fold.schema.columns):
            if own != theirs:
                raise SchemaError(f"{first} and {name} differ in a column: {_described(own)} and {_described(theirs)}")
        if schema != fold.schema:
            raise SchemaError(
                f"{first} and {name} differ in the positive label or in derived terms: "
                f"{schema.positive!r}, {list(schema.terms)} and {fold.schema.positive!r}, {list(fold.schema.terms)}"
            )
        theirs = flattened(to_mapping(fold.config))
        for setting, own in config.items():
            if own != theirs[setting]:
                raise ConfigError(
                    f"{setting} is {own!r} in {first} and {theirs[setting]!r} in {name}; only equal settings merge"
                )


def _described(column: Column | None) -> str:
    if column is None:
        return "none"
    use = column.role if column.feature or column.role not in FEATURE_ROLE.values() else f"{column.role}, no feature"
    return f"{column.name!r} ({use}; {column.kind}{'' if column.zone == 'UTC' else ' in ' + column.zone})"


def _settled(name: str, fold: Pipeline, expire: bool) -> dict[str, npt.NDArray[Any]]:
    """The state of a fold in which no event waits for its label."""
    state = fold.state()
    if not fold.memory.waiting:
        return state
    if not expire:
        raise ConfigError(
            f"{name}: {fold.memory.waiting} events still wait for their label, and cannot be merged; learn the labels "
            "first, or give them up (`expire`, `--expire`; of a base before it is handed out)"
        )
    copy = Pipeline(fold.schema, fold.config)
    copy.restore(state)
    waiting = copy.memory.expiring(copy.counts.events)
    copy.memory.forget(waiting)
    copy.maturity.settle(waiting, VOID)
    copy.counts.expired += len(waiting)
    copy.judge(copy.maturity.ready())
    return copy.state()


def _check_descent(name: str, part: State, base_name: str, base: State) -> None:
    """A ConfigError unless `part` can have been learned by a copy of `base`: what only grows is no less."""
    grown = Counts(*(int(count) for count in part["counts"] - base["counts"]))
    if min(asdict(grown).values()) < 0 or (part["delays.counts"] < base["delays.counts"]).any():
        raise ConfigError(f"{name} has seen less than {base_name}: it did not start from it")
    if part["learner.clock"][0] < base["learner.clock"][0]:
        raise ConfigError(
            f"{name} has learned less than {base_name}: it did not start from it, or took back what it knew"
        )
    seen, own = ({k: under(state, f"{k}.") for k in ("encoder", "monitor")} for state in (base, part))
    if not encoders.follows(seen["encoder"], own["encoder"]):
        raise ConfigError(
            f"{name} did not start from {base_name}, as it lacks something of what that has seen; the base has to be the "
            "model that all parts began as copies of, or none"
        )
    if monitors.began_anew(seen["monitor"], own["monitor"], grown.labelled, grown.no_weight):
        raise ConfigError(
            f"{name} did not start from {base_name}, or began to watch afresh since, and its tally has nothing of that; "
            "after `watch_afresh()` of the base they merge"
        )
    if not monitors.follows(seen["monitor"], own["monitor"]):
        raise ConfigError(
            f"{name} did not start from {base_name}, as it has other outcomes; give the right base, or none"
        )


def _sum(like: Pipeline, base: State, parts: dict[str, State]) -> Pipeline:
    """The fold of all parts. A StateError where what is added up are not states that a stream leaves."""
    fold = Pipeline(like.schema, like.config)
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            state = _added(fold, base, parts)
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise StateError(f"its numbers are none that a stream leaves ({error})") from error
    fold.restore(state)
    return fold


def _damaged(like: Pipeline, base_name: str, base: State, parts: dict[str, State]) -> str:
    """Which of the models it is that does not merge, even by itself; all of them where it is none."""
    for name, state in ((base_name, base), *parts.items()):
        try:
            _sum(like, base, {name: state})
        except StateError:
            return name
    return ", ".join(parts)


def _added(fresh: Pipeline, base: State, parts: dict[str, State]) -> State:
    """The state of a fold that took in what all parts took in since the base."""
    states = list(parts.values())
    counts = base["counts"] + sum((state["counts"] - base["counts"] for state in states), np.zeros_like(base["counts"]))
    total = Counts(*(int(count) for count in counts))
    watched = total.learned >= fresh.config.monitor.warm_up
    merged: dict[str, dict[str, npt.NDArray[Any]]] = {
        name: under(fresh.state(), f"{name}.") for name in ("memory", "maturity")
    }
    for name in fresh.watching:  # like evidence, references begin anew
        merged[name] = under(fresh.state(), f"{name}.")
    if fresh.repair is not None:
        acts = {name: under(state, "repair.") for name, state in parts.items()}
        merged["repair"] = repairs.merge(merged["repair"], under(base, "repair."), acts, not base["counts"].any())
    merged["maturity"]["first"] = np.array([total.events])
    merged["monitor"] = monitors.merge(
        under(fresh.state(), "monitor."), under(base, "monitor."), [under(state, "monitor.") for state in states]
    )
    merged["delays"] = {
        "counts": base["delays.counts"] + sum(state["delays.counts"] - base["delays.counts"] for state in states)
    }
    encoder = {name: under(state, "encoder.") for name, state in parts.items()}
    merged["encoder"] = encoders.merge(under(base, "encoder."), encoder, fresh.config.names)
    named = merged["encoder"]["name_slots"].astype(np.int64)
    merged["paths"] = of_named(under(base, "paths."), named)  # what parts did at the same time is no path
    units = _units(fresh.encoder, merged["encoder"], list(encoder.values()))
    learners = [under(state, "learner.") for state in states]
    merged["learner"] = fresh.learner.merge(under(base, "learner."), learners, units)
    return {
        "counts": counts,
        "clock": np.array(
            [
                max(int(s["clock"][0]) for s in states),
                total.events if watched else NEVER,
                max(int(s["clock"][2]) for s in states),
            ]
        ),
        "frozen": np.array([all(s["frozen"][0] for s in states)]),
    } | {f"{part}.{name}": array for part, arrays in merged.items() for name, array in arrays.items()}


def _units(
    encoder: Encoder, merged: dict[str, npt.NDArray[Any]], parts: list[dict[str, npt.NDArray[Any]]]
) -> list[Units]:
    """In what units each part's belief is, seen from the merged ones. The encoder ends in the merged state."""
    moments = []
    for state in (*parts, merged):
        encoder.restore(state)
        moments.append(encoder.moments())
    *own, (mean, sd) = moments
    known = sd > 0.0
    size = np.where(known, sd, 1.0)
    return [Units(np.where(known, s / size, 1.0), np.where(known, (m - mean) / size, 0.0)) for m, s in own]
