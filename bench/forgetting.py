"""What `on_alarm = "forget"` gains after an abrupt change, and what it costs where there is none.

    python -m bench.forgetting --out docs/monitor.md

writes the tables between its marks there. Seeds are fixed; about a minute of one core. Streams of 30,000 events, six numbers
and a category of 50 values; at 10,000 something changes, at once. Figures are means over the streams of the log loss beyond that
of the true probabilities, in millinats, over what comes after the change. Real streams, where nobody knows the truth: log loss.
"""

import argparse
import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bench.pages import Page
from bench.streams import ABSENT
from bench.streams import STREAMS as REAL_STREAMS
from onlogit import Config, MonitorConfig, OnlineLogit
from onlogit.config import BeliefConfig
from onlogit.monitor.repair import Forget, Repair

F64 = npt.NDArray[np.float64]

N, CHANGE, STREAMS, PATIENCE = 30_000, 10_000, 20, 10_000.0
CHANGES = ("every effect turns round", "effects drawn anew", "one effect of six turns", "level +1")
ACTS = ("warn", "recalibrate", "forget")
MODELS = {"default": BeliefConfig(), "one half-life, infinite": BeliefConfig(half_lives=(math.inf,), switching=(0.0,))}
REAL = "elec2", "noaa_weather", "bank_marketing", "jit_defects", "hotel_bookings"
START, END = "<!-- forgotten: begin -->", "<!-- forgotten: end -->"


class Run(NamedTuple):
    """One stream through one model."""

    excess: F64  # [N] log loss beyond that of the true probabilities
    acts: int


def stream(change: str, seed: int) -> tuple[pa.RecordBatch, F64]:
    """Records, and the true log-odds."""
    rng = np.random.default_rng(seed)
    x, late = rng.normal(size=(N, 6)), np.arange(N) >= CHANGE
    w, code, u = rng.normal(size=6) * 0.8, rng.integers(0, 50, N), rng.normal(size=50) * 0.7
    other, others, level = w.copy(), u.copy(), 0.0
    if change == CHANGES[0]:
        other, others = -w, -u
    elif change == CHANGES[1]:
        other, others = rng.normal(size=6) * 0.8, rng.normal(size=50) * 0.7
    elif change == CHANGES[2]:
        other[0] = -1.5 * np.sign(w[0])
    elif change == CHANGES[3]:
        level = 1.0
    truth = np.where(late, -1.0 + level + x @ other + others[code], -1.0 + x @ w + u[code])
    columns: dict[str, Any] = {f"x{k}": x[:, k] for k in range(6)}
    columns["c"] = pa.DictionaryArray.from_arrays(code.astype(np.int32), [f"v{k}" for k in range(50)])
    columns["y"] = rng.random(N) < 1 / (1 + np.exp(-truth))
    return pa.record_batch(columns), truth


def run(batch: pa.RecordBatch, truth: F64, on_alarm: str, belief: BeliefConfig, false_at: int | None = None) -> Run:
    """State and learn; `false_at`: an alarm is made up there."""
    config = Config(slot_bits=10, names=0, belief=belief, monitor=MonitorConfig(PATIENCE, on_alarm=on_alarm))
    model = OnlineLogit(label="y", config=config)
    steps = [model.step(batch[: false_at or N])]
    if false_at:
        alarm = replace(Repair("freeze").revert(false_at - 500), kind="calibration", what="slope")
        if isinstance(model.pipeline.repair, Forget):
            model.pipeline.repair.hear([replace(alarm, onset_event=false_at - 1_000, effect=0.8)])
        steps.append(model.step(batch[false_at:]))
    z, y = np.concatenate([step.z for step in steps]), batch["y"].to_numpy(zero_copy_only=False)
    loss = [np.logaddexp(0.0, each) - y * each for each in (z, truth)]
    return Run(1e3 * (loss[0] - loss[1]), sum(alarm.kind == "act" for step in steps for alarm in step.alarms))


def simulated(streams: int = STREAMS) -> list[str]:
    """The table of changes."""
    rows = [
        "| what changes | model | "
        + " | ".join(f"{act}: next 2,000, after" for act in ACTS)
        + " | streams that forgot |",
        "|---|---|---|---|---|---|",
    ]
    for change in (*CHANGES, "nothing", "nothing, and an alarm at 10,000"):
        for name, belief in MODELS.items():
            false_at = CHANGE if change.endswith("10,000") else None
            cells, forgot = [], 0
            for act in ACTS:
                runs = [run(*stream(change, seed), act, belief, false_at) for seed in range(streams)]
                mean = np.mean([each.excess for each in runs], axis=0)
                cells.append(f"{mean[CHANGE : CHANGE + 2_000].mean():.1f}, {mean[CHANGE + 2_000 :].mean():.1f}")
                forgot = sum(each.acts > 0 for each in runs)
            rows.append(f"| {change} | {name} | {' | '.join(cells)} | {forgot} of {streams} |")
    return rows


def real() -> list[str]:
    """The table of real streams, at the default patience."""
    rows = ["| stream | model | log loss: warn | recalibrate | forget | times forgotten |", "|---|---|---|---|---|---|"]
    for stem in REAL:
        table = pq.read_table(REAL_STREAMS[stem].path)
        for name, belief in MODELS.items():
            cells, acts = [], 0
            for act in ACTS:
                config = Config(names=0, belief=belief, monitor=MonitorConfig(on_alarm=act))
                model = OnlineLogit(**REAL_STREAMS[stem].roles, config=config)
                alarms = [alarm for batch in table.to_batches(65_536) for alarm in model.step(batch).alarms]
                cells.append(f"{model.quality().log_loss:.5f}")
                acts = sum(alarm.what == "forget" for alarm in alarms)
            rows.append(f"| {stem} | {name} | {' | '.join(cells)} | {acts} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=lambda path: Page(path, START, END), required=True)
    told: Any = parser.parse_args()
    if not all(REAL_STREAMS[stem].path.exists() for stem in REAL):
        parser.exit(1, f"left out: {ABSENT}\n")
    told.out.write([*simulated(), "", *real()])


if __name__ == "__main__":
    main()
