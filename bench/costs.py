"""What an event costs, and of what: `python -m bench.costs` writes docs/speed.svg and the tables of docs/speed.md.

Times are CPU time of all threads, the best of several runs, so that other work on the machine matters little; bandwidth and
caches are shared all the same. A table replaces what stands between `<!-- its name -->` and `<!-- end -->`. Takes two
to three minutes, most of it compiling into a fresh cache.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.costs_page import chart, fill, machine, side_by_side, table
from bench.workloads import dense, sigmoid
from onlogit import BeliefConfig, Config, OnlineLogit
from onlogit.encoding import Rows
from onlogit.kernels import arms, base_rate, belief, covariance, evidence, mixture, residuals, stacking, tally
from onlogit.kernels.flips import NO_FLIPS
from onlogit.kernels.jit import kernel
from onlogit.learners.belief import BeliefLearner
from onlogit.learners.protocol import BOTH, SCORE, Tape

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

DOCS = Path(__file__).parents[1] / "docs"
ROWS = 40_000
WIDTHS, COUNTS, SLOTS, BITS = (1, 4, 8, 16, 20, 32, 48, 64, 128), (1, 2, 4, 8, 16, 24), (0, 2, 5, 10, 26), (18, 22)
LIMITS = (0, 16, 64, 128, 512)


class Walk(NamedTuple):
    """A learner, and what it is given."""

    learner: BeliefLearner
    rows: Rows
    y: F64

    def run(self, act: int = BOTH) -> F64:
        """One pass; the log-odds as stated."""
        n = len(self.y)
        memo = np.empty((n, self.learner.memo_width), np.float32)
        return self.learner.learn(self.rows, Tape.of(n, act), self.y, np.ones(n), memo).z


def nanoseconds(runs: Iterable[Callable[[], object]], rows: int = ROWS) -> float:
    """A row's share of the fastest run; the first only warms up."""
    took = []
    for run in runs:
        begin = time.process_time()
        run()
        took.append(time.process_time() - begin)
    return min(took[1:]) / rows * 1e9


def best(run: Callable[[], object], rows: int = ROWS, runs: int = 6) -> float:
    return nanoseconds(islice(cycle([run]), runs), rows)


def numbers_alone(x: F32, y: F64, config: Config) -> Walk:
    n, d = x.shape
    none = np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
    return Walk(BeliefLearner(config.belief, d, config.slot_bits), Rows(x, *none), y)


def simulated(d: int, config: Config, rows: int = ROWS) -> Walk:
    """Labels that a learner of d numbers can learn."""
    random = np.random.default_rng(d)
    x = random.standard_normal((rows, d), dtype=np.float32)
    p = sigmoid(x @ random.normal(0.0, 1.3 / np.sqrt(d), d) - 0.5)
    return numbers_alone(x, (random.random(rows) < p).astype(np.float64), config)


def of_widths() -> list[tuple[float, float]]:
    """Learned, and scored only, at each dense width."""
    walks = [simulated(d, Config(slot_bits=4, belief=BeliefConfig(dense_limit=d))) for d in WIDTHS]
    return [(best(walk.run), best(partial(walk.run, SCORE))) for walk in walks]


def of_experts() -> list[float]:
    """With K experts on 20 numbers: K/2 half-lives and two priors, or one prior."""
    costs = []
    for count in COUNTS:
        priors = BeliefConfig().priors[: min(count, 2)]
        half_lives = tuple(np.geomspace(40.0, 1e6, -(-count // 2)).tolist())
        costs.append(best(simulated(20, Config(slot_bits=4, belief=BeliefConfig(half_lives, priors))).run))
    return costs


def of_slots(bits: int, per_row: int, runs: int = 5) -> float:
    """With slots spread evenly over a table of which all are known, others in each run; beside the bias alone."""
    random = np.random.default_rng(per_row)
    learner = BeliefLearner(BeliefConfig(), 0, bits)
    learner.known.touched[:] = 1.0
    learner.known.table[:, 1] = learner.known.slot_prior
    starts = np.arange(ROWS + 1) * per_row

    def a_pass() -> Callable[[], object]:
        slots = random.integers(0, 1 << bits, ROWS * per_row).astype(np.int32)
        rows = Rows(np.zeros((ROWS, 0), np.float32), starts, slots, np.ones(len(slots), np.float32))
        return Walk(learner, rows, (random.random(ROWS) < 0.4).astype(np.float64)).run

    return nanoseconds(a_pass() for _ in range(runs))


@kernel
def steps_alone(z: F32, s2: F32, y: F64, scale: F32, delta: F32, shrink: F32, root: F32) -> None:
    """The implicit steps of n rows for 8 experts, and nothing else."""
    for i in range(y.size):
        z[0] += delta[0]  # each row waits for the one before it, as it does in a walk
        covariance.steps(z, s2, y[i], 1.0, scale, 0, delta, shrink, root, NO_FLIPS)


def of_parts() -> dict[str, float]:
    """Each part of a step of the default learner on the dense stream of 20 numbers; `all` is the step itself."""
    work = dense(ROWS)
    batch = work.table.combine_chunks().to_batches()[0]
    model = OnlineLogit(work.label)
    model.begin(batch.schema)
    pipeline, learner = model.pipeline, model.pipeline.learner
    assert isinstance(learner, BeliefLearner)
    whole = best(lambda: pipeline.step(batch))
    encoded = pipeline.encoder.encode(batch)
    seen = encoded.rows
    y, ones, counts, z, sd = encoded.y.astype(np.float64), np.ones(ROWS), np.zeros(ROWS), np.zeros(ROWS), np.zeros(ROWS)
    memo, tape = np.zeros((ROWS, learner.memo_width), np.float32), Tape.of(ROWS, BOTH)
    row, act, waiting = tape
    rate, (z8, s8, scale, delta, shrink, root) = 1e-5, np.full((6, 8), 0.5, np.float32)
    tallied, event, no_time = tally.new_tally(), np.arange(ROWS), np.zeros(ROWS, np.int64)
    none, late = np.zeros(0), np.zeros(ROWS)
    watch = evidence.new_evidence(), arms.new_block(0.1), 1e12
    parts = {
        "encoding": best(lambda: pipeline.encoder.name(pipeline.encoder.encode(batch))),
        "dense update": best(
            lambda: belief.walk(
                row, act, seen.dense, seen.starts, seen.slots, seen.values, y, ones, *learner.known, memo, NO_FLIPS
            )
        ),
        "implicit step": best(lambda: steps_alone(z8, s8, y, scale, delta, shrink, root)),
        "evidence weighed": best(lambda: mixture.temper(row, act, waiting, ones, learner.flight, counts, late)),
        "mixture": best(lambda: mixture.walk(row, act, counts, late, y, memo, *learner.weights, sd, NO_FLIPS)),
        "residuals": best(lambda: residuals.walk(row, act, ones, counts, y, memo, 16, *learner.recent, NO_FLIPS)),
        "last word": best(lambda: stacking.walk(row, act, counts, y, memo, True, rate, *learner.stack, z, NO_FLIPS)),
        "running rate": best(lambda: base_rate.walk(row, act, ones, counts, y, memo, learner.rate, z, NO_FLIPS)),
        "tally": best(lambda: tally.tally_rows(tallied, z, encoded.y, ones)),
        "evidence": best(lambda: evidence.gather_evidence(*watch, event, no_time, z, encoded.y, ones, none, none, 0)),
    }
    parts["dense update"] -= parts["implicit step"]
    parts["mixture"] += parts.pop("evidence weighed")
    return parts | {"the rest": whole - sum(parts.values()), "all": whole}


class Wide(NamedTuple):
    """A stream of many numbers; by the limit on dense ones, loss beyond the true probabilities and µs an event."""

    numbers: int
    correlation: float
    found: dict[int, tuple[float, float]]


def of_limits(numbers: int, correlation: float, rows: int = 50_000) -> Wide:
    """All d numbers count; each belongs to a group of ten with that correlation, groups spread over the columns."""
    random = np.random.default_rng(numbers)
    x = random.standard_normal((rows, numbers), dtype=np.float32)
    group = random.permutation(numbers) % (numbers // 10)
    common = random.standard_normal((rows, numbers // 10), dtype=np.float32)[:, group]
    x = (np.sqrt(1.0 - correlation) * x + np.sqrt(correlation) * common).astype(np.float32)
    z = x @ random.normal(0.0, 1.0, numbers)
    z = 1.5 * z / z.std() - 0.5
    y = (random.random(rows) < sigmoid(z)).astype(np.float64)
    found = {}
    for limit in sorted({min(limit, numbers) for limit in LIMITS}):
        walk = numbers_alone(x, y, Config(slot_bits=4, belief=BeliefConfig(dense_limit=limit)))
        said = walk.run()
        regret = np.mean(np.logaddexp(0, said) - y * said - np.logaddexp(0, z) + y * z)
        found[limit] = float(regret), best(walk.run, rows, 2) / 1e3
    return Wide(numbers, correlation, found)


def of_starts() -> list[tuple[float, float, float]]:
    """CPU seconds of `onlogit learn` with an empty compile cache, then with what that left; seconds to start; events/s."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(dense(300_000).table, f"{folder}/dense.parquet")
        environment = os.environ | {"NUMBA_CACHE_DIR": f"{folder}/cache"}
        for _ in range(2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "onlogit", "learn", f"{folder}/dense.parquet", "--label", "y", "--json"]
            told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            figures = json.loads(told.splitlines()[-1])
            found.append((cpu, figures["startup_seconds"], figures["examples_per_second"]))
    return found


def micro(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e3:.2f}"


def main() -> None:
    """Measure all, print it, and write it."""
    widths, experts, parts = of_widths(), of_experts(), of_parts()
    slots = {bits: [of_slots(bits, count) for count in SLOTS] for bits in BITS}
    wide = [of_limits(numbers, correlation) for numbers in (100, 200) for correlation in (0.0, 0.3, 0.6, 0.9)]
    first, then = of_starts()
    whole = parts["all"]
    tables = {
        "machine": machine(),
        "widths": table(["numbers", *WIDTHS], ["learned, µs", *(micro(a) for a, _ in widths)],
                        ["scored only, µs", *(micro(b) for _, b in widths)]),
        "slots": table(["slots a row", *SLOTS], *([f"table of 2^{bits}, µs", *map(micro, slots[bits])] for bits in BITS)),
        "experts": table(["experts", *COUNTS], ["µs", *map(micro, experts)]),
        "parts": table(["", "ns", "share"], *([k, f"{v:.0f}", f"{v / whole:.0%}"] for k, v in parts.items())),
        "limits": table(["numbers, correlation", *LIMITS[:-1], "all"], *(
            [f"{w.numbers}, {w.correlation:g}", *("{:.4f}, {:.1f} µs".format(*w.found[min(k, w.numbers)]) for k in LIMITS)]
            for w in wide
        )),
        "starts": table(["", "CPU in all, s", "until the first event, s", "events a second after that"], *(
            [name, f"{cpu:.1f}", f"{startup:.1f}", f"{rate:,.0f}"]
            for name, (cpu, startup, rate) in (("first start", first), ("later starts", then))
        )),
    }  # fmt: skip
    fill(DOCS / "speed.md", tables)
    learned, scored = ([pair[k] for pair in widths] for k in (0, 1))
    panels = [
        chart("by numbers", WIDTHS, {"learned": learned, "scored only": scored}, "numbers"),
        chart("by slots", SLOTS, {f"table of 2^{bits}": slots[bits] for bits in reversed(BITS)}, "slots a row"),
        chart("by experts", COUNTS, {"20 numbers": experts}, "experts"),
    ]
    (DOCS / "speed.svg").write_text(side_by_side(panels), encoding="utf-8")


if __name__ == "__main__":
    main()
