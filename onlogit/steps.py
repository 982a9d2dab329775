"""What the fold passes on: what was stated of a batch, and how much happened so far."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import Encoded
from onlogit.encoding.rows import choose_rows
from onlogit.kernels import link
from onlogit.label_times import Plan
from onlogit.labels import Mature
from onlogit.learners.protocol import Pending
from onlogit.monitor import Alarm

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]


Pause = Callable[[], None]  # lets others score; nothing else may be done in it


def no_pause() -> None:
    """Nobody waits."""


class Step(NamedTuple):
    """What was stated of a batch of n events, and what came of it.

    event: int64[n], number of the event in the stream, from 0.
    z: float64[n], log-odds. p: float64[n], probability.
    z_sd: float64[n], sd of z under the belief; NaN from a learner that has none.
    y: int8[n], the label in the record: 1, 0, or -1 for none.
    alarms: raised in this step.
    """

    event: I64
    z: F64
    p: F64
    z_sd: F64
    y: I8
    alarms: list[Alarm]

    def to_arrow(self) -> pa.RecordBatch:
        """event, p, z, z_sd, label as a record batch; what there is none of is null."""
        return pa.record_batch(
            {
                "event": self.event,
                "p": self.p,
                "z": self.z,
                "z_sd": pa.array(self.z_sd, mask=np.isnan(self.z_sd)),
                "label": pa.array(self.y == 1, mask=self.y < 0),
            }
        )


@dataclass
class Counts:
    """What happened so far, in events."""

    events: int = 0  # scored
    labelled: int = 0  # whose label came, in the record or later
    learned: int = 0
    expired: int = 0  # forgotten before a label came
    outcomes: int = 0  # labels told by key
    unknown: int = 0  # of which for no event that waits for one
    no_weight: int = 0  # of weight 0: scored, else ignored
    unresolved: int = 0  # without a label known when it was due: a negative, or dropped
    late: int = 0  # labels told by key after they were due


class Walking(NamedTuple):
    """A batch of n events that is being walked."""

    first: int  # number of the first
    encoded: Encoded  # with labels and due times as settled
    told: I8  # [n] the label in the record
    plan: Plan
    y: I8  # [m] of each of the plan's events
    scores: Pending


class Stated(NamedTuple):
    """A batch after its walk: the step without alarms of the monitor, and what that has to judge."""

    step: Step
    mature: Mature


def sigmoid(z: F64) -> F64:
    """p = 1 / (1 + e^-z), [n]."""
    p = np.empty(len(z))
    link.probabilities(np.ascontiguousarray(z, np.float64), p)
    return p


def part_of(encoded: Encoded, a: int, b: int) -> Encoded:
    """The rows a .. b of a batch."""
    if (a, b) == (0, len(encoded.y)):
        return encoded
    columns: list[Any] = list(encoded[1:])
    cut = [None if column is None else column[a:b] for column in columns]
    return Encoded._make([choose_rows(encoded.rows, np.arange(a, b)), *cut])


def joined(steps: list[Step]) -> Step:
    """Steps one after the other as one."""
    columns: list[Any] = [np.concatenate(column) for column in zip(*(step[:-1] for step in steps), strict=True)]
    return Step._make([*columns, [alarm for step in steps for alarm in step.alarms]])
