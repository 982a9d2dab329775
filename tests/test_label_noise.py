"""Known flip rates: intervals that hold, probabilities of the true outcome, and a monitor that judges labels."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from onlogit import Config, LabelConfig, OnlineLogit
from onlogit.config import BeliefConfig, LabelNoise, MonitorConfig
from onlogit.encoding import Rows
from onlogit.encoding.buffers import one_batch
from onlogit.errors import ConfigError
from onlogit.explain import REST, explain_event
from onlogit.learners import Tape, create
from onlogit.learners.protocol import BOTH

F64 = npt.NDArray[np.float64]
WEIGHTS = np.array([1.0, -0.7, 0.3])
ONE = BeliefConfig(
    half_lives=(math.inf,), priors=((1.0, 10.0),), lasting_priors=((1.0, 10.0),), switching=(0.0,)
)  # one expert that never forgets


def flipped(truth: npt.NDArray[np.bool_], fp: float, fn: float, draw: np.random.Generator) -> npt.NDArray[np.bool_]:
    chance = draw.random(len(truth))
    return np.where(truth, chance >= fn, chance < fp)


def learned(n: int, fp: float, fn: float, seed: int, *, told: bool, learner: str = "belief") -> tuple[F64, F64]:
    """Coefficients and their sd from n events with flipped labels, of which the learner is told or not."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, 3)).astype(np.float32)
    truth = draw.random(n) < 1 / (1 + np.exp(0.5 - x @ WEIGHTS))
    y = flipped(truth, fp, fn, draw).astype(np.float64)
    noise = LabelNoise(fp, fn) if told else LabelNoise()
    pupil = create(Config(learner=learner, belief=ONE, label_noise=noise, slot_bits=1), 3)
    rows = Rows(x, np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    pupil.begin(rows, Tape.of(n, BOTH), y, np.ones(n), np.zeros((n, pupil.memo_width), np.float32))()
    found = pupil.coefficients()
    return found.dense, found.dense_sd


@pytest.mark.parametrize(("fp", "fn"), [(0.2, 0.2), (0.2, 0.0), (0.05, 0.35)])
def test_intervals_hold_the_truth_in_95_percent_of_500_runs(fp: float, fn: float) -> None:
    runs = [learned(1000, fp, fn, seed, told=True) for seed in range(500)]
    mean, sd = np.array([m for m, _ in runs]), np.array([s for _, s in runs])
    covered = np.abs(mean - WEIGHTS) < 1.96 * sd
    assert 0.93 <= covered.mean() <= 0.97
    assert (covered.mean(axis=0) > 0.9).all()  # of one coefficient: 91.6 to 95.8 %
    np.testing.assert_allclose(mean.mean(axis=0), WEIGHTS, rtol=0.07)  # the prior has some pull


def test_untold_it_takes_coefficients_to_half_and_is_sure_of_them() -> None:
    runs = [learned(1000, 0.2, 0.2, seed, told=False) for seed in range(200)]
    mean, sd = np.array([m for m, _ in runs]), np.array([s for _, s in runs])
    np.testing.assert_allclose(mean.mean(axis=0) / WEIGHTS, 0.5, atol=0.05)
    assert (np.abs(mean - WEIGHTS) < 1.96 * sd).mean() < 0.2


@pytest.mark.parametrize("learner", ["sgd", "adagrad", "ftrl"])
def test_the_sgd_family_finds_them_too(learner: str) -> None:
    told, untold = (learned(40_000, 0.2, 0.2, 1, told=each, learner=learner)[0] for each in (True, False))
    np.testing.assert_allclose(told, WEIGHTS, atol=0.2)
    assert untold[0] < 0.65


def table(n: int, seed: int, fp: float = 0.2, fn: float = 0.1) -> tuple[pa.Table, F64, npt.NDArray[np.bool_]]:
    """Events with flipped labels, the true probabilities, and the true outcomes."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, 3))
    p = 1 / (1 + np.exp(0.5 - x @ [3.0, -2.0, 1.5]))
    truth = draw.random(n) < p
    columns: dict[str, Any] = {f"x{j}": x[:, j] for j in range(3)}
    return pa.table(columns | {"y": flipped(truth, fp, fn, draw)}), p, truth


def model(monitor: MonitorConfig | None = None, **noise: Any) -> OnlineLogit:
    return OnlineLogit(
        "y", config=Config(slot_bits=2, monitor=monitor or MonitorConfig(), label_noise=LabelNoise(**noise))
    )


def test_it_states_the_true_outcome_and_the_monitor_judges_labels() -> None:
    events, p, truth = table(40_000, 1)
    late, y = slice(10_000, None), truth[10_000:]
    told, untold = model(fp=0.2, fn=0.1), model()
    said, plain = told.step(events), untold.step(events)
    loss = [float(np.mean(np.logaddexp(0, each.z[late]) - y * each.z[late])) for each in (said, plain)]
    best = float(-np.mean(np.log(np.where(y, p[late], 1 - p[late]))))
    assert loss[0] < best + 0.004
    assert loss[1] > best + 0.08
    for low, high in ((0.0, 0.02), (0.02, 0.3), (0.7, 0.98), (0.98, 1.0)):
        part = (said.p[late] > low) & (said.p[late] <= high)
        assert said.p[late][part].mean() == pytest.approx(y[part].mean(), abs=0.015)
    assert said.alarms == []
    quality = told.quality()
    assert quality.rate == pytest.approx(np.mean(events["y"].to_numpy()), abs=1e-3)  # of labels, as is the rest
    assert quality.observed_over_expected == pytest.approx(1.0, abs=0.02)
    assert quality.calibration_error is not None
    assert quality.calibration_error < 0.012


def test_the_monitor_speaks_up_where_flips_become_more() -> None:
    told = model(MonitorConfig(patience=10_000.0), fp=0.2, fn=0.1)
    told.step(table(20_000, 2)[0])
    told.freeze()
    assert told.step(table(10_000, 3)[0]).alarms == []
    alarms = told.step(table(10_000, 4, fp=0.35, fn=0.1)[0]).alarms
    assert alarms
    assert alarms[0].observed > alarms[0].expected


def test_noise_flattens_the_ends_and_a_missing_feature_does_not() -> None:
    """By what a plain model states: with noise, labels are the same all over the highest and the lowest fifth, and it
    states more than they keep; with a feature missing, they go on to the ends, and it states what they keep."""
    events, _, truth = table(40_000, 5)
    for seen, label, flat in ((3, events["y"].to_numpy(), True), (1, truth, False)):
        columns = pa.table({f"x{j}": events[f"x{j}"] for j in range(seen)} | {"y": label})
        said, y = model().step(columns).p[10_000:], label[10_000:]
        edges = np.quantile(said, [0.02, 0.1, 0.2, 0.8, 0.9, 0.98])
        part = np.searchsorted(edges, said)
        far_low, low, high, far_high = (float(y[part == k].mean()) for k in (0, 2, 4, 6))
        beyond = far_low - said[part == 0].mean(), said[part == 6].mean() - far_high
        gaps = low - far_low, far_high - high
        if flat:
            assert max(gaps) < 0.04
            assert (far_low, far_high) == pytest.approx((0.2, 0.9), abs=0.04)  # fp and 1 - fn
            assert min(beyond) > 0.04
        else:
            assert min(gaps) > 0.1
            assert max(np.abs(beyond)) < 0.025


def test_a_recalibration_is_of_the_true_outcome() -> None:
    """A frozen model of which the truth halves its effects, and labels stay noisy: what is stated is mended."""
    told = model(MonitorConfig(10_000.0, on_alarm="recalibrate"), fp=0.2, fn=0.1)
    told.step(table(10_000, 10)[0])
    told.freeze()
    draw = np.random.default_rng(11)
    x = draw.standard_normal((30_000, 3))
    z = 0.5 * (x @ [3.0, -2.0, 1.5] - 0.5)
    truth = draw.random(len(z)) < 1 / (1 + np.exp(-z))
    columns: dict[str, Any] = {f"x{j}": x[:, j] for j in range(3)}
    step = told.step(pa.table(columns | {"y": flipped(truth, 0.2, 0.1, draw)}))
    assert "recalibrate" in [alarm.what for alarm in step.alarms]
    assert told.pipeline.repair is not None
    level, slope = told.pipeline.repair.map
    assert level == pytest.approx(0.0, abs=0.1)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert np.abs(step.p - 1 / (1 + np.exp(-z)))[20_000:].mean() < 0.02


def test_right_rates_promote_nothing() -> None:
    told = model(MonitorConfig(10_000.0, on_alarm="recalibrate"), fp=0.2, fn=0.1)
    assert told.step(table(30_000, 12)[0]).alarms == []
    assert told.pipeline.repair is not None
    assert told.pipeline.repair.evidence < 10
    assert told.pipeline.repair.map == pytest.approx((0.0, 1.0), abs=0.1)


@pytest.mark.parametrize("learner", ["belief", "sgd"])
def test_any_cut_gives_the_same_bytes(learner: str) -> None:
    events = table(2000, 6)[0]
    labels, noise = LabelConfig(delay=30), LabelNoise(0.2, 0.1)
    whole, parts = (
        OnlineLogit("y", config=Config(learner=learner, slot_bits=2, labels=labels, label_noise=noise))
        for _ in range(2)
    )
    whole.step(events)
    for low, high in ((0, 1), (1, 700), (700, 701), (701, 2000)):
        parts.step(events.slice(low, high - low))
    whole.finish()
    parts.finish()
    assert parts.to_bytes() == whole.to_bytes()


def test_few_labels_of_noise_alone_keep_every_figure_finite() -> None:
    told = model(fp=0.4, fn=0.4)
    events = table(50, 7)[0]
    for value in (True, False):
        step = told.step(events.set_column(3, "y", pa.array([value] * 50)))
        assert np.isfinite(step.z).all()
    assert all(np.isfinite(a).all() for a in told.state().values() if a.dtype.kind == "f")


def test_pushes_add_up() -> None:
    told = model(fp=0.2, fn=0.1)
    events = table(500, 8)[0]
    told.step(events)
    story = explain_event(told, one_batch(events.slice(0, 1)))
    assert story.z == told.score(events.slice(0, 1)).z[0]
    assert story.baseline + sum(push.push for push in story.pushes) == pytest.approx(story.z)
    assert abs(next(push.push for push in story.pushes if push.term == REST)) < 1e-3


def test_models_of_different_flips_do_not_merge() -> None:
    a, b = model(fp=0.2), model(fp=0.1)
    for each in (a, b):
        each.step(table(50, 9)[0])
    with pytest.raises(ConfigError, match=r"label_noise\.fp is 0\.2"):
        OnlineLogit.merge({"a": a, "b": b})


@pytest.mark.parametrize("rates", [{"fp": 0.5}, {"fn": -0.1}, {"fp": math.nan}, {"fp": 0.6, "fn": 0.6}])
def test_rates_out_of_range_are_refused(rates: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"label_noise\.{next(iter(rates))} = .* from 0 to below \.5"):
        LabelNoise(**rates)
