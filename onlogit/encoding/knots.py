"""Edges of buckets and knots of splines: set once from the first numbers of a column, after a warm-up counted in rows.

They are even quantiles of what was held in the first 1,024 rows of weight > 0, or of more rows where fewer than 256 of those
had a number (kernels/derive.py): actual values, so that a heavy value such as 0 gets a bucket to itself; equal ones count
once. They are set at the end of the row that ends the warm-up, wherever a batch is cut, and never again.
Memory: 8 KB for each bucket and spline.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.encoding import buffers
from onlogit.errors import StateError
from onlogit.kernels import derive
from onlogit.terms import Bucket, Spline

F64 = npt.NDArray[np.float64]
Warming = Bucket | Spline


class Known(NamedTuple):
    """What a batch has of a bucket or spline."""

    alive: int  # the first row past the warm-up; as many as there are rows where it goes on
    knots: F64 | None  # ascending, no two alike; None before they are set


class Knots:
    """State: held f64[m, 1024], warmed i64[m, 3] and knots f64[m, k] of m buckets and splines."""

    def __init__(self, terms: list[Warming]) -> None:
        self.row = {term: j for j, term in enumerate(terms)}
        self.held = np.zeros((len(terms), derive.WARM_UP))
        self.warmed = np.zeros((len(terms), 3), np.int64)
        self.warmed[:, derive.KNOTS] = -1
        self.knots = np.zeros((len(terms), max((term.size for term in terms), default=0)))

    def of(self, term: Warming) -> F64 | None:
        """Ascending, no two alike; None before they are set."""
        row = self.row[term]
        count = int(self.warmed[row, derive.KNOTS])
        return None if count < 0 else self.knots[row, :count]

    def as_they_are(self, n: int) -> dict[Warming, Known]:
        """What n rows have that change nothing."""
        found = {term: self.of(term) for term in self.row}
        return {term: Known(n if knots is None else 0, knots) for term, knots in found.items()}

    def warm(self, term: Warming, numbers: buffers.Numbers, weight: F64) -> Known:
        """Hold the numbers of a batch, up to the end of the warm-up."""
        if (knots := self.of(term)) is not None:
            return Known(0, knots)
        row = self.row[term]
        alive = derive.warm_up(*numbers, weight, self.held[row], self.warmed[row])
        if self.warmed[row, derive.ROWS] >= derive.WARM_UP and self.warmed[row, derive.HELD] >= derive.ENOUGH:
            self._set(term)
        return Known(alive, self.of(term))

    def _set(self, term: Warming) -> None:
        row = self.row[term]
        count, k = int(self.warmed[row, derive.HELD]), term.size
        held = np.sort(self.held[row, :count])
        if isinstance(term, Bucket):
            at = [-(-j * count // k) - 1 for j in range(1, k)]
        else:
            at = [-(-(2 * j + 1) * count // (2 * k)) - 1 for j in range(k)]
        knots = np.unique(held[at])
        self.knots[row, : knots.size] = knots
        self.warmed[row, derive.KNOTS] = knots.size
        self.held[row] = 0.0

    def check(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        """StateError where arrays of the right shapes cannot have been the state: kernels trust these numbers."""
        held, warmed, knots = state["held"], state["warmed"], state["knots"]
        rows, numbers, counts = warmed.T
        sizes = np.array([term.size for term in self.row], np.int64)
        fits = (numbers >= 0) & (numbers <= np.minimum(rows, derive.WARM_UP))
        fits &= (counts >= -1) & (counts != 0) & (counts <= sizes)
        fits &= (counts > 0) | (numbers < derive.ENOUGH) | (rows < derive.WARM_UP)  # there is room for what comes yet
        rising = all((np.diff(row[:count]) > 0.0).all() for row, count in zip(knots, counts, strict=True) if count > 0)
        if not fits.all() or not np.isfinite(held).all() or not np.isfinite(knots).all() or not rising:
            raise StateError("encoder: the warm-up or the knots of a bucket or spline are damaged")
