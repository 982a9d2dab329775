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
    at: I64,  # [n] when each event was scored: its number, or its time; not falling
    known: I64,  # [n] from when on its label was known, in the same
    y: I8,  # [n] 1, 0, or -1 for none
    weight: F64,  # [n]
    turn: I64,  # [1] from when on an event may be judged next; changed
    judged: npt.NDArray[np.bool_],  # [n] written
) -> None:
    """judged[i]: whether event i has a label, and was scored when the last judged label was known."""
    for i in range(at.size):
        judged[i] = at[i] >= turn[0] and y[i] >= 0 and weight[i] > 0.0
        if judged[i]:
            turn[0] = max(known[i], turn[0])
