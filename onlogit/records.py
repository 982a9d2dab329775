"""What outputs record of a step: scored records, stated probabilities, alarms. Arrow in, Arrow out; no loop over rows."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.decisions.decider import Decider, Decisions
from onlogit.encoding.event_columns import read_time
from onlogit.errors import ConfigError, SchemaError
from onlogit.monitor import Alarm
from onlogit.steps import Step

STATED = ("p", "z", "z_sd")
DECIDED = {"action": pa.string(), "expected_cost": pa.float64()}
STATED_SCHEMA = pa.schema([("event", pa.int64()), *((name, pa.float64()) for name in STATED), ("label", pa.bool_())])
"""What `Step.to_arrow` gives."""

ALARMS = pa.schema(
    [
        ("kind", pa.string()), ("what", pa.string()),
        ("event", pa.int64()), ("time", pa.string()), ("onset_event", pa.int64()), ("onset_time", pa.string()),
        ("evidence", pa.float64()), ("patience", pa.float64()), ("tolerance", pa.float64()),
        ("examples", pa.int64()), ("observed", pa.float64()), ("expected", pa.float64()),
        ("effect", pa.float64()), ("effect_low", pa.float64()), ("effect_high", pa.float64()),
        ("effect_unit", pa.string()), ("region", pa.list_(pa.float64())), ("direction", pa.string()),
        ("arms", pa.list_(pa.struct([("arm", pa.string()), ("share", pa.float64())]))),
        ("advice", pa.string()), ("repeats", pa.int64()), ("unit", pa.string()), ("cost", pa.float64()), ("slice", pa.string()),
        ("features", pa.list_(pa.struct([("feature", pa.string()), ("score", pa.float64())]))),
    ]
)  # fmt: skip
"""Alarms as records: `Alarm.to_json` in columns."""


class Recorder(Protocol):
    """Turns a step into what an output records of it; None for nothing."""

    def __call__(self, batch: pa.RecordBatch, step: Step) -> pa.RecordBatch | None: ...


def scored_schema(schema: pa.Schema, prefix: str = "", decided: bool = False) -> pa.Schema:
    """The input's columns, then p, z, z_sd, and where it is decided what is done, action and expected_cost.

    ConfigError where the input has one of these names already.
    """
    own = dict.fromkeys(STATED, pa.float64()) | (DECIDED if decided else {})
    for name in own:
        if prefix + name in schema.names:
            raise ConfigError(
                f"the input has a column {prefix + name!r} already, which is what the output would call its own: "
                f"choose other names with --prefix, as in --prefix {prefix}onlogit_"
            )
    return pa.schema([*schema, *((prefix + name, kind) for name, kind in own.items())])


def scored(prefix: str = "", decider: Decider | None = None, time: str | None = None) -> Recorder:
    """Records a batch as it came, with what was stated of it and what is done about it; what there is none of is null.

    A decider that needs times reads the column `time`. It is to be given every batch of its stream, once and in order.
    """

    schemas: list[pa.Schema] = []  # of the batch before: its own, and with what is stated

    def record(batch: pa.RecordBatch, step: Step) -> pa.RecordBatch:
        columns = [*batch.columns, floats(step.p), floats(step.z), floats(step.z_sd)]
        if decider is not None:
            when = None
            if decider.needs_time and time is not None:
                if time not in batch.schema.names:
                    raise SchemaError(f"a capacity for each stretch of time needs the column {time!r}; it is missing")
                when = read_time(batch.column(time), time, 0)
            columns += decided(decider.decide(step.z, step.z_sd, when))
        if not schemas or not schemas[0].equals(batch.schema, check_metadata=True):
            schemas[:] = batch.schema, scored_schema(batch.schema, prefix, decider is not None)
        return pa.RecordBatch.from_arrays(columns, schema=schemas[1])

    return record


def decided(decisions: Decisions) -> list[pa.Array]:
    """The columns of `DECIDED`."""
    codes = pa.Array.from_buffers(pa.int8(), len(decisions.action), [None, pa.py_buffer(decisions.action)])
    actions = pa.DictionaryArray.from_arrays(codes, pa.array(decisions.names)).dictionary_decode()
    return [actions, floats(decisions.expected_cost)]


def stated(batch: pa.RecordBatch, step: Step) -> pa.RecordBatch:
    """Records event, p, z, z_sd and label, with the columns of `STATED_SCHEMA`."""
    return step.to_arrow()


def alarm_records(alarms: Sequence[Alarm]) -> pa.RecordBatch | None:
    """Alarms as a batch with the columns of `ALARMS`; None where there are none."""
    return pa.RecordBatch.from_pylist([alarm.to_json() for alarm in alarms], schema=ALARMS) if alarms else None


def alarms_of(batch: pa.RecordBatch, step: Step) -> pa.RecordBatch | None:
    """Records the alarms that a step raised."""
    return alarm_records(step.alarms)


def floats(values: npt.NDArray[np.float64]) -> pa.Array:
    """float64[n] as a column, NaN as null. Not `pa.array`, which imports pandas where there is one (150 ms)."""
    gaps = np.isnan(values)
    valid = pa.py_buffer(np.packbits(~gaps, bitorder="little")) if gaps.any() else None
    return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])
