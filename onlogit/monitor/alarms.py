"""Alarms: what, since when, how big, where, and what to do about it. How they are made: monitor/raising.py.

And the distance of a feature from its reference, which a drift warning tells of.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from onlogit.printable import printable


@dataclass(frozen=True)
class Alarm:
    """Evidence passed patience. Times are microseconds since 1970 UTC; probabilities and rates in [0, 1]."""

    kind: str  # "calibration", "change" (since the reference window), "slice", "test", or, which page nobody, "drift" and "act"
    what: (
        str  # "level", "slope" or "region"; of a drift "feature"; "pipeline" where it is about missing or unseen values
    )
    event: int  # number of the event at which it was raised
    time: int | None
    onset_event: int  # number of the first event that belongs to the change, as estimated
    onset_time: int | None
    evidence: float
    patience: float
    tolerance: float
    examples: int  # judged events since the onset (for a region: those inside it)
    observed: float  # their rate
    expected: float  # their mean stated probability
    effect: float  # shift in logits; for a slope, the factor b on the log-odds (1 is right)
    effect_low: float  # approximate 95 % interval
    effect_high: float
    effect_unit: str  # "logits" or "slope"
    region: tuple[float, float] | None  # the stated probabilities concerned, where not all are
    direction: str
    arms: tuple[tuple[str, float], ...]  # the strongest arms and their shares of the evidence
    advice: str
    repeats: int  # how often evidence had passed patience anew, unreported, since the alarm before
    unit: str = "events"  # of patience: or "days", "hours" and so on
    cost: float | None = (
        None  # what decisions lately cost beyond what was promised, per 1,000 events, where costs are given
    )
    slice: str | None = None  # "column=value" where it is about one slice
    features: tuple[tuple[str, float], ...] = ()
    """Where outcomes moved away most since the onset, "column in bin" and its z-score; of a drift the feature and its PSI."""

    def to_json(self) -> dict[str, object]:
        """One JSON-able dict, times as ISO 8601 in UTC."""
        told = asdict(self)
        told["time"], told["onset_time"] = iso_time(self.time), iso_time(self.onset_time)
        told["region"] = None if self.region is None else list(self.region)
        told["arms"] = [{"arm": name, "share": share} for name, share in self.arms]
        told["features"] = [{"feature": name, "score": score} for name, score in self.features]
        return told

    @property
    def pages(self) -> bool:
        """Whether it says that probabilities are wrong; a drift of features only warns, an act only tells."""
        return self.kind not in ("drift", "act")

    @property
    def _patience(self) -> str:
        return f"{self.patience:,.0f}" if self.unit == "events" else f"{self.patience:,.6g} {self.unit}"

    def text(self) -> str:
        """Two lines for a person."""
        when = "" if self.time is None else f" ({iso_time(self.time)})"
        since = "" if self.onset_time is None else f" ({iso_time(self.onset_time)})"
        size = f"{self.effect:+.2f} logits" if self.effect_unit == "logits" else f"slope {self.effect:.2f}"
        interval = f"{self.effect_low:+.2f} to {self.effect_high:+.2f}"
        if self.effect_unit == "slope":
            interval = f"{self.effect_low:.2f} to {self.effect_high:.2f}"
        if self.kind == "drift":
            return (
                f"drift warning ({self.what}) at event {self.event}{when}: {printable(self.direction)}\n"
                f"  PSI {self.effect:.3f} where chance stays below {self.effect_high:.3f}, evidence {self.evidence:,.0f} of "
                f"patience {self._patience}. {self.advice}"
            )
        if self.kind == "act" and self.what == "revert":
            return f"revert at event {self.event}: {self.direction}"
        if self.kind == "act":
            proof = f", evidence of the recalibration {self.evidence:,.0f}" if self.what == "recalibrate" else ""
            return (
                f"{self.what} at event {self.event}{when}: {self.direction}\n  after the alarm at event "
                f"{self.onset_event}{proof}. {self.advice}"
            )
        where = "" if self.slice is None else f" in {printable(self.slice)}"
        moved = ", ".join(f"{printable(feature)} (z {z:+.1f})" for feature, z in self.features)
        more = f" Moved most: {moved}." if moved else ""
        if self.cost is not None:
            more += f" Decisions lately cost {self.cost:+,.0f} per 1,000 events beyond what p promised."
        return (
            f"{self.kind} alarm ({self.what}) at event {self.event}{when}{where}: {self.direction}\n"
            f"  since about event {self.onset_event}{since}, {self.examples} examples, {size} ({interval}), evidence "
            f"{self.evidence:,.0f} of patience {self._patience}.{more} {self.advice}"
        )


class Distance(NamedTuple):
    """How far late values of a feature are from the reference. `_asdict()` is JSON-safe."""

    feature: str
    examples: float  # late events, in effect
    psi: float
    psi_by_chance: float
    jensen_shannon: float  # nats
    jensen_shannon_by_chance: float
    kolmogorov_smirnov: float | None  # of numbers, at the edges of bins
    kolmogorov_smirnov_by_chance: float | None
    moved: str  # the bin whose share changed most
    share: float  # of it, late
    reference: float
    missing: float
    unseen: float | None
    evidence: float
    peak: float


def iso_time(time: int | None) -> str | None:
    """Microseconds since 1970 as ISO 8601 UTC; years that a calendar cannot hold as plain microseconds."""
    if time is None:
        return None
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{time} us"


def explained(alarm: Alarm, moved: tuple[tuple[str, float], ...], cost: float | None) -> Alarm:
    """An alarm with where outcomes moved and what that costs; where they did for missing or unseen values, it says so."""
    told = replace(alarm, features=moved, cost=cost)
    if moved and moved[0][0].endswith((" in missing", " in unseen")):
        column = moved[0][0].rpartition(" in ")[0]
        advice = f"Check where {column} comes from: outcomes moved most where it is {moved[0][0].rpartition(' ')[2]}."
        return replace(told, what="pipeline", advice=advice)
    return told
