"""The real daemon in a process of its own, talked to over loopback, for tests and benchmarks."""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from forks import COMMAND, environment

ARROW = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"


class Running:
    """A daemon that has said that it is ready; with `wait=False`, one that may die before. start: as subprocess.Popen."""

    def __init__(
        self,
        folder: Path,
        *args: str,
        env: dict[str, str] | None = None,
        wait: bool = True,
        start: Callable[..., "subprocess.Popen[Any]"] = subprocess.Popen,
    ) -> None:
        self.log = folder / "log"
        self.state = folder / "state"
        with open(self.log, "ab") as log:
            self.process = start(
                [*COMMAND, "serve", "--json", "--port", "0", "--state", str(self.state), *args],
                cwd=folder, env=environment(**(env or {})), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.figures: dict[str, Any] = json.loads(line) if line else {}
        self.url = self.figures.get("address", "")
        self.client = httpx.Client(base_url=self.url, timeout=30.0) if line else None
        if wait:
            assert self.figures, self.log.read_text()

    def post(self, path: str, content: Any, **headers: str) -> httpx.Response:
        assert self.client is not None
        body = content if isinstance(content, bytes | str) else json.dumps(content)
        return self.client.post(path, content=body, headers=headers)

    def get(self, path: str, **headers: str) -> httpx.Response:
        assert self.client is not None
        return self.client.get(path, headers=headers)

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def end(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        """Send a signal and wait for the end."""
        if self.client is not None:
            self.client.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = int(self.process.wait(seconds))
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False
