"""Few positives: negatives thinned out with exact weights, and claims that say how little they rest on."""

from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet as pq

import onlogit as ol
from onlogit.config import Config, LabelConfig
from onlogit.decisions import thresholds
from onlogit.errors import ConfigError
from onlogit.explain import explain_model
from onlogit.labels import Thinning

STREAM = Path(__file__).parents[2] / "shared" / "data" / "kdd_http.parquet"


def rare(n: int, seed: int = 1) -> pa.Table:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=n)
    return pa.table({"x": x, "y": draw.normal(size=n), "late": draw.random(n) < 1 / (1 + np.exp(5 - 1.5 * x))})


def learned(table: pa.Table, share: float, cuts: tuple[int, ...] = (), delay: int = 0) -> ol.OnlineLogit:
    labels = LabelConfig(keep_negatives=share, delay=delay)
    model = ol.OnlineLogit(label="late", config=Config(slot_bits=4, labels=labels))
    for low, high in zip((0, *cuts), (*cuts, table.num_rows), strict=True):
        model.step(table.slice(low, high - low))
    model.finish()
    return model


def test_weights_add_up_to_those_of_all_negatives() -> None:
    event, y = np.arange(200_000), np.zeros(200_000, np.int8)
    y[::50] = 1
    weight = Thinning(0.1).weights(event, y, np.full(200_000, 2.0))
    assert (weight[::50] == 2.0).all()
    assert set(np.unique(weight)) == {0.0, 2.0, 20.0}
    assert weight[y == 0].sum() == pytest.approx(2.0 * 196_000, rel=0.005)
    assert Thinning(1.0).weights(event, y, weight) is weight


def test_all_is_learned_after_a_positive() -> None:
    y = np.zeros(10_000, np.int8)
    y[[5_000, 5_003]] = 1
    weight = Thinning(0.1).weights(np.arange(10_000), y, np.ones(10_000))
    near = np.r_[5_000:5_014]
    assert (weight[near] == 1.0).all()
    far = np.setdiff1d(np.arange(10_000), near)
    assert set(np.unique(weight[far])) == {0.0, 10.0}


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3, 1 / 3, 0.1, 1 / 7, 0.01, 0.0001])
def test_of_every_stretch_one_is_kept(share: float) -> None:
    first = 10**9 if share == 0.3 else 0
    event = first + np.arange(100_000)
    weight = Thinning(share).weights(event, np.zeros(100_000, np.int8), np.ones(100_000))
    kept = np.flatnonzero(weight)
    assert abs(len(kept) - share * 100_000) <= 1
    assert weight.sum() == pytest.approx(100_000, abs=2 / share)
    assert set(np.unique(weight[kept])) <= {np.floor(1 / share), np.ceil(1 / share)}
    gaps = np.diff(kept)
    assert gaps.max(initial=0) < 2 / share + 2


@pytest.mark.parametrize("delay", [0, 40])
def test_any_cut_learns_the_same_negatives(delay: int) -> None:
    table = rare(3000)
    whole = learned(table, 0.2, delay=delay)
    assert learned(table, 0.2, (1, 700, 701, 2500), delay).to_bytes() == whole.to_bytes()
    late = table["late"].to_numpy(zero_copy_only=False)
    near = sum(bool(late[max(i - 5, 0) : i + 1].any()) for i in range(3000))  # of a positive: one, or up to 5 after one
    assert whole.counts.learned == pytest.approx(near + 0.2 * (3000 - near), rel=0.05)
    assert whole.quality().examples == 3000  # all are judged


def test_thinned_out_it_stays_calibrated() -> None:
    table = rare(60_000)
    whole, part = learned(table, 1.0).quality(), learned(table, 0.1).quality()
    for quality in (whole, part):
        assert quality.rate is not None
        assert quality.observed_over_expected is not None
        reach = 1.96 / (quality.rate * quality.examples) ** 0.5
        assert abs(np.log(quality.observed_over_expected)) < reach
    assert part.log_loss == pytest.approx(whole.log_loss, rel=0.03)


@pytest.mark.skipif(not STREAM.exists(), reason="needs the real streams beside the checkout")
def test_on_a_real_stream_of_bursts() -> None:
    table = pq.read_table(STREAM)
    model = ol.OnlineLogit(label="service", config=Config(labels=LabelConfig(keep_negatives=0.1)))
    for batch in table.to_batches(8192):
        model.step(batch)
    quality = model.quality()
    assert quality.rate is not None
    assert quality.observed_over_expected is not None
    assert abs(np.log(quality.observed_over_expected)) < 1.96 / (quality.rate * quality.examples) ** 0.5
    assert model.counts.learned < 0.11 * quality.examples
    precision = thresholds.average_precision(thresholds.grid_of(model.pipeline.monitor.tally))
    assert precision is not None
    assert precision > 0.99


def test_it_is_said_and_a_share_of_nothing_is_refused() -> None:
    assert (
        "0.2 of the negatives that are not near a positive were learned, each with the weight 5; all were judged"
        in explain_model(learned(rare(1000), 0.2)).notes
    )
    with pytest.raises(ConfigError, match="keep_negatives = 0"):
        LabelConfig(keep_negatives=0.0)
