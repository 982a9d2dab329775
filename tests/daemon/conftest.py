"""Daemons for tests."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_process import Running
from forks import Forked


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts daemons in tmp_path, by fork unless told otherwise; they are killed at the end."""
    started: list[Running] = []

    def start(*args: str, **more: Any) -> Running:
        started.append(Running(tmp_path, *args, **{"start": Forked} | more))
        return started[-1]

    yield start
    for each in started:
        each.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One daemon for the tests of a module: events of x and town, label late by key id."""
    daemon = Running(
        tmp_path_factory.mktemp("daemon"), "--label", "late", "--key", "id", "--learner", "sgd", start=Forked
    )
    answer = daemon.post(
        "/v1/events", [{"id": "first", "x": 0.5, "town": "Ulm"}, {"id": "second", "x": None, "town": "Bonn"}]
    )
    assert answer.status_code == 200, answer.text
    yield daemon
    daemon.end(signal.SIGKILL)
