"""Metrics for Prometheus: names begin with onlogit_, units are base units, counters end in _total."""

import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from onlogit.daemon.fold import Fold
from onlogit.daemon.service import Service

BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
KIND = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What is counted at the door, and the readings of the fold at the time of asking."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        self._readings = Readings(service)
        self._requests = Requests()
        self._registry.register(self._readings)
        self._registry.register(self._requests)
        self.observe = self._requests.observe

    def text(self, fold: Fold) -> bytes:
        """The exposition; called between two entries."""
        self._readings.fold = fold
        return generate_latest(self._registry)


class Requests:
    """Requests answered, and how long that took; only the HTTP thread counts."""

    def __init__(self) -> None:
        self._count: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, list[float]] = {}  # by route: how many were within each bound and beyond all; the sum

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered."""
        key = (route, method if method in ("GET", "POST", "HEAD") else "other", status)
        self._count[key] = self._count.get(key, 0) + 1
        told = self._seconds.get(route)
        if told is None:
            told = self._seconds[route] = [0.0] * (len(BUCKETS) + 2)
        told[bisect_left(BUCKETS, seconds)] += 1.0
        told[-1] += seconds

    def describe(self) -> list[Any]:
        """Nothing is promised."""
        return []

    def collect(self) -> Iterator[Any]:
        """A counter and a histogram."""
        count = CounterMetricFamily("onlogit_http_requests", "Requests answered.", labels=["method", "route", "status"])
        for (route, method, status), requests in list(self._count.items()):
            count.add_metric([method, route or "none", str(status)], requests)
        seconds = HistogramMetricFamily(
            "onlogit_http_request_duration_seconds", "Time from the head of a request to the end of its answer.",
            labels=["route"],
        )  # fmt: skip
        bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
        for route, (*within, total) in list(self._seconds.items()):
            buckets = list(zip(bounds, accumulate(within), strict=True))
            seconds.add_metric([route or "none"], buckets, total)
        yield from (count, seconds)


class Readings:
    """Everything that is read when it is asked for."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.fold: Fold | None = None

    def describe(self) -> list[Any]:
        """Nothing is promised before there is a fold."""
        return []

    def collect(self) -> Iterator[Any]:
        """Counters and gauges."""
        if self.fold is None:
            return
        for name, (text, value) in self._counters(self.fold).items():
            yield CounterMetricFamily(f"onlogit_{name}", text, value=value)
        for name, (text, reading) in self._gauges(self.fold).items():
            if reading is not None:
                yield GaugeMetricFamily(f"onlogit_{name}", text, value=reading)
        if self.fold.settled:
            odd = CounterMetricFamily(
                "onlogit_input_oddities", "Values that are no plain number or category.", labels=["kind"]
            )
            for kind, count in self.fold.model.pipeline.encoder.counts.items():
                odd.add_metric([kind], count)
            yield odd
        ledger = CounterMetricFamily("onlogit_stream_oddities", "Events and outcomes out of turn.", labels=["kind"])
        for kind, count in asdict(self.fold.ledger.counts).items():
            ledger.add_metric([kind], count)
        yield ledger
        yield from _models(self.fold)

    def _counters(self, fold: Fold) -> dict[str, tuple[str, float]]:
        meters = self.service.meters
        told: dict[str, tuple[str, float]] = {
            "scored_rows": ("Rows scored without being remembered, since the start.", meters.scored),
            "alarms": ("Alarms raised.", fold.raised),
            "journal_entries": ("Entries of the journal.", fold.seq),
            "journal_entries_put_aside": ("Entries that broke the fold, since the start.", meters.broken),
        }
        if fold.settled:
            texts = {
                "events": "Events scored and remembered.", "labelled": "Events whose label came.",
                "learned": "Labels learned.", "expired": "Events given up before a label came.",
                "outcomes": "Labels told by key that met their event.", "no_weight": "Events of weight 0.",
                "unresolved": "Events without a label when it was due.", "late": "Labels told after they were due.",
            }  # fmt: skip
            counts = asdict(fold.model.counts)
            told |= {f"{n}_events" if n != "events" else n: (text, counts[n]) for n, text in texts.items()}
        return told

    def _gauges(self, fold: Fold) -> dict[str, tuple[str, float | None]]:
        service, meters = self.service, self.service.meters
        told: dict[str, tuple[str, float | None]] = {
            "writable": ("Whether the journal takes writes: 1 or 0.", float(service.scribe.writable)),
            "waiting_rows": ("Rows accepted and not yet folded.", meters.waiting),
            "journal_bytes": ("Size of the journal's entries.", service.scribe.journal.size),
            "checkpoint_lag_entries": ("Entries since the last checkpoint.", fold.seq - service.checkpoint_seq),
            "uptime_seconds": ("Time since the start.", time.monotonic() - service.began),
            "held_outcomes": ("Outcomes whose event is still to come.", len(fold.ledger.early)),
            "label_lag_seconds": ("Time from event to label, of the last outcomes.", _or_none(meters.lag_seconds)),
            "label_lag_events": ("Events from event to label, of the last outcomes.", meters.lag_events),
        }
        if fold.settled:
            quality, monitor = fold.model.quality(), fold.model.pipeline.monitor
            told |= {
                "pending_events": ("Events that wait for their label.", fold.model.pipeline.memory.waiting),
                "evidence_ratio": ("How many times better 'not calibrated' explains the outcomes.", monitor.evidence),
                "patience_ratio": ("Evidence at which an alarm is raised.", monitor.patience),
                "log_loss_nats": ("Progressive log loss.", quality.log_loss),
                "observed_expected_ratio": (
                    "Outcomes over their stated probabilities.",
                    quality.observed_over_expected,
                ),
                "calibration_error_ratio": (
                    "Mean gap between stated and observed by level.",
                    quality.calibration_error,
                ),
                "auc_ratio": ("Area under the ROC curve.", quality.auc),
                "frozen": ("Whether learning is off: 1 or 0.", float(fold.model.pipeline.frozen)),
            }
        return told


def _models(fold: Fold) -> Iterator[Any]:
    """Of the champion and its challengers: as many labels as there are models, and names are checked in the settings."""
    if not fold.challengers.all:
        return
    champion = GaugeMetricFamily("onlogit_model_champion", "Whether the model answers: 1 or 0.", labels=["model"])
    loss = GaugeMetricFamily("onlogit_model_log_loss_nats", "Progressive log loss, where compared.", labels=["model"])
    difference = GaugeMetricFamily(
        "onlogit_model_difference_nats", "Log loss of the champion less the challenger's, and its 95 % interval.",
        labels=["model", "bound"],
    )  # fmt: skip
    for figures in fold.challengers.figures(fold.model):
        name, compared = figures["name"], figures.get("compared")
        champion.add_metric([name], float(figures["role"] == "champion"))
        if compared and compared["examples"]:
            loss.add_metric([name], compared["log_loss"])
            for bound, key in (("mean", "difference"), ("low", "low"), ("high", "high")):
                difference.add_metric([name, bound], compared[key])
    yield from (champion, loss, difference)


def _or_none(value: float) -> float | None:
    return value if value == value else None
