"""Outcomes that came before their events: learned right after the entry that has those.

Their labels wait in the ledger as JSON texts, which tell a bool, a number and a text apart, since the schema may not know the
kind of the column yet.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.ledger import Ledger
from onlogit.errors import DataError
from onlogit.model import OnlineLogit

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Learn = Callable[[pa.RecordBatch], None]  # learns outcomes; a DataError has changed nothing

LONGEST_LABEL = 200
KINDS = {bool: pa.bool_(), float: pa.float64(), str: pa.string()}


def learn_early(ledger: Ledger, batch: pa.RecordBatch, keys: U64, event: I64, model: OnlineLogit, learn: Learn) -> None:
    """Learn what waits for these events [n]: of each key for its first row, whose event it is."""
    rows, texts = ledger.take(keys)
    if not rows:
        return
    key, label = model.schema.with_role("key"), model.schema.with_role("label")
    assert key is not None
    assert label is not None
    here = model.pipeline.memory.find(keys[rows]) == event[rows]
    ledger.counts.duplicate_outcomes += int(np.count_nonzero(~here))
    ledger.told(keys[rows][~here])
    place, start = np.array(rows)[here], 0
    for told in labels_of([text for text, own in zip(texts, here.tolist(), strict=True) if own]):
        at = place[start : start + len(told)]
        outcomes = {key.name: batch.column(key.name).take(pa.array(at)), label.name: told}
        _learn_labels(ledger, pa.record_batch(outcomes), keys[at], learn)
        start += len(told)


def _learn_labels(ledger: Ledger, outcomes: pa.RecordBatch, keys: U64, learn: Learn) -> None:
    """Learn those that are labels of the column by now, and drop others: where all of a batch are not, by halves."""
    try:
        learn(outcomes)
    except DataError:
        half = len(keys) // 2
        if half:
            _learn_labels(ledger, outcomes.slice(0, half), keys[:half], learn)
            _learn_labels(ledger, outcomes.slice(half), keys[half:], learn)
        else:
            ledger.counts.unread_outcomes += 1
        return
    ledger.counts.early_used += len(keys)
    ledger.told(keys)


def texts_of(labels: pa.Array) -> list[str]:
    """Labels without nulls as texts; of a label that is a text, the first 200 characters."""
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    kept = {value: json.dumps(_plain(value)) for value in labels.unique().to_pylist()}
    return [kept[value] for value in labels.to_pylist()]


def labels_of(texts: Iterable[str]) -> Iterator[pa.Array]:
    """The labels again, in their order: those of one kind that follow one another together."""
    known: dict[str, bool | float | str] = {}
    for text in texts:
        if text not in known:
            known[text] = json.loads(text)
    for kind, run in groupby((known[text] for text in texts), type):
        yield pa.array(list(run), KINDS[kind])


def _plain(value: object) -> bool | float | str:
    if isinstance(value, bool):
        return value
    return value[:LONGEST_LABEL] if isinstance(value, str) else float(value)  # type: ignore[arg-type]
