"""Seeded streams for tests and benchmarks: one table of cases feeds both.

Every stream is simulated from a logistic model whose weights are known, so that a figure of quality has a limit to be
compared with: `bayes_loss`, the log loss of the probabilities that made the labels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

F64 = npt.NDArray[np.float64]


class Workload(NamedTuple):
    """A stream of n events as an Arrow table, and what is known of it."""

    name: str
    table: pa.Table
    label: str
    p: F64  # [n] the probability that made each label

    @property
    def bayes_loss(self) -> float:
        """Mean log loss of the true probabilities under the labels, nats."""
        y = self.table[self.label].to_numpy()
        return float(-np.mean(np.where(y == 1, np.log(self.p), np.log1p(-self.p))))


def sigmoid(z: F64) -> F64:
    """p = 1 / (1 + e^-z)."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


def dense(rows: int = 100_000, numbers: int = 20, seed: int = 1) -> Workload:
    """`numbers` independent normal float32 columns, weights N(0, .3²), bias -.5."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, numbers), dtype=np.float32)
    p = sigmoid(x @ random.normal(0.0, 0.3, numbers) - 0.5)
    columns: dict[str, npt.NDArray[np.generic]] = {f"x{j}": np.ascontiguousarray(x[:, j]) for j in range(numbers)}
    columns["y"] = (random.random(rows) < p).astype(np.int8)
    return Workload(f"dense {numbers}", pa.table(columns), "y", p)


def categorical(
    rows: int = 100_000, numbers: int = 13, categories: int = 26, values: int = 10_000, seed: int = 2
) -> Workload:
    """`numbers` normal columns and `categories` Zipf string columns of up to `values` values each."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, numbers), dtype=np.float32)
    z = x @ random.normal(0.0, 0.1, numbers) - 1.0
    columns: dict[str, object] = {f"x{j}": np.ascontiguousarray(x[:, j]) for j in range(numbers)}
    for j in range(categories):
        code = np.minimum(random.zipf(1.3, rows), values) - 1
        z = z + random.normal(0.0, 0.15, values)[code]
        names = pa.array([f"c{j}v{v}" for v in range(values)])
        columns[f"c{j}"] = names.take(pa.array(code))
    p = sigmoid(z)
    columns["y"] = (random.random(rows) < p).astype(np.int8)
    return Workload(f"categorical {numbers}+{categories}", pa.table(columns), "y", p)


def drifting(rows: int = 20_000, seed: int = 3) -> Workload:
    """Two numbers and a category whose weights turn over half way, with nulls, a time, a key and a label time."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, 2))
    code = random.integers(0, 12, rows)
    first = np.arange(rows) < rows // 2
    effect = random.normal(0.0, 0.8, 12)
    p = sigmoid(np.where(first, x[:, 0], -x[:, 0]) + 0.5 * x[:, 1] + effect[code] - 0.3)
    y = random.random(rows) < p
    time = np.datetime64("2024-01-01", "us") + np.cumsum(random.integers(1, 120, rows)).astype("timedelta64[s]")
    wait = random.exponential(np.where(y, 600.0, 3600.0)).astype("timedelta64[s]")
    table = pa.table(
        {
            "id": pa.array([f"e{i:06d}" for i in range(rows)]),
            "at": pa.array(time, pa.timestamp("us", tz="UTC")),
            "a": pa.array(x[:, 0], mask=random.random(rows) < 0.02),
            "b": pa.array(x[:, 1].astype(np.float32)),
            "kind": pa.array([f"k{c}" for c in code]).dictionary_encode(),
            "y": pa.array(y),
            "known_at": pa.array(time + wait, pa.timestamp("us", tz="UTC")),
        }
    )
    return Workload("drifting", table, "y", p)
