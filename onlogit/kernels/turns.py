"""Which events may be judged, so that evidence stays a martingale while labels are in flight.

A stated p can answer for the labels that were known by then, and for no others: with labels in flight, the outcomes of
events side by side may go together (a storm, a bad day) though each p was right for all that was known. So an event is
judged only if it was scored when the label of the last judged event was known. Where labels are fresh that is every event.
On departures learned when they land (some 120 in flight) it is 1 in 120; judging all of them, a live model whose
probabilities were honest at the time raised as many alarms as one that had stopped learning.
"""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import kernel

F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
I64 = npt.NDArray[np.int64]


@kernel
def take_turns(
    event: I64,  # [n] numbers, ascending
    known: I64,  # [n] the first event that was scored with the label known
    y: I8,  # [n] 1, 0, or -1 for none
    weight: F64,  # [n]
    turn: I64,  # [1] the first event that may be judged next; changed
    judged: npt.NDArray[np.bool_],  # [n] written
) -> None:
    """judged[i]: whether event i has a label, and was scored when the last judged label was known."""
    for i in range(event.size):
        judged[i] = event[i] >= turn[0] and y[i] >= 0 and weight[i] > 0.0
        if judged[i]:
            turn[0] = known[i]


@kernel
def take_turns_by_time(
    time: I64,  # [n] when the event was scored, microseconds, not falling
    known: I64,  # [n] when its label was known
    y: I8,  # [n] 1, 0, or -1 for none
    weight: F64,  # [n]
    turn: I64,  # [1] the first time at which an event may be judged next; changed
    judged: npt.NDArray[np.bool_],  # [n] written
) -> None:
    """judged[i], where labels come by time: whether event i has one, and was scored when the last judged one was known."""
    for i in range(time.size):
        judged[i] = time[i] >= turn[0] and y[i] >= 0 and weight[i] > 0.0
        if judged[i]:
            turn[0] = max(known[i], turn[0])
