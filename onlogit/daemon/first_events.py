"""The first events: they settle the schema, and are tried on a model of their own before they are journalled."""

import threading
from typing import NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon import arrow_rows, json_rows
from onlogit.daemon.entries import shape_of
from onlogit.daemon.rehearsal import rehearse_all
from onlogit.daemon.settings import Settings
from onlogit.model import OnlineLogit


class Opening(NamedTuple):
    """First events that can be folded."""

    rows: pa.RecordBatch  # as the journal keeps them
    schema: bytes  # that they settle there


class FirstEvents:
    """Reads them. Changes nothing, but compiles what they need."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._trying = threading.Lock()  # one trial at a time: each has a model

    def of_batch(self, batch: pa.RecordBatch, model: OnlineLogit) -> Opening:
        """Events for a model without a schema; a label that is not there yet is one of nulls. A SchemaError or DataError where
        they could not be folded."""
        label = model.roles.get("label")
        batch = arrow_rows.standing_alone(batch)
        schema = batch.schema
        if label and label not in schema.names:
            schema = schema.append(pa.field(label, pa.null()))
        with self._trying:
            found = trial(model, schema)
            rows = arrow_rows.fitted(batch, found.schema, "events")
            found.pipeline.encoder.check(rows, 0, None)
            rehearse_all(found.schema, found.config, self._settings.challengers)
        return Opening(rows, shape_of(schema))

    def of_json(self, body: bytes, lines: bool, model: OnlineLogit) -> Opening:
        """The same of a JSON body."""
        rows, _ = json_rows.decode(body, lines, json_rows.PLAIN_ONE, json_rows.PLAIN_MANY)
        most = self._settings.server.max_columns
        return self.of_batch(json_rows.settle(rows, model.roles.get("label"), most), model)


def trial(model: OnlineLogit, schema: pa.Schema) -> OnlineLogit:
    """A model like the one that this schema would settle. SchemaError where it does not go with the roles."""
    found = OnlineLogit(**model.roles, config=model.config)
    found.begin(schema)
    return found
