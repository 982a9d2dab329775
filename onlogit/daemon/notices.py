"""Alarms out of the house: to the log, to a file, and to a webhook, each in a thread of its own, so that none waits for another.

The file gets every alarm once: those it has are known by their id, and one that it could not take is tried again until it
can. A webhook gets every alarm at least once, retried with growing pauses for a day, in order;
`X-Onlogit-Signature: sha256=HMAC` of the body, where ONLOGIT_WEBHOOK_SECRET is set. Which were delivered is kept beside
the journal.
"""

import hashlib
import hmac
import http.client
import json
import logging
import math
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onlogit.daemon.settings import NoticeSettings
from onlogit.errors import ConfigError, OutputError, StateError
from onlogit.storage.atomic import AtomicFile, write_all

log = logging.getLogger("onlogit.alarms")

Alarm = dict[str, Any]

TIMEOUT = 10.0
FIRST_PAUSE, LONGEST_PAUSE, GIVE_UP = 0.5, 300.0, 86_400.0
TAIL = 1 << 20  # bytes at the end of a file in which its last alarm is


class Notices:
    """Tells of alarms; `take` may be called with any number of those that are known already.

    A ConfigError for an address that is none, a StateError for a damaged record of what was delivered.
    """

    def __init__(self, settings: NoticeSettings, folder: Path, secret: str = "") -> None:
        if settings.webhook and not settings.webhook.startswith(("http://", "https://")):
            raise ConfigError(f"webhook = {settings.webhook!r}: an address with http:// or https:// would be accepted")
        self._settings, self._secret = settings, secret.encode()
        mark = Mark(folder / "delivered.json")
        if mark.begun and settings.alarm_file:  # it may have died between the file and the mark
            mark.last["file"] = max(mark.last["file"], last_told(Path(settings.alarm_file)))
        mark.keep()
        self._ways = [
            Way("log", self._log, mark),
            Way("file", self._append, mark),
            Way("webhook", self._post, mark, GIVE_UP),
        ]

    def take(self, alarms: list[Alarm]) -> None:
        """Alarms in the order of their ids."""
        for way in self._ways:
            way.take(alarms)

    def end(self, seconds: float) -> None:
        """Stop; what was not delivered is tried again after the next start."""
        deadline = time.monotonic() + seconds
        for way in self._ways:
            way.end()
        for way in self._ways:
            way.thread.join(max(deadline - time.monotonic(), 0.0))

    def _log(self, alarm: Alarm) -> None:
        log.warning("alarm %d: %s", alarm["id"], alarm["direction"], extra={"alarm": alarm})

    def _append(self, alarm: Alarm) -> None:
        """A line more, or an OSError with the file as it was; a pipe cannot be as it was."""
        if not self._settings.alarm_file:
            return
        line = json.dumps(alarm).encode() + b"\n"
        with open(self._settings.alarm_file, "ab", buffering=0) as file:
            if not file.seekable():
                write_all(file.fileno(), line)
                return
            size = file.seek(0, os.SEEK_END)
            try:
                write_all(file.fileno(), line)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise

    def _post(self, alarm: Alarm) -> None:
        """Taken with a status of success, or an OSError, an HTTPException or a ValueError."""
        if not self._settings.webhook:
            return
        body = json.dumps(alarm).encode()
        headers = {"content-type": "application/json", "x-onlogit-alarm": str(alarm["id"])}
        if self._secret:
            headers["x-onlogit-signature"] = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self._settings.webhook, body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            pass


class Mark:
    """The id of the alarm that each way told last, in a file; `begun` where there was one. A StateError where it is damaged."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self.begun = path.exists()
        try:
            told = json.loads(path.read_bytes()) if self.begun else {}
            self.last = {name: int(told.get(name, 0)) for name in ("log", "file", "webhook")}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StateError(
                f"{path} is damaged ({error}); it says which alarms were delivered: without it, those kept are told again"
            ) from error

    def advance(self, name: str, alarm: int) -> None:
        """A way has told an alarm."""
        with self._lock:
            self.last[name] = alarm
            self.keep()

    def keep(self) -> None:
        """Write it; on a full disk the next one that is kept has it all."""
        try:
            mark = AtomicFile(self._path)
            mark.write(json.dumps(self.last).encode())
            mark.finish()
        except OutputError as error:
            log.error("%s", error)


class Way:
    """One way that alarms go, in order, each tried until it is told, or for so many seconds."""

    def __init__(self, name: str, tell: Callable[[Alarm], None], mark: Mark, give_up: float = math.inf) -> None:
        self._name, self._tell, self._mark, self._give_up = name, tell, mark, give_up
        self._alarms: list[Alarm] = []
        self._news, self._ended = threading.Condition(), False
        self.thread = threading.Thread(target=self._run, name=f"onlogit notices to {name}", daemon=True)
        self.thread.start()

    def take(self, alarms: list[Alarm]) -> None:
        """Those that are new, in the order of their ids."""
        with self._news:
            known = self._alarms[-1]["id"] if self._alarms else self._mark.last[self._name]
            self._alarms += [alarm for alarm in alarms if alarm["id"] > known]
            self._news.notify()

    def end(self) -> None:
        """Try each that is left once, until one fails."""
        with self._news:
            self._ended = True
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._alarms or self._ended)
                if not self._alarms:
                    return
                alarm = self._alarms[0]
            if not self._told(alarm):
                return
            self._mark.advance(self._name, alarm["id"])
            with self._news:
                self._alarms.pop(0)

    def _told(self, alarm: Alarm) -> bool:
        """Whether it was told, or given up; False where the end came first."""
        pause, until = FIRST_PAUSE, time.monotonic() + self._give_up
        while True:
            try:
                self._tell(alarm)
                return True
            except (OSError, http.client.HTTPException, ValueError) as error:
                if time.monotonic() + pause > until:
                    log.error("alarm %d is given up: %s: %s", alarm["id"], self._name, error)
                    return True
                log.warning("alarm %d: %s: %s; trying again in %.1f s", alarm["id"], self._name, error, pause)
            with self._news:
                if self._news.wait_for(lambda: self._ended, pause):
                    return False
            pause = min(2 * pause, LONGEST_PAUSE)


def last_told(file: Path) -> int:
    """The id of the last whole line of a file of alarms, 0 where there is none; a line that was broken off is taken away."""
    try:
        with open(file, "r+b") as alarms:
            alarms.seek(-min(TAIL, alarms.seek(0, os.SEEK_END)), os.SEEK_END)
            whole, _, rest = alarms.read().rpartition(b"\n")
            if rest:
                alarms.truncate(alarms.seek(-len(rest), os.SEEK_END))
        return int(json.loads(whole.rpartition(b"\n")[2])["id"]) if whole else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
