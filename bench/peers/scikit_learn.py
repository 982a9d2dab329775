"""scikit-learn: SGDClassifier by mini-batches, and gradient boosting fitted anew along the stream.

SGDClassifier: numbers through a StandardScaler that learns by partial_fit (a null is then 0, the mean), categories
through a FeatureHasher of as many slots as everybody has; 256 events are scored, then learned.
HistGradientBoosting: at 40 cuts fitted on all rows whose labels are known by then (the latest 150,000 at most), nulls as
they are, categories as codes in order of first appearance, and declared as categories where there are at most 254 of them.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from bench.peers.protocol import F64, Answer, Feed, Limits, Warm, Watch

MINI_BATCH = 256
MOST_CATEGORIES = 254


def numbers_of(feed: Feed, data: Any) -> F64:
    """float64[n, numbers], NaN where null."""
    columns = [pc.cast(data[name], pa.float64()).to_numpy(zero_copy_only=False) for name in feed.numbers]
    return np.column_stack(columns) if columns else np.empty((len(data), 0))


class _Classifier:
    """Scaler, hasher and SGDClassifier held together."""

    def __init__(self, feed: Feed, settings: dict[str, Any]) -> None:
        self.feed, self.sparse = feed, import_module("scipy.sparse")
        self.scaler = import_module("sklearn.preprocessing").StandardScaler()
        self.hasher = import_module("sklearn.feature_extraction").FeatureHasher(
            1 << feed.slot_bits, input_type="string", alternate_sign=False
        )
        self.model = import_module("sklearn.linear_model").SGDClassifier(loss="log_loss", random_state=0, **settings)
        self.begun = False

    def encode(self, batch: Any) -> tuple[F64, Any]:
        """Numbers as they are, and hashed categories, of some rows."""
        x, slots = numbers_of(self.feed, batch), None
        if self.feed.categories:
            columns = [
                pc.binary_join_element_wise(name, pc.fill_null(batch[name].cast(pa.string()), "null"), "=").to_pylist()
                for name in self.feed.categories
            ]
            slots = self.hasher.transform(zip(*columns, strict=True))
        return x, slots

    def _tile(self, x: F64, slots: Any) -> Any:
        dense = np.nan_to_num(self.scaler.transform(x)) if self.begun and x.shape[1] else np.zeros_like(x)
        return dense if slots is None else self.sparse.hstack([dense, slots], format="csr")

    def score(self, x: F64, slots: Any) -> F64:
        if not self.begun:
            return np.full(len(x), 0.5)
        p: F64 = self.model.predict_proba(self._tile(x, slots))[:, 1]
        return p

    def learn(self, x: F64, slots: Any, y: Any) -> None:
        if x.shape[1]:
            self.scaler.partial_fit(x)
        self.begun = True
        self.model.partial_fit(self._tile(x, slots), y, classes=[0, 1])


WARM_ROWS = 65_536  # events of the throw-away model: a second of work


def sgd(**settings: Any) -> Callable[[Feed, Limits, Warm], Answer]:
    """SGDClassifier(loss="log_loss", **settings), 256 events at a time."""

    def run(feed: Feed, limits: Limits, warm: Warm) -> Answer:
        trial, model = _Classifier(feed, settings), _Classifier(feed, settings)
        part = next(feed.batches()).slice(0, MINI_BATCH)
        tile = trial.encode(part)
        trial.learn(*tile, np.arange(len(part)) % 2)
        trial.score(*tile)
        warm()
        _learn_at_once(feed, trial, np.empty(min(feed.rows, WARM_ROWS)))
        p = np.empty(feed.rows)
        with Watch() as learning:
            (_learn_at_once if feed.at_once else _learn_late)(feed, model, p)
        with Watch() as scoring:
            for _, batch in _mini_batches(feed):
                model.score(*model.encode(batch))
        return Answer(p, feed.rows, learning.seconds, scoring.seconds)

    return run


def _mini_batches(feed: Feed) -> Iterator[tuple[int, pa.RecordBatch]]:
    first = 0
    for batch in feed.batches():
        for start in range(0, len(batch), MINI_BATCH):
            part = batch.slice(start, MINI_BATCH)
            yield first, part
            first += len(part)


def _learn_at_once(feed: Feed, model: _Classifier, p: F64) -> None:
    """As many events as there is room for in p."""
    y = feed.y()
    for first, batch in _mini_batches(feed):
        if first == len(p):
            break
        tile, end = model.encode(batch), first + len(batch)
        p[first:end] = model.score(*tile)
        model.learn(*tile, y[first:end])


def _learn_late(feed: Feed, model: _Classifier, p: F64) -> None:
    y, place = feed.y(), feed.place()
    order = np.argsort(place, kind="stable")
    x, slots = model.encode(feed.table(feed.rows))
    done = 0
    for first in range(0, feed.rows, MINI_BATCH):
        end = min(first + MINI_BATCH, feed.rows)
        p[first:end] = model.score(x[first:end], None if slots is None else slots[first:end])
        known = int(np.searchsorted(place, end, side="right", sorter=order))
        if known > done:
            rows = order[done:known]
            model.learn(x[rows], None if slots is None else slots[rows], y[rows])
            done = known


def boosting_refit(feed: Feed, limits: Limits, warm: Warm) -> Answer:
    """HistGradientBoostingClassifier fitted anew at evenly spaced cuts; states the blocks after the first cut."""
    ensemble = import_module("sklearn.ensemble")
    n = feed.rows
    warm()
    with Watch() as watch:
        x, declared = _coded(feed, feed.table(n))
        y, place = feed.y(), feed.place()
        cuts = np.linspace(0, n, limits.refits + 2).astype(int)[1:]
        p = np.full(n, 0.5)
        for cut, end in pairwise(cuts.tolist()):
            known = np.flatnonzero(place[:cut] <= cut)[-limits.refit_rows :]
            if len(np.unique(y[known])) < 2:
                p[cut:end] = (y[known].sum() + 0.5) / (len(known) + 1.0)
                continue
            model = ensemble.HistGradientBoostingClassifier(categorical_features=declared, random_state=0)
            p[cut:end] = model.fit(x[known], y[known]).predict_proba(x[cut:end])[:, 1]
    return Answer(p[cuts[0] :], n, watch.seconds, first=int(cuts[0]))


def _coded(feed: Feed, table: pa.Table) -> tuple[F64, list[int]]:
    """Numbers, then codes of categories, NaN where null; and the columns that are declared to be categories."""
    columns, declared = [numbers_of(feed, table)], []
    for name in feed.categories:
        coded = table[name].combine_chunks().dictionary_encode()
        if len(coded.dictionary) <= MOST_CATEGORIES:
            declared.append(len(feed.numbers) + len(columns) - 1)
        columns.append(pc.cast(coded.indices, pa.float64()).to_numpy(zero_copy_only=False)[:, None])
    return np.hstack(columns), declared
