"""Batches through the parts of a step: in order, side by side, and none past one that failed."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from onlogit.relay import Relay

WAIT = 20.0  # seconds after which a test gives up


def noting(seen: list[tuple[str, Any]], name: str, seconds: float = 0.0) -> Callable[[Any], Any]:
    def part(item: Any) -> Any:
        time.sleep(seconds)
        seen.append((name, item))
        return item

    return part


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("slow", ["a", "b", "c"])
def test_every_part_takes_all_items_in_their_order(threads: int, slow: str) -> None:
    seen = list[tuple[str, Any]]()
    relay = Relay([noting(seen, name, 0.002 if name == slow else 0.0) for name in "abc"], threads)
    told = [relay.take(item) for item in range(20)]
    assert [each.result(WAIT) for each in told] == list(range(20))
    relay.close()
    for name in "abc":
        assert [item for part, item in seen if part == name] == list(range(20))
    for item in range(20):
        assert [part for part, of in seen if of == item] == ["a", "b", "c"]


@pytest.mark.parametrize(("threads", "parts", "most"), [(1, 3, 1), (2, 3, 2), (3, 3, 3), (8, 3, 3), (8, 2, 2)])
def test_no_more_items_are_under_way_than_there_are_threads_or_parts(threads: int, parts: int, most: int) -> None:
    lock, at_once, highest = threading.Lock(), [0], [0]

    def counted(step: int) -> Callable[[Any], Any]:
        def part(item: Any) -> Any:
            with lock:
                at_once[0] += 1
                highest[0] = max(highest[0], at_once[0])
            time.sleep(0.003)
            with lock:
                at_once[0] -= 1
            return item

        return part

    relay = Relay([counted(step) for step in range(parts)], threads)
    for each in [relay.take(item) for item in range(12)]:
        each.result(WAIT)
    relay.close()
    assert highest[0] <= most


def test_parts_are_at_different_items_at_the_same_time() -> None:
    """The first part of one item waits until the second part of the item before it has begun, and the other way round."""
    meeting = threading.Barrier(2)

    def first(item: int) -> int:
        if item == 1:
            meeting.wait(WAIT)
        return item

    def second(item: int) -> int:
        if item == 0:
            meeting.wait(WAIT)
        return item

    relay = Relay([first, second], 2)
    assert [each.result(WAIT) for each in [relay.take(0), relay.take(1)]] == [0, 1]
    relay.close()


def test_behind_an_item_that_failed_none_comes_to_that_part() -> None:
    seen = list[tuple[str, Any]]()

    def fragile(item: int) -> int:
        if item == 2:
            raise ValueError("the third is broken")
        return noting(seen, "b")(item)  # type: ignore[no-any-return]

    relay = Relay([noting(seen, "a"), fragile, noting(seen, "c")], 3)
    told = [relay.take(item) for item in range(6)]
    assert [each.result(WAIT) for each in told[:2]] == [0, 1]
    for each in told[2:]:
        with pytest.raises(ValueError, match="the third is broken"):
            each.result(WAIT)
    relay.close()
    assert [item for part, item in seen if part in "bc" and item >= 2] == []


def test_each_part_is_given_what_the_one_before_made_of_it() -> None:
    relay = Relay([lambda x: x + 1, lambda x: x * 10, str], 2)
    assert [each.result(WAIT) for each in [relay.take(1), relay.take(2)]] == ["20", "30"]
    relay.close()
