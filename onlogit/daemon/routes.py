"""Every path, what answers it, and the scope that it needs."""

from pathlib import Path

import msgspec

from onlogit.daemon import entries, openapi, work
from onlogit.daemon.endpoints import Endpoints
from onlogit.daemon.http import NO_STORE, Answer, Request, Route, as_json
from onlogit.daemon.inference import Inference
from onlogit.daemon.metrics import KIND, Metrics
from onlogit.daemon.security import ADMIN, LEARN, SCORE
from onlogit.daemon.service import Service

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("page.html", b"text/html; charset=utf-8"),
    "/page.css": ("page.css", b"text/css; charset=utf-8"),
    "/page.js": ("page.js", b"text/javascript; charset=utf-8"),
}
POLICY = (
    b"content-security-policy",
    b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
)


def routes(service: Service, metrics: Metrics) -> list[Route]:
    """The table of routes over one service."""
    on = Endpoints(service)

    async def exposition(request: Request) -> Answer:
        """Metrics for Prometheus."""
        return Answer(await on.ask(metrics.text), KIND.encode(), headers=(NO_STORE,))

    async def ready(request: Request) -> Answer:
        """Whether scores are answered, and whether writes are."""
        told = {"ready": service.ready.is_set(), "writable": service.scribe.writable, "settled": service.settled}
        return as_json(told, 200 if told["ready"] else 503)

    table = [
        Route("POST", "/v1/events", LEARN, on.events, on.direct(entries.EVENTS)),
        Route("POST", "/v1/score", SCORE, on.score, on.direct(work.SCORE)),
        Route("POST", "/infer", SCORE, on.score, on.direct(work.SCORE)),
        Route("POST", "/v1/outcomes", LEARN, on.outcomes, on.direct(entries.OUTCOMES)),
        Route("GET", "/v1/status", SCORE, on.status),
        Route("GET", "/v1/calibration", SCORE, on.calibration),
        Route("GET", "/v1/alarms", SCORE, on.alarms),
        Route("GET", "/v1/models", SCORE, on.models),
        Route("GET", "/v1/live", SCORE, on.live),
        Route("GET", "/v1/history", SCORE, on.history),
        Route("POST", "/v1/commands/checkpoint", ADMIN, on.checkpoint),
        Route("POST", "/v1/commands/freeze", ADMIN, on.freeze),
        Route("POST", "/v1/commands/thaw", ADMIN, on.thaw),
        Route("POST", "/v1/commands/ack", ADMIN, on.ack),
        Route("POST", "/v1/commands/revert", ADMIN, on.revert),
        Route("POST", "/v1/commands/promote", ADMIN, on.promote),
        Route("POST", "/v1/commands/rollback", ADMIN, on.rollback),
        Route("GET", "/ready", None, ready),
        Route("GET", "/metrics", SCORE, exposition),
        *Inference(on).routes(),
        *(_file(path, *what) for path, what in FILES.items()),
    ]
    described = msgspec.json.encode(openapi.document(table))

    async def description(request: Request) -> Answer:
        """This document."""
        return Answer(described)

    return [*table, Route("GET", "/openapi.json", None, description)]


def _file(path: str, name: str, kind: bytes) -> Route:
    content = (PAGE / name).read_bytes()

    async def page(request: Request) -> Answer:
        """A part of the page."""
        return Answer(content, kind, headers=(POLICY, (b"cache-control", b"no-cache")))

    return Route("GET", path, None, page)
