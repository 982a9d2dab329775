"""Number columns -> standardised numbers: those that are features side by side in the tile, those that only terms read
beside it. kernels/gather.py has the moments. Missing numbers of features light the slot of (column, None)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.encoding.hashes import seeds
from onlogit.kernels import gather, hashing

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


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

    def standardise(self, places: I64, weight: F64, tags: U8, tile: F32) -> tuple[Lit, dict[str, Standard]]:
        """Write the features into the tile's first columns; the slots of missing ones, and what terms asked for.

        places: where in memory the columns are, which have to be kept, i64[d, 4]: see `gather.standardise_columns`.
        """
        n, k, d = weight.size, self.features, len(places)
        beside = np.empty((n, d - k), np.float32)
        missing, lost = np.empty((d, n), np.uint8), np.zeros(d, np.int64)
        for part, into in ((slice(0, k), tile), (slice(k, None), beside)):
            if len(places[part]):
                gather.standardise_columns(
                    places[part], weight, self.moments[part], self.odd[part], self.range[part], into, missing[part],
                    lost[part],
                )  # fmt: skip
        gaps = np.flatnonzero(lost[:k])
        some = np.zeros(len(gaps), np.int32)
        learned = len(gaps) > 0 and bool((weight > 0.0).all())
        for c, j in enumerate(gaps):
            heaviest = np.ones(1) if learned else (weight * missing[j]).max(keepdims=True)
            hashing.place_valued(np.full(1, self.null[j]), np.ones(1, np.float32), heaviest, tags, some[c : c + 1])
        factors = {}
        for own in self.factors:
            z = tile[:, own] if own < k else beside[:, own - k]
            factors[self.names[own]] = Standard(z.copy(), missing[own] if lost[own] else np.zeros(n, np.uint8))
        return Lit(some, missing[gaps]), factors
