"""Why the model states what it states of an event, and what it believes, with the caveats said aloud.

An event: the push of each term, from the baseline to the log-odds, as learners/pushes.py defines it. The model: weights
per standard deviation and in the column's own units, with intervals, ranked by how much a term typically moves the
log-odds; never by raw coefficients, whose size is a matter of units. Of a column of categories every event has one, so only
their differences mean anything: each is counted from the column's mean over events, which goes to the baseline.

Intervals are of 95 %: 1.96 sd about the mean over the experts as the mixture weighs them, before the last word, or about the
log-odds that are stated. The sd is that of learners/standing.py, not z_sd, which has to be quick and is wider. Coverage:
docs/decisions.md.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.encoding import Encoder, Rows
from onlogit.encoding.names import LONGEST
from onlogit.encoding.naming import Name
from onlogit.errors import DataError
from onlogit.kernels.gather import HOLD
from onlogit.learners.protocol import Centre
from onlogit.model import OnlineLogit
from onlogit.monitor.estimates import Z95
from onlogit.pipeline import Pipeline
from onlogit.steps import sigmoid

F64 = npt.NDArray[np.float64]

RARE = 30  # events below which a category is called rare
FAR = 4.0  # standard deviations beyond which a number is called far out; more than the HOLD that it is read as
CLOSE = 0.7  # posterior correlation from which two weights are named together
FEWEST = 20.0  # positives below which no claim is made without a warning
REST = "rounding"
BASELINE = "baseline"


class Push(NamedTuple):
    """What one term adds to the log-odds of an event."""

    term: str
    value: str
    push: float  # log-odds
    note: str  # "" where there is nothing to say

    @property
    def odds(self) -> float:
        """The factor on the odds."""
        return odds(self.push)


class Reach(NamedTuple):
    """A number of an event beside what was seen of its column so far."""

    column: str
    value: float
    low: float | None  # None where nothing was seen
    high: float | None
    outside: float  # how far it lies beyond what was seen, below 0 where it is too low, in the column's own units
    outside_sd: float | None  # in standard deviations of the column; None where that has none

    def text(self) -> str:
        """What there is to say of one that lies outside."""
        assert self.low is not None
        assert self.high is not None
        side, sds = "above" if self.outside > 0 else "below", self.outside_sd
        far = "" if sds is None else f", {abs(sds):.3g} sd beyond it"
        return f"{side} what was seen, {self.low:.6g} to {self.high:.6g}{far}"


class EventStory(NamedTuple):
    """One event, explained. baseline + Σ push = z."""

    z: float
    z_sd: float | None
    p: float
    p_low: float | None  # 95 %
    p_high: float | None
    baseline: float
    pushes: list[Push]  # largest first, whatever their sign; the last is REST
    notes: list[str]
    reaches: list[Reach]  # of each column of numbers that has a value, those farthest outside first

    def to_json(self) -> dict[str, Any]:
        """One JSON-able dict."""
        return self._asdict() | {
            "pushes": [push._asdict() | {"odds": push.odds} for push in self.pushes],
            "reaches": [reach._asdict() for reach in self.reaches],
        }


def explain_event(model: OnlineLogit, row: pa.RecordBatch) -> EventStory:
    """Why the model, as it is now, states what it states of the one record in `row`; columns as for scoring.

    SchemaError or DataError where the record does not fit the schema.
    """
    if row.num_rows != 1:
        raise DataError(f"found {row.num_rows} records; accepted is one")
    fold = model.pipeline
    encoded = fold.encoder.encode(row, update=False)
    names = fold.encoder.names_of(row)[0]
    lit = [names.get(slot, []) for slot in encoded.rows.slots[: encoded.rows.starts[1]].tolist()]
    groups = fold.encoder.groups
    group = np.array([groups.get(own[0].coordinate, -1) if own else -1 for own in lit], np.int64)
    told = fold.learner.pushes(encoded.rows, centre_of(fold), group)
    pushes = _number_pushes(fold, row, encoded.rows, told.dense) + _slot_pushes(fold, lit, encoded.rows, told.slots)
    pushes.sort(key=lambda push: -abs(push.push))
    rest = told.z - told.baseline - math.fsum(push.push for push in pushes)
    pushes.append(Push(REST, "", rest, ""))
    sd = float(fold.learner.score(encoded.rows).z_sd[0])
    known = not math.isnan(sd)
    reaches = _reaches(fold, row)
    p, low, high = sigmoid(np.array([told.z, told.z - Z95 * told.sd, told.z + Z95 * told.sd])).tolist()
    return EventStory(
        told.z, sd if known else None, p, low if known else None, high if known else None,
        told.baseline, pushes, _event_notes(fold, pushes, reaches), reaches,
    )  # fmt: skip


def _number_pushes(fold: Pipeline, row: pa.RecordBatch, rows: Rows, dense: F64) -> list[Push]:
    mean, sd = fold.encoder.moments()
    found = []
    for j, name in enumerate(fold.encoder.dense_names):
        x, note, shown = float(rows.dense[0, j]), "", ""
        if name in row.schema.names:
            raw = row.column(name)[0].as_py()
            value = math.nan if raw is None else float(raw)
            if not math.isfinite(value):
                continue  # it adds nothing; that it is missing is a category
            shown = f"{value:.6g}"
            if sd[j] > 0 and abs(value - mean[j]) > FAR * sd[j]:
                note = f"{abs(value - mean[j]) / sd[j]:.1f} sd from its mean of {mean[j]:.4g}, read as {HOLD:g}"
        else:
            shown = f"{mean[j] + x * sd[j]:.6g}"
        found.append(Push(name, shown, float(dense[j]), note))
    return found


def _reaches(fold: Pipeline, row: pa.RecordBatch) -> list[Reach]:
    found = []
    for name, seen in fold.encoder.seen_numbers().items():
        raw = row.column(name)[0].as_py()
        if raw is None or not math.isfinite(float(raw)):
            continue
        value = float(raw)
        if seen.low > seen.high:
            found.append(Reach(name, value, None, None, 0.0, None))
            continue
        outside = min(value - seen.low, 0.0) + max(value - seen.high, 0.0)
        found.append(Reach(name, value, seen.low, seen.high, outside, outside / seen.sd if seen.sd > 0 else None))
    return sorted(found, key=lambda each: -abs(each.outside if each.outside_sd is None else each.outside_sd))


def centre_of(fold: Pipeline) -> Centre:
    """The categories to be counted from their column's mean: those with a name, by how many events had them."""
    encoder = fold.encoder
    total = max(fold.counts.events - fold.counts.no_weight, 1)
    slots, group = encoder.names.grouped(encoder.groups)
    chosen = np.flatnonzero(group >= 0)
    return Centre(slots[chosen], group[chosen], np.minimum(encoder.names.counts[chosen] / total, 1.0))


def _slot_pushes(fold: Pipeline, lit: list[list[Name]], rows: Rows, pushes: F64) -> list[Push]:
    encoder, found = fold.encoder, []
    cells = zip(rows.slots[: rows.starts[1]], rows.values[: rows.starts[1]], pushes, lit, strict=True)
    for slot, value, push, own in cells:
        coordinates = " + ".join(name.coordinate for name in own) or f"slot {slot}"
        shown = " + ".join("missing" if name.value is None else name.value for name in own)
        if value != 1.0:
            shown += f" x {value:.3g}"
        found.append(Push(coordinates, shown, float(push), _slot_note(encoder, int(slot), own)))
    return found


def _slot_note(encoder: Encoder, slot: int, own: list[Name]) -> str:
    known, count = encoder.names.of(slot), encoder.names.count(slot)
    if not encoder.seen(slot):
        return "new: never seen before"
    kept = [name._replace(value=None if name.value is None else name.value[:LONGEST]) for name in own]
    if known is not None and kept and known not in kept:
        return f"shares its slot with {known.text()}"
    if count is not None and count < RARE:
        return f"rare: {count} events"
    return "shares its slot with another value" if encoder.shared(slot) else ""


def _event_notes(fold: Pipeline, pushes: list[Push], reaches: list[Reach]) -> list[str]:
    notes = []
    new = [push.term for push in pushes if push.note.startswith("new")]
    if new:
        notes.append(f"new categories, of which nothing was learned: {', '.join(new)}")
    far = [push.term for push in pushes if "sd from its mean" in push.note]
    if far:
        notes.append(f"numbers far outside of what is usual: {', '.join(far)}")
    notes += [f"{each.column} = {each.value:.6g} is {each.text()}" for each in reaches if each.outside]
    return notes + evidence_notes(fold)


def evidence_notes(fold: Pipeline) -> list[str]:
    """What there is to say about how much a claim of this model rests on."""
    quality = fold.monitor.summary()
    positives = (quality.rate or 0.0) * quality.examples
    notes = [f"all of this rests on {positives:.0f} positives only"] if positives < FEWEST else []
    share = fold.config.labels.keep_negatives
    if share < 1.0:
        notes.append(
            f"{share:g} of the negatives that are not near a positive were learned, each with the weight {1 / share:g}; "
            "all were judged"
        )
    return notes


# ---- the model


class Weight(NamedTuple):
    """What the model believes about one term."""

    term: str
    value: str | None  # of a category
    weight: float  # log-odds per standard deviation of a number, per event of a category
    sd: float | None  # under the belief
    odds_ratio: float
    odds_low: float | None  # 95 %
    odds_high: float | None
    raw: float | None  # log-odds per unit of the column; None for a category
    typical: float  # how far it typically moves the log-odds: |weight| x sd of its value
    events: int | None  # that had the category, since it was named
    note: str


class Path(NamedTuple):
    """One weight over the stream; the last point is now."""

    term: str
    value: str | None  # of a category
    events: list[int]  # before each point
    weights: list[float]  # log-odds as in `Weight`; a category less the mean of its column
    moved: float  # largest less smallest since a third of the events, as a typical push

    def at(self, share: float) -> float | None:
        """The weight after that share of the events; None where it was not followed yet."""
        before = [
            weight for event, weight in zip(self.events, self.weights, strict=True) if event <= share * self.events[-1]
        ]
        return before[-1] if before else None


class Pair(NamedTuple):
    """Two weights that the data cannot tell apart, and what of them it can tell."""

    first: str
    second: str
    correlation: float
    together: str  # "sum" or "difference": the stable one
    push: float
    push_sd: float


class ModelStory(NamedTuple):
    """What a model believes."""

    learner: str
    events: int
    positives: float
    baseline: float
    weights: list[Weight]  # by typical push
    pairs: list[Pair]  # by correlation
    last_word: tuple[float, float] | None  # added to, and multiplied with, what the mixture says
    unnamed: int  # learned slots without a name
    shared: int  # slots with more than one value
    notes: list[str]
    paths: list[Path]  # by how far they moved

    def to_json(self) -> dict[str, Any]:
        """One JSON-able dict."""
        return self._asdict() | {
            "weights": [each._asdict() for each in self.weights],
            "paths": [each._asdict() for each in self.paths],
            "pairs": [each._asdict() for each in self.pairs],
        }


def explain_model(model: OnlineLogit) -> ModelStory:
    """Weights with intervals, ranked by typical push; and what must not be read into them."""
    fold = model.pipeline
    found, encoder = fold.learner.coefficients(centre_of(fold)), fold.encoder
    sd = encoder.moments()[1]
    weights = [
        _weight(name, None, float(found.dense[j]), float(found.dense_sd[j]), 1.0, None, "", float(sd[j]))
        for j, name in enumerate(encoder.dense_names)
    ]
    total, unnamed = max(fold.counts.events - fold.counts.no_weight, 1), 0
    for slot, weight, slot_sd in zip(found.slots.tolist(), found.slot_weights, found.slot_sd, strict=True):
        name, events = encoder.names.of(slot), encoder.names.count(slot)
        if name is None or events is None:
            unnamed += 1
            continue
        share = min(events / total, 1.0)
        value = "missing" if name.value is None else name.value
        note = "shares its slot with another value" if encoder.shared(slot) else ""
        note = note or (f"rare: {events} events" if events < RARE else "")
        spread = math.sqrt(share * (1.0 - share))
        weights.append(_weight(name.coordinate, value, float(weight), float(slot_sd), spread, events, note, None))
    weights.sort(key=lambda each: -each.typical)
    quality = fold.monitor.summary()
    word = fold.learner.last_word()
    return ModelStory(
        model.config.learner, fold.counts.events, (quality.rate or 0.0) * quality.examples, found.bias, weights,
        _pairs(fold, found.dense, found.dense_sd), word, unnamed, encoder.collisions()[1],
        _model_notes(model, unnamed, word), _paths(fold, found.bias, weights),
    )  # fmt: skip


def _paths(fold: Pipeline, baseline: float, weights: list[Weight]) -> list[Path]:
    """Of the terms that are followed and have a name, and of the baseline."""
    past, encoder = fold.paths.past(fold.counts.events, fold.learner, fold.named()), fold.encoder
    if len(past.event) == 1:
        return []
    known, late = {(each.term, each.value): each for each in weights}, past.event >= past.event[-1] / 3

    def path(term: str, value: str | None, raw: F64, weight: float, spread: float) -> Path:
        kept, moved = np.isfinite(raw), raw[np.isfinite(raw) & late]
        there = raw[kept] - raw[-1] + weight  # the mean of a column is another in `Weight`, by events
        return Path(term, value, past.event[kept].tolist(), there.tolist(), float(np.ptp(moved)) * spread)

    found = [path(BASELINE, None, past.baseline, baseline, 1.0)]
    for k, j in enumerate(past.numbers.tolist()):
        name = encoder.dense_names[j]
        found.append(path(name, None, past.dense[:, k], known[name, None].weight, 1.0))
    for k, slot in enumerate(past.slots.tolist()):
        own = encoder.names.of(slot)
        each = known.get((own.coordinate, "missing" if own.value is None else own.value)) if own else None
        if each is not None:
            spread = each.typical / abs(each.weight) if each.weight else 0.0
            found.append(path(each.term, each.value, past.weights[:, k], each.weight, spread))
    return sorted(found, key=lambda each: -each.moved)


def _weight(
    term: str, value: str | None, weight: float, sd: float, spread: float, events: int | None, note: str,
    unit: float | None,
) -> Weight:  # fmt: skip
    known = not math.isnan(sd)
    ratio, low, high = (odds(weight + side * Z95 * (sd if known else 0.0)) for side in (0, -1, 1))
    raw = None if unit is None else weight / unit if unit > 0 else 0.0
    return Weight(
        term, value, weight, sd if known else None, ratio, low if known else None, high if known else None, raw,
        abs(weight) * spread, events, note,
    )  # fmt: skip


def _pairs(fold: Pipeline, weights: F64, sds: F64, most: int = 20) -> list[Pair]:
    rho, names = fold.learner.correlations(), fold.encoder.dense_names
    upper = np.argwhere(np.triu(np.abs(rho) >= CLOSE, 1))
    found = []
    for a, b in upper.tolist():
        sign = -1.0 if rho[a, b] > 0 else 1.0  # what is known well is the direction in which the errors cancel
        variance = sds[a] ** 2 + sds[b] ** 2 - 2.0 * abs(rho[a, b]) * sds[a] * sds[b]
        found.append(
            Pair(names[a], names[b], float(rho[a, b]), "sum" if sign > 0 else "difference",
                 float(weights[a] + sign * weights[b]), math.sqrt(max(float(variance), 0.0)))
        )  # fmt: skip
    return sorted(found, key=lambda pair: -abs(pair.correlation))[:most]


def _model_notes(model: OnlineLogit, unnamed: int, word: tuple[float, float] | None) -> list[str]:
    encoder, notes = model.pipeline.encoder, evidence_notes(model.pipeline)
    if not encoder.names.most:
        notes.append("this model keeps no names: its categories cannot be told by name (learn it with --names 4096)")
    elif unnamed:
        notes.append(
            f"{unnamed} learned slots have no name: the registry holds the first {encoder.names.most} (--names)"
        )
    if word is not None:
        notes.append(
            f"weights are those of the mixture; the last word then states {word[0]:+.3f} {word[1]:+.3f} x its log-odds, "
            "and up to a bounded share of how each expert differs"
        )
    if encoder.slot_names:
        notes.append("intervals of categories leave out how they correlate with each other: do not add them up")
    return [*notes, "a weight says what goes together in these data, with the other terms held; not what causes what"]


def odds(z: float) -> float:
    """e^z, which a weight out of all bounds does not take to infinity."""
    return math.exp(min(z, 700.0))
