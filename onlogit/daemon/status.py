"""Readings of the fold, made between two entries: figures for programs, text for a person, a picture's worth for the page."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from onlogit.daemon.fold import Fold
from onlogit.kernels.tally import values
from onlogit.monitor.estimates import Sums, estimates
from onlogit.report.text import or_dash

if TYPE_CHECKING:
    from onlogit.daemon.service import Service


def figures(fold: Fold, service: "Service") -> dict[str, Any]:
    """Everything in figures."""
    meters = service.meters
    told: dict[str, Any] = {
        "ready": service.ready.is_set(), "writable": service.scribe.writable, "settled": fold.settled,
        "state": str(service.checkpoints.path.parent), "durability": service.settings.keep.durability,
        "seq": fold.seq, "checkpoint_seq": service.checkpoint_seq, "journal_bytes": service.scribe.journal.size,
        "entries_put_aside": meters.broken, "rows_waiting": meters.waiting, "scored": meters.scored,
        "uptime_seconds": time.monotonic() - service.began, "alarms": fold.raised,
        "oddities": asdict(fold.ledger.counts), "outcomes_held": len(fold.ledger.early),
    }  # fmt: skip
    if not fold.settled:
        return told
    model, beside = fold.model, fold.model.pipeline.beside
    lag = meters.lag_seconds
    return told | {
        "champion": fold.challengers.champion,
        "learner": model.config.learner, "frozen": model.pipeline.frozen, "counts": asdict(model.counts),
        "pending": model.pipeline.memory.waiting, "quality": model.quality()._asdict(),
        "evidence": model.pipeline.monitor.evidence, "patience": model.config.monitor.patience,
        "alarm_open": model.pipeline.monitor.alarm_open, "inputs": dict(model.pipeline.encoder.counts),
        "label_delay_warning": model.label_delays().warning(),
        "label_lag_events": meters.lag_events, "label_lag_seconds": lag if lag == lag else None,
        "columns": {c.name: c.role for c in model.schema.columns},
        "watched": {} if beside is None else beside.figures(),
    }  # fmt: skip


def text(told: dict[str, Any]) -> str:
    """The figures for a person."""
    lines = [
        ("ready", "yes" if told["ready"] and told["writable"] else "for scores only: the disk takes nothing"),
        (
            "journal",
            f"entry {told['seq']:,} (checkpoint at {told['checkpoint_seq']:,}), {told['journal_bytes']:,} bytes",
        ),
    ]
    if not told["settled"]:
        lines.append(("model", "none yet: the first events settle the schema"))
    else:
        counts, quality = told["counts"], told["quality"]
        lines += [
            ("model", told["learner"] + (", frozen" if told["frozen"] else "")),
            ("events", f"{counts['events']:,} ({counts['labelled']:,} labelled, {told['pending']:,} pending)"),
            ("log loss", or_dash(quality["log_loss"], ".5f") + f" (base rate alone {or_dash(quality['base_log_loss'], '.5f')})"),
            ("AUC", or_dash(quality["auc"], ".4f")),
            ("observed / stated", or_dash(quality["observed_over_expected"], ".4f")),
            ("calibration error", or_dash(quality["calibration_error"], ".4f")),
            ("evidence", f"{told['evidence']:,.2f} of patience {told['patience']:,.0f}"),
            ("label lag", f"{told['label_lag_events']:,.0f} events, {or_dash(told['label_lag_seconds'], ',.1f')} s"),
        ]  # fmt: skip
        worst = (told["watched"].get("slices") or [None])[0]
        if worst:
            lines.append(("worst slice", f"{worst['column']}={worst['value']}, {worst['shift']:+.2f} logits, evidence "
                          f"{worst['peak']:,.0f} of {worst['needed']:,.0f}"))  # fmt: skip
        if told["label_delay_warning"]:
            lines.append(("warning", told["label_delay_warning"]))
    odd = {name.replace("_", " "): count for name, count in told["oddities"].items() if count}
    lines += [
        ("alarms", f"{told['alarms']:,}"),
        ("oddities", ", ".join(f"{count:,} {name}" for name, count in odd.items()) or "none"),
    ]
    return "\n".join(f"{name:<18} {value}" for name, value in lines) + "\n"


def calibration(fold: Fold) -> dict[str, Any]:
    """Reliability: for each of 20 levels of p, how many events, their mean p, their rate; and the evidence."""
    if not fold.settled:
        return {"levels": [], "evidence": 1.0, "patience": None, "quality": None}
    monitor = fold.model.pipeline.monitor
    shares = values(monitor.tally.shares)
    levels = [
        {"from": k / len(shares), "to": (k + 1) / len(shares), "events": n, "stated": p / n, "observed": y / n}
        for k, (n, p, y, _) in enumerate(shares.tolist())
        if n > 0
    ]
    return {
        "levels": levels, "evidence": monitor.evidence, "peak_evidence": monitor.peak_evidence,
        "patience": monitor.patience, "tolerance": monitor.tolerance, "quality": monitor.summary()._asdict(),
    }  # fmt: skip


def sums(fold: Fold) -> dict[str, Sums]:
    """What `spans` reads, as it is now."""
    return fold.model.pipeline.monitor.sums() if fold.settled else {}


def spans(told: dict[str, Sums]) -> dict[str, Any]:
    """All estimates over all events, over the last ones, and with old ones fading. Takes .1 s and more for each, so it is
    not for the fold thread."""
    return {name: estimates(each)._asdict() for name, each in told.items()}


def sample(fold: Fold, service: "Service") -> dict[str, Any]:
    """One point of the history."""
    told: dict[str, Any] = {"time": round(time.time(), 3), "seq": fold.seq, "scored": service.meters.scored}
    if fold.settled:
        quality, monitor = fold.model.quality(), fold.model.pipeline.monitor
        told |= {
            "events": fold.model.counts.events, "labelled": fold.model.counts.labelled,
            "pending": fold.model.pipeline.memory.waiting, "log_loss": quality.log_loss,
            "examples": quality.examples, "observed": quality.rate, "stated": quality.expected,
            "calibration_error": quality.calibration_error, "evidence": monitor.evidence,
            "patience": monitor.patience,
        }  # fmt: skip
    return told


def live(fold: Fold, service: "Service") -> dict[str, Any]:
    """What the page shows."""
    return {
        "status": figures(fold, service), "calibration": calibration(fold), "sample": sample(fold, service),
        "alarms": fold.alarms[-50:], "models": fold.challengers.figures(fold.model) if fold.challengers.all else [],
    }  # fmt: skip
