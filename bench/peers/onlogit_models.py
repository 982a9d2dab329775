"""onlogit as its users run it: Arrow batches in, encoding, progressive quality and the calibration monitor on."""

from collections.abc import Callable
from typing import Any

import numpy as np

import onlogit
from bench.peers.protocol import LABEL, Answer, Feed, Limits, Skipped, Warm, Watch
from onlogit.errors import ConfigError

WARM_UP_ROWS = 2_000
TRIAL_SLOT_BITS = 10  # the model that warms up is small, so that the peak is the other's


def learner(name: str) -> Callable[[Feed, Limits, Warm], Answer]:
    """The competitor with that learner and every other setting at its default."""

    def run(feed: Feed, limits: Limits, warm: Warm) -> Answer:
        try:
            trial, model = _model(feed, name, TRIAL_SLOT_BITS), _model(feed, name, feed.slot_bits)
        except ConfigError as error:
            raise Skipped(f"this onlogit has no learner {name!r}") from error
        first = next(feed.batches()).slice(0, WARM_UP_ROWS)
        trial.step(first)
        trial.predict_proba(first)
        del trial
        warm()
        p = []
        with Watch() as learning:
            for batch in feed.batches():
                p.append(model.step(batch).p)
        with Watch() as scoring:
            for batch in feed.batches():
                model.predict_proba(batch)
        return Answer(np.concatenate(p), feed.rows, learning.seconds, scoring.seconds)

    return run


def _model(feed: Feed, name: str, slot_bits: int) -> "onlogit.OnlineLogit":
    delay = int(feed.place()[0]) - 1
    labels = onlogit.LabelConfig(delay=0 if feed.by_time else delay)
    config = onlogit.Config(learner=name, slot_bits=slot_bits, labels=labels)
    roles: dict[str, Any] = {}
    if feed.by_time:
        roles = {"time": "time", "label_time": "label_time", "drop": ["time"]}
    return onlogit.OnlineLogit(label=LABEL, config=config, **roles)
