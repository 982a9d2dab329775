"""Labels of bools and small integers are read by a shorter way, which has to say what the longer one says."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlogit.encoding.label_values import LabelValues
from onlogit.errors import DataError

KINDS = st.sampled_from([pa.int8(), pa.int64(), pa.float64(), pa.bool_()])
BATCHES = st.lists(st.tuples(st.lists(st.sampled_from([-1, 0, 1, 2, None]), max_size=6), st.booleans()), max_size=4)


def read(values: Sequence[int | None], kind: Any, weight: float, of: LabelValues) -> Any:
    """What the values mean, or the text of the error."""
    bools = [None if v is None else v == 1 for v in values]
    array = pa.array(bools if kind == pa.bool_() else values, kind)
    try:
        meaning, of.negative = of.read(array, np.full(len(values), weight), 0, of.negative)
    except DataError as error:
        return str(error)
    return meaning.tolist(), of.negative


@given(batches=BATCHES, kind=KINDS)
def test_the_shorter_way_says_what_the_longer_one_says(batches: list[tuple[list[int | None], bool]], kind: Any) -> None:
    both, long_only = LabelValues("y", None), LabelValues("y", None)
    long_only._two_values = lambda array: None  # type: ignore[method-assign]
    for values, weighs in batches:
        assert read(values, kind, float(weighs), both) == read(values, kind, float(weighs), long_only)


def not_utf8(texts: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    """As record batches of other producers may have them."""
    offsets = np.cumsum([0, *(len(text) for text in texts)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))).cast(kind)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_a_text_that_is_not_utf8_is_a_value_like_any_other(kind: pa.DataType) -> None:
    labels, weight = LabelValues("y", "yes"), np.ones(3)
    assert labels.read(not_utf8([b"yes", b"\xff", b"yes"], kind), weight, 0, None)[1] == "\ufffd"
    with pytest.raises(DataError, match=r"row 12 .*: label \ufffd; accepted are yes \(positive\), no \(negative\)"):
        labels.read(not_utf8([b"yes", b"no", b"\xff"], kind), weight, 10, None)


@pytest.mark.parametrize("positive", ["true", "false", "True", "yes"])
def test_a_named_positive_bool(positive: str) -> None:
    both, long_only = LabelValues("y", positive), LabelValues("y", positive)
    long_only._two_values = lambda array: None  # type: ignore[method-assign]
    for values in ([1, 0], [0, 0], [1, 1]):
        assert read(values, pa.bool_(), 1.0, both) == read(values, pa.bool_(), 1.0, long_only)


@pytest.mark.parametrize(
    ("kind", "told"), [(pa.int64(), "holds numbers"), (pa.float64(), "holds numbers"), (pa.bool_(), "is bool")]
)
def test_a_positive_value_that_labels_of_a_kind_cannot_have_is_refused(kind: Any, told: str) -> None:
    """The schema did not know the kind yet, where the first labels were null; they stay unlabelled."""
    labels = LabelValues("y", "yes")
    assert read([None, None], kind, 1.0, labels) == ([-1, -1], None)
    assert told in read([None, 1], kind, 1.0, labels)
    assert labels.negative is None
