"""Validation of the default learner's states and memos before kernels use them."""

import numpy as np
import numpy.typing as npt

from onlogit.kernels import base_rate, belief, covariance
from onlogit.kernels.covariance import LANES
from onlogit.learners.belief_merging import Settings
from onlogit.learners.protocol import State
from onlogit.learners.sound import LARGEST, WIDEST, demand, require_arrays, require_covariances, require_slots, within

F32 = npt.NDArray[np.float32]

EVEN = 0.5  # how far sums of weights may be from 1
ROUNDING = 1e-6
FARTHEST = 100.0  # log-odds that a mixture of voices, each within 1e-5 of 0 and 1, can state


def check(state: State, like: State, own: Settings, slots: int) -> None:
    """A StateError naming an array of `state` that is not like that of the state `like`, or that no walk can have left;
    `slots`: of the table."""
    seen = np.size(state.get("slots", ()))
    require_arrays(
        state,
        {
            name: (array.dtype, (seen, *array.shape[1:]) if name in ("slots", "touched", "table") else array.shape)
            for name, array in like.items()
        },
        any_number=("stack_scales",),  # lanes not in use may owe infinity, from before
    )
    require_slots(state, "slots", slots)
    clock, touched = float(state["clock"][0]), state["touched"]
    demand(clock >= 1.0, "clock", "1 or more")
    demand(((touched > 0.0) & (touched <= clock * (1.0 + ROUNDING))).all(), "touched", "above 0 and at most the clock")
    _check_beliefs(state, own)
    _check_mixture(state, own)
    _check_labels(state)


def _check_beliefs(state: State, own: Settings) -> None:
    """Weights and variances of the experts and of the last word."""
    k, widest = own.experts, WIDEST * max(1.0, float(own.slot_prior.max()), float(own.dense_prior.max()))
    for name in ("mean", "cov", "table"):
        demand(within(state[name], widest), name, f"of numbers up to {widest:g}")
    demand((state["table"][:, 1] >= 0.0).all(), "table", "of variances of 0 or more")
    wide = WIDEST * max(1.0, float(own.stack_prior.max()))
    for name in ("stack_mean", "stack_cov"):
        demand(within(state[name], wide), name, f"of numbers up to {wide:g}")
    demand(within(state["stack_scales"][0], 1.0), "stack_scales", "scales from 0 to 1")
    for name, used in (("scales", k), ("stack_scales", 1)):
        scale, owed = state[name][:, :used]
        fits = ((scale > 0.0) & (scale <= 1.0) & (owed >= 0.0) & (owed <= LARGEST)).all()
        demand(fits, name, "scales from 0 to 1, and what is owed beside them")
    require_covariances(covariance.whole(state["cov"], state["scales"], own.dense_prior), "cov")
    stack = state["stack_cov"][None], state["stack_scales"], own.stack_prior[None]
    require_covariances(covariance.whole(*stack), "stack_cov")


def _check_mixture(state: State, own: Settings) -> None:
    """Weights of the voices, of the mixtures and of the running rate."""
    u, omega, lanes = state["u"], state["omega"], len(own.rate)
    used = np.tile(np.arange(lanes) < own.experts, 2)
    apart = np.append(np.abs(u[:, used].sum(axis=1) - 1.0), abs(float(omega.sum()) - 1.0))
    for name, weights, sums in (("u", u, apart[:-1]), ("omega", omega, apart[-1:])):
        demand((weights >= 0.0).all() and (sums <= EVEN).all(), name, "weights of 0 or more that add up to 1")
    demand(base_rate.LOW <= state["rate"][0] <= base_rate.HIGH, "rate", "a weight between 2^-32 and 2^32")


def _check_labels(state: State) -> None:
    """What is known of the labels so far."""
    sums, weights = state["residuals"]
    demand((state["flight"] > -1.0).all(), "flight", "0 or more")
    demand((np.abs(sums) <= 2.0 * np.maximum(weights, 0.0)).all(), "residuals", "at most what they weigh")
    positives, labels = state["counted"].tolist()
    demand(min(positives, labels - positives) > -0.25, "counted", "some positives among as many labels or more")


def wrote(memo: F32, lanes: int) -> bool:
    """Whether memos [n, 2 E + 9] can be what walks wrote of rows: z and s² of each expert, in E lanes, and what followed."""
    z, s2, told = memo[:, :lanes], memo[:, lanes : 2 * lanes], memo[:, 2 * lanes :]
    word, odds = told[:, : LANES - 1], told[:, LANES - 1 :]
    return bool(
        within(z, float(belief.FARTHEST)) and ((s2 >= 0.0) & (s2 <= belief.WIDEST)).all() and within(word, FARTHEST)
        and ((odds > 0.0) & np.isfinite(odds)).all()
    )  # fmt: skip
