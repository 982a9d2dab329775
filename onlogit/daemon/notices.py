"""Alarms out of the house: to the log, to a file, and to a webhook, in a thread of their own.

The file gets every alarm once: those it has are known by their id. A webhook gets every alarm at least once, retried with
growing pauses for a day, in order; `X-Onlogit-Signature: sha256=HMAC` of the body, where ONLOGIT_WEBHOOK_SECRET is set.
Which were delivered is kept beside the journal.
"""

import hashlib
import hmac
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from onlogit.daemon.settings import NoticeSettings
from onlogit.errors import ConfigError
from onlogit.storage.atomic import AtomicFile

log = logging.getLogger("onlogit.alarms")

TIMEOUT = 10.0
FIRST_PAUSE, LONGEST_PAUSE, GIVE_UP = 0.5, 300.0, 86_400.0
TAIL = 1 << 20  # bytes at the end of a file in which its last alarm is


class Notices:
    """Tells of alarms; `take` may be called with any number of those that are known already."""

    def __init__(self, settings: NoticeSettings, folder: Path, secret: str = "") -> None:
        if settings.webhook and not settings.webhook.startswith(("http://", "https://")):
            raise ConfigError(f"webhook = {settings.webhook!r}: an address with http:// or https:// would be accepted")
        self._settings, self._secret = settings, secret.encode()
        self._mark = folder / "delivered.json"
        begun = self._mark.exists()
        told = json.loads(self._mark.read_text()) if begun else {}
        self._last = {name: int(told.get(name, 0)) for name in ("log", "file", "webhook")}
        if begun and settings.alarm_file:  # it may have died between the file and the mark
            self._last["file"] = max(self._last["file"], last_told(Path(settings.alarm_file)))
        self._keep_mark()
        self._alarms: list[dict[str, Any]] = []
        self._news, self._ended = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="onlogit notices", daemon=True)
        self._thread.start()

    def take(self, alarms: list[dict[str, Any]]) -> None:
        """Alarms in the order of their ids."""
        with self._news:
            known = self._alarms[-1]["id"] if self._alarms else min(self._last.values())
            self._alarms += [alarm for alarm in alarms if alarm["id"] > known]
            self._news.notify()

    def end(self, seconds: float) -> None:
        """Stop; what was not delivered is tried again after the next start."""
        with self._news:
            self._ended = True
            self._news.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._alarms and not self._ended:
                    self._news.wait()
                if self._ended and not self._alarms:
                    return
                alarm = self._alarms[0]
            self._tell(alarm)
            with self._news:
                self._alarms.pop(0)

    def _tell(self, alarm: dict[str, Any]) -> None:
        ways = {"log": self._log, "file": self._append, "webhook": self._post}
        for name, way in ways.items():
            if alarm["id"] > self._last[name]:
                way(alarm)
                if self._ended and name == "webhook":
                    return
                self._last[name] = alarm["id"]
        self._keep_mark()

    def _keep_mark(self) -> None:
        mark = AtomicFile(self._mark)
        mark.write(json.dumps(self._last).encode())
        mark.finish()

    def _log(self, alarm: dict[str, Any]) -> None:
        log.warning("alarm %d: %s", alarm["id"], alarm["direction"], extra={"alarm": alarm})

    def _append(self, alarm: dict[str, Any]) -> None:
        if not self._settings.alarm_file:
            return
        try:
            with open(self._settings.alarm_file, "a", encoding="utf-8") as file:
                file.write(json.dumps(alarm) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            log.error("cannot write %s: %s", self._settings.alarm_file, error)

    def _post(self, alarm: dict[str, Any]) -> None:
        if not self._settings.webhook:
            return
        body = json.dumps(alarm).encode()
        headers = {"content-type": "application/json", "x-onlogit-alarm": str(alarm["id"])}
        if self._secret:
            headers["x-onlogit-signature"] = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self._settings.webhook, body, headers, method="POST")
        pause, until = FIRST_PAUSE, time.monotonic() + GIVE_UP
        while not self._ended and time.monotonic() < until:
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT):
                    return
            except (urllib.error.URLError, OSError) as error:
                log.warning("webhook: %s; trying again in %.1f s", error, pause)
            with self._news:
                self._news.wait(pause)
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
