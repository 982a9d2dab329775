"""River: logistic regression and the adaptive random forest, one event at a time in Python, so on a prefix.

Logistic regression: numbers through a StandardScaler, categories through a OneHotEncoder(drop_zeros=True), settings at
their defaults. The forest takes numbers and strings as they are. A null is an absent key for both.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from bench.peers.protocol import LABEL, Answer, Feed, Limits, Warm, Watch, in_order_of_labels

WARM_UP_ROWS = 50


def logistic_regression(feed: Feed, limits: Limits, warm: Warm) -> Answer:
    """(numbers | StandardScaler) + (categories | OneHotEncoder), then LogisticRegression()."""
    compose, preprocessing = import_module("river.compose"), import_module("river.preprocessing")
    linear_model = import_module("river.linear_model")

    def new() -> Any:
        branches = []
        if feed.numbers:
            branches.append(compose.SelectType((int, float)) | preprocessing.StandardScaler())
        if feed.categories:
            branches.append(compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=True))
        return compose.TransformerUnion(*branches) | linear_model.LogisticRegression()

    return _one_by_one(new(), new(), feed, limits, warm)


def random_forest(feed: Feed, limits: Limits, warm: Warm) -> Answer:
    """ARFClassifier(seed=1): ten Hoeffding trees with ADWIN, as River sets it."""
    forest = import_module("river.forest")
    return _one_by_one(forest.ARFClassifier(seed=1), forest.ARFClassifier(seed=1), feed, limits, warm)


def _one_by_one(trial: Any, model: Any, feed: Feed, limits: Limits, warm: Warm) -> Answer:
    n = min(feed.rows, limits.prefix)
    for x in _dicts(feed, WARM_UP_ROWS):
        trial.predict_proba_one(x)
        trial.learn_one(x, True)
    warm()
    y, p, waiting = (feed.y()[:n] == 1).tolist(), np.empty(n), {}
    with Watch() as watch:
        for x, (event, learned) in zip(_dicts(feed, n), in_order_of_labels(feed.place()[:n]), strict=True):
            stated = model.predict_proba_one(x)  # names the labels it has seen; nothing before the first
            p[event] = stated.get(True, 0.0) if stated else 0.5
            waiting[event] = x
            for other in learned:
                model.learn_one(waiting.pop(other), y[other])
    return Answer(p, n, watch.seconds)


def _dicts(feed: Feed, rows: int) -> Iterator[dict[str, Any]]:
    """The first `rows` events as River takes them."""
    done = 0
    for batch in feed.batches():
        for event in batch.drop_columns([LABEL]).select([*feed.numbers, *feed.categories]).to_pylist():
            if done == rows:
                return
            done += 1
            yield {name: value for name, value in event.items() if value is not None}
