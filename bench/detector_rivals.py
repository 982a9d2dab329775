"""Detectors that bench/detectors.py compares, each a first passage: the event at which a statistic exceeds a threshold.

Page-Hinkley and DDM are River's recursions as kernels, which the tests hold against River's own; ADWIN and KSWIN are
River's. The risk-adjusted CUSUM is that of Steiner et al. 2000, on both sides, tuned to a shift of the log-odds.
"""

import math
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import numpy as np

from bench.detector_streams import F64, I8, Stream
from onlogit.kernels import arms
from onlogit.kernels import evidence as detector
from onlogit.kernels.evidence import I64
from onlogit.kernels.jit import kernel

NONE = np.zeros(0)


class Passage(NamedTuple):
    """Where a statistic first exceeds its threshold from an event on, or -1; and its highest value."""

    row: int
    top: float


Rival = Callable[[Stream, float], Passage]


@kernel
def _page_hinkley(x: F64, delta: float, alpha: float, threshold: float) -> tuple[int, float]:
    mean = up = down = top = 0.0
    low, high = np.inf, -1.0
    for i in range(x.size):
        mean += (x[i] - mean) / (i + 1)
        dev = x[i] - mean
        up = alpha * up + dev - delta
        down = alpha * down + dev + delta
        low, high = min(low, up), max(high, down)
        if i + 1 >= 30:
            top = max(top, up - low, high - down)
            if top > threshold:
                return i, top
    return -1, top


@kernel
def _ddm(wrong: F64, threshold: float) -> tuple[int, float]:
    p = top = 0.0
    p_low = s_low = 0.0
    best = np.inf
    for i in range(wrong.size):
        p += (wrong[i] - p) / (i + 1)
        s = math.sqrt(max(p * (1.0 - p), 0.0) / (i + 1))
        if i + 1 > 30:
            if p + s <= best:
                p_low, s_low, best = p, s, p + s
            if s_low > 0.0:
                top = max(top, (p + s - p_low) / s_low)
            if p + s > p_low + threshold * s_low:
                return i, top
    return -1, top


@kernel
def _cusum(z: F64, y: I8, near: float, far: float, threshold: float) -> tuple[int, float]:
    up = down = top = 0.0
    for i in range(z.size):
        rise = math.log1p(math.exp(z[i] + near)) - math.log1p(math.exp(z[i] + far))
        fall = math.log1p(math.exp(z[i] - near)) - math.log1p(math.exp(z[i] - far))
        up = max(0.0, up + y[i] * (far - near) + rise)
        down = max(0.0, down - y[i] * (far - near) + fall)
        top = max(top, up, down)
        if top > threshold:
            return i, top
    return -1, top


def page_hinkley(stream: Stream, threshold: float) -> Passage:
    """On y - p."""
    return Passage(*_page_hinkley(stream.y - _p(stream.z), 0.005, 1 - 0.0001, threshold))


def ddm(stream: Stream, threshold: float) -> Passage:
    """On wrong decisions at p = .5."""
    return Passage(*_ddm(((stream.z > 0.0) != (stream.y == 1)).astype(np.float64), threshold))


def cusum(shift: float, tolerance: float = 0.0) -> Rival:
    """Risk-adjusted, tuned to a shift of the log-odds either way, as against one that is no more than the tolerance."""
    return lambda stream, threshold: Passage(*_cusum(stream.z, stream.y, tolerance, shift, threshold))


def adwin(stream: Stream, threshold: float) -> Passage:
    """River's, on y - p; threshold: -log10 of its delta. Its statistic cannot be seen."""
    make: Callable[..., object] = import_module("river.drift").ADWIN
    return _river(make(delta=10.0**-threshold), (stream.y - _p(stream.z)).tolist())


def kswin(stream: Stream, threshold: float) -> Passage:
    """River's, on y - p; threshold: -log10 of its alpha."""
    make: Callable[..., object] = import_module("river.drift").KSWIN
    return _river(make(alpha=10.0**-threshold, seed=1), (stream.y - _p(stream.z)).tolist())


def _river(found: object, x: list[float]) -> Passage:
    update = found.update  # type: ignore[attr-defined]
    for i, value in enumerate(x):
        update(value)
        if found.drift_detected:  # type: ignore[attr-defined]
            return Passage(i, math.nan)
    return Passage(-1, math.nan)


def e_detector(tolerance: float) -> Rival:
    """onlogit's, by Shiryaev-Roberts sums: M exceeds the patience."""
    block = arms.new_block(tolerance)

    def passage(stream: Stream, threshold: float) -> Passage:
        state, n = detector.new_evidence(), stream.z.size
        event, weight = np.arange(n), stream.judged.astype(np.float64)
        row = detector.gather_evidence(state, block, threshold, event, event, stream.z, stream.y, weight, NONE, NONE, 0)
        return Passage(row, float(state.level[detector.PEAK]))

    return passage


@kernel
def _e_cusum(
    state: detector.Evidence,
    block: arms.Block,
    weights: F64,
    none: F64,
    event: I64,
    z: F64,
    y: I8,
    threshold: float,
) -> tuple[int, float]:
    top = 0.0
    one = np.ones(1)
    for i in range(z.size):
        at = slice(i, i + 1)
        detector.gather_evidence(state, block, 1e300, event[at], event[at], z[at], y[at], one, none, none, 0)
        m = 0.0
        for k in range(arms.ARMS):
            m += weights[k] * state.runs[k] * (1.0 if k < arms.FIRST_REGION else 10.0)
        top = max(top, m)
        if top > threshold:
            return i, top
    return -1, top


def e_cusum(tolerance: float) -> Rival:
    """The same arms by CUSUM sums C <- max(C, 1) L: Σ w_k C_k exceeds a threshold."""
    block, weights = arms.new_block(tolerance), arms.arm_weights(tolerance)

    def passage(stream: Stream, threshold: float) -> Passage:
        event = np.arange(stream.z.size)
        return Passage(*_e_cusum(detector.new_evidence(), block, weights, NONE, event, stream.z, stream.y, threshold))

    return passage


def _p(z: F64) -> F64:
    p: F64 = 1.0 / (1.0 + np.exp(-z))
    return p
