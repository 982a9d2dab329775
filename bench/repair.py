"""What `on_alarm = "recalibrate"` mends, and how seldom it acts on right probabilities.

    python -m bench.repair --out docs/monitor.md

writes the tables between its marks there and draws docs/repair.svg. Seeds are fixed; a minute and a half of one core. A model
learns 10,000 events and is then left as it is, or learns on; at 15,000 something breaks. Figures are of the last 20,000 of
40,000 events, means over the streams.
"""

import argparse
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from bench.pages import Page
from onlogit import Config, MonitorConfig, OnlineLogit
from onlogit.monitor.calibration import CalibrationMonitor
from onlogit.monitor.repair import Repair

F64 = npt.NDArray[np.float64]

N, LEARNED, BREAK, TAIL = 40_000, 10_000, 15_000, 20_000
STREAMS, HONEST = 20, 2_000
BREAKS = {"none": (0.0, 1.0, 0.0), "level +.5": (0.5, 1.0, 0.0), "slope .5": (0.0, 0.5, 0.0),
          "level +.5, slope .5": (0.5, 0.5, 0.0), "half of x missing": (0.0, 1.0, 0.5)}  # fmt: skip
WINDOW = 1_000
START, END = "<!-- repaired: begin -->", "<!-- repaired: end -->"


class Run(NamedTuple):
    """One stream through one model."""

    excess: F64  # [n] log loss of each event beyond that of the true probabilities
    error: float  # calibration error of the tail
    acted: int | None


def stream(kind: str, seed: int) -> tuple[pa.RecordBatch, F64]:
    """Records, and the true log-odds."""
    level, slope, missing = BREAKS[kind]
    rng = np.random.default_rng(seed)
    x, late = rng.normal(size=(N, 2)), np.arange(N) >= BREAK
    z = -1.5 + x @ [1.2, 0.6]
    truth = np.where(late, -1.5 + level + slope * (z + 1.5), z)
    lost = late & (rng.random(N) < missing)
    columns = {"x": pa.array(x[:, 0], mask=lost), "w": x[:, 1], "y": rng.random(N) < 1 / (1 + np.exp(-truth))}
    return pa.record_batch(columns), truth


def run(batch: pa.RecordBatch, truth: F64, on_alarm: str, live: bool) -> Run:
    """State and learn; see the module."""
    config = Config(slot_bits=6, names=0, monitor=MonitorConfig(on_alarm=on_alarm))
    model = OnlineLogit(label="y", config=config)
    steps = [model.step(batch[:LEARNED])]
    if not live:
        model.freeze()
    steps.append(model.step(batch[LEARNED:]))
    z = np.concatenate([step.z for step in steps])
    y = batch["y"].to_numpy(zero_copy_only=False).astype(np.int8)
    watch = CalibrationMonitor()
    watch.update(np.arange(TAIL), None, z[-TAIL:], y[-TAIL:], np.ones(TAIL))
    acts = [alarm.event for step in steps for alarm in step.alarms if alarm.kind == "act"]
    loss = [np.logaddexp(0.0, each) - y * each for each in (z, truth)]
    return Run(loss[0] - loss[1], float(watch.overall().calibration_error or 0.0), acts[0] if acts else None)


def honest() -> tuple[list[str], int]:
    """The table of right probabilities: how high evidence ever comes in 50,000 events, each stream after a false alarm."""
    peaks, acts = np.zeros(HONEST), 0
    alarm = replace(Repair("freeze").revert(0), kind="calibration")
    for seed in range(HONEST):
        rng = np.random.default_rng(seed)
        z = rng.normal(-1.5, 1.2, 50_000)
        y = (rng.random(z.size) < 1 / (1 + np.exp(-z))).astype(np.int8)
        repair = Repair("recalibrate")
        repair.hear([alarm])
        for a in range(0, z.size, 1_000):
            part = slice(a, a + 1_000)
            acts += len(repair.turn(a, 0, a))
            repair.learn(np.arange(a, a + 1_000), z[part], y[part], np.ones(1_000), np.ones(1_000, bool))
            peaks[seed] = max(peaks[seed], repair.evidence)
    rows = ["| evidence of 1/α | streams that reach it | at most |", "|---|---|---|"]
    for bar in (2, 10, 100, 1_000):
        rows.append(f"| {bar:,} | {np.mean(peaks >= bar):.2%} | {1 / bar:.1%} |")
    return rows, acts


def mended() -> tuple[list[str], dict[str, F64]]:
    """The table of breaks, and by how much loss exceeds the truth along the stream, for the picture."""
    rows = [
        "| what breaks | model | loss beyond the truth, millinats: warn | recalibrate | calibration error: warn | "
        "recalibrate | streams that acted | events from break to act |",
        "|---|---|---|---|---|---|---|---|",
    ]
    curves: dict[str, F64] = {}
    for kind in BREAKS:
        for live in (False, True):
            found: dict[str, list[Run]] = {"warn": [], "recalibrate": []}
            for seed in range(STREAMS):
                data = stream(kind, seed)
                for on_alarm, runs in found.items():
                    runs.append(run(*data, on_alarm, live))
            loss = {a: 1e3 * np.mean([r.excess[-TAIL:].mean() for r in runs]) for a, runs in found.items()}
            error = {a: np.mean([r.error for r in runs]) for a, runs in found.items()}
            acts = [r.acted for r in found["recalibrate"] if r.acted is not None]
            delay = f"{np.mean(acts) - BREAK:,.0f}" if acts else "-"
            rows.append(
                f"| {kind} | {'learns on' if live else 'left as it is'} | {loss['warn']:.1f} | {loss['recalibrate']:.1f} | "
                f"{error['warn']:.2%} | {error['recalibrate']:.2%} | {len(acts)} of {STREAMS} | {delay} |"
            )
            if kind == "level +.5, slope .5" and not live:
                for on_alarm, runs in found.items():
                    mean = np.mean([r.excess for r in runs], axis=0)
                    curves[on_alarm] = mean.reshape(-1, WINDOW).mean(axis=1)
    return rows, curves


def draw(curves: dict[str, F64]) -> str:
    """The picture as SVG: loss beyond the truth, a mean for each 1,000 events."""
    width, height, left, top, low = 760, 260, 60, 40, 220
    most = float(max(curve[2:].max() for curve in curves.values()))

    def at(k: int, value: float) -> tuple[float, float]:
        x = left + (k + 0.5) * WINDOW / N * (width - left - 120)
        return x, low - min(max(value, 0.0), most) / most * (low - top)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-size="13" fill="#222">Log loss beyond the true probabilities, millinats: level +.5 and '
        f"slope .5 at event {BREAK:,}, model left as it is</text>",
    ]
    for value in (0.0, most / 2, most):
        y = at(0, value)[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 120}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#444">{1e3 * value:.0f}</text>')
    for event in range(0, N + 1, 10_000):
        x = at(event // WINDOW, 0.0)[0]
        parts.append(f'<text x="{x:.1f}" y="{low + 18}" text-anchor="middle" fill="#444">{event:,}</text>')
    for (name, curve), colour in zip(curves.items(), ("#b23a48", "#0b6e4f"), strict=True):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(k, value) for k, value in enumerate(curve.tolist())))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = at(len(curve), float(curve[-1]))
        parts.append(f'<text x="{x + 4:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=lambda path: Page(path, START, END), required=True)
    told: Any = parser.parse_args()
    rows, curves = mended()
    chances, acts = honest()
    honestly = f"{HONEST:,} streams of 50,000 events with right probabilities, each after a false alarm; acts: {acts}:"
    told.out.write([*rows, "", honestly, "", *chances])
    (told.out.path.parent / "repair.svg").write_text(draw(curves))


if __name__ == "__main__":
    main()
