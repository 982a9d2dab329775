"""Record batches -> rows: the only room where Arrow becomes numbers."""

from onlogit.encoding.encoder import Encoder
from onlogit.encoding.rows import Encoded, Rows

__all__ = ["Encoded", "Encoder", "Rows"]
