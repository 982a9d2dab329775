"""End-to-end learning: record batches in, probabilities and tallies out. Quality is printed beside speed.

Run with `pytest bench -n 0 --dist no --benchmark-enable -s`; without these flags each case runs once, as a test. Compile time
is kept out by a run over the first rows of the stream; `onlogit learn --json` tells it apart as `startup_seconds`.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bench.workloads import Workload, categorical, dense
from onlogit import Config, OnlineLogit, SgdConfig

CASES: list[tuple[str, Callable[[], Workload], Config, float]] = [
    ("belief, dense", lambda: dense(50_000), Config(), 0.003),
    ("sgd, dense", lambda: dense(50_000), Config(learner="sgd"), 0.03),
    (
        "sgd in mini-batches of 64, dense",
        lambda: dense(50_000),
        Config(learner="sgd", sgd=SgdConfig(rate=0.5, batch=64)),
        0.02,
    ),
    ("belief, categorical", lambda: categorical(20_000), Config(slot_bits=20), 0.06),
    ("sgd, categorical", lambda: categorical(20_000), Config(learner="sgd", slot_bits=20), 0.12),
]


def learn(work: Workload, config: Config, rows: int = 8192) -> OnlineLogit:
    """One pass over the workload."""
    model = OnlineLogit(work.label, config=config)
    for batch in work.table.to_batches(max_chunksize=rows):
        model.step(batch)
    return model


@pytest.mark.parametrize(("name", "make", "config", "regret"), CASES, ids=[case[0] for case in CASES])
def test_learning(benchmark: Any, name: str, make: Callable[[], Workload], config: Config, regret: float) -> None:
    work = make()
    learn(work._replace(table=work.table.slice(0, 100)), config)
    model = benchmark.pedantic(learn, (work, config), rounds=3)
    quality = model.quality()
    assert quality.log_loss is not None
    figures = {
        "examples": work.table.num_rows,
        "log_loss": round(quality.log_loss, 5),
        "bayes_loss": round(work.bayes_loss, 5),
        "calibration_error": quality.calibration_error,
    }
    if benchmark.enabled:
        seconds = benchmark.stats.stats.min
        print(f"\n{name}: {work.table.num_rows / seconds:,.0f} examples/s, {figures}")
    benchmark.extra_info.update(figures)
    assert quality.log_loss < work.bayes_loss + regret
