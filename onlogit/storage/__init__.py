"""State on the disk: arrays with a header as one safe file, and checkpoints in SQLite. Knows bytes, not models."""

from onlogit.storage.arrays import load, pack, save, unpack
from onlogit.storage.checkpoints import Checkpoint, Checkpoints, holds_checkpoints

__all__ = ["Checkpoint", "Checkpoints", "holds_checkpoints", "load", "pack", "save", "unpack"]
