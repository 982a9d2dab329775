"""Alarms out of the house, though what takes them is down, talks nonsense or is full."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_process import until

from onlogit.daemon import notices
from onlogit.daemon.notices import Alarm, Notices
from onlogit.daemon.settings import NoticeSettings
from onlogit.errors import OutputError, StateError
from onlogit.storage.atomic import AtomicFile, write_all

ALARMS: list[Alarm] = [{"id": n, "direction": "up"} for n in (1, 2, 3)]


@contextmanager
def receiver(answers: list[bytes], told: list[int]) -> Iterator[str]:
    """A webhook that gives these answers, one a connection, the last of them from then on; `told`: alarms it was told."""

    def answer() -> None:
        for turn in range(1 << 20):
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                head = dict(line.lower().split(b": ") for line in iter(file.readline, b"\r\n") if b": " in line)
                file.read(int(head[b"content-length"]))
                told.append(int(head[b"x-onlogit-alarm"]))
                connection.sendall(answers[min(turn, len(answers) - 1)])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def kept(file: Path) -> list[int]:
    return [json.loads(line)["id"] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "FIRST_PAUSE", 0.05)


def test_a_webhook_that_talks_nonsense_is_tried_again(tmp_path: Path) -> None:
    told: list[int] = []
    with receiver([b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], told) as address:
        news = Notices(NoticeSettings(alarm_file=str(tmp_path / "alarms"), webhook=address), tmp_path)
        news.take(ALARMS)
        assert until(lambda: len(told) == 4)
        assert until(lambda: news._ways[2]._mark.last["webhook"] == 3)
        news.end(5.0)
    assert told == [1, 1, 2, 3]
    assert kept(tmp_path / "alarms") == [1, 2, 3]


def test_the_file_does_not_wait_for_a_webhook_that_is_down(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = NoticeSettings(alarm_file=str(tmp_path / "alarms"), webhook=f"http://127.0.0.1:{port}/")
    news = Notices(settings, tmp_path)
    news.take(ALARMS)
    assert until(lambda: kept(tmp_path / "alarms") == [1, 2, 3])
    news.end(5.0)
    assert json.loads((tmp_path / "delivered.json").read_text()) == {"log": 3, "file": 3, "webhook": 0}


def test_a_file_that_cannot_be_written_gets_its_alarms_later(tmp_path: Path) -> None:
    file = tmp_path / "later" / "alarms"
    news = Notices(NoticeSettings(alarm_file=str(file)), tmp_path)
    news.take(ALARMS[:1])
    assert until(lambda: news._ways[0]._mark.last["log"] == 1)
    news.take(ALARMS[:2])
    file.parent.mkdir()
    assert until(lambda: kept(file) == [1, 2])
    news.end(5.0)


def test_a_line_that_was_broken_off_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "alarms"

    def half(descriptor: int, data: bytes) -> None:
        monkeypatch.setattr(notices, "write_all", write_all)
        write_all(descriptor, data[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notices, "write_all", half)
    news = Notices(NoticeSettings(alarm_file=str(file)), tmp_path)
    news.take(ALARMS)
    assert until(lambda: file.exists() and file.read_bytes().count(b"\n") == 3)
    news.end(5.0)
    assert kept(file) == [1, 2, 3]


def test_a_mark_that_cannot_be_kept_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(AtomicFile):
        def write(self, data: object) -> int:
            self.abort()
            raise OutputError("cannot write: No space left on device")

    news = Notices(NoticeSettings(alarm_file=str(tmp_path / "alarms")), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(notices, "AtomicFile", Full)
        news.take(ALARMS[:1])
        assert until(lambda: kept(tmp_path / "alarms") == [1])
    news.take(ALARMS)
    news.end(5.0)
    assert kept(tmp_path / "alarms") == [1, 2, 3]
    assert json.loads((tmp_path / "delivered.json").read_text())["file"] == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"log": "x"}', '{"log": null}', "\xff"])
def test_a_damaged_mark_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "delivered.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StateError, match=r"delivered\.json is damaged"):
        Notices(NoticeSettings(), tmp_path)


def test_a_pipe_takes_alarms_too(tmp_path: Path) -> None:
    pipe, lines = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)

    def read() -> None:
        while len(lines) < len(ALARMS):
            with open(pipe, "rb") as file:
                lines.extend(file.readlines())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    news = Notices(NoticeSettings(alarm_file=str(pipe)), tmp_path)
    news.take(ALARMS)
    reader.join(10)
    news.end(1)
    assert [json.loads(line)["id"] for line in lines] == [1, 2, 3]
