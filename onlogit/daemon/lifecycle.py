"""The life of the daemon: startup -> main loop -> drain -> exit. Signals only set flags."""

import gc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from onlogit import heap
from onlogit.daemon import status
from onlogit.daemon.notices import Notices
from onlogit.daemon.security import Gate, check_exposure, read_tokens
from onlogit.daemon.server import Server, bind
from onlogit.daemon.service import Service
from onlogit.daemon.settings import Settings
from onlogit.errors import OnlogitError
from onlogit.runner import Stop

log = logging.getLogger("onlogit.daemon")

PULSE = 0.1
SWITCH = 0.0001  # seconds after which Python's threads take turns: the fold must not hold up an answer for 5 ms
SAMPLED = 5.0  # seconds between points of the page's history


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        if hasattr(record, "alarm"):
            told["alarm"] = record.alarm
        return json.dumps(told, default=str)


def log_to_stderr() -> None:
    """JSON logs on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Daemon:
    """One life. `say` gets the one line with the address, once requests are answered."""

    def __init__(
        self, settings: Settings, model: bytes | None, schema: Any, say: Callable[[Server, Service], None]
    ) -> None:
        self.settings, self._model, self._schema, self._say = settings, model, schema, say
        self._idle = threading.Event()

    def run(self) -> bool:
        """Live until a signal; True where all was folded and kept in a checkpoint at the end."""
        sys.setswitchinterval(SWITCH)
        heap.give_back()
        tokens = read_tokens(self.settings.server, os.environ)
        check_exposure(self.settings.server, tokens)
        with Stop().listening() as stop:
            bound = bind(self.settings.server)
            try:
                service = Service(self.settings, self._model)
            except BaseException:
                bound.close()
                raise
            notices = Notices(
                self.settings.notices, service.checkpoints.path.parent, os.environ.get("ONLOGIT_WEBHOOK_SECRET", "")
            )
            server = Server(service, bound, Gate(tokens, self.settings.server.rate_limit))
            keeper = threading.Thread(target=self._keep, args=(service,), name="onlogit keeper", daemon=True)
            try:
                server.start()
                if self._schema is not None:
                    service.settle(self._schema)
                service.start()
                keeper.start()
                gc.freeze()  # modules and compiled code are garbage at no time: a collection passes them over
                gc.enable()
                self._say(server, service)
                self._live(server, service, notices, stop)
            finally:
                whole = self._drain(server, service, notices)
                self._idle.set()
        return whole

    def _live(self, server: Server, service: Service, notices: Notices, stop: Callable[[], bool]) -> None:
        """The main loop: looks at flags, samples for the page, passes alarms on."""
        sampled = told = 0
        while not stop() and server.alive and service.worker.thread.is_alive() and service.scribe.thread.is_alive():
            raised = service.worker.fold.raised
            if raised != told:
                notices.take(service.ask(lambda fold: list(fold.alarms)))
                told = raised
            if time.monotonic() - service.began >= sampled * SAMPLED:
                service.history.append(service.ask(lambda fold: status.sample(fold, service)))
                sampled = int((time.monotonic() - service.began) / SAMPLED) + 1
            time.sleep(PULSE)
        if not stop():
            log.critical("a thread has died; ending, with all that was acknowledged in the journal")
            raise OnlogitError("a thread of the daemon has died; the log says why") from server.failed

    def _keep(self, service: Service) -> None:
        """Checkpoints from time to time."""
        while not self._idle.wait(self.settings.keep.checkpoint_seconds):
            try:
                service.checkpoint(60.0)
            except (OnlogitError, TimeoutError) as error:
                log.error("no checkpoint: %s", error)

    def _drain(self, server: Server, service: Service, notices: Notices) -> bool:
        """Accept no more, answer and fold what was accepted, keep it, within the deadline."""
        deadline = time.monotonic() + self.settings.server.drain_seconds
        log.info("stopping: finishing what was accepted")
        service.draining.set()
        server.stop(max(deadline - time.monotonic(), 0.0) / 2)
        self._idle.set()
        whole = service.stop(deadline)
        notices.end(max(min(deadline - time.monotonic(), 1.0), 0.0))
        return whole
