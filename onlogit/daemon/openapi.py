"""The description of the interface, OpenAPI 3.1, made from the routes and what is said of each."""

from typing import Any

from onlogit import __version__
from onlogit.daemon.http import Route

ROW = {"type": "object", "additionalProperties": True, "description": "A record: column names and values."}
ROWS = {
    "required": True,
    "content": {
        "application/json": {"schema": {"oneOf": [ROW, {"type": "array", "items": ROW}]}},
        "application/x-ndjson": {"schema": {"type": "string"}},
        "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
ALARM_ID: dict[str, Any] = {"type": "object", "properties": {"alarm": {"type": "integer"}}, "required": ["alarm"]}
MODEL_NAME: dict[str, Any] = {"type": "object", "properties": {"model": {"type": "string"}}, "required": ["model"]}
TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"}, "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"}, "data": {"type": "array"}, "parameters": {"type": "object"},
    },
    "required": ["name", "shape", "datatype"],
}  # fmt: skip
QUESTION: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": TENSOR}},
    "required": ["inputs"],
}
BODIES: dict[str, Any] = {
    "/v1/events": ROWS, "/v1/score": ROWS, "/infer": ROWS, "/v1/outcomes": ROWS,
    "/v1/commands/ack": {"required": True, "content": {"application/json": {"schema": ALARM_ID}}},
    "/v1/commands/promote": {"required": True, "content": {"application/json": {"schema": MODEL_NAME}}},
}  # fmt: skip
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
REFUSALS = {
    "400": "The body cannot be read.", "401": "No token.", "403": "The token lacks the scope.",
    "404": "There is no such model.", "405": "Another method is needed.", "409": "There is no model yet.",
    "413": "Too large.", "415": "Unknown encoding.", "422": "The rows do not fit the schema.", "429": "Too fast.",
    "503": "Starting or stopping.", "507": "The disk takes nothing.",
}  # fmt: skip


def document(routes: list[Route]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "onlogit", "version": __version__, "description": "Honest probabilities for event streams."},
        "paths": paths,
        "components": {"schemas": {"Error": ERROR}, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def operation(route: Route) -> dict[str, Any]:
    """One method of one path."""
    text = (route.handler.__doc__ or "").strip()
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    told: dict[str, Any] = {
        "summary": text.split("\n")[0],
        "responses": {
            "200": {"description": "Done."},
            **{code: {"description": words, "content": error} for code, words in REFUSALS.items()},
        },
    }
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    if names:
        told["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if route.path.endswith("/infer") and route.path != "/infer":
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": QUESTION}}}
    elif route.path in BODIES:
        told["requestBody"] = BODIES[route.path]
    if route.scope is not None:
        told["security"] = [{"token": []}, {}]
    return told
