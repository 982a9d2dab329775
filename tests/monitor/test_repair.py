"""What alarms do: a stale model is mended, a right one is left alone, any cut does the same, and all of it is taken back."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlogit import Config, MonitorConfig, OnlineLogit
from onlogit.config import from_mapping, to_mapping
from onlogit.errors import ConfigError, StateError
from onlogit.model import of_bytes
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.calibration import CalibrationMonitor
from onlogit.monitor.quality import quality
from onlogit.monitor.repair import ENOUGH, Repair

N, BREAK, CUT = 24_000, 8_000, 7_000


def stream(broken: bool = True, seed: int = 1, n: int = N) -> pa.RecordBatch:
    """From BREAK on the effect of x halves and outcomes are more frequent, where it is broken."""
    rng = np.random.default_rng(seed)
    x, late = rng.normal(size=n), broken & (np.arange(n) >= BREAK)
    z = np.where(late, -0.4 + 0.9 * x, -1.2 + 1.8 * x)
    return pa.record_batch({"k": np.arange(n), "x": x, "y": rng.random(n) < 1 / (1 + np.exp(-z))})


def model(on_alarm: str, patience: float = 10_000.0) -> OnlineLogit:
    config = Config(slot_bits=4, names=0, monitor=MonitorConfig(patience, on_alarm=on_alarm))
    return OnlineLogit(label="y", key="k", config=config)


def fold(learner: OnlineLogit, batch: pa.RecordBatch, freeze: int = 5_000) -> tuple[np.ndarray, list[Alarm]]:
    """Log-odds as stated, and alarms; learning stops at an event, as of a model that nobody updates."""
    first = learner.step(batch[:freeze])
    learner.freeze()
    rest = learner.step(batch[freeze:])
    return np.concatenate([first.z, rest.z]), first.alarms + rest.alarms


def log_loss(z: np.ndarray, batch: pa.RecordBatch) -> float:
    y = batch["y"].to_numpy(zero_copy_only=False)[-len(z) :]
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def test_a_model_that_nobody_updates_is_mended() -> None:
    batch = stream(seed=2)  # of 12, one has an onset before the break
    stale, mended = model("warn"), model("recalibrate")
    (z, _), (better, alarms) = fold(stale, batch), fold(mended, batch)
    (act,) = [alarm for alarm in alarms if alarm.kind == "act"]
    assert act.what == "recalibrate"
    assert BREAK < act.onset_event < act.event < BREAK + 4_000
    assert act.event % 1_000 == 0
    assert act.evidence >= ENOUGH
    assert not act.pages
    assert "revert takes it back" in act.text()
    assert (better[: act.event] == z[: act.event]).all()
    right = np.where(np.arange(N) >= BREAK, -0.4, 0.0) + 0.9 * batch["x"].to_numpy()  # after the break
    tail = slice(16_000, None)
    best, found, without = (log_loss(each[tail], batch) for each in (right, better, z))
    assert found - best < 0.1 * (without - best)
    errors: list[float] = []
    for each in (better, z):
        watch = CalibrationMonitor()
        y = batch["y"].to_numpy(zero_copy_only=False).astype(np.int8)[tail]
        watch.update(np.arange(len(y)), None, each[tail], y, np.ones(len(y)))
        errors.append(quality(watch.tally).calibration_error or 0.0)
    assert errors[0] < 0.03 < 0.1 < errors[1]


def alarm() -> Alarm:
    return replace(Repair("freeze").revert(0), kind="calibration")


def test_right_probabilities_are_left_alone() -> None:
    """200 streams of right probabilities, each after an alarm, that is a false one: no more than 1 in 1,000 acts."""
    acted, highest = 0, []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        z = rng.normal(-1.0, 1.2, 20_000)
        y = (rng.random(z.size) < 1 / (1 + np.exp(-z))).astype(np.int8)
        repair = Repair("recalibrate")
        repair.hear([alarm()])
        peak = 0.0
        for a in range(0, z.size, 1_000):
            s = slice(a, a + 1_000)
            acted += len(repair.turn(a, 0, a))
            repair.learn(np.arange(a, a + 1_000), z[s], y[s], np.ones(1_000), np.ones(1_000, bool))
            peak = max(peak, repair.evidence)
        highest.append(peak)
    assert acted <= 1
    assert 0 < sum(peak > 2.0 for peak in highest) <= 100  # evidence moves, and keeps its promise at 1/2 as well


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, CUT), max_size=4), st.sampled_from(["recalibrate", "forget", "freeze"]), st.booleans())
def test_any_cut_does_the_same(cuts: list[int], on_alarm: str, late: bool) -> None:
    forgets = on_alarm == "forget"
    batch = turned(10_000)[3_000:] if forgets else stream(n=CUT)
    told: list[OnlineLogit] = []
    acts = []
    for bounds in ([0, CUT], [0, *sorted(cuts), CUT]):
        config = from_mapping(Config, {
            "learner": "belief" if forgets else "sgd", "belief": {"half_lives": ["inf"]},
            "slot_bits": 4, "names": 0, "labels": {"delay": 3 * late},
            "monitor": {"on_alarm": on_alarm, "patience": 1_000.0}, "sgd": {"rate": 0.0001},
        })  # fmt: skip
        learner = OnlineLogit(label="y", key="k", config=config)
        found = []
        for a, b in pairwise(bounds):
            found += learner.step(batch[a:b]).alarms
            if learner._pipeline:
                learner = of_bytes(learner.to_bytes())
        told.append(learner)
        acts.append([alarm.event for alarm in found if alarm.kind == "act"])
    assert acts[0] == acts[1] != []
    assert told[0].to_bytes() == told[1].to_bytes()


def test_freeze_and_its_revert() -> None:
    learner = model("freeze", 1_000.0)
    alarms = learner.step(stream()).alarms
    (act,) = [alarm for alarm in alarms if alarm.kind == "act"]
    assert (act.what, learner.pipeline.rests, learner.pipeline.frozen) == ("freeze", True, False)
    learned = learner.counts.learned
    assert learned == act.event
    (record,) = learner.revert()
    assert (record.kind, record.what, record.event) == ("act", "revert", N)
    learner.step(pa.record_batch({"k": [N], "x": [0.0], "y": [True]}))
    assert learner.counts.learned == learned + 1
    assert learner.revert() == []


def test_recalibrate_and_its_revert() -> None:
    batch = stream()
    kept, mended = model("warn"), model("recalibrate")
    fold(kept, batch)
    fold(mended, batch)
    assert mended.pipeline.repair is not None
    assert mended.pipeline.repair.map == pytest.approx((0.2, 0.5), abs=0.15)
    more = stream(seed=2, n=100)
    assert (mended.predict_proba(more) != kept.predict_proba(more)).all()
    assert [record.what for record in mended.revert()] == ["revert"]
    assert (mended.predict_proba(more) == kept.predict_proba(more)).all()
    assert not mended.pipeline.repair.promoted


def test_bad_settings_and_states() -> None:
    with pytest.raises(
        ConfigError, match=r'on_alarm = \'page\' is out of range: "warn", "recalibrate", "forget" or "freeze"'
    ):
        MonitorConfig(on_alarm="page")
    with pytest.raises(ConfigError, match="the learner 'ftrl' has no belief"):
        Config("ftrl", monitor=MonitorConfig(on_alarm="forget"))
    repair = Repair("recalibrate")
    good = repair.state()
    for name, bad in [
        ("mean", np.zeros(3)), ("maps", np.zeros((0, 4))), ("maps", np.zeros((1, 4))), ("cov", np.full(3, np.nan)),
        ("frozen", np.zeros(1)),
    ]:  # fmt: skip
        with pytest.raises(StateError, match="repair: "):
            repair.restore(good | {name: bad})
    repair.restore(good)
    assert repair.evidence == pytest.approx(1.0)


def turned(n: int = 14_000, level: float = 0.0) -> pa.RecordBatch:
    """At BREAK every effect turns round, or the level moves."""
    rng = np.random.default_rng(5)
    x, late = rng.normal(size=(n, 3)), np.arange(n) >= BREAK
    c = rng.integers(0, 9, n)
    z = x @ [1.0, -0.8, 0.5] + 0.2 * (c - 4)
    truth = np.where(late, z + level if level else -z, z)
    columns = {"k": np.arange(n), "c": [f"v{k}" for k in c], "y": rng.random(n) < 1 / (1 + np.exp(-truth))}
    return pa.record_batch(columns | {f"x{k}": x[:, k] for k in range(3)})


@pytest.mark.parametrize("level", [0.0, 1.2])
def test_forgetting_after_an_abrupt_change_and_its_revert(level: float) -> None:
    batch = turned(level=level)
    kept, mended = (replace_lives(model(each)) for each in ("warn", "forget"))
    found = [each.step(batch[:9_000]) for each in (kept, mended)]
    before = {name: array.copy() for name, array in mended.pipeline.learner.state().items()}
    for learner in (kept, mended):
        found.append(learner.step(batch[9_000:]))
    (act,) = [alarm for alarm in found[3].alarms if alarm.kind == "act"]
    assert (act.what, act.event, mended.pipeline.repair is not None) == ("forget", 9_000, True)
    assert BREAK <= act.onset_event < 9_000
    assert act.evidence >= 10_000.0
    assert ("the bias may have moved by" if level else "what is known weighs as") in act.text()
    assert (found[0].z == found[1].z).all()  # nothing is done before the act
    assert log_loss(found[3].z, batch) < log_loss(found[2].z, batch) - (
        0.0003 if level else 0.02
    )  # residuals follow a level, too
    mended = of_bytes(mended.to_bytes())
    (record,) = mended.revert()
    assert (record.what, mended.revert()) == ("revert", [])
    after = mended.pipeline.learner.state()
    assert all((after[name] == array).all() for name, array in before.items())


def test_a_frozen_model_forgets_nothing() -> None:
    learner, batch = replace_lives(model("forget")), turned()
    learner.step(batch[:BREAK])
    learner.freeze()
    known = learner.pipeline.learner.state()
    alarms = learner.step(batch[BREAK:]).alarms
    assert {alarm.kind for alarm in alarms} == {"calibration"}
    assert all((learner.pipeline.learner.state()[name] == array).all() for name, array in known.items())


def replace_lives(learner: OnlineLogit) -> OnlineLogit:
    """The same with one half-life, that never ends."""
    return OnlineLogit(
        label="y",
        key="k",
        config=from_mapping(Config, to_mapping(learner.config) | {"belief": {"half_lives": ["inf"]}}),
    )


def test_a_damaged_state_of_what_was_known_is_refused() -> None:
    learner = replace_lives(model("forget"))
    learner.step(turned(9_500))
    state = learner.state()
    assert learner.pipeline.repair is not None
    for name in ("repair.before.mean", "repair.before.forgotten"):
        with pytest.raises(StateError, match="before"):
            learner.pipeline.restore(state | {name: np.zeros(3)})
    learner.pipeline.restore(state)
    again = learner.state()
    assert all((again[name] == array).all() for name, array in state.items())
