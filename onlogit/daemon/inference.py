"""The Open Inference Protocol, version 2, over HTTP: JSON and the binary tensor extension.

Each feature is an input tensor with the name of its column and the shape [n] or [n, 1]; p, z and z_sd (FP64, [n]) are the
outputs. A null cannot be said; NaN is read as a number that is missing. Times are BYTES in ISO 8601, where no offset means UTC
as it does in /v1, or INT64: microseconds since 1970, for a date days. With the extension, the header
Inference-Header-Content-Length says where JSON ends and the tensors' bytes begin, little-endian, a BYTES element after its
length in four bytes.
"""

import struct
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit import __version__
from onlogit.daemon.endpoints import Endpoints, ignore
from onlogit.daemon.entries import Stated
from onlogit.daemon.http import NO_STORE, Answer, Request, Route, as_json
from onlogit.daemon.json_rows import in_utc
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.work import SCORE, Work
from onlogit.records import STATED
from onlogit.schema import Column

MODEL, VERSION = "onlogit", "1"
LENGTH = b"inference-header-content-length"
BINARY = b"application/octet-stream"
DTYPES: dict[str, str] = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
TENSOR = {"number": "FP64", "integer": "FP64", "null": "FP64", "bool": "BOOL"}


class Tensor(msgspec.Struct):
    """An input as it is told."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class Output(msgspec.Struct):
    """An output as it is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class Question(msgspec.Struct):
    """An inference request."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[Output] = []
    parameters: dict[str, Any] = {}


DECODER = msgspec.json.Decoder(Question)


class Inference:
    """Handlers of /v2."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints, self.service = endpoints, endpoints.service
        self.limits = self.service.settings.server

    def routes(self) -> list[Route]:
        """Every path of the protocol; a model may be named with its version."""
        model = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        found = [
            Route("GET", "/v2", None, self.server),
            Route("GET", "/v2/health/live", None, self.live),
            Route("GET", "/v2/health/ready", None, self.ready),
        ]
        for path in model:
            found += [
                Route("GET", path, SCORE, self.metadata),
                Route("GET", f"{path}/ready", None, self.model_ready),
                Route("POST", f"{path}/infer", SCORE, self.infer),
            ]
        return found

    async def server(self, request: Request) -> Answer:
        """What this server is."""
        return as_json({"name": "onlogit", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def live(self, request: Request) -> Answer:
        """Whether it runs."""
        return as_json({"live": True})

    async def ready(self, request: Request) -> Answer:
        """Whether it answers scores."""
        ready = self.service.ready.is_set()
        return as_json({"ready": ready}, 200 if ready else 503)

    async def model_ready(self, request: Request) -> Answer:
        """Whether the model can score."""
        name = self._check(request)
        others = self.service.worker.fold.challengers
        ready = self.service.ready.is_set() and self.service.settled and (not name or others.answers(name))
        return as_json({"name": name or MODEL, "ready": ready}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Answer:
        """Inputs and outputs."""
        name = self._check(request)
        if self.service.worker.fold.challengers.is_out(name):
            raise Refusal(404, f"the model {name!r} is out, and scores nothing any more; GET /v1/models says why")
        inputs = [] if not self.service.settled else [
            {"name": c.name, "datatype": TENSOR.get(c.kind, "BYTES"), "shape": [-1]} for c in self._features()
        ]  # fmt: skip
        outputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in STATED]
        return as_json(
            {"name": name or MODEL, "versions": [VERSION], "platform": "onlogit", "inputs": inputs, "outputs": outputs}
        )

    async def infer(self, request: Request) -> Answer:
        """Score the rows that the tensors make."""
        name = self._check(request)
        self.service.require_model()
        question, rest = self._question(request)
        batch = self._batch(question, rest)
        work = Work(SCORE, ignore, batch.num_rows, batch=batch, model=name)
        return self._answer(question, await self.endpoints.done(work), name or MODEL)

    def _check(self, request: Request) -> str:
        """The model that is asked: "" for the champion, whichever it is."""
        name, version = (*request.names, VERSION)[:2]
        names = [MODEL, *self.service.worker.fold.challengers.names]
        if name not in names or version != VERSION:
            raise Refusal(404, f"there is no such model; there are {', '.join(names)}, in version {VERSION}")
        return "" if name == MODEL else name

    def _features(self) -> list[Column]:
        schema = self.service.schema
        return [c for c in schema.columns if c.name in schema.read]

    def _question(self, request: Request) -> tuple[Question, memoryview]:
        told = request.headers.get(LENGTH)
        length = len(request.body)
        if told is not None:
            if not told.isdigit() or len(told) > 12 or int(told) > length:
                raise Refusal(400, f"{LENGTH.decode()} is {told[:20]!r}; a length up to {length} would be accepted")
            length = int(told)
        try:
            return DECODER.decode(memoryview(request.body)[:length]), memoryview(request.body)[length:]
        except msgspec.ValidationError as error:
            raise Refusal(400, f"not an inference request: {error}") from error
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Refusal(400, f"the body is not JSON: {error}") from error

    def _batch(self, question: Question, rest: memoryview) -> pa.RecordBatch:
        columns, names = {c.name: c for c in self._features()}, set()
        arrays: dict[str, pa.Array] = {}
        rows = None
        for tensor in question.inputs:
            n = tensor.shape[0] if tensor.shape else -1
            if len(tensor.shape) not in (1, 2) or n < 1 or tensor.shape[1:] not in ([], [1]):
                raise Refusal(422, f"input {tensor.name!r} has shape {tensor.shape}; [n] or [n, 1] would be accepted")
            if n > self.limits.max_rows:
                raise Refusal(413, f"more than {self.limits.max_rows} rows; send them in several requests")
            if rows not in (None, n):
                raise Refusal(422, f"input {tensor.name!r} has {n} rows, the one before {rows}")
            if tensor.name in names:
                raise Refusal(422, f"input {tensor.name!r} comes twice")
            rows = n
            names.add(tensor.name)
            values, rest = _values(tensor, n, rest)
            if tensor.name not in columns:
                raise Refusal(422, f"input {tensor.name!r} is no feature; known are {', '.join(columns)}")
            arrays[tensor.name] = _column(columns[tensor.name], values)
        if len(rest):
            raise Refusal(422, f"{len(rest)} bytes follow the tensors that the request names")
        return pa.record_batch(arrays) if arrays else pa.RecordBatch.from_pylist([])

    def _answer(self, question: Question, stated: Stated, name: str) -> Answer:
        wanted = {o.name: o for o in question.outputs} or {name: Output(name) for name in STATED}
        binary = bool(question.parameters.get("binary_data_output"))
        outputs, blobs = [], []
        for asked, output in wanted.items():
            if asked not in STATED:
                raise Refusal(422, f"there is no output {asked!r}; known are {', '.join(STATED)}")
            values = np.ascontiguousarray(getattr(stated, asked), "<f8")
            told: dict[str, Any] = {"name": asked, "datatype": "FP64", "shape": [len(values)]}
            if output.parameters.get("binary_data", binary):
                blobs.append(values.tobytes())
                told["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                told["data"] = values.tolist()
            outputs.append(told)
        answer: dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
        if question.id:
            answer["id"] = question.id
        head = msgspec.json.encode(answer)
        if not blobs:
            return Answer(head, headers=(NO_STORE,))
        length = (LENGTH, b"%d" % len(head))
        return Answer(b"".join([head, *blobs]), BINARY, headers=(length, NO_STORE))


def _values(tensor: Tensor, n: int, rest: memoryview) -> tuple[Any, memoryview]:
    """The tensor's n values, as an array or a list of texts, and the bytes after its own."""
    size = tensor.parameters.get("binary_data_size")
    if size is not None:
        if not isinstance(size, int) or not 0 <= size <= len(rest):
            raise Refusal(422, f"input {tensor.name!r}: binary_data_size is {size!r}, {len(rest)} bytes are left")
        return _from_bytes(tensor, n, rest[:size]), rest[size:]
    data = tensor.data if tensor.data is not None else []
    if data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise Refusal(422, f"input {tensor.name!r}: its data are neither all lists nor all single values")
        data = [value for row in data for value in row]
    if len(data) != n:
        raise Refusal(422, f"input {tensor.name!r} has {len(data)} values, its shape says {n}")
    if tensor.datatype == "BYTES":
        if not all(isinstance(value, str) for value in data):
            raise Refusal(422, f"input {tensor.name!r} is BYTES: its data have to be texts")
        return data, rest
    if tensor.datatype not in DTYPES:
        raise Refusal(422, f"input {tensor.name!r}: datatype {tensor.datatype!r}; {', '.join(DTYPES)} or BYTES")
    return _numbers(tensor, data), rest


def _numbers(tensor: Tensor, data: list[Any]) -> Any:
    """Values of JSON as an array of the datatype, none cut; Refusal 422 where one is of another kind, or is too large."""
    dtype = np.dtype(DTYPES[tensor.datatype])
    fits = all(isinstance(value, bool if dtype.kind == "b" else (int, float)) for value in data)
    if fits and dtype.kind in "iu":
        told, data = data, [int(value) for value in data]
        fits = data == told
    try:
        with np.errstate(over="ignore"):
            values = np.array(data, dtype) if fits else None
    except OverflowError:
        values = None
    if values is None or not np.isfinite(values).all():
        raise Refusal(422, f"input {tensor.name!r} is {tensor.datatype}, which its data are not")
    return values


def _from_bytes(tensor: Tensor, n: int, data: memoryview) -> Any:
    if tensor.datatype == "BYTES":
        texts, at = [], 0
        try:
            for _ in range(n):
                (length,) = struct.unpack_from("<I", data, at)
                if at + 4 + length > len(data):
                    raise struct.error("a text is longer than the tensor")
                texts.append(str(data[at + 4 : at + 4 + length], "utf-8"))
                at += 4 + length
        except (struct.error, UnicodeDecodeError) as error:
            raise Refusal(422, f"input {tensor.name!r}: {error}") from error
        if at != len(data):
            raise Refusal(422, f"input {tensor.name!r}: {len(data) - at} bytes too many")
        return texts
    dtype = np.dtype(DTYPES.get(tensor.datatype, "V0"))
    if tensor.datatype not in DTYPES or len(data) != n * dtype.itemsize:
        raise Refusal(422, f"input {tensor.name!r}: {len(data)} bytes are not {n} of {tensor.datatype!r}")
    if tensor.datatype == "BOOL":
        return np.frombuffer(data, np.uint8) != 0
    return np.frombuffer(data, dtype).copy()


def _column(column: Column, values: Any) -> pa.Array:
    """Values as the column's kind."""
    numbers = not isinstance(values, list)
    try:
        if column.kind in ("number", "integer", "null"):
            if not numbers:
                raise TypeError("a number is expected")
            return pa.array(values.astype(np.float64), pa.float64())
        if column.kind == "bool":
            return pa.array(values.astype(np.bool_) if numbers else values, pa.bool_())
        if column.kind == "text":
            return pa.array([str(v) for v in values.tolist()] if numbers else values, pa.string())
        kind = pa.date32() if column.kind == "date" else pa.timestamp("us", column.zone)
        if column.kind in ("timestamp", "date"):
            if numbers:
                values = pa.array(values).cast(pa.int64())
            elif column.kind == "timestamp" and column.zone == "UTC":
                values = [in_utc(text) for text in values]
            array = pa.array(values)
            return array.cast(pa.int32()).cast(kind) if numbers and column.kind == "date" else array.cast(kind)
        raise TypeError("a list has no tensor; use /v1/score")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Refusal(422, f"input {column.name!r}: {str(error)[:200]}; the schema says {column.kind}") from error
