"""Calibration of slices: an e-detector for every value of chosen columns, alarms by e-Benjamini-Hochberg.

The first `most` values of a column, in the order in which events bring them, get a slice each; all later ones share
"(other)", so memory is bounded and any cut of the stream gives the same slices. The promise is that of kernels/slices.py: a
false alarm of any slice of any column comes at most once in `patience` of the whole stream, on average. With c columns each
has c times the patience. Cost: about 95 ns an event and column of 1,000 texts; 0.9 kB a slice.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import buffers
from onlogit.errors import ConfigError, StateError
from onlogit.kernels import slices as kernel
from onlogit.kernels.drift import NEVER
from onlogit.kernels.evidence import F64, I8, I64
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.raising import level_estimate, slice_alarm
from onlogit.monitor.sound import require_slices
from onlogit.patience import Patience
from onlogit.states import check, like, under

I32 = npt.NDArray[np.int32]
Array = npt.NDArray[np.generic]
NO_ROWS = np.zeros(0, np.int64)
OTHER, NULL = "(other)", "(null)"


class Slice(NamedTuple):
    """How one slice does. `_asdict()` is JSON-safe."""

    column: str
    value: str
    examples: int
    observed: float
    expected: float
    shift: float  # in logits, as estimated, with its approximate standard error
    shift_error: float
    evidence: float  # M now
    peak: float
    needed: float  # what M alone would have to reach for an alarm


class SliceMonitor:
    """Watches the slices of some columns. Columns come with each update, in the order of `columns`."""

    def __init__(self, columns: tuple[str, ...], patience: Patience, tolerance: float, most: int = 1_000) -> None:
        if not 1 <= most <= 1 << 20:
            raise ConfigError(f"slices = {most}: 1 to 1,048,576 values of a column would be accepted")
        if len(set(columns)) < len(columns):
            raise ConfigError(f"a column is named twice among {', '.join(columns)}; name each once")
        self.columns, self.most, self.tolerance = columns, most, tolerance
        self.allowed = patience
        self.patience = patience.amount * max(len(columns), 1)
        self._states = [kernel.new_slices(most + 1) for _ in columns]
        self._names: list[dict[str | None, int]] = [{} for _ in columns]
        self._weights = kernel.arm_weights(tolerance)
        self._block = kernel.new_block(tolerance)
        self._factors = kernel.arm_factors()

    def check(self, values: list[pa.Array]) -> None:
        """DataError, with nothing changed, where a column has codes outside its dictionary."""
        for name, array in zip(self.columns, values, strict=True):
            buffers.check_codes(array, name)

    def update(
        self, values: list[pa.Array], event: I64, time: I64, z: F64, y: I8, weight: F64, elapsed: F64, slack: F64
    ) -> list[Alarm]:
        """Judge rows in order; the alarms of slices. values: an Arrow array of n a column, as `check` lets it pass; others
        as in `gather_slices`."""
        judged = (y >= 0) & (weight > 0.0)
        return self.judge(self.codes(values, judged), event, time, z, y, weight, elapsed, slack)

    def codes(self, values: list[pa.Array], counted: npt.NDArray[np.bool_]) -> I32:
        """The slice of each row, int32[columns, n]; a counted row with a value that is new opens one."""
        return np.stack([self._codes(c, array, counted) for c, array in enumerate(values)])

    def judge(
        self, code: I32, event: I64, time: I64, z: F64, y: I8, weight: F64, elapsed: F64, slack: F64
    ) -> list[Alarm]:
        """Judge rows whose slices are known; see `update`."""
        alarms = []
        for c, state in enumerate(self._states):
            row, own = 0, np.ascontiguousarray(code[c])
            while row >= 0:
                row = kernel.gather_slices(
                    state, self._block, self._weights, self._factors, self.patience, own, event, time, z, y, weight,
                    elapsed, slack, row,
                )  # fmt: skip
                if row >= 0:
                    alarms += self._alarm(c, int(event[row]), int(time[row]))
                    row += 1
        return sorted(alarms, key=lambda alarm: alarm.event)

    def _codes(self, c: int, array: pa.Array, judged: npt.NDArray[np.bool_]) -> I32:
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        texts = [*buffers.readable(array.dictionary.cast(pa.large_string())), None]
        names = self._names[c]
        table = np.array([names.get(text, -1) for text in texts], np.int32)
        index = np.asarray(array.indices.cast(pa.int64()).fill_null(len(texts) - 1))
        new = np.flatnonzero((table[index] < 0) & judged) if len(names) < self.most else NO_ROWS
        if new.size:
            first = np.full(len(texts), len(index))
            first[index[new[::-1]]] = new[::-1]  # of rows alike the one written last stands: the first
            for at in np.argsort(first, kind="stable")[: np.count_nonzero(first < len(index))]:
                if table[at] < 0:
                    room = len(names) < self.most
                    table[at] = names.setdefault(texts[at], len(names)) if room else names.get(texts[at], self.most)
        table[table < 0] = self.most  # no room for it, or seen in rows that are not judged alone
        code: I32 = table[index]
        code[~judged] = self.most  # whatever other rows of the batch bring
        return code

    def _alarm(self, c: int, event: int, time: int) -> list[Alarm]:
        """The slices that e-Benjamini-Hochberg picks; each of them restarts."""
        state = self._states[c]
        evidence = state.level[:, kernel.EVIDENCE]
        seen = int(state.seen[0])
        order = np.argsort(-evidence[:seen], kind="stable")
        passes = np.flatnonzero(evidence[order] * np.arange(1, seen + 1) >= seen * self.patience)
        picked = order[: int(passes[-1]) + 1] if passes.size else order[:0]
        alarms = []
        for s in (int(s) for s in picked):
            share = picked.size / seen / (self.patience / self.allowed.amount)
            name = f"{self.columns[c]}={self._label(c, s)}"
            alarms.append(slice_alarm(state, s, self._weights, share, name, event, time, self.allowed, self.tolerance))
            state.level[s, kernel.ALARMED] = state.clock[0]
            _restart(state, s)
        return alarms

    def _label(self, c: int, s: int) -> str:
        if s == self.most:
            return OTHER
        name = list(self._names[c])[s]  # in one go, as another thread may be adding names
        return NULL if name is None else name

    def rearm(self) -> None:
        """Start evidence of every slice anew, and report each again: faults are mended. Tallies and peaks stay."""
        for state in self._states:
            for s in range(int(state.seen[0])):
                _restart(state, s)
            state.level[:, kernel.ALARMED] = NEVER

    def known(self, code: I32, counted: npt.NDArray[np.bool_]) -> bool:
        """Whether these codes [columns, n] are of slices: of a value that has a name, or of all others, which a counted row
        [n] is only where no more values are named."""
        named = np.array([len(names) for names in self._names], np.int64)[:, None]
        other = (code == self.most) & ((named == self.most) | ~counted)
        return bool(((code >= 0) & ((code < named) | other)).all())

    def begin_anew(self) -> None:
        """Evidence, tallies and peaks start anew; the slices stay."""
        for state in self._states:
            for mine, fresh in zip(state, kernel.new_slices(self.most + 1), strict=True):
                mine[...] = fresh

    def worst(self, count: int = 10) -> list[Slice]:
        """The slices with most evidence against them, over all columns."""
        found = []
        for c, state in enumerate(self._states):
            seen = int(state.seen[0])
            for s in np.argsort(-state.level[:seen, kernel.PEAK], kind="stable")[:count].tolist():
                n, y, p = (float(x) for x in state.totals[s, :3])
                shift, error = level_estimate(state.totals[s])
                found.append(
                    Slice(
                        self.columns[c], self._label(c, s), int(n), y / max(n, 1.0), p / max(n, 1.0), shift, error,
                        float(state.level[s, kernel.EVIDENCE]), float(state.level[s, kernel.PEAK]),
                        seen * self.patience,
                    )
                )  # fmt: skip
        return sorted(found, key=lambda each: -each.peak / each.needed)[:count]

    def state(self) -> dict[str, Array]:
        """Everything remembered, as copies; the values of each column as text with an end for each, null as no text."""
        arrays: dict[str, Array] = {}
        for c, state in enumerate(self._states):
            arrays |= {f"{c}.{name}": array.copy() for name, array in state._asdict().items()}
            texts = [b"" if name is None else b"=" + name.encode() for name in self._names[c]]
            arrays[f"{c}.names"] = np.frombuffer(b"".join(texts), np.uint8).copy()
            arrays[f"{c}.ends"] = np.cumsum([len(text) for text in texts], dtype=np.int64)
        return arrays

    def restore(self, state: dict[str, Array]) -> None:
        """Take up a state() of a monitor with the same settings. StateError, with nothing changed, if it is not one."""
        fresh = [kernel.new_slices(self.most + 1) for _ in self.columns]
        names = []
        for c, arrays in enumerate(fresh):
            own = under(state, f"{c}.")
            check(f"slices of {self.columns[c]!r}", own, like(arrays._asdict()))
            for name, into in arrays._asdict().items():
                into[...] = own[name]
            arrays.level[arrays.level[:, kernel.ALARMED] == -1.0, kernel.ALARMED] = NEVER  # as it was said before
            names.append(_names(own, self.columns[c], self.most))
            require_slices(arrays, len(names[-1]), f"slices of {self.columns[c]!r}")
        self._states, self._names = fresh, names


def _names(state: dict[str, Array], column: str, most: int) -> dict[str | None, int]:
    check(f"slices of {column!r}", state, {"names": (np.uint8, (None,)), "ends": (np.int64, (None,))})
    data, ends = state["names"], state["ends"]
    bounds = np.concatenate([[0], ends])
    if len(ends) > most or (np.diff(bounds) < 0).any() or bounds[-1] != data.size:
        raise StateError(f"slices of {column!r}: the names of values are damaged")
    raw = data.tobytes()
    try:
        texts = [raw[a:b].decode() for a, b in pairwise(bounds.tolist())]
    except UnicodeDecodeError as error:
        raise StateError(f"slices of {column!r}: the names of values are damaged") from error
    if len(set(texts)) < len(texts) or not all(text.startswith("=") for text in texts if text):
        raise StateError(f"slices of {column!r}: a value is named twice, or is none")
    return {text[1:] if text else None: code for code, text in enumerate(texts)}


def _restart(state: kernel.Slices, s: int) -> None:
    """As `kernel.restart`, from Python."""
    state.sums[s] = state.runs[s] = 0.0
    state.level[s, kernel.EVIDENCE] = 0.0
    state.grades[state.grade[s]] -= 1
    state.grades[0] += 1
    state.grade[s] = 0
