"""Labels of outcomes whose event is still to come: kept as JSON texts, which tell a bool, a number and a text apart, since the
schema may not know the kind of the column yet."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby

import pyarrow as pa  # type: ignore[import-untyped]

LONGEST_LABEL = 200
KINDS = {bool: pa.bool_(), float: pa.float64(), str: pa.string()}


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
