"""Number columns -> standardised numbers: those that are features side by side in the tile, those that only terms read
beside it. kernels/gather.py has the moments. Missing numbers of features light the slot of (column, None)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.encoding import columns as arrow
from onlogit.encoding.hashes import seeds
from onlogit.kernels import gather, hashing

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

SIDE_BY_SIDE = 16  # float32 columns to a cache line of the tile
STAGGER = 16  # numbers between columns, so that no two of them begin a power of two apart


class Standard(NamedTuple):
    """A standardised number and where it is missing."""

    z: F32  # [n] 0 where missing
    missing: U8  # [n]


class Seen(NamedTuple):
    """What was seen of a column, in its own units."""

    low: float  # inf where nothing was
    high: float
    sd: float


class Lit(NamedTuple):
    """Slots that only some rows have."""

    some: I32  # [m]
    lit: U8  # [m, n] 1 where row i has slot some[c]


class NumberColumns:
    """State: moments f64[d, 8], oddities i64[d, 4] and range f64[d, 2] of the columns in `names`, of which `features` are in
    the tile. The range is the lowest and highest finite value in rows of weight > 0: inf and -inf where there was none."""

    def __init__(self, features: list[str], hidden: list[str], factors: set[str]) -> None:
        self.names = features + hidden
        self.features = len(features)
        self.factors = {j for j, name in enumerate(self.names) if name in factors}  # that terms ask for, standardised
        self.null = [seed.null for seed in seeds(features)]
        self.moments = gather.empty_moments(len(self.names))
        self.odd = np.zeros((len(self.names), 4), np.int64)
        self.range = np.tile([np.inf, -np.inf], (len(self.names), 1))

    def standardise(
        self, numbers: list[arrow.Numbers], weight: F64, tags: U8, tile: F32
    ) -> tuple[Lit, dict[str, Standard]]:
        """Write the features into the tile's first columns; the slots of missing ones, and what terms asked for."""
        n = weight.size
        side_by_side = np.empty((SIDE_BY_SIDE, n + STAGGER), np.float32)
        missing = np.zeros(n, np.uint8)
        some: list[np.int32] = []
        lit: list[U8] = []
        factors: dict[str, Standard] = {}
        moments, odd = self.moments, self.odd
        counts = weight > 0.0
        all_count, any_count = bool(counts.all()), bool(counts.any())
        for first in range(0, len(numbers), SIDE_BY_SIDE):
            width = min(SIDE_BY_SIDE, len(numbers) - first)
            for c in range(width):
                j = first + c
                lost = gather.standardise(*numbers[j], weight, moments[j], odd[j], side_by_side[c, :n], missing)
                if any_count:
                    kept = None if all_count and not lost else counts & (missing == 0)
                    _widen(self.range[j], numbers[j][0] if kept is None else numbers[j][0][kept])
                if lost and j < self.features:
                    slot = np.zeros(n, np.int32)
                    hashing.place(np.full(n, self.null[j]), weight * missing, self.null[j], tags, slot)
                    some.append(slot[0])
                    lit.append(missing.copy())
                if j in self.factors:
                    factors[self.names[j]] = Standard(side_by_side[c, :n].copy(), missing.copy())
            visible = min(width, self.features - first)
            if visible > 0:
                gather.interleave(side_by_side[:visible], first, tile)
        return Lit(np.array(some, np.int32), np.stack(lit) if lit else np.zeros((0, n), np.uint8)), factors


def _widen(range: F64, values: F32 | F64) -> None:
    """Make a range [2] hold these values as well."""
    if values.size:
        low, high = float(values.min()) + 0.0, float(values.max()) + 0.0  # -0 becomes 0, which is as low
        range[0], range[1] = min(range[0], low), max(range[1], high)
