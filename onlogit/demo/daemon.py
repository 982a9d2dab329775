"""The daemon of `onlogit demo` in a process of its own, and the client that tells it of flights.

Events are told before they depart, without their label, and outcomes by key once their flight has landed, as Arrow bodies
of SLICE rows: what landed by the first departure of a slice is learned before it is scored.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.demo import flights
from onlogit.errors import OnlogitError
from onlogit.monitor import Alarm
from onlogit.streams.arrow import stream_of

SLICE = 256
ARROW = "application/vnd.apache.arrow.stream"
KEY = "flight"
PATIENCE = 20.0  # seconds that its end may take


class Told(NamedTuple):
    """What the daemon stated of flights [n], and the alarms that it raised since it was asked last."""

    z: npt.NDArray[np.float64]
    y: npt.NDArray[np.int8]
    alarms: list[Alarm]


class Client:
    """The live learner, as one who asks it over HTTP sees it."""

    def __init__(self, address: str, state: Path) -> None:
        self.address, self.state = address, state
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120.0)
        self._told = self._raised = 0
        self._flying = pa.table({"landed": pa.array([], pa.int64()), KEY: pa.array([], pa.int64()),
                                 "late": pa.array([], pa.bool_())})  # fmt: skip

    def step(self, batch: pa.RecordBatch) -> Told:
        """Tell flights as they depart, and the outcomes of those that landed before; gives what was stated."""
        z = []
        for start in range(0, batch.num_rows, SLICE):
            z.append(self._depart(batch.slice(start, SLICE)))
        y = batch["late"].cast(pa.int8()).to_numpy(zero_copy_only=False)
        return Told(np.concatenate(z), y, self.alarms())

    def _depart(self, part: pa.RecordBatch) -> npt.NDArray[np.float64]:
        n, late, landed = part.num_rows, part["late"], flights.microseconds(part["landed_at"])
        self._land(int(flights.microseconds(part["sched_dep"])[0]))
        key = pa.array(np.arange(self._told, self._told + n))
        self._told += n
        flying = pa.table({"landed": landed, KEY: key, "late": late})
        self._flying = pa.concat_tables([self._flying, flying]).combine_chunks()
        event = part.drop_columns(["landed_at", "late"]).append_column(KEY, key)
        with pa.ipc.open_stream(self._post("/v1/events", event.append_column("late", pa.nulls(n, pa.bool_())))) as told:
            z: npt.NDArray[np.float64] = told.read_all()["z"].to_numpy()
        return z

    def _land(self, now: int) -> None:
        landed = self._flying["landed"].to_numpy()
        down = landed <= now
        if not down.any():
            return
        which = np.flatnonzero(down)[np.argsort(landed[down], kind="stable")]
        outcomes = self._flying.select([KEY, "late"]).take(pa.array(which)).combine_chunks().to_batches()[0]
        self._flying = self._flying.filter(pa.array(~down))
        self._post("/v1/outcomes", outcomes)

    def finish(self) -> list[Alarm]:
        """All have landed."""
        self._land(1 << 62)
        return self.alarms()

    def alarms(self) -> list[Alarm]:
        """Those since the last call."""
        told = [alarm for alarm in self._ask("GET", "/v1/alarms")["alarms"] if alarm["id"] > self._raised]
        self._raised = max([self._raised, *(alarm["id"] for alarm in told)])
        return [alarm_of(alarm) for alarm in told]

    def save(self, out: str) -> None:
        """Write the daemon's model as a model file: out of the checkpoint that it is asked for."""
        from onlogit.daemon.fold import Fold
        from onlogit.storage import Checkpoints

        self._ask("POST", "/v1/commands/checkpoint")
        checkpoints = Checkpoints(self.state, hold=False)
        try:
            kept = next(iter(checkpoints.kept()))
        finally:
            checkpoints.close()
        Fold.of_state(kept.header, kept.arrays, 0, str(self.state)).model.save(out)

    def _post(self, path: str, batch: pa.RecordBatch) -> bytes:
        return self._answer("POST", path, stream_of(batch), ARROW)

    def _ask(self, method: str, path: str) -> Any:
        return json.loads(self._answer(method, path, b"", "application/json"))

    def _answer(self, method: str, path: str, body: bytes, kind: str) -> bytes:
        try:
            self._connection.request(method, path, body, {"content-type": kind})
            response = self._connection.getresponse()
            told = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise OnlogitError(f"the demo's daemon does not answer: {error!r}") from error
        if response.status != 200:
            raise OnlogitError(f"the demo's daemon answered {response.status}: {told[:300].decode(errors='replace')}")
        return told


def alarm_of(told: dict[str, Any]) -> Alarm:
    """The alarm that `Alarm.to_json` told of."""
    known = {field.name: told[field.name] for field in fields(Alarm)}
    for name in ("time", "onset_time"):
        if known[name] is not None:
            known[name] = round(datetime.fromisoformat(known[name]).timestamp() * 1e6)
    known["region"] = None if known["region"] is None else tuple(known["region"])
    known["arms"] = tuple((arm["arm"], arm["share"]) for arm in known["arms"])
    known["features"] = tuple((feature["feature"], feature["score"]) for feature in known["features"])
    return Alarm(**known)


@contextmanager
def daemon() -> Iterator[Client]:
    """A daemon on a free port of loopback, its state in a temporary folder; both are gone afterwards, Ctrl-C or not."""
    with TemporaryDirectory(prefix="onlogit-demo-") as folder:
        state, log = Path(folder) / "state", Path(folder) / "log"
        roles = ["--label", "late", "--key", KEY, "--time", "sched_dep", "--drop", "sched_dep"]
        command = [sys.executable, "-m", "onlogit", "serve", "--json", "--port", "0", "--state", str(state), *roles]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ONLOGIT_")}
        with open(log, "wb") as err:  # a group of its own: Ctrl-C is for the client, which then ends the daemon
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, env=environ, start_new_session=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise OnlogitError(f"the demo's daemon did not start: {log.read_text(errors='replace')[-500:]}")
            yield Client(json.loads(line)["address"], state)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let it drain; a second Ctrl-C ends it at once."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
