"""Entries that break the fold, as nobody foresaw: each is put aside, no other with it, live as after a restart."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import forks
import httpx
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from daemon_process import Running, until

from onlogit import Config
from onlogit.daemon.entries import BEGIN, COMMAND, EVENTS, beginning
from onlogit.daemon.fold import Fold
from onlogit.daemon.recovery import MOST_BROKEN, recover, replay
from onlogit.daemon.service import Service
from onlogit.daemon.settings import EventSettings, KeepSettings, Settings
from onlogit.daemon.work import Work
from onlogit.errors import StateError
from onlogit.storage import Checkpoints, arrays
from onlogit.storage.journal import Entry, Journal, New

ARGS = ("--label", "late", "--key", "id", "--learner", "sgd", "--slot-bits", "8")
BROKEN = b'{"command": "price"}'  # without the thresholds that the fold looks for
BAD = 666.0


def packed(fold: Fold) -> bytes:
    return arrays.pack(fold.header(), fold.state())


def test_a_journal_with_an_entry_that_breaks_the_fold_is_replayed_without_it(
    serve: Callable[..., Running], tmp_path: Path
) -> None:
    daemon = serve(*ARGS)
    assert daemon.post("/v1/events", [{"id": "a", "x": 1.0, "late": True}]).status_code == 200
    daemon.end(signal.SIGKILL)
    journal = Journal(daemon.state)
    broken = journal.append([New(COMMAND, journal.latest, BROKEN)])
    journal.close()
    told = forks.run([*forks.COMMAND, "replay", str(daemon.state), "--fresh"], capture_output=True, check=True)
    assert f"entry {broken} breaks the fold" in str(told.stderr)
    for put_aside in (1, 0):  # once and for all
        again = serve(*ARGS)
        assert again.json("/v1/status")["counts"]["learned"] == 2 - put_aside
        assert again.json("/v1/status")["entries_put_aside"] == put_aside
        assert again.post("/v1/events", [{"id": f"b{put_aside}", "x": 1.0, "late": False}]).status_code == 200
        again.end(signal.SIGKILL)
    assert f"entry {broken} broke the fold" in again.log.read_text()


def test_a_label_that_cannot_be_meant_is_refused_and_a_crash_there_does_no_harm(serve: Callable[..., Running]) -> None:
    """The kind of the label is not known yet when it comes; the process dies between the commit and the fold."""
    args = (*ARGS, "--positive", "yes")
    daemon = serve(*args, env={"ONLOGIT_FAILPOINT": "fold:3"})  # after the schema and the event
    assert daemon.post("/v1/events", {"id": "a", "x": 1.0}).status_code == 200
    with suppress(httpx.TransportError):
        daemon.post("/v1/outcomes", {"id": "a", "late": 1})
    assert daemon.process.wait(20) == -signal.SIGKILL
    again = serve(*args)
    for label, found in ((1, "holds numbers"), (True, "is bool")):
        for path, body in (("outcomes", {"id": "a", "late": label}), ("events", {"id": "b", "x": 1.0, "late": label})):
            refused = again.post(f"/v1/{path}", body)
            assert (refused.status_code, found in refused.text) == (422, True)
    status = again.json("/v1/status")
    assert (status["entries_put_aside"], status["counts"]["events"], status["pending"]) == (0, 1, 1)
    assert "1 of 4 journal entries refused" in again.log.read_text()
    assert again.post("/v1/outcomes", {"id": "a", "late": "yes"}).json()["matched"] == 1


def test_one_of_many_is_left_out_and_more_than_a_few_are_an_error() -> None:
    entries = [Entry(seq, COMMAND, 0, BROKEN, b"") for seq in range(2, 3 + MOST_BROKEN)]

    def begin(count: int) -> tuple[Fold, Iterator[Entry]]:
        fold = Fold()
        fold.begin(1, beginning(EventSettings(label="y").roles(), Config(), 10))
        return fold, iter(entries[:count])

    assert list(replay(lambda: begin(MOST_BROKEN), print).broken) == [each.seq for each in entries[:MOST_BROKEN]]
    with pytest.raises(StateError, match="breaks the fold"):
        replay(lambda: begin(MOST_BROKEN + 1), print)
    data = b'{"roles": {"colour": "x"}, "config": {}, "early": 10}'
    with pytest.raises(StateError, match=r"entry 1 \(begin\) cannot be followed"):
        replay(lambda: (Fold(), [Entry(1, BEGIN, 0, data, b"")]), print)


class Injected:
    """A service whose fold breaks, after it has learned them, on events that have x = 666."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Fold.events

        def events(fold: Fold, seq: int, batch: pa.RecordBatch, *more: Any, **others: Any) -> Any:
            stated = real(fold, seq, batch, *more, **others)
            if BAD in batch["x"].to_pylist():
                raise RuntimeError("nobody foresaw this")
            return stated

        monkeypatch.setattr(Fold, "events", events)
        keep = KeepSettings(state=str(folder))
        model = Config(learner="sgd", slot_bits=8)
        self.service = Service(Settings(keep=keep, events=EventSettings(label="y", key="id"), model=model))
        self.service.settle(rows("first").schema)
        self.service.start()
        self.answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def send(self, work: Work, name: str) -> None:
        work.reply = lambda result: self.answers.put((name, result))
        self.service.submit(work)

    def heard(self, count: int) -> dict[str, Any]:
        return dict(self.answers.get(timeout=20) for _ in range(count))

    def end(self) -> None:
        """State is that of the journal, as the daemon left it, from its first entry on."""
        live = self.service.ask(packed)
        journal = Journal(self.service.settings.keep.state)
        checkpoints = Checkpoints(self.service.settings.keep.state, hold=False)
        assert packed(recover(checkpoints, journal, print).fold) == live
        checkpoints.close()
        journal.close()
        assert self.service.stop(time.monotonic() + 20)


def rows(name: str, x: float = 1.0) -> pa.RecordBatch:
    return pa.record_batch({"id": [name], "x": [x], "y": pa.array([True])})


def test_of_entries_that_are_folded_as_one_the_broken_one_alone_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Injected(tmp_path, monkeypatch)
    gate = threading.Event()
    one.service.worker.call(lambda fold: gate.wait(20), lambda result: None)
    sent = {"before": 1.0, "bad": BAD, "after": 2.0}
    for name, x in sent.items():
        one.send(Work(EVENTS, print, 1, batch=rows(name, x)), name)
    assert until(lambda: one.service.scribe.journal.last == 2 + len(sent))
    gate.set()
    heard = one.heard(3)
    assert "broke the fold" in str(heard.pop("bad"))
    assert {name: result[0] for name, result in heard.items()} == {"before": 3, "after": 5}
    assert one.service.ask(lambda fold: (fold.model.counts.events, fold.seq)) == (2, 5)
    assert (one.service.meters.broken, one.service.meters.waiting) == (1, 0)
    assert list(one.service.scribe.journal.skipped()) == [4]
    one.end()


def test_requests_that_share_a_broken_entry_are_tried_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Injected(tmp_path, monkeypatch)
    reader, gate = one.service.reader("events"), threading.Event()

    def wait(journal: Journal) -> None:
        gate.wait(20)

    one.service.scribe.call(wait)
    for name, x in {"good": 1.0, "bad": BAD}.items():
        decoded, _ = reader.decode(b'{"id": "%s", "x": %f, "y": true}' % (name.encode(), x), False)
        one.send(Work(EVENTS, print, 1, decoded=decoded, reader=reader), name)
    gate.set()
    heard = one.heard(2)
    assert heard["good"][0] == 4
    assert "broke the fold" in str(heard["bad"])
    assert one.service.ask(lambda fold: fold.model.counts.events) == 1
    assert list(one.service.scribe.journal.skipped()) == [3, 5]
    one.end()


def stop(one: Injected, fold: threading.Event) -> None:
    """Stop the service: its fold goes on once its scribe has ended."""
    whole: list[bool] = []
    thread = threading.Thread(target=lambda: whole.append(one.service.stop(time.monotonic() + 60)))
    thread.start()
    assert until(lambda: not one.service.scribe.thread.is_alive())
    fold.set()
    thread.join(20)
    assert whole == [True]


def test_the_last_checkpoint_has_all_that_was_folded_while_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start after it replays nothing."""
    one = Injected(tmp_path, monkeypatch)
    gate = threading.Event()
    one.service.worker.call(lambda fold: gate.wait(20), lambda result: None)
    for k in range(4):  # an entry each, and none folded before the stop has begun
        one.send(Work(EVENTS, print, 1, batch=rows(f"event {k}"), alone=True), f"event {k}")
    stop(one, gate)
    assert len(one.heard(4)) == 4
    assert one.service.ask(lambda fold: fold.seq, 1.0) == one.service.checkpoint_seq == 6  # its thread has ended
    again = Service(one.service.settings)
    assert (again.replayed, again.worker.fold.model.counts.events) == (0, 4)
    again.stop(time.monotonic() + 1)


def test_an_entry_that_breaks_the_fold_while_it_stops_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Injected(tmp_path, monkeypatch)
    gate = threading.Event()
    one.service.worker.call(lambda fold: gate.wait(20), lambda result: None)
    one.send(Work(EVENTS, print, 1, batch=rows("good")), "good")
    one.send(Work(EVENTS, print, 1, batch=rows("bad", BAD)), "bad")
    stop(one, gate)
    heard = one.heard(2)
    assert heard["good"][0] == 3
    assert "broke the fold" in str(heard["bad"])
    journal = Journal(tmp_path)
    assert list(journal.skipped()) == [4]
    journal.close()


def test_requests_that_cannot_be_tried_again_while_it_stops_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They shared an entry that is refused, or breaks the fold; one alone has its own answer."""
    one = Injected(tmp_path, monkeypatch)
    reader, gates = one.service.reader("events"), (threading.Event(), threading.Event())
    one.service.worker.call(lambda fold: gates[0].wait(20), lambda result: None)

    def wait(journal: Journal) -> None:
        gates[1].wait(20)

    one.service.scribe.call(wait)
    for name, x in {"good": 1.0, "bad": BAD}.items():
        decoded, _ = reader.decode(b'{"id": "%s", "x": %f, "y": true}' % (name.encode(), x), False)
        one.send(Work(EVENTS, print, 1, decoded=decoded, reader=reader), name)
    gates[1].set()
    stop(one, gates[0])
    assert {name: (error.status, "stopping" in str(error)) for name, error in one.heard(2).items()} == {
        "good": (503, True), "bad": (503, True),
    }  # fmt: skip
    assert one.service.meters.waiting == 0
    again = Service(one.service.settings)
    assert again.worker.fold.model.counts.events == 0
    again.stop(time.monotonic() + 1)
