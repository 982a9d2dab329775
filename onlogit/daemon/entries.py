"""What the journal's entries are, and what becomes of their rows."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.config import Config, flattened, from_mapping, to_mapping
from onlogit.encoding.buffers import rows_without_views
from onlogit.model import OnlineLogit
from onlogit.steps import sigmoid
from onlogit.storage.journal import Entry

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BEGIN, SETTLE, EVENTS, OUTCOMES, COMMAND = "begin", "settle", "events", "outcomes", "command"


class Stated(NamedTuple):
    """What was stated of the rows of an entry, in their order."""

    event: I64  # [n] number of the event in the stream
    p: F64  # [n]
    z: F64  # [n] log-odds
    z_sd: F64  # [n] NaN where there is none
    again: npt.NDArray[np.bool_]  # [n] the key was known and waiting: p is as stated then

    def part(self, start: int, stop: int) -> "Stated":
        rows = slice(start, stop)
        return Stated(self.event[rows], self.p[rows], self.z[rows], self.z_sd[rows], self.again[rows])

    def with_known(self, earlier: I64, first: int, then: F64) -> "Stated":
        """Those with which some are told again, all rows in their order. earlier: [n] the event that a row tells again, -1 for
        a new one. New ones are as stated here, events `first` and on; what tells one of before that again is as stated
        `then`, in order."""
        again, here = earlier >= 0, earlier >= first
        z, sd = np.full(len(earlier), np.nan), np.full(len(earlier), np.nan)
        numbers = earlier.copy()
        numbers[~again], z[~again], sd[~again] = self.event, self.z, self.z_sd
        z[again & ~here] = then
        z[here], sd[here] = self.z[earlier[here] - first], self.z_sd[earlier[here] - first]
        return Stated(numbers, sigmoid(z), z, sd, again)


MATCHED, HELD, DUPLICATE, UNLABELLED, LATE = range(5)
FATES = ("matched", "held", "duplicates", "unlabelled", "late")


class Taken(NamedTuple):
    """What became of outcomes, in their order."""

    fate: npt.NDArray[np.uint8]  # [n] MATCHED with its event, HELD for one still to come, ...
    event: I64  # [n] number of the event, -1 where it is not remembered

    def part(self, start: int, stop: int) -> "Taken":
        return Taken(self.fate[start:stop], self.event[start:stop])


def batch_of(entry: Entry) -> pa.RecordBatch:
    """The rows of an entry: a message of its shape, or a stream with a schema of its own. String views, which entries of
    an older onlogit may hold, are strings."""
    data = pa.py_buffer(entry.data)
    if entry.shape:
        return rows_without_views(pa.ipc.read_record_batch(data, pa.ipc.read_schema(pa.py_buffer(entry.shape))))
    with pa.ipc.open_stream(data) as reader:
        return rows_without_views(reader.read_next_batch())


def shape_of(schema: pa.Schema) -> bytes:
    """A schema as bytes: the shape of entries with rows. Also the data of the entry that settles the schema, before the first
    events, as they may lack columns in the journal."""
    return bytes(schema.remove_metadata().serialize())


def beginning(roles: dict[str, Any], config: Config, early: int) -> bytes:
    """The data of a first entry."""
    return json.dumps({"roles": roles, "config": to_mapping(config), "early": early}, sort_keys=True).encode()


def mark(data: bytes) -> str:
    """By which the data of a first entry are known again: themselves, or the SHA-256 of a model file."""
    return data.decode() if data.startswith(b"{") else hashlib.sha256(data).hexdigest()


def meaning(mark: str) -> Any:
    """What marks of beginnings are compared by, columns and settings by their names or the SHA-256: settings that an older
    onlogit did not have are at their defaults."""
    if not mark.startswith("{"):
        return mark
    told = json.loads(mark)
    model = OnlineLogit(**told["roles"], config=from_mapping(Config, told["config"]))
    return model.roles | flattened(to_mapping(model.config)) | {"keep.early": told["early"]}
