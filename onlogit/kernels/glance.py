"""A look at the weights of some slots in the middle of a walk. Plain loops: NumPy's many small calls took .46 ms a look, as
each finds its code and data gone from the near caches, where one with these takes .3."""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import kernel

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@kernel
def mix(
    table: F32,  # [s, 2, E] mean and variance of each slot under each expert
    touched: F64,  # [s] above 0 where anything was learned
    share: F64,  # [K] what each expert weighs
    prior: F32,  # [>= K] variance of a slot nobody has learned
    weights: F64,  # [s] written: the mean under the mixture
    gain: F64,  # [s] written: the precision gained
) -> None:
    """Of each slot the experts are added up by themselves, so that what is said of it does not depend on which others were
    asked for."""
    for i in range(weights.size):
        weight, gained = 0.0, 0.0
        for e in range(share.size):
            weight += share[e] * table[i, 0, e]
            more = 1.0 / max(np.float64(table[i, 1, e]), 1e-300) - 1.0 / np.float64(prior[e])
            gained += share[e] * max(more, 0.0)
        weights[i], gain[i] = weight, gained if touched[i] > 0.0 else 0.0


@kernel
def centre(
    group: I64,  # [s] -1 for slots of none
    gain: F64,  # [s]
    weights: F64,  # [s] changed: less the mean of their group, by gain
) -> float:
    """The sum of these means."""
    groups = 0
    for i in range(group.size):
        groups = max(groups, group[i] + 1)
    total, level = np.zeros(groups), np.zeros(groups)
    for i in range(group.size):
        if group[i] >= 0:
            total[group[i]] += gain[i]
            level[group[i]] += gain[i] * weights[i]
    for g in range(groups):
        level[g] /= total[g] if total[g] > 0.0 else 1.0
    for i in range(group.size):
        if group[i] >= 0:
            weights[i] -= level[group[i]]
    return float(level.sum())
