"""Log loss of the default learner on real streams, one pass, nothing tuned: each figure is a limit, not a record."""

import pytest

from bench.streams import ABSENT, FOLDER, STREAMS
from onlogit import Config, LabelConfig, OnlineLogit, open_source

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)]

FRESH = {
    "elec2": 0.215,
    "noaa_weather": 0.434,
    "weather_aus": 0.336,
    "hotel_bookings": 0.290,
    "bank_marketing": 0.273,
    "jit_defects": 0.484,
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
    assert quality.log_loss <= 0.474
