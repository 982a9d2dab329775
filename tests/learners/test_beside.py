"""What is done beside: in order, all of it, and the first error comes out."""

from threading import Event

import pytest

from onlogit.learners.beside import Beside


@pytest.mark.parametrize("alone", [False, True])
def test_all_is_done_in_order(alone: bool) -> None:
    told: list[int] = []
    beside = Beside("test", alone)
    for k in range(100):
        beside.do(told.append, k)
        if k == 50:
            assert beside.done().wait(10.0)
            assert told == list(range(51))
    beside.all_given()
    beside.wait()
    assert told == list(range(100))


def test_it_does_not_hold_up_who_gives() -> None:
    may = Event()
    beside = Beside("test", alone=False)
    beside.do(may.wait, 10.0)
    last = beside.done()
    beside.all_given()
    assert not last.is_set()
    may.set()
    beside.wait()
    assert last.is_set()


@pytest.mark.parametrize("alone", [False, True])
def test_the_first_error_comes_out(alone: bool) -> None:
    def fail(what: str) -> None:
        raise ValueError(what)

    def go() -> None:
        beside = Beside("test", alone)
        beside.do(fail, "one")
        beside.do(fail, "two")
        assert beside.done().wait(10.0)
        beside.all_given()
        beside.wait()

    with pytest.raises(ValueError, match="one"):
        go()
