"""Watches features: are they still distributed as in a reference window? Warns, and never pages.

The first half of the reference settles bins (monitor/bins.py), the second half counts them; then each column gathers
evidence (kernels/drift.py). Differences of a factor up to 1 + KAPPA in the share of a bin are of no interest, beside what
chance may have done to the reference. Promise: while events are drawn independently of one another from the reference's
distribution, or one within that factor, a false warning of any of C columns comes at most once in `patience`, on average: each
column has C times the patience. Features with a memory (weather, a season) break that: they do drift.

PSI, Jensen-Shannon and Kolmogorov-Smirnov distances of the late events from the reference are estimates, each beside the size
that chance alone stays below in 95 %. Cost: some 40 ns an event and number, 60 ns and category; 6 kB a column, and the
first half of the reference while it is gathered.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding.buffers import without_views
from onlogit.errors import ConfigError, StateError
from onlogit.kernels import drift as kernel
from onlogit.kernels.drift import BINS, F64, I32, I64
from onlogit.monitor.alarms import Alarm, Distance
from onlogit.monitor.bins import MISSING, UNSEEN, Bins, bounds
from onlogit.monitor.raising import drift_warning
from onlogit.monitor.residuals import Residuals
from onlogit.monitor.sound import demand, require_counts, require_drift
from onlogit.patience import Patience
from onlogit.states import by_part, check, like, under

I8 = npt.NDArray[np.int8]
Array = np.ndarray[Any, Any]
KAPPA = 0.1
MISS = 0.01  # chance that some bin's share at the reference lies outside its bounds


class FeatureMonitor:
    """Watches some columns. reference: events of the window, 200 or more."""

    def __init__(
        self, names: tuple[str, ...], patience: Patience, reference: int = 10_000, window: int = 10_000
    ) -> None:
        if reference < 200:
            raise ConfigError(
                f"reference = {reference}: 200 events or more would be accepted where features are watched"
            )
        if len(set(names)) < len(names):
            raise ConfigError(f"a feature is named twice among {', '.join(names)}; name each once")
        self.names, self.allowed, self.reference = names, patience, reference
        self.patience = patience.amount * max(len(names), 1)
        self.bins = [Bins(name) for name in names]
        self.residuals = Residuals(len(names), window)
        self._drift = kernel.new_drift(len(names))
        self._counts = np.zeros((len(names), BINS))  # of the second half
        self._seen = np.zeros(1, np.int64)  # events of weight above 0, up to the end of the reference
        self.codes = np.zeros((len(names), 0), np.int8)  # bins of the rows of the last update; -1 in the reference

    @property
    def begun(self) -> bool:
        """Whether the reference is complete."""
        return int(self._seen[0]) >= self.reference

    def check(self, columns: list[pa.Array]) -> None:
        """SchemaError or DataError, with nothing changed, where a column is no feature, of another kind than before, or has
        codes outside its dictionary."""
        for bins, array in zip(self.bins, columns, strict=True):
            bins.check(array)

    def update(
        self, columns: list[pa.Array], event: I64, time: I64, weight: F64, elapsed: F64, p: F64 | None = None,
        y: I8 | None = None,
    ) -> list[Alarm]:  # fmt: skip
        """Take events in order; the warnings that they raise. p, y: for residuals, where outcomes are at hand."""
        self.check(columns)
        self.codes = np.full((len(self.names), len(event)), -1, np.int8)
        warnings: list[Alarm] = []
        half = self.reference // 2
        row = 0
        counted = np.flatnonzero(weight > 0.0)
        done = 0
        while row < len(event) and not self.begun:
            limit = half if self._seen[0] < half else self.reference
            rows = min(limit - int(self._seen[0]), len(counted) - done)
            end = int(counted[done + rows - 1]) + 1 if done + rows < len(counted) else len(event)
            self._gather(columns, counted[done : done + rows], limit == half)
            self._seen[0] += rows
            done += rows
            if self._seen[0] == half and limit == half:
                for bins in self.bins:
                    bins.settle()
            if self.begun:
                self._begin()
            row = end
        if row < len(event):
            part = slice(row, None)
            code = np.stack([bins.bins(array[row:]) for bins, array in zip(self.bins, columns, strict=True)])
            warnings = self._judge(
                code, event[part], time[part], weight[part], elapsed[part] if elapsed.size else elapsed
            )
            self.codes[:, row:] = code
            if p is not None and y is not None:
                self.residuals.add(code, event[part], p[part], y[part], weight[part])
        return warnings

    def _gather(self, columns: list[pa.Array], rows: I64, first: bool) -> None:
        for c, (bins, array) in enumerate(zip(self.bins, columns, strict=True)):
            chosen = array if len(rows) == len(array) else without_views(array).take(pa.array(rows))
            if first:
                bins.collect(chosen)
            else:
                self._counts[c] += np.bincount(bins.bins(chosen), minlength=BINS)

    def _begin(self) -> None:
        """The reference is complete: shares, and bounds of the true ones."""
        shape = self._counts.shape
        shares, low, high = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for c, bins in enumerate(self.bins):
            used = bins.used
            counts = self._counts[c, :used]
            shares[c, :used] = (1.0 - kernel.MIX) * counts / counts.sum() + kernel.MIX / used
            below, above = bounds(counts, MISS / len(self.bins))
            low[c, :used] = below / (1.0 + KAPPA)
            high[c, :used] = np.minimum(above * (1.0 + KAPPA), 1.0)
        counted = self._counts / self._counts.sum(axis=1, keepdims=True)
        kernel.begin(self._drift, counted, shares, low, high)

    def _judge(self, code: I32, event: I64, time: I64, weight: F64, elapsed: F64) -> list[Alarm]:
        warnings = []
        row = 0
        while row >= 0:
            row = kernel.gather_drift(self._drift, self.patience, code, weight, elapsed, row)
            if row < 0:
                break
            for c in np.flatnonzero(self._drift.due).tolist():
                found = self.distance(c)
                evidence = float(self._drift.level[c, kernel.EVIDENCE]) / len(self.names)
                warnings.append(drift_warning(found, int(event[row]), int(time[row]), evidence, self.allowed))
                self._drift.level[c, kernel.EVIDENCE] = 0.0
                self._drift.due[c] = 0
            row += 1
        return warnings

    def rearm(self) -> None:
        """Start evidence of every column anew, and warn of each again; the reference stays."""
        self._drift.level[:, kernel.EVIDENCE] = 0.0
        self._drift.warned[:] = kernel.NEVER

    def distances(self) -> list[Distance]:
        """All features, the one with most evidence first; nothing while the reference is gathered."""
        if not self.begun:
            return []
        return sorted((self.distance(c) for c in range(len(self.names))), key=lambda found: -found.peak)

    def distance(self, c: int) -> Distance:
        """How far late values of column c are from the reference."""
        bins, used = self.bins[c], self.bins[c].used
        late, counts = self._drift.late[c, :used], self._counts[c, :used]
        effective = max(float(late.sum()) ** 2 / max(float(self._drift.clock[2]), 1e-9), 1.0)
        q, r = late / max(late.sum(), 1e-9), counts / counts.sum()
        smooth_q, smooth_r = _smooth(q * effective), _smooth(counts)
        noise = 1.0 / effective + 1.0 / float(counts.sum())
        freedom = max(int(np.count_nonzero((q > 0) | (r > 0))) - 1, 1)
        chance = (freedom + 1.645 * math.sqrt(2.0 * freedom)) * noise
        psi = float(np.sum((smooth_q - smooth_r) * np.log(smooth_q / smooth_r)))
        middle = (smooth_q + smooth_r) / 2
        shannon = float(np.sum(smooth_q * np.log(smooth_q / middle) + smooth_r * np.log(smooth_r / middle)) / 2)
        number = bins.codes is None
        ks = float(np.abs(np.cumsum(q[1:]) - np.cumsum(r[1:])).max(initial=0.0)) if number else None
        moved = int(np.argmax(np.abs(q - r) / np.sqrt(r + 1.0 / counts.sum())))
        return Distance(
            bins.name, effective, psi, chance, shannon, chance / 8.0, ks, 1.36 * math.sqrt(noise) if number else None,
            bins.label(moved), float(q[moved]), float(r[moved]), float(q[MISSING]),
            None if number else float(q[UNSEEN]),
            float(self._drift.level[c, kernel.EVIDENCE]) / len(self.names),
            float(self._drift.level[c, kernel.PEAK]) / len(self.names),
        )  # fmt: skip

    def moved(self, onset: int, count: int = 3) -> tuple[tuple[str, float], ...]:
        """Where outcomes moved away from what was stated since an event: "feature in bin" and z, the largest first."""
        if not self.begun:
            return ()
        scores = self.residuals.scores(onset)
        found = []
        for flat in np.argsort(-np.abs(scores), axis=None, kind="stable")[:count].tolist():
            c, j = divmod(flat, BINS)
            if abs(scores[c, j]) >= 3.0:
                found.append((f"{self.names[c]} in {self.bins[c].label(j)}", float(scores[c, j])))
        return tuple(found)

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies; texts as UTF-8 with an end for each."""
        arrays: dict[str, Array] = {f"drift.{name}": a.copy() for name, a in self._drift._asdict().items()}
        arrays |= {"counts": self._counts.copy(), "seen": self._seen.copy()}
        arrays |= {f"residuals.{name}": a for name, a in self.residuals.state().items()}
        for c, bins in enumerate(self.bins):
            arrays |= {f"{c}.{name}": a for name, a in bins.state().items()}
        return arrays

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of a monitor with the same settings. StateError, with nothing changed, if it is not one."""
        fresh = FeatureMonitor(self.names, self.allowed, self.reference, self.residuals.window)
        own: dict[str, Array] = {f"drift.{name}": a for name, a in fresh._drift._asdict().items()}
        own |= {"counts": fresh._counts, "seen": fresh._seen}
        check("features", state, like(own))
        for name, into in own.items():
            into[...] = state[name]
        fresh.residuals.restore(under(state, "residuals."))
        parts = by_part(state)
        fresh.bins = [Bins.of(name, parts.get(str(c), {})) for c, name in enumerate(self.names)]
        fresh._require()
        self.bins, self.residuals, self._drift = fresh.bins, fresh.residuals, fresh._drift
        self._counts, self._seen = fresh._counts, fresh._seen

    def _require(self) -> None:
        """A StateError unless a stream can have come to this."""
        require_counts(self._seen, "features.seen", self.reference)
        require_counts(self._counts, "features.counts")
        half, seen = self.reference // 2, int(self._seen[0])
        if any(bins.settled != (seen >= half) or bins.collected > seen for bins in self.bins):
            raise StateError("features: bins are missing though the reference has them, or there before it")
        demand((self._counts.sum(axis=1) == max(seen - half, 0)).all(), "features.counts", "what the reference had")
        if seen >= half:
            unused = np.arange(BINS) >= np.array([bins.used for bins in self.bins], np.int64)[:, None]
            demand((self._counts[unused] == 0.0).all(), "features.counts", "of bins that there are")
        if self.begun:
            require_drift(self._drift, self._counts)
            return
        fresh = kernel.new_drift(len(self.names))
        for name, array in self._drift._asdict().items():
            demand(
                np.array_equal(array, getattr(fresh, name)), f"features.drift.{name}", "as before the reference ends"
            )

    def of_kinds(self, kinds: list[str]) -> bool:
        """Whether columns of the schema, of these kinds, can have been watched so."""
        return all(bins.of_kind(kind) for bins, kind in zip(self.bins, kinds, strict=True))


def _smooth(counts: F64) -> F64:
    """Shares with half an event more in each bin, so that none is 0."""
    shares: F64 = (counts + 0.5) / (counts.sum() + 0.5 * counts.size)
    return shares
