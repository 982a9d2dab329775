"""Labels of outcomes whose event is still to come: kept as text, since the schema may not know their kind yet."""

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

KINDS = {"bool": pa.bool_(), "number": pa.float64(), "integer": pa.float64()}


def labels_of(texts: list[str], kind: str) -> pa.Array:
    """Labels again, of a column of this kind; one of no known kind yet is as its texts look."""
    told = pa.array(texts, pa.string())
    if kind in KINDS:
        return told.cast(KINDS[kind])
    if kind != "null":
        return told
    return told.cast(pa.bool_()) if set(texts) <= {"true", "false"} else _numbers(told)


def texts_of(labels: pa.Array) -> list[str]:
    """Labels as text that `labels_of` reads back."""
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    return [str(text) for text in labels.cast(pa.string()).to_pylist()]


def _numbers(texts: pa.Array) -> pa.Array:
    """Numbers where all are, else the texts."""
    try:
        return pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return texts
