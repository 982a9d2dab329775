"""Acknowledged, an alarm is closed: the same fault is reported again, and no sooner."""

import json

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import Config, MonitorConfig, OnlineLogit
from onlogit.daemon.commands import obey
from onlogit.daemon.fold import Fold
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.reading import Columns
from onlogit.monitor.watch import Watch, Wishes
from onlogit.patience import patience_of

N = 4_000


def events(seed: int) -> pa.RecordBatch:
    """A model whose log-odds are one too low, and a feature that is another from the fourth seed on."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-0.5, 1.0, N)
    return pa.record_batch(
        {
            "p": 1 / (1 + np.exp(-z)),
            "y": rng.random(N) < 1 / (1 + np.exp(-z - 1.0)),
            "town": rng.choice(["a", "b"], N),
            "x": rng.normal(2.0 * (seed > 2), 1.0, N),
        }
    )


def kinds(alarms: list[Alarm]) -> set[str]:
    return {alarm.kind for alarm in alarms}


def test_a_watch() -> None:
    wishes = Wishes(patience_of(50_000))
    columns = Columns("p", "y", by=("town",), features=("x",))
    kept, mended = Watch(columns, wishes), Watch(columns, wishes)
    for watch in (kept, mended):
        for seed in range(5):
            watch.step(events(seed))
    mended.acknowledge()
    assert mended.monitor.evidence == 0.0
    assert kinds(kept.step(events(5))) == set()
    assert kinds(mended.step(events(5))) == {"calibration", "slice", "drift"}


def test_a_test_has_decided_once() -> None:
    watch = Watch(Columns("p", "y"), Wishes(test=0.05))
    watch.step(events(0))
    watch.acknowledge()
    assert watch.monitor.decided
    assert watch.monitor.evidence >= 20.0


def moved(seed: int) -> pa.RecordBatch:
    """From the third seed on outcomes have turned round, and so has the feature."""
    rng = np.random.default_rng(seed)
    late = seed >= 2
    x = rng.normal(2.0 * late, 1.0, N)
    return pa.record_batch({"x": x, "y": rng.random(N) < 1 / (1 + np.exp(-x + 4.0 * late))})


@pytest.mark.parametrize("daemon", [False, True])
def test_a_model_and_the_daemon(daemon: bool) -> None:
    fold = Fold()
    config = Config(monitor=MonitorConfig(patience=50_000, features=True, reference=4_000))
    model = fold.model = OnlineLogit(label="y", config=config)
    for seed in range(2):
        fold.events(seed, moved(seed), 0)
    model.freeze()
    fold.events(2, moved(2), 0)
    assert {alarm["kind"] for alarm in fold.alarms} == {"calibration", "drift"}
    raised = fold.raised
    fold.events(3, moved(3), 0)
    assert fold.raised == raised
    if daemon:
        told = json.dumps({"command": "ack", "alarm": fold.alarms[0]["id"]}).encode()
        obey(fold, 4, told)
    else:
        model.acknowledge()
    assert model.pipeline.monitor.evidence == 0.0
    fold.events(5, moved(4), 0)
    assert {alarm["kind"] for alarm in fold.alarms if alarm["id"] > raised} == {"calibration", "drift"}
    if daemon:  # a second time it says nothing new
        evidence = model.pipeline.monitor.evidence
        obey(fold, 6, told)
        assert model.pipeline.monitor.evidence == evidence > 0.0
