"""What a source and a sink promise; every kind of either keeps these two protocols.

A position is JSON: whoever drives a stream keeps it in a checkpoint and hands it back to `seek` after a crash.
"""

from typing import Protocol

import pyarrow as pa  # type: ignore[import-untyped]

Position = dict[str, int | str]
"""Where in a stream: plain JSON, to be handed back unchanged. `{}` is the start of any stream."""


class Source(Protocol):
    """Record batches in order, each with the position just after it. Errors: DataError, SchemaError."""

    schema: pa.Schema

    def read(self) -> tuple[pa.RecordBatch, Position] | None:
        """The next batch and the position just after it; None at the end.

        A source that follows a folder returns a batch of 0 rows, with the position it had, each time it has waited for
        a fifth of a second in vain, so that its reader can write a checkpoint or stop; None then comes only after
        `stop()` was true and all that was there is read.
        """
        ...

    def seek(self, position: Position) -> None:
        """Continues just after the batch whose position this is, exact to the row, whatever the size of batches.

        Errors: ConfigError where the source cannot go back (a pipe), DataError where the data is no longer there.
        """
        ...

    def close(self) -> None:
        """Lets go of files. Harmless twice."""
        ...


class Sink(Protocol):
    """Takes record batches of one schema, in order. Errors: OutputError; SchemaError for a batch of another schema."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def commit(self) -> Position:
        """Makes all that was written durable; returns where that ends."""
        ...

    def seek(self, position: Position) -> None:
        """Cuts the output back to what `commit` returned as `position`, to continue from there."""
        ...

    def close(self) -> None:
        """Finishes the output: only now does a file that is written in one go appear under its name."""
        ...

    def abort(self) -> None:
        """Gives up: a file written in one go leaves no trace; one appended to keeps what was written. Never raises."""
        ...
