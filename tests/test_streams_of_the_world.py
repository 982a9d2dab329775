"""Log loss of the default learner on real streams, one pass, nothing tuned: each figure is a limit, not a record."""

from typing import Any

import pytest
from pyarrow import parquet as pq  # type: ignore[import-untyped]

from bench.streams import ABSENT, FOLDER, STREAMS, with_departure
from onlogit import Config, LabelConfig, OnlineLogit, open_source

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)]

FRESH = {
    "elec2": 0.170,
    "noaa_weather": 0.430,
    "weather_aus": 0.336,
    "hotel_bookings": 0.170,
    "bank_marketing": 0.273,
    "jit_defects": 0.480,
    "kdd_http": 0.00035,
    "flights": 0.429,
}
DELAYED = {"elec2": 0.490, "noaa_weather": 0.460, "weather_aus": 0.356}


def learn(model: OnlineLogit, name: str) -> OnlineLogit:
    source = open_source(STREAMS[name].path)
    while (found := source.read()) is not None:
        model.step(found[0])
    source.close()
    model.finish()
    return model


@pytest.mark.parametrize("name", FRESH)
def test_log_loss_with_fresh_labels(name: str) -> None:
    quality = learn(OnlineLogit(**STREAMS[name].roles), name).quality()
    assert quality.log_loss is not None
    assert quality.base_log_loss is not None
    assert quality.log_loss <= FRESH[name]
    assert quality.log_loss < quality.base_log_loss


@pytest.mark.parametrize("name", DELAYED)
def test_log_loss_with_labels_a_thousand_examples_late(name: str) -> None:
    config = Config(labels=LabelConfig(delay=1000))
    quality = learn(OnlineLogit(**STREAMS[name].roles, config=config), name).quality()
    assert quality.log_loss is not None
    assert quality.log_loss <= DELAYED[name]


def test_log_loss_of_flights_learned_when_they_land() -> None:
    model = OnlineLogit("late", time="sched_dep", label_time="landed_at", drop=["flight_id", "sched_dep"])
    quality = learn(model, "flights").quality()
    assert quality.log_loss is not None
    assert quality.log_loss <= 0.471


BOOKINGS = {"time": "booking_date", "label_time": "reservation_status_date"}


def bookings(**roles: Any) -> tuple[OnlineLogit, bool]:
    """The bookings learned in one of several orders, and whether it warned. Cancellations are known early, stays late."""
    stream = STREAMS["hotel_bookings"]
    drop = {*stream.drop, "departure"} - {roles.get("label_time"), roles.get("due")}
    model, warned = OnlineLogit(stream.label, drop=sorted(drop), **roles), False
    for batch in with_departure(pq.read_table(stream.path)).to_batches(max_chunksize=8192):
        model.step(batch)
        warned = warned or model.label_delays().uneven
    model.finish()
    return model, warned


def test_log_loss_of_bookings_learned_when_guests_depart() -> None:
    model, warned = bookings(**BOOKINGS, due="departure")
    quality = model.quality()
    assert quality.log_loss is not None
    assert quality.log_loss <= 0.54
    assert (model.counts.learned, model.counts.unresolved) == (119_390, 0)
    assert not warned


def test_bookings_learned_on_arrival_fall_into_the_trap_and_are_told() -> None:
    model, warned = bookings(**BOOKINGS)
    quality = model.quality()
    assert quality.log_loss is not None
    assert quality.log_loss > 0.75
    assert warned
