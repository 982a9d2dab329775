"""Several folds as one: what each learned, saw and tallied since a common base is added up.

How each part of a fold merges is in its own folder: learners/merging.py, encoding/merging.py, monitor/merging.py.
"""

from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.config import flattened, to_mapping
from onlogit.encoding import Encoder
from onlogit.encoding import merging as encoders
from onlogit.errors import ConfigError, SchemaError, StateError
from onlogit.labels import VOID
from onlogit.learners.protocol import Units
from onlogit.memory import NEVER
from onlogit.monitor import merging as monitors
from onlogit.monitor import repair as repairs
from onlogit.pipeline import Pipeline
from onlogit.schema import FEATURE_ROLE, Column
from onlogit.states import under
from onlogit.steps import Counts
from onlogit.weight_paths import of_named

State = dict[str, npt.NDArray[Any]]


def merged(parts: dict[str, Pipeline], base_name: str, base: Pipeline, *, expire: bool) -> Pipeline:
    """One fold of these parts, which all began as copies of the base, by the names that errors use: see `OnlineLogit.merge`."""
    first = next(iter(parts.values()))
    _check_alike([*parts.items(), (base_name, base)])
    start = _settled(base_name, base, False)
    states = {name: _settled(name, fold, expire) for name, fold in parts.items()}
    for name, state in states.items():
        _check_descent(name, state, base_name, start)
    try:
        return _sum(first, start, states)
    except StateError as error:
        damaged = _damaged(first, base_name, start, states)
        raise StateError(f"{damaged} cannot be merged: {error}") from error


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
