"""The states of several workers' default learners as one: which rule of merging.py goes with which array."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.kernels import base_rate, covariance, mixture
from onlogit.learners import merging
from onlogit.learners.merging import Gaussian, Slots
from onlogit.learners.protocol import State, Units

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class Settings(NamedTuple):
    """What all workers have in common; arrays as in belief.py, of which lanes beyond `experts` are padding."""

    rate: F32  # [E]
    slot_prior: F32  # [E]
    dense_prior: F32  # [K, D]
    stack_prior: F32  # [D]
    experts: int
    dense: int  # numbers in the dense block


def merge(own: Settings, base: State, parts: Sequence[State], units: Sequence[Units]) -> State:
    """What the parts learned since the base, as one belief."""
    learned = np.array([part["clock"][0] - base["clock"][0] for part in parts])
    share = learned / learned.sum() if learned.sum() > 0 else np.full(len(parts), 1.0 / len(parts))
    residuals = sum(s * part["residuals"] for s, part in zip(share, parts, strict=True))
    u, omega = merging.pool_voices(
        share, *([part[name].astype(np.float64) for part in parts] for name in ("u", "omega"))
    )
    stack_mean, stack_cov = _stack(own, parts, share)
    mean, cov = _dense(own, base, parts, learned, [_change(own, each) for each in units])
    slots, touched, table = _slots(own, base, parts)
    return {
        "clock": base["clock"] + learned.sum(),
        "flight": _flight(base, parts, share),
        "counted": base["counted"] + sum(part["counted"] - base["counted"] for part in parts),
        "residuals": np.asarray(residuals, np.float32),
        "rate": _rate(base["rate"], [part["rate"] for part in parts]),
        "u": u.astype(np.float32), "omega": omega,
        "stack_mean": stack_mean, "stack_cov": stack_cov,
        "stack_scales": covariance.unscaled(base["stack_scales"].shape[1]),
        "mean": mean, "cov": cov, "scales": covariance.unscaled(len(own.rate)),
        "slots": slots, "touched": touched, "table": table,
    }  # fmt: skip


def _stack(own: Settings, parts: Sequence[State], share: F64) -> tuple[F32, F32]:
    """Mean and covariance of the last word; what has no prior is not in use and stays as it is."""
    width, used = len(own.stack_prior), np.flatnonzero(own.stack_prior)
    mean, cov, both = np.zeros(width, np.float32), np.zeros((width, width), np.float32), np.ix_(used, used)
    beliefs = []
    for part in parts:
        found = covariance.whole(part["stack_cov"][None], part["stack_scales"], own.stack_prior[None])[0]
        beliefs.append(Gaussian(part["stack_mean"][used].astype(np.float64), found[both]))
    mean[used], cov[both] = merging.average_gaussians(share, beliefs)
    return mean, cov


def _slots(own: Settings, base: State, parts: Sequence[State]) -> Slots:
    """Numbers, clocks and table of the slots, padding included."""
    k, clock = own.experts, [float(state["clock"][0]) for state in (base, *parts)]
    tables = [Slots(s["slots"], s["touched"], s["table"][:, :, :k]) for s in (base, *parts)]
    rate, prior = own.rate[:k].astype(np.float64), own.slot_prior[:k].astype(np.float64)
    number, touched, table = merging.add_slots(tables[0], tables[1:], clock, rate, prior)
    return Slots(number, touched, np.pad(table, ((0, 0), (0, 0), (0, len(own.rate) - k))))


def _dense(own: Settings, base: State, parts: Sequence[State], learned: F64, changes: Sequence[F64]) -> tuple[F32, F32]:
    """Mean and covariance of the experts."""
    c = 1 + own.dense
    mean, cov = np.zeros_like(base["mean"]), np.zeros_like(base["cov"])

    covs = [covariance.whole(state["cov"], state["scales"], own.dense_prior)[:, :c, :c] for state in (base, *parts)]
    means = [state["mean"][:, :c].astype(np.float64) for state in (base, *parts)]
    for e in range(own.experts):
        before, *beliefs = [Gaussian(m[e], found[e]) for m, found in zip(means, covs, strict=True)]
        kept = np.exp(-float(own.rate[e]) * learned).tolist()
        prior = np.diag(own.dense_prior[e, :c].astype(np.float64))
        mean[e, :c], cov[e, :c, :c] = merging.add_gaussians(before, beliefs, prior, kept, changes)
    return mean, cov


def _change(own: Settings, units: Units) -> F64:
    """The matrix that takes the merged weights to a part's, bias first; numbers beyond the dense block stay as they are."""
    change = np.diag(np.append(1.0, units.scale[: own.dense]))
    change[0, 1:] = units.shift[: own.dense]
    return change


def _rate(base: F64, parts: Sequence[F64]) -> F64:
    """Weights multiply."""
    merged = base + sum((part - base for part in parts), np.zeros(2))
    merged[0] = base[0]
    for part in parts:
        base_rate.reweigh(merged, part[0] / base[0])
    return merged


def _flight(base: State, parts: Sequence[State], share: F64) -> F64:
    labels = base["flight"][1] + sum(part["flight"][1] - base["flight"][1] for part in parts)
    waiting = sum(s * part["flight"][0] for s, part in zip(share, parts, strict=True))
    return np.array([waiting, min(labels, mixture.MEMORY)])
