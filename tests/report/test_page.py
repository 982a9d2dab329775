"""Reports: the same figures in text, JSON and HTML; pages that are whole, need nothing else, and hold no numbers amiss."""

import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import forks
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet as pq

import onlogit as ol
from onlogit.cli.printing import alarm_json
from onlogit.config import MonitorConfig
from onlogit.explain import explain_event
from onlogit.monitor.timeline import STRETCHES
from onlogit.report.event_page import event_page
from onlogit.report.gathering import Report, Watcher, of_model
from onlogit.report.page import page
from onlogit.report.plain import report_text
from onlogit.report.svg import compact, nice_ticks
from onlogit.report.text import ASCII
from onlogit.storage import Checkpoints

VOID = {"meta", "link", "br"}


class Whole(HTMLParser):
    """Fails where a tag is not closed, loads something, or holds what is no number."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            assert "nan" not in (value or "") or name == "aria-label", (tag, name, value)
            assert not (name in ("src", "href") and not (value or "").startswith("data:")), (tag, value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(found: Report) -> str:
    """The page, looked through; JSON and text are made along the way."""
    json.dumps(found.quality._asdict(), allow_nan=False)
    assert report_text(found, ASCII)
    text, reader = page(found), Whole()
    reader.feed(text)
    reader.close()
    assert not reader.open
    assert "script" not in reader.seen
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    return text


def model(rows: int = 3000) -> ol.OnlineLogit:
    draw = np.random.default_rng(1)
    x, town = draw.normal(size=rows), draw.integers(0, 3, rows)
    late = draw.random(rows) < 1 / (1 + np.exp(1 - x - town))
    made = ol.OnlineLogit(label="late")
    towns = pa.array([f"<b>&\"town' {t}" for t in town])
    made.step(pa.table({"x": x, "y": x + 0.01 * draw.normal(size=rows), "town": towns, "late": late}))
    return made


def test_of_a_model() -> None:
    found = of_model(model(), "a <model>", "model", (1.0, 3.0), [{"time": "now", "what": "level", "direction": "<up>"}])
    text = checked(found)
    assert "<title>onlogit: a &lt;model&gt;</title>" in text
    assert "&lt;b&gt;&amp;&quot;town" in text
    assert "What thresholds cost" in text
    assert "&lt;up&gt;" in text
    assert found.costs is not None
    assert found.costs.choice.threshold == 0.25
    assert found.costs.choice.cheapest_cost <= found.costs.choice.cost
    assert found.quality.examples == found.costs.choice.events


def test_of_a_learner_without_intervals_and_with_alarms_along_the_stream() -> None:
    draw = np.random.default_rng(4)
    x = draw.normal(size=2_000)
    monitor = MonitorConfig(200.0, by=("town",), features=True, reference=500, costs=(1.0, 3.0))
    made = ol.OnlineLogit(label="late", config=ol.Config(learner="sgd", monitor=monitor))
    moved = np.where(np.arange(2_000) < 1_200, x, x + 3.0)
    late = draw.random(2_000) < 1 / (1 + np.exp(-np.where(np.arange(2_000) < 1_200, x, 2.0)))
    step = made.step(pa.table({"x": moved, "town": np.array(["a", "b"])[draw.integers(0, 2, 2_000)], "late": late}))
    assert {"calibration", "drift"} <= {alarm.kind for alarm in step.alarms}
    told = [json.loads(alarm_json(alarm)) for alarm in step.alarms]
    text = checked(of_model(made, "m", "model", None, told))
    placed = text[text.index("<h2>Alarms over the stream") : text.index("<h2>Alarms</h2>")]
    assert placed.count('class="patience"') == sum(alarm.pages for alarm in step.alarms)
    assert placed.count('class="mark"') == sum(not alarm.pages for alarm in step.alarms)
    for heading in ("Decisions", "Drift of features", "Worst slices"):
        assert f"<h2>{heading}</h2>" in text


def test_of_weights_beyond_all_bounds() -> None:
    draw = np.random.default_rng(0)
    made = ol.OnlineLogit(label="late", config=ol.Config(learner="sgd", sgd=ol.SgdConfig(rate=1e6)))
    made.step(pa.table({"x": draw.normal(size=500), "late": draw.random(500) < 0.5}))
    assert abs(made.coefficients().dense[0]) > 710
    assert "<h2>What the model believes" in checked(of_model(made, "m", "model", None, []))


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_of_next_to_nothing(rows: int) -> None:
    made = ol.OnlineLogit(label="late")
    made.step(pa.table({"x": np.arange(float(rows)), "late": np.arange(rows) % 2 == 1}))
    found = of_model(made, "m", "model", (1.0, 1.0), [])
    assert f"all of this rests on {rows // 2} positives only" in checked(found)


def test_over_time_by_stretches_that_double() -> None:
    draw = np.random.default_rng(2)
    p = draw.random(50_000)
    y = (draw.random(50_000) < p).astype(np.int8)
    y[10] = -1
    whole, parts = Watcher(), Watcher()
    whole.add(p, y, np.ones(len(p)))
    for low in range(0, 50_000, 1777):
        parts.add(p[low : low + 1777], y[low : low + 1777], np.ones(len(p[low : low + 1777])))
    told, again = whole.report("w", None).stretches, parts.report("w", None).stretches
    assert len(told) <= STRETCHES + 1
    assert sum(stretch.examples for stretch in told) == 49_999
    assert sum(stretch.events for stretch in told) == 50_000
    assert told == again
    inside = [abs(s.observed - s.stated) <= s.range for s in told]
    assert sum(inside) >= 0.85 * len(inside)
    assert "Calibration over time" in checked(whole.report("w", (1.0, 2.0)))


def test_of_an_event() -> None:
    row = pa.record_batch({"x": [2.5], "y": [2.4], "town": ["<i>nowhere"]})
    story = explain_event(model(), row)
    text, reader = event_page(story, "Record <7>"), Whole()
    reader.feed(text)
    assert not reader.open
    assert "Record &lt;7&gt;" in text
    assert "&lt;i&gt;nowhere" in text
    assert text.count('class="bar"') + text.count('class="less"') == len(story.pushes)


def test_ticks() -> None:
    assert nice_ticks(0.0, 1.0, 4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert nice_ticks(0.0, 327_346.0, 4) == [0.0, 100_000.0, 200_000.0, 300_000.0]
    assert nice_ticks(1.0, 1.0) == [1.0]
    assert [compact(v) for v in (0.25, 1500.0, 25_000.0, 2.5e6, 3e9)] == ["0.25", "1,500", "25k", "2.5M", "3G"]


def call(folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return forks.run([*forks.COMMAND, "report", *args], cwd=folder, capture_output=True, text=True)


def test_the_command(tmp_path: Path) -> None:
    made = model()
    made.save(tmp_path / "m")
    held = Checkpoints(tmp_path / "state")  # a run that is at work
    held.save(made.header(), made.state(), {"source": {}})
    draw = np.random.default_rng(3)
    p = draw.random(3000)
    pq.write_table(pa.table({"p": p, "label": draw.random(3000) < p}), tmp_path / "p.parquet")
    (tmp_path / "alarms.ndjson").write_text('{"time": "2024-01-01", "what": "level", "direction": "down"}\n')
    for subject, kind in (("m", "model"), ("state", "state"), ("p.parquet", "predictions")):
        told = call(
            tmp_path, subject, "--html", "r.html", "--cost-fp", "1", "--cost-fn", "2", "--alarms", "alarms.ndjson"
        )
        assert told.returncode == 0, told.stderr
        text = (tmp_path / "r.html").read_text()
        reader = Whole()
        reader.feed(text)
        assert f"onlogit report, {kind}" in text
        assert "2024-01-01" in text
        answer = json.loads(call(tmp_path, subject, "--json").stdout)
        assert answer["quality"]["examples"] == 3000
        assert "3,000 labelled events" in call(tmp_path, subject).stdout
    held.close()
    gaps = {"p": [0.5, float("nan"), 0.5], "label": [True, True, None]}
    pq.write_table(pa.table(gaps), tmp_path / "gaps.parquet")
    assert "1 labelled event" in call(tmp_path, "gaps.parquet").stdout
    pq.write_table(pa.table({**gaps, "p": [0.5, 0.5, 2.0]}), tmp_path / "two.parquet")
    (tmp_path / "odd.ndjson").write_text('{"event": 1}\n\n{"event": "x"}\n')
    timed = ol.OnlineLogit("y", config=ol.Config(monitor=ol.MonitorConfig(90.0, "days")), time="t")
    timed.step(pa.table({"x": [1.0], "t": pa.array([0], pa.timestamp("s")), "y": [1]}))
    timed.save(tmp_path / "timed")
    assert "patience 90 days: no alarm is open" in call(tmp_path, "timed").stdout
    assert call(tmp_path, "m", "--html", "-").stdout.startswith("<!doctype html>")
    for args, code, message in (
        (("absent",), 3, "absent"),
        (("p.parquet", "--prob", "q"), 3, "no column 'q'"),
        (("m", "--cost-fp", "1"), 2, "go together"),
        (("m", "--cost-fp", "-1", "--cost-fn", "1"), 2, "cost_fp = -1"),
        (("m", "--alarms", "absent"), 3, "cannot read alarms"),
        (("m", "--alarms", "odd.ndjson"), 3, "odd.ndjson, line 3: no alarm"),
        (("m", "--cost-fp", "0", "--cost-fn", "1"), 2, "never dearer"),
        (("two.parquet",), 3, "column 'p', row 2 (counting from 0): 2; accepted is a probability"),
    ):
        told = call(tmp_path, *args)
        assert (told.returncode, message in told.stderr) == (code, True), (args, told.stderr)
