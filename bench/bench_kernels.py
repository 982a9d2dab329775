"""Kernels alone: nanoseconds a row beside the least that the machine could take, and the quality of the answer.

The limit is the larger of two: the bytes that a row has to move at the bandwidth of this machine, and its multiply-adds at
the rate of this core; both are measured in the same run, because machines drift. A walk of SGD is bound by neither but by
one chain of dependent operations, z -> σ(z) -> w; so bare loops with the same chain and nothing else run beside it.

Run with `pytest bench/bench_kernels.py -n 0 --dist no --benchmark-enable --benchmark-timer=time.thread_time -s`; without these
flags each case runs once, as a test. Thread time because other work on the machine should not count. What fits into a cache
may beat the limit that memory sets.
"""

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from numba import njit

from bench.workloads import Workload, categorical, dense, sigmoid
from onlogit import Config, OnlineLogit
from onlogit.encoding import Rows
from onlogit.kernels import arms, evidence, gather, hashing, sgd, tally
from onlogit.learners import Tape
from onlogit.learners.protocol import BOTH
from onlogit.monitor.quality import quality as read

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
U8 = npt.NDArray[np.uint8]
NO_BITS = np.zeros(0, np.uint8)
SLOT_BITS = 20
EVEN = 0.1  # the weight of each number where rows are only scored


class Case(NamedTuple):
    """A kernel on n rows: what to run, what a row costs at least, and how good the answer was."""

    rows: int
    run: Callable[[], object]
    bytes: float  # a row
    flops: float  # multiply-adds a row
    quality: Callable[[], str]


# The loops that a textbook would have: no slots, no bias, no weights, no tape. Sums may be taken in any order.
bare_loop = njit(fastmath=True, nogil=True)


@bare_loop
def bare_sgd(dense: F32, y: F64, rate: float, w: F32, z_out: F64) -> None:
    for i in range(dense.shape[0]):
        z = np.float32(0)
        for j in range(w.size):
            z += w[j] * dense[i, j]
        z_out[i] = z
        step = np.float32(rate * (y[i] - 1.0 / (1.0 + math.exp(-z))))
        for j in range(w.size):
            w[j] += step * dense[i, j]


@bare_loop
def bare_adagrad(dense: F32, y: F64, rate: float, w: F32, squares: F32, z_out: F64) -> None:
    one, eta = np.float32(1), np.float32(rate)
    for i in range(dense.shape[0]):
        z = np.float32(0)
        for j in range(w.size):
            z += w[j] * dense[i, j]
        z_out[i] = z
        slope = np.float32(1.0 / (1.0 + math.exp(-z)) - y[i])
        for j in range(w.size):
            g = slope * dense[i, j]
            squares[j] += g * g
            w[j] -= eta * g / np.sqrt(one + squares[j])


@bare_loop
def bare_scores(dense: F32, w: F32, z_out: F64) -> None:
    for i in range(dense.shape[0]):
        z = np.float32(0)
        for j in range(w.size):
            z += w[j] * dense[i, j]
        z_out[i] = z


@cache
def machine() -> tuple[float, float]:
    """Bytes a nanosecond read from memory, and multiply-adds a nanosecond of one core in a float32 product."""
    large, small = np.ones(1 << 23), np.ones((256, 256), np.float32)
    read = min(seconds(large.sum) for _ in range(9))
    product = min(seconds(lambda: small @ small, time.process_time) for _ in range(50))  # all threads that it may use
    return large.nbytes / read / 1e9, 256.0**3 / product / 1e9


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    begin = clock()
    run()
    return clock() - begin


@cache
def encoded(kind: str) -> tuple[Workload, Rows, F64]:
    """The rows and labels of a workload."""
    work = dense(100_000) if kind == "dense" else categorical(50_000)
    model = OnlineLogit(work.label, config=Config(learner="sgd", slot_bits=SLOT_BITS))
    batch = work.table.combine_chunks().to_batches()[0]
    model.begin(batch.schema)
    found = model.pipeline.encoder.encode(batch)
    return work, found.rows, found.y.astype(np.float64)


def regret(work: Workload, z: F64, y: F64) -> str:
    loss = float(np.mean(np.logaddexp(0, z) - y * z))
    assert loss < work.bayes_loss + 0.12
    return f"log loss {loss:.5f}, of the true probabilities {work.bayes_loss:.5f}"


def walking(rule: sgd.Rule, rate: float, kind: str) -> Case:
    work, rows, y = encoded(kind)
    n, d = rows.dense.shape
    s, planes = len(rows.slots) / n, sgd.PLANES[len(rule)]
    tape, z, ones = Tape.of(n, BOTH), np.zeros(n), np.ones(n)
    settings = sgd.Settings(rule, rate, sgd.CONSTANT, 0.0, 0.0, 1)

    def run() -> None:
        state = sgd.new_state(rule, d, 1 << SLOT_BITS)
        sgd.walk(tape.row, tape.act, rows.dense, rows.starts, rows.slots, rows.values, y, ones, settings, state, z)

    cells = 8.0 * s * planes  # read and written; a whole cache line where the slot is rare
    learning = (1 + planes) * (d + s)
    return Case(n, run, 4.0 * d + 8.0 * s + cells + 33.0, d + s + learning, lambda: regret(work, z, y))


def scoring(kind: str) -> Case:
    _, rows, _ = encoded(kind)
    n, d = rows.dense.shape
    s, z, state = len(rows.slots) / n, np.zeros(n), sgd.new_state(sgd.SGD, d, 1 << SLOT_BITS)
    state.dense[0, :d] = EVEN
    settings = sgd.Settings(sgd.SGD, 0.01, sgd.CONSTANT, 0.0, 0.0, 1)
    cost = 4.0 * d + 12.0 * s + 16.0
    return Case(n, lambda: sgd.score(*rows, settings, state, z), cost, d + s, lambda: rounding(rows, z))


def rounding(rows: Rows, z: F64) -> str:
    error = float(np.max(np.abs(z - EVEN * rows.dense.sum(axis=1, dtype=np.float64))))
    assert error < 1e-5
    return f"log-odds within {error:.0e} of float64"


def bare(rule: sgd.Rule) -> Case:
    work, rows, y = encoded("dense")
    n, d = rows.dense.shape
    z = np.zeros(n)

    def run() -> None:
        w = np.zeros((2, d), np.float32)
        if rule == sgd.SGD:
            bare_sgd(rows.dense, y, 0.01, w[0], z)
        else:
            bare_adagrad(rows.dense, y, 0.2, w[0], w[1], z)

    return Case(n, run, 4.0 * d + 16.0, (2.0 if rule == sgd.SGD else 4.0) * d, lambda: regret(work, z, y))


def bare_scoring() -> Case:
    rows = encoded("dense")[1]
    n, d = rows.dense.shape
    z, w = np.zeros(n), np.full(d, EVEN, np.float32)
    return Case(n, lambda: bare_scores(rows.dense, w, z), 4.0 * d + 8.0, float(d), lambda: rounding(rows, z))


def standardising(weight: float) -> Case:
    x = np.random.default_rng(1).normal(3.0, 2.0, 65_536).astype(np.float32)
    ones, moments, counts = np.full(x.size, weight), gather.empty_moments(1)[0], np.zeros(4, np.int64)
    out, missing = np.zeros(x.size, np.float32), np.zeros(x.size, np.uint8)
    gather.standardise(x, NO_BITS, 0, np.ones(x.size), moments, counts, out, missing)

    def run() -> None:
        gather.standardise(x, NO_BITS, 0, ones, moments, counts, out, missing)

    return Case(x.size, run, 17.0, 3.0, lambda: f"mean {out.mean():.4f}, sd {out.std():.4f}")


def standardising_side_by_side() -> Case:
    n, d = 65_536, 16
    x = np.random.default_rng(1).normal(3.0, 2.0, (d, n)).astype(np.float32)
    places = np.array([(column.ctypes.data, 0, 0, 1) for column in x])
    moments, counts, spans = gather.empty_moments(d), np.zeros((d, 4), np.int64), np.zeros((d, 2))
    tile, missing, lost = np.zeros((n, d), np.float32), np.zeros((d, n), np.uint8), np.zeros(d, np.int64)

    def run() -> None:
        gather.standardise_columns(places, np.ones(n), moments, counts, spans, tile, missing, lost)

    return Case(n, run, 2.0 * 4.0 * d, 3.0 * d, lambda: f"mean {tile.mean():.4f}, sd {tile.std():.4f}")


def hashing_strings() -> Case:
    random = np.random.default_rng(2)
    texts = pa.array([f"v{v:07d}" for v in random.integers(0, 10_000, 65_536)])
    offsets, data = np.frombuffer(texts.buffers()[1], np.int32), np.frombuffer(texts.buffers()[2], np.uint8)
    out = np.zeros(len(texts), np.uint64)

    def run() -> None:
        hashing.hash_strings(data, offsets, NO_BITS, 0, np.uint64(1), np.uint64(2), out)

    def quality() -> str:
        assert len(np.unique(out)) == len(texts.unique())
        return "no two values share a hash"

    return Case(len(texts), run, 20.0, 0.0, quality)


def judged(n: int = 65_536) -> tuple[F64, I8]:
    random = np.random.default_rng(3)
    z = random.normal(-1.0, 1.5, n)
    return z, (random.random(n) < sigmoid(z)).astype(np.int8)


def tallying(weight: float) -> Case:
    z, y = judged()
    weights, into = np.full(z.size, weight), tally.new_tally()

    def quality() -> str:
        found = read(into)
        assert found.log_loss == pytest.approx(np.mean(np.logaddexp(0, z) - y * z), abs=1e-9)
        return f"log loss {found.log_loss:.5f}, AUC {found.auc:.4f}"

    return Case(z.size, lambda: tally.tally_rows(into, z, y, weights), 17.0, 80.0, quality)


def gathering_evidence() -> Case:
    z, y = judged()
    event, ones, state, none = np.arange(z.size), np.ones(z.size), evidence.new_evidence(), np.zeros(0)
    block = arms.new_block(0.1)

    def run() -> None:
        assert evidence.gather_evidence(state, block, 1e12, event, event, z, y, ones, none, none, 0) == -1

    return Case(z.size, run, 33.0, 16 * 8.0, lambda: f"M at most {state.level[evidence.PEAK]:.0f}")


CASES: dict[str, Callable[[], Case]] = {
    "bare loop, sgd, dense": lambda: bare(sgd.SGD),
    "bare loop, adagrad, dense": lambda: bare(sgd.ADAGRAD),
    "bare loop, scores alone, dense": bare_scoring,
    "sgd, dense": lambda: walking(sgd.SGD, 0.01, "dense"),
    "averaged, dense": lambda: walking(sgd.AVERAGED, 0.02, "dense"),
    "adagrad, dense": lambda: walking(sgd.ADAGRAD, 0.2, "dense"),
    "ftrl, dense": lambda: walking(sgd.FTRL, 0.2, "dense"),
    "scores alone, dense": lambda: scoring("dense"),
    "sgd, categorical": lambda: walking(sgd.SGD, 0.01, "categorical"),
    "adagrad, categorical": lambda: walking(sgd.ADAGRAD, 0.2, "categorical"),
    "ftrl, categorical": lambda: walking(sgd.FTRL, 0.2, "categorical"),
    "standardise a column": lambda: standardising(1.0),
    "standardise, scores alone": lambda: standardising(0.0),
    "standardise, weights of 2": lambda: standardising(2.0),
    "standardise 16 columns side by side": standardising_side_by_side,
    "hash 8-byte strings": hashing_strings,
    "tally": lambda: tallying(1.0),
    "tally, weights of 2": lambda: tallying(2.0),
    "evidence": gathering_evidence,
}


@pytest.mark.parametrize("name", CASES)
def test_kernel(benchmark: Any, name: str) -> None:
    case = CASES[name]()
    case.run()  # compiles
    benchmark.pedantic(case.run, rounds=9 if benchmark.enabled else 1)
    quality = case.quality()
    if benchmark.enabled:
        bandwidth, rate = machine()
        took = benchmark.stats.stats.min / case.rows * 1e9
        limit = max(case.bytes / bandwidth, case.flops / rate)
        benchmark.extra_info.update(ns=took, limit_ns=limit, quality=quality)
        print(
            f"\n{name}: {took:.1f} ns a row ({1e3 / took:.1f} M/s); at least {limit:.1f} ns by {case.bytes:.0f} bytes at "
            f"{bandwidth:.0f} GB/s and {case.flops:.0f} multiply-adds at {rate:.0f} G/s. {quality}"
        )
