"""Names and texts -> 64-bit hashes. Every coordinate has a seed by its name, and a hash that stands for its null."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.kernels import hashing

U64 = npt.NDArray[np.uint64]

NULL_TAG = np.uint64(0x6E756C6C)  # tells null from every text of a column
START = np.uint64(0)


class Seed(NamedTuple):
    """What a coordinate's hashes start from, and the hash of its null."""

    seed: np.uint64
    null: np.uint64

    def of_texts(self, texts: buffers.Texts) -> U64:
        """The hash of each text: u64[n]."""
        out = np.zeros(texts.offsets.size - 1, np.uint64)
        hashing.hash_strings(*texts, self.seed, self.null, out)
        return out

    def table(self, texts: list[str]) -> U64:
        """The hashes of some texts, and of null after them: what codes stand for."""
        return np.append(self.of_texts(buffers.texts(pa.array(texts, pa.large_string()))), self.null)


def seeds(names: Iterable[str]) -> list[Seed]:
    """The seed of each name."""
    found = Seed(START, START).table(list(names))[:-1]
    nulls = np.zeros(found.size, np.uint64)
    hashing.hash_integers((found ^ NULL_TAG).view(np.int64), nulls)
    return [Seed(seed, null) for seed, null in zip(found, nulls, strict=True)]
