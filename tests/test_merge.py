"""Merging is adding: law 8, of whole models and of each of their parts."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.workloads import categorical, dense, drifting
from onlogit import BeliefConfig, Config, LabelConfig, MonitorConfig, OnlineLogit, SgdConfig
from onlogit.encoding.merging import pool_moments
from onlogit.errors import ConfigError, DataError, SchemaError, StateError
from onlogit.kernels import gather
from onlogit.learners.merging import Gaussian, add_gaussians
from onlogit.learners.protocol import Units
from onlogit.model import load, of_bytes, of_state

SMALL = BeliefConfig(half_lives=(math.inf, 300.0), priors=((0.1, 1.0), (1.0, 10.0)))
DROP = ["id", "at", "known_at"]
TABLE = drifting(3000).table
LEARNERS = ["belief", "sgd", "averaged", "adagrad", "ftrl"]
WHAT_COUNTS = ("tally.totals", "tally.shares", "tally.odds", "tally.ranks")


def fresh(learner: str = "belief", **more: Any) -> OnlineLogit:
    kind, sgd = ("sgd", SgdConfig(averaged=True)) if learner == "averaged" else (learner, SgdConfig())
    config = Config(learner=kind, slot_bits=10, belief=SMALL, sgd=sgd, monitor=MonitorConfig(warm_up=20))
    roles: dict[str, Any] = {"drop": DROP, "config": config}
    return OnlineLogit("y", **(roles | more))


def learned(table: pa.Table, learner: str = "belief", **more: Any) -> OnlineLogit:
    model = fresh(learner, **more)
    model.step(table)
    return model


def dealt(table: pa.Table, workers: int) -> list[pa.Table]:
    return [table.take(pa.array(np.arange(k, table.num_rows, workers))) for k in range(workers)]


def shards(base: OnlineLogit, table: pa.Table, workers: int) -> list[OnlineLogit]:
    parts = [of_bytes(base.to_bytes()) for _ in range(workers)]
    for part, rows in zip(parts, dealt(table, workers), strict=True):
        part.step(rows)
    return parts


def loss(model: OnlineLogit, table: pa.Table) -> float:
    z, y = model.score(table).z, table["y"].to_numpy().astype(np.float64)
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def alike(a: OnlineLogit, b: OnlineLogit, atol: float = 1e-5) -> None:
    one, two = a.score(TABLE), b.score(TABLE)
    np.testing.assert_allclose(one.z, two.z, atol=atol)
    np.testing.assert_allclose(one.z_sd, two.z_sd, atol=atol)
    assert a.counts == b.counts
    for name in WHAT_COUNTS:
        np.testing.assert_array_equal(a.state()["monitor." + name], b.state()["monitor." + name])


@pytest.mark.parametrize("learner", LEARNERS)
@settings(max_examples=4, deadline=None)
@given(start=st.integers(0, 1500), more=st.integers(0, 1400))
def test_one_part_and_its_own_base_give_that_part_back(learner: str, start: int, more: int) -> None:
    base = learned(TABLE.slice(0, start), learner)
    part = of_bytes(base.to_bytes())
    part.step(TABLE.slice(start, more))
    alike(OnlineLogit.merge([part], base), part)
    alike(OnlineLogit.merge([part]), part)


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("start", [10, 1500])
def test_copies_of_the_base_give_the_base(learner: str, start: int) -> None:
    base = learned(TABLE.slice(0, start), learner)
    alike(OnlineLogit.merge([base] * 5, base), base)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_worker_that_saw_nothing_changes_nothing(learner: str) -> None:
    base = learned(TABLE.slice(0, 1500), learner)
    parts = shards(base, TABLE.slice(1500), 2)
    alike(OnlineLogit.merge([*parts, base], base), OnlineLogit.merge(parts, base))


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_order_of_parts_does_not_matter(learner: str) -> None:
    base = learned(TABLE.slice(0, 1200), learner)
    parts = shards(base, TABLE.slice(1200), 5)
    alike(OnlineLogit.merge(parts, base), OnlineLogit.merge(parts[::-1], base))


@pytest.mark.parametrize("start", [0, 700])
def test_tallies_counts_and_marks_are_those_of_one_worker_to_the_byte(start: int) -> None:
    """Frozen workers state the same probabilities as one of them would that saw every row."""
    frozen = learned(TABLE.slice(0, max(start, 500)))
    frozen.freeze()
    if start == 0:
        frozen.watch_afresh()
    parts, one = shards(frozen, TABLE.slice(1000), 4), of_bytes(frozen.to_bytes())
    one.step(TABLE.slice(1000))
    merged = OnlineLogit.merge(parts, frozen)
    for name in WHAT_COUNTS:
        found, wanted = (model.state()["monitor." + name] for model in (merged, one))
        assert found.tobytes() == wanted.tobytes(), name
    assert merged.counts == one.counts
    assert merged.pipeline.frozen
    assert merged.pipeline.monitor.evidence == 0.0


def test_what_the_encoder_saw_is_what_one_would_have_seen() -> None:
    base, rest = learned(TABLE.slice(0, 1100)), TABLE.slice(1100)
    parts, one = shards(base, rest, 4), of_bytes(base.to_bytes())
    one.step(rest)
    merged = OnlineLogit.merge(parts, base).pipeline.encoder
    wanted = one.pipeline.encoder
    assert merged.collisions() == wanted.collisions()
    np.testing.assert_array_equal(merged.state()["tags"], wanted.state()["tags"])
    assert {k: v for k, v in merged.counts.items() if k != "far"} == {
        k: v for k, v in wanted.counts.items() if k != "far"
    }
    np.testing.assert_allclose(
        merged.moments(), wanted.moments(), atol=5e-3
    )  # those of one worker have up to 63 values yet to enter


def some_moments(x: npt.NDArray[np.float64], weight: float = 1.0) -> npt.NDArray[np.float64]:
    moments, n = gather.empty_moments(1), len(x)
    gather.standardise(
        x, np.zeros(0, np.uint8), 0, np.full(n, weight), moments[0], np.zeros(4, np.int64), np.zeros(n, np.float32),
        np.zeros(n, np.uint8),
    )  # fmt: skip
    return moments


@pytest.mark.parametrize("junk", [1e6, -1e30, 1e300])
def test_junk_in_a_small_part_silences_no_column(junk: float) -> None:
    random = np.random.default_rng(0)
    parts = [some_moments(random.standard_normal(5000)), some_moments(np.append(random.standard_normal(5), junk))]
    mean, variance = pool_moments(gather.empty_moments(1), parts)[0, [gather.MEAN, gather.VAR]]
    assert abs(mean) < 0.1
    assert 0.5 < variance < 2.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=4), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_pooled_moments_are_those_of_all_rows(sizes: list[int], mean: float, sd: float) -> None:
    random = np.random.default_rng(len(sizes))
    rows = [mean + sd * random.standard_normal(n) for n in sizes]
    pooled = pool_moments(gather.empty_moments(1), [some_moments(x) for x in rows])[0]
    every = np.concatenate(rows)
    settled = any(n >= gather.LAST_TRIAL for n in sizes)
    assert pooled[gather.WEIGHT] + (pooled[gather.GATHERED] if settled else 0.0) == len(every)
    if len(every) > 100:
        entered = pooled[gather.WEIGHT]  # of one part alone, up to 63 values have yet to enter
        slack = 0.0 if entered == len(every) else 0.2
        np.testing.assert_allclose(pooled[gather.MEAN], every.mean(), atol=(1e-6 + slack) * sd + 1e-12 * abs(mean))
        np.testing.assert_allclose(pooled[gather.VAR], every.var(), rtol=1e-3 + slack)
    assert np.isinf(pooled[gather.NEXT]) == settled
    assert pooled[gather.NEXT] > pooled[gather.ROWS]


def normal_precision(random: np.random.Generator, rows: int, c: int) -> tuple[npt.NDArray[np.float64], ...]:
    x = random.standard_normal((rows, c))
    return x.T @ x, x.T @ (x @ np.arange(c) + random.standard_normal(rows))


def normal(precision: npt.NDArray[Any], pull: npt.NDArray[Any]) -> Gaussian:
    return Gaussian(*(a.astype(np.float64) for a in (np.linalg.solve(precision, pull), np.linalg.inv(precision))))


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_without_forgetting_gaussians_add_as_bayes_says(workers: int) -> None:
    random, c = np.random.default_rng(1), 4
    prior, start = np.diag([10.0, 1.0, 1.0, 1.0]), normal_precision(random, 3, c)
    precision, pull = np.linalg.inv(prior) + start[0], start[1]
    base = normal(precision, pull)
    seen = [normal_precision(random, 5, c) for _ in range(workers)]
    parts = [normal(precision + a, pull + b) for a, b in seen]
    found = add_gaussians(base, parts, prior, [1.0] * workers, [np.eye(c)] * workers)
    total = precision + sum(a for a, _ in seen)
    np.testing.assert_allclose(found.cov, np.linalg.inv(total), atol=1e-9)
    np.testing.assert_allclose(found.mean, np.linalg.solve(total, pull + sum(b for _, b in seen)), atol=1e-9)
    np.testing.assert_array_equal(found.cov, found.cov.T)


def test_where_a_part_lost_precision_by_rounding_the_result_is_no_wider_than_the_base() -> None:
    base = Gaussian(np.zeros(2), np.diag([1.0, 1e-6]))
    wider = Gaussian(np.array([0.1, 0.2]), np.array([[1.0, 1e-3], [1e-3, 1e-8]]))  # not even positive definite
    found = add_gaussians(base, [wider] * 3, np.eye(2), [1.0] * 3, [np.eye(2)] * 3)
    assert np.linalg.eigvalsh(found.cov).min() > 0.0
    assert np.linalg.eigvalsh(base.cov - found.cov).min() > -1e-12
    assert np.isfinite(found.mean).all()


def test_with_forgetting_parts_that_agree_are_agreed_with() -> None:
    """Eight workers that all moved from 0 to .3 give .3: what they moved away from is not taken off eight times."""
    prior, start = np.eye(1), Gaussian(np.zeros(1), np.eye(1) * 0.01)
    part = Gaussian(np.array([0.3]), np.eye(1) * 0.01)
    found = add_gaussians(start, [part] * 8, prior, [1e-6] * 8, [np.eye(1)] * 8)
    assert found.mean[0] == pytest.approx(0.3, abs=1e-6)
    assert found.cov[0, 0] == pytest.approx(0.01 / 8, rel=0.1)


@pytest.mark.parametrize(("workers", "start"), [(8, 0), (8, 4000), (64, 4000)])
def test_a_belief_merged_is_nearly_that_of_one_worker(workers: int, start: int) -> None:
    """Without the last word, which differs by its own noise. Asked: 2e-5 at 100,000 rows a worker; error falls with rows."""
    config = Config(belief=BeliefConfig((math.inf,), ((1.0, 10.0),), ((1.0, 10.0),), stacking_prior=1e-9), slot_bits=4)
    table = dense(120_000, 10).table
    base = fresh(config=config, drop=[])
    base.step(table.slice(0, start))
    rows, test = table.slice(start, 90_000), table.slice(100_000)
    merged, one = OnlineLogit.merge(shards(base, rows, workers), base if start else None), of_bytes(base.to_bytes())
    one.step(rows)
    assert loss(merged, test) == pytest.approx(loss(one, test), abs=1e-4)
    worst = max(loss(part, test) for part in shards(base, rows, workers)[:3])
    assert loss(merged, test) < worst - 1e-4


def test_parts_with_different_scales_are_put_into_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker sees its own range of a number, so that a unit of it is another one to each."""
    random = np.random.default_rng(0)
    ranges = [random.permutation(third) for third in np.array_split(np.sort(random.standard_normal(12_000)), 3)]
    x = np.concatenate([*ranges, random.standard_normal(5_000)])
    table = pa.table({"x": x, "y": (random.random(len(x)) < 1 / (1 + np.exp(-2.0 * x))).astype(np.int8)})
    config = Config(belief=SMALL, slot_bits=4)
    parts = [learned(table.slice(4_000 * k, 4_000), config=config, drop=[]) for k in range(3)]
    test, one = table.slice(12_000), fresh(config=config, drop=[])
    one.step(table.slice(0, 12_000).take(pa.array(random.permutation(12_000))))
    assert loss(OnlineLogit.merge(parts), test) < loss(one, test) + 2e-3
    monkeypatch.setattr("onlogit.merging._units", lambda *_: [Units(np.ones(1), np.zeros(1))] * 3)
    assert loss(OnlineLogit.merge(parts), test) > loss(one, test) + 1e-2


@pytest.mark.parametrize("learner", LEARNERS)
def test_merged_categories_beat_their_parts(learner: str) -> None:
    table = categorical(24_000, 3, 5, 300).table
    config = Config(learner="sgd" if learner == "averaged" else learner, slot_bits=12, belief=SMALL)
    if learner == "averaged":
        config = Config(learner="sgd", slot_bits=12, sgd=SgdConfig(averaged=True))
    parts = [learned(rows, config=config, drop=[]) for rows in dealt(table.slice(0, 20_000), 8)]
    merged, test = OnlineLogit.merge(parts), table.slice(20_000)
    assert loss(merged, test) < np.mean([loss(part, test) for part in parts]) - 3e-4


def test_a_merged_model_goes_on_learning_and_saving(tmp_path: Path) -> None:
    base = learned(TABLE.slice(0, 600))
    merged = OnlineLogit.merge(shards(base, TABLE.slice(600, 1200), 3), base)
    merged.save(tmp_path / "m")
    again = load(tmp_path / "m")
    steps = [model.step(TABLE.slice(1800)) for model in (merged, again)]
    assert steps[0].event[0] == 1800
    np.testing.assert_array_equal(steps[0].p, steps[1].p)
    assert merged.to_bytes() == again.to_bytes()
    assert merged.quality().examples == 3000


def test_warm_up_counts_what_all_have_learned() -> None:
    parts = [learned(rows) for rows in dealt(TABLE.slice(0, 30), 3)]  # 10 each, 20 asked
    merged = OnlineLogit.merge(parts)
    merged.step(TABLE.slice(30, 50))
    assert merged.pipeline.monitor.state()["evidence.clock"][0] == 50


def refused(error: type[Exception], match: str, parts: Sequence[OnlineLogit], base: OnlineLogit | None = None) -> None:
    with pytest.raises(error, match=match):
        OnlineLogit.merge({f"{k}.model": part for k, part in enumerate(parts)}, base)


def test_what_does_not_belong_together_is_refused_by_name() -> None:
    one, other = learned(TABLE.slice(0, 100)), fresh(config=Config(slot_bits=9, belief=SMALL))
    other.step(TABLE.slice(0, 100))
    refused(ConfigError, r"slot_bits is 10 in 0.model and 9 in 1.model", [one, other])
    refused(SchemaError, r"0.model and 1.model differ in a column: .*'b'", [one, learned(TABLE, drop=[*DROP, "b"])])
    refused(ConfigError, "0.model has seen less than the base", [one], learned(TABLE))
    refused(ConfigError, "nothing to merge", [])
    refused(ConfigError, "terms|knots|buckets", [learned(rows, features=["bucket(b, 4)"]) for rows in dealt(TABLE, 2)])


def test_terms_merge_on_the_knots_of_their_base() -> None:
    base = learned(TABLE.slice(0, 1100), features=["bucket(b, 4)", "a*b", "log(a)"])
    merged = OnlineLogit.merge(shards(base, TABLE.slice(1100), 3), base)
    knots, wanted = merged.pipeline.encoder.knots(), base.pipeline.encoder.knots()
    assert knots.keys() == wanted.keys() != set()
    np.testing.assert_array_equal(knots["bucket(b, 4)"], wanted["bucket(b, 4)"])
    assert merged.pipeline.encoder.counts["not_positive"] > base.pipeline.encoder.counts["not_positive"]


def test_labels_have_to_mean_the_same() -> None:
    tables = [pa.table({"x": [0.0, 1.0], "y": ["yes", no]}) for no in ("no", "nein")]
    parts = [learned(table, positive="yes", drop=[]) for table in tables]
    refused(DataError, "negative label is 'no' in 0.model and 'nein' in 1.model", parts)
    unsettled = learned(pa.table({"x": [0.0], "y": ["yes"]}), positive="yes", drop=[])
    assert OnlineLogit.merge([unsettled, parts[1]]).counts.events == 3


def waiting(model: OnlineLogit) -> OnlineLogit:
    model.step(TABLE.slice(0, 200))
    return model


WAYS: list[Callable[[], OnlineLogit]] = [
    lambda: waiting(fresh(config=Config(slot_bits=8, belief=SMALL, labels=LabelConfig(delay=7)))),
    lambda: waiting(fresh(time="at", label_time="known_at", drop=["id"])),
]


@pytest.mark.parametrize("way", WAYS)
def test_waiting_events_are_refused_or_given_up(way: Callable[[], OnlineLogit]) -> None:
    parts = [way(), way()]
    count = parts[0].pipeline.memory.waiting
    assert count > 0
    refused(ConfigError, f"0.model: {count} events still wait", parts)
    before = parts[0].to_bytes()
    merged = OnlineLogit.merge(parts, expire=True)
    assert parts[0].to_bytes() == before
    assert merged.counts.expired == 2 * count
    assert merged.quality().examples == merged.counts.learned == 2 * (200 - count)
    parts[0].finish()
    assert OnlineLogit.merge([parts[0]]).counts.expired == 0
    merged.step(TABLE.slice(200, 100))
    with pytest.raises(ConfigError, match="the base: "):
        OnlineLogit.merge(parts, parts[1], expire=True)


def test_a_base_that_is_no_ancestor_is_refused_by_the_names_of_both() -> None:
    parts, other = [learned(TABLE.slice(k, 900)) for k in (0, 900)], learned(TABLE.slice(1800, 700))
    with pytest.raises(ConfigError, match=r"a\.model did not start from b\.model"):
        OnlineLogit.merge({"a.model": parts[0], "c.model": parts[1]}, other, base_name="b.model")


NUMBERS = pa.table({"x": np.tile([-9.0, 9.0, 0.5, -0.5], 50), "y": np.tile([0, 1, 1, 0], 50)})


def test_a_base_with_other_outcomes_of_the_same_events_is_no_ancestor() -> None:
    """The encoders cannot tell them apart, nor can counts: tallies do."""
    labels = NUMBERS["y"].to_numpy()
    base, part = (
        learned(NUMBERS.set_column(1, "y", pa.array(y)), config=Config(slot_bits=4, belief=SMALL), drop=[])
        for y in (labels, 1 - labels)
    )
    refused(ConfigError, "0.model did not start from the base, as it has other outcomes", [part], base)
    assert OnlineLogit.merge([base], base).counts == base.counts


@pytest.mark.parametrize("more", [100, 1400])
def test_parts_that_watch_afresh_need_a_base_that_does(more: int) -> None:
    base = learned(TABLE.slice(0, 600))
    parts = [of_bytes(base.to_bytes()) for _ in range(2)]
    for k, part in enumerate(parts):
        part.step(TABLE.slice(600, 50))
        part.watch_afresh()
        part.step(TABLE.slice(650 + k * 100, more))
    refused(ConfigError, "0.model did not start from the base, or began to watch afresh", parts, base)
    base.watch_afresh()
    merged = OnlineLogit.merge(parts, base)
    assert merged.quality().examples == 2 * more
    assert merged.counts.events == 600 + 2 * (50 + more)
    late = of_bytes(merged.to_bytes())  # one that began afresh where a merged model had begun
    late.watch_afresh()
    late.step(TABLE.slice(0, 3000))
    refused(ConfigError, "began to watch afresh", [late], merged)


@pytest.mark.parametrize("learner", LEARNERS)
def test_merged_models_merge_again(learner: str) -> None:
    """Two and two of four workers, and then those two: the same counts and tally as of four at once. So few names are kept
    that a merge lets go of some that the base had."""
    table = categorical(4_000, 3, 3, 60).table
    table = table.append_column("w", pa.array(np.arange(4_000) % 3, pa.float64()))
    kind, sgd = ("sgd", SgdConfig(averaged=True)) if learner == "averaged" else (learner, SgdConfig())
    config = Config(learner=kind, slot_bits=10, names=70, belief=SMALL, sgd=sgd, monitor=MonitorConfig(warm_up=20))
    base = learned(table.slice(0, 300), config=config, weight="w", drop=[])
    parts = shards(base, table.slice(300, 3_600), 4)
    pairs = [OnlineLogit.merge(parts[k : k + 2], base) for k in (0, 2)]
    for pair in pairs:
        pair.step(table.slice(3_900, 50))
    for part in (parts[0], parts[2]):
        part.step(table.slice(3_900, 50))
    twice, once = OnlineLogit.merge(pairs, base), OnlineLogit.merge(parts, base)
    assert twice.counts == once.counts
    assert twice.quality().examples == once.quality().examples
    assert loss(twice, table) == pytest.approx(loss(once, table), abs=5e-3)
    again = of_bytes(twice.to_bytes())
    assert OnlineLogit.merge([again], twice).counts == twice.counts


def test_what_labels_late_and_weights_of_0_do_to_counts_is_no_reason_to_refuse() -> None:
    table = TABLE.append_column("w", pa.array(np.arange(3000) % 4, pa.float64()))
    labels = LabelConfig(delay=7, keep_negatives=0.5)
    config = Config(slot_bits=8, belief=SMALL, labels=labels, monitor=MonitorConfig(warm_up=20))
    base = learned(table.slice(0, 600), config=config, weight="w")
    base.finish()
    parts = shards(base, table.slice(600, 800), 2)
    merged = OnlineLogit.merge(parts, base, expire=True)
    assert merged.counts.events == 1400
    merged.step(table.slice(1400, 100))
    frozen = of_bytes(base.to_bytes())
    frozen.freeze()
    frozen.step(table.slice(600, 800))
    assert OnlineLogit.merge([frozen, *parts], base, expire=True).counts.events == 2200


def alarmed(act: str) -> tuple[OnlineLogit, OnlineLogit, Callable[[int, int, bool], pa.Table]]:
    """A base, a copy of it on which an alarm has acted since, and rows."""

    def rows(n: int, seed: int, broken: bool) -> pa.Table:
        random = np.random.default_rng(seed)
        x = random.standard_normal(n)
        z = (0.5 if broken else 1.5) * x + (2.5 if broken else -1.0)
        return pa.table({"x": x, "y": (random.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8)})

    monitor = MonitorConfig(on_alarm=act, patience=1000, warm_up=100)
    base = OnlineLogit("y", config=Config(slot_bits=4, names=0, belief=SMALL, monitor=monitor))
    base.step(rows(2000, 1, False))
    if act == "recalibrate":
        base.freeze()
    part = of_bytes(base.to_bytes())
    part.step(rows(6000, 2, True))
    assert part.pipeline.repair is not None
    assert part.pipeline.repair.acted
    return base, part, rows


@pytest.mark.parametrize("act", ["recalibrate", "freeze", "forget"])
def test_what_an_alarm_did_to_a_part_has_to_be_reverted_first(act: str) -> None:
    base, part, _ = alarmed(act)
    refused(ConfigError, "0.model: an alarm has acted on it.*revert it first", [part], base)
    part.revert()
    assert OnlineLogit.merge([part], base).counts.events == 8000


def test_what_the_base_forgot_is_still_there_to_be_taken_back() -> None:
    _, base, rows = alarmed("forget")
    base.step(rows(500, 4, True))  # acts happen at whole thousands of events
    parts = shards(base, rows(200, 3, True), 2)
    merged = OnlineLogit.merge(parts, base)
    for model in (base, merged):
        assert len(model.revert()) == 1
    one, other = base.state(), merged.state()
    for name in ("mean", "cov", "table"):
        np.testing.assert_array_equal(one[f"learner.{name}"], other[f"learner.{name}"])
    refused(ConfigError, "0.model has learned less than the base", [merged], parts[0])
    alone = OnlineLogit.merge([parts[0]])  # from nothing: what it knows is taken as it is
    assert alone.pipeline.repair is not None
    assert not alone.pipeline.repair.acted
    assert alone.state()["repair.labels"] == parts[0].state()["repair.labels"]


def test_a_part_merges_that_took_back_its_own_act_and_not_the_one_of_the_base() -> None:
    _, base, rows = alarmed("forget")
    part, until, other = (of_bytes(base.to_bytes()) for _ in range(3))
    more = rows(1100, 5, False)
    part.step(more)
    until.step(more.slice(0, 1000))  # where the alarm acts
    refused(ConfigError, "0.model: an alarm has acted on it.*revert it first", [part], base)
    part.revert()
    one, two = (OnlineLogit.merge([model], base).state() for model in (part, until))
    for name in ("learner.mean", "learner.cov", "learner.table", "repair.labels", "repair.before.mean"):
        np.testing.assert_array_equal(one[name], two[name])
    other.revert()
    other.step(rows(1100, 6, True))
    refused(
        ConfigError, "0.model: what the base had forgotten was taken back on it; revert the base and all", [other], base
    )
    base.revert()
    assert OnlineLogit.merge([other], base).counts.events == 9100


def with_array(model: OnlineLogit, name: str, value: float) -> OnlineLogit:
    """The model with an array that a file may hold, and no stream leaves."""
    state = model.state()
    state[name][...] = value
    return of_state(model.header(), state, "odd")


ODD = [("learner.cov", 0.0), ("learner.stack_cov", 0.0), ("learner.table", 0.0), ("encoder.moments", 1e300)]


@pytest.mark.parametrize(("name", "value"), ODD)
def test_a_file_that_is_odd_is_named_or_merges(name: str, value: float) -> None:
    base = learned(TABLE.slice(0, 600))
    parts = shards(base, TABLE.slice(600, 600), 2)
    for models, odd in (([parts[0], with_array(parts[1], name, value)], "1.model"), (parts, "the base")):
        start = with_array(base, name, value) if odd == "the base" else base
        try:
            merged = OnlineLogit.merge({f"{k}.model": part for k, part in enumerate(models)}, start)
        except StateError as error:
            assert str(error).startswith(f"{odd} cannot be merged: ")  # noqa: PT017
        else:
            assert np.isfinite(of_bytes(merged.to_bytes()).step(TABLE.slice(0, 50)).p).all()


def test_a_base_that_is_certain_of_all_is_named() -> None:
    base = learned(TABLE.slice(0, 600))
    parts, odd = shards(base, TABLE.slice(600, 600), 2), with_array(base, "learner.cov", 0.0)
    with pytest.raises(StateError, match=r"a\.model cannot be merged: its numbers are none that a stream leaves"):
        OnlineLogit.merge(parts, odd, base_name="a.model")


def test_models_that_are_too_much_together_are_all_named() -> None:
    state = learned(TABLE.slice(0, 100)).state()
    for name in ("counts", "maturity.first"):
        state[name][0] = 1 << 59
    model = of_state(learned(TABLE.slice(0, 100)).header(), state, "big")
    refused(StateError, "0.model, 1.model, 2.model cannot be merged", [model] * 3)


def test_a_name_that_a_part_has_let_go_is_counted_as_often_as_the_others_saw_it() -> None:
    def rows(**times: int) -> pa.Table:
        values = [value for value, n in times.items() for _ in range(n)]
        return pa.table({"c": values, "y": np.arange(len(values), dtype=np.int8) % 2})

    def of(*seen: pa.Table) -> OnlineLogit:
        model = OnlineLogit("y", config=Config(slot_bits=10, names=2, belief=SMALL))
        for table in seen:
            model.step(table)
        return model

    start = rows(a=10)
    base = of(start)
    without = OnlineLogit.merge([of(start, rows(b=30)), of(start, rows(d=20))], base)
    names = without.pipeline.encoder.names
    slot = without.pipeline.encoder.slot_of("c", "a")
    assert names.of(slot) is None
    merged = OnlineLogit.merge([without, of(start, rows(a=100))], base)
    assert merged.pipeline.encoder.names.count(slot) == 110
