"""Streams of record batches, in and out. They know batches, not models."""

from onlogit.streams.opening import open_sink, open_source
from onlogit.streams.protocols import Position, Sink, Source

__all__ = ["Position", "Sink", "Source", "open_sink", "open_source"]
