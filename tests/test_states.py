"""Arrays of a file are taken only where each is such as is wanted, and the error says which is not, and why."""

import numpy as np
import pytest

from onlogit.errors import StateError
from onlogit.states import check, like, under

WANTED = like({"a": np.zeros(3), "b": np.zeros((5, 2), np.int64)}, any_length=("b",))


def test_parts_are_found_by_the_beginning_of_their_names() -> None:
    one, other = np.zeros(1), np.ones(1)
    assert under({"x.a": one, "x.y.b": other, "xa": one, "y.a": one}, "x.") == {"a": one, "y.b": other}


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_any_length_is_any(rows: int) -> None:
    check("it", {"a": np.ones(3), "b": np.ones((rows, 2), np.int64), "more": np.ones(1)}, WANTED, finite=True)


@pytest.mark.parametrize(
    ("a", "says"),
    [
        (None, r"it: the array 'a' is missing; accepted is float64\[3\]"),
        (np.zeros(3, np.float32), r"'a' is float32\[3\]; accepted is float64\[3\]"),
        (np.zeros((3, 1)), r"'a' is float64\[3, 1\]; accepted is float64\[3\]"),
        (np.array([0.0, np.nan, 0.0]), "'a' holds a number that is not finite"),
    ],
)
def test_another_array_is_refused_by_name(a: np.ndarray | None, says: str) -> None:
    state = {"b": np.zeros((5, 2), np.int64)} | ({} if a is None else {"a": a})
    with pytest.raises(StateError, match=says):
        check("it", state, WANTED, finite=True)
    with pytest.raises(StateError, match=r"accepted is int64\[n, 2\]"):
        check("it", {"a": np.zeros(3), "b": np.zeros((5, 3), np.int64)}, WANTED)
