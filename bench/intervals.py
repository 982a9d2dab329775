"""How often 95 % intervals of the default learner hold the truth: of weights, of p as `explain` states it, and by z_sd.

    python -m bench.intervals --out docs/decisions.md

writes the tables between its marks there; `--only TEXT` prints the lines of the first that hold that text. Seeds are fixed; some
ten minutes of one core. Each run is a stream of its own, of correlated normal numbers whose true weights are 1 x (.8, -.5, .3, 0,
and so on again) unless it says otherwise; what is asked of it is asked at its end, of weights per standard deviation.
"""

import argparse
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from bench.pages import Page
from onlogit import Config, OnlineLogit
from onlogit.explain import explain_event, explain_model
from onlogit.monitor.estimates import Z95

F64 = npt.NDArray[np.float64]

RUNS, ASKED, EXPLAINED = 400, 20, 3  # events after each stream whose z and z_sd, and p's interval, are looked at
START, END = "<!-- intervals: begin -->", "<!-- intervals: end -->"


class Case(NamedTuple):
    """A kind of stream."""

    events: int
    numbers: int
    correlation: float = 0.0  # of any two numbers
    bias: float = -1.0
    size: float = 1.0  # of weights; drawn anew for each run where it is not 1
    drift: str = ""  # what weights do


CASES = [
    Case(300, 3), Case(600, 4), Case(3_000, 4), Case(20_000, 4), Case(50_000, 4, 0.3, -2.0), Case(2_000, 1),
    Case(10_000, 2, 0.3, -2.0), Case(1_000, 10, 0.5, 0.0), Case(5_000, 10, 0.9, 0.0), Case(2_000, 20, 0.2, 0.0, 0.5),
    Case(4_000, 40, 0.1, 0.0, 0.3), Case(1_000, 6, 0.0, 0.0, 0.1), Case(5_000, 4, 0.0, -3.5), Case(8_000, 4, 0.0, -4.5),
    Case(2_000, 4, 0.6, 1.5), Case(5_000, 4, drift="walk, .005 an event"), Case(10_000, 4, drift="walk, .001 an event"),
    Case(4_000, 4, drift="turn round at half"), Case(4_000, 4, drift="turn round at nine tenths"),
]  # fmt: skip


def stream(case: Case, seed: int) -> tuple[pa.RecordBatch, F64, F64]:
    """Records, with some after the end, their true log-odds, and the true weights at the end."""
    rng = np.random.default_rng(seed)
    n, d = case.events + ASKED, case.numbers
    spread = np.linalg.cholesky(case.correlation * np.ones((d, d)) + (1.0 - case.correlation) * np.eye(d))
    x = rng.normal(size=(n, d)) @ spread.T
    first = np.resize([0.8, -0.5, 0.3, 0.0], d) if case.size == 1.0 else rng.normal(size=d) * case.size
    w = np.tile(first, (n, 1))
    if case.drift.startswith("walk"):
        w += np.cumsum(rng.normal(size=(n, d)) * (0.005 if ".005" in case.drift else 0.001), axis=0)
    elif case.drift:
        w[case.events // 2 if case.drift.endswith("half") else case.events * 9 // 10 :] *= -1.0
    z = case.bias + (x * w).sum(axis=1)
    columns = {f"x{j}": x[:, j] for j in range(d)}
    return pa.record_batch(columns | {"y": rng.random(n) < 1 / (1 + np.exp(-z))}), z, w[-1]


def held(case: Case, seed: int) -> tuple[list[bool], list[bool], list[bool], float]:
    """Which intervals held the truth: of weights, of p as explained, and of z by z_sd; and the rate of positives."""
    batch, z, truth = stream(case, seed)
    model = OnlineLogit(label="y", config=Config(slot_bits=4, names=0))
    model.step(batch[: case.events])
    found, sd = model.coefficients(), model.pipeline.encoder.moments()[1]
    weights = np.abs(found.dense - truth * sd) <= Z95 * found.dense_sd
    last, true = batch[case.events :], z[case.events :]
    explained = []
    for k in range(EXPLAINED):
        story = explain_event(model, last[k : k + 1])
        assert story.p_low is not None
        assert story.p_high is not None
        explained.append(story.p_low <= 1 / (1 + np.exp(-true[k])) <= story.p_high)
    step = model.score(last)
    return weights.tolist(), explained, (np.abs(step.z - true) <= Z95 * step.z_sd).tolist(), model.quality().rate or 0.0


def row(case: Case, runs: int) -> str:
    """One line of the table."""
    weights, explained, stated, rates = zip(*(held(case, 50_000 + seed) for seed in range(runs)), strict=True)
    what = case.drift or ("fixed" if case.size == 1.0 else f"fixed, sd {case.size:g}")
    figures = " | ".join(f"{np.mean(each):.3f}" for each in (weights, explained, stated))
    return f"| {case.events:,} | {case.numbers} | {case.correlation:g} | {np.mean(rates):.1%} | {what} | {figures} |"


def table(runs: int = RUNS, only: str = "") -> list[str]:
    """The table, or the lines of it that hold a text."""
    heads = ["events", "numbers", "correlation", "positives", "true weights", "weights", "p, explained", "z by z_sd"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return lines + [row(case, runs) for case in CASES if only in str(case)]


class Categories(NamedTuple):
    """Streams of columns of categories, each with so many values alike in frequency, and one number."""

    events: int
    values: tuple[int, ...]


CATEGORIES = [
    Categories(600, (3,)), Categories(3_000, (5,)), Categories(3_000, (5, 20)), Categories(3_000, (50,)),
    Categories(20_000, (50,)), Categories(20_000, (5, 20, 50)),
]  # fmt: skip


def held_categories(case: Categories, seed: int) -> tuple[list[bool], bool]:
    """Which intervals of categories held the truth, each counted from the mean of its column, and whether the number's did."""
    rng = np.random.default_rng(seed)
    x, codes = rng.normal(size=case.events), [rng.integers(0, k, case.events) for k in case.values]
    effects = [rng.normal(size=k) * 0.5 for k in case.values]
    z = -1.0 + 0.6 * x + sum((own[code] for own, code in zip(effects, codes, strict=True)), np.zeros(case.events))
    columns: dict[str, Any] = {"x": x, "y": rng.random(case.events) < 1 / (1 + np.exp(-z))}
    for j, code in enumerate(codes):
        columns[f"c{j}"] = pa.DictionaryArray.from_arrays(
            code.astype(np.int32), [str(k) for k in range(case.values[j])]
        )
    model = OnlineLogit(label="y")
    model.step(pa.record_batch(columns))
    held, number = [], False
    for each in explain_model(model).weights:
        assert each.sd is not None
        if each.value is None:
            number = abs(each.weight - 0.6 * x.std()) <= Z95 * each.sd
            continue
        own, code = effects[int(each.term[1:])], codes[int(each.term[1:])]
        truth = own[int(each.value)] - own[code].mean()
        held.append(abs(each.weight - truth) <= Z95 * each.sd)
    return held, number


def table_of_categories(runs: int = RUNS // 2) -> list[str]:
    """The second table."""
    lines = ["| events | values of each column | categories | the number |", "|---|---|---|---|"]
    for case in CATEGORIES:
        held, number = zip(*(held_categories(case, 90_000 + seed) for seed in range(runs)), strict=True)
        values = ", ".join(map(str, case.values))
        lines.append(f"| {case.events:,} | {values} | {np.mean(np.concatenate(held)):.3f} | {np.mean(number):.3f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=lambda path: Page(path, START, END))
    parser.add_argument("--only", default="")
    parser.add_argument("--runs", type=int, default=RUNS)
    told: Any = parser.parse_args()
    lines = table(told.runs, told.only)
    if not told.only:
        lines += ["", *table_of_categories(told.runs // 2)]
    if told.out is None:
        print("\n".join(lines))
        return
    told.out.write(lines)


if __name__ == "__main__":
    main()
