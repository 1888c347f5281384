"""A body of metric points: its bytes -> checked points, quickly where all is well.

msgspec reads what is right; what it refuses is read again by the shapes, which know why, and what JSON has no word
for (a bare NaN, 1e999).
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from msgspec import Meta

from api.problems import Problem
from api.strict_json import StrictRequest, StrictRoute, read_json, word_of
from tuneyard.shapes import MetricPoint
from tuneyard.values import LARGEST

LARGEST_BODY = 8 * 2**20  # bytes, as it is sent and once it is unpacked
NUMBERS = (
    "epoch",
    "train_loss",
    "eval_loss",
    "learning_rate",
    "grad_norm",
    "samples_per_second",
    "tokens_per_second",
    "gpu_memory_allocated_gb",
    "gpu_memory_reserved_gb",
    "gpu_utilization_percent",
)
Value = float | Literal["NaN", "Infinity", "-Infinity"] | None
Extra = dict[str, float | str]
# step, the NUMBERS, microseconds since 1970 (None: when it arrives), extra
Row = tuple[Any, ...]
TIME, EXTRA = len(NUMBERS) + 1, len(NUMBERS) + 2


class Point(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """MetricPoint, as msgspec reads it."""

    step: Annotated[int, Meta(ge=0, le=LARGEST)]
    epoch: Value = None
    train_loss: Value = None
    eval_loss: Value = None
    learning_rate: Value = None
    grad_norm: Value = None
    samples_per_second: Value = None
    tokens_per_second: Value = None
    gpu_memory_allocated_gb: Value = None
    gpu_memory_reserved_gb: Value = None
    gpu_utilization_percent: Value = None
    timestamp: datetime | None = None
    extra: dict[str, Value] = {}


Many = Annotated[list[Point], Meta(min_length=1, max_length=5000)]


class Batch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    metrics: Many


class JobBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    job_id: str
    metrics: Many


_batch = msgspec.json.Decoder(Batch)
_point = msgspec.json.Decoder(Point)
_job_batch = msgspec.json.Decoder(JobBatch)


def quick_rows(body: bytes) -> list[Row] | None:
    """The rows of one point or of a batch; None: it takes a closer look."""
    if b'"metrics"' in body[:40]:
        read = _read(_batch, body)
        return None if read is None else _rows(read.metrics)
    read = _read(_point, body)
    return None if read is None else _rows([read])


def quick_job_rows(body: bytes) -> tuple[str, list[Row]] | None:
    """The same for a batch that names its job."""
    read = _read(_job_batch, body)
    rows = None if read is None else _rows(read.metrics)
    return None if read is None or rows is None else (read.job_id, rows)


def _read(decoder: Any, body: bytes) -> Any:
    """None where it is not right, or holds an escape, which could be a text that PostgreSQL cannot keep."""
    try:
        return None if b"\\" in body else decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _rows(points: list[Point]) -> list[Row] | None:
    try:
        rows = [row if row[TIME] is None and not row[EXTRA] else _plain(row) for row in map(_tuple, points)]
    except (OverflowError, _OddTime):
        return None
    return rows


_tuple: Callable[[Point], Row] = msgspec.structs.astuple


class _OddTime(ValueError):
    """In a year that may be another one in some zone."""


def _plain(row: Row) -> Row:
    at, extra = row[TIME:]
    if at is not None:
        if not 1 < at.year < 9999:
            raise _OddTime
        at = microseconds(at)
    if None in extra.values():
        extra = {name: value for name, value in extra.items() if value is not None}
    return (*row[:TIME], at, extra)


def microseconds(at: datetime) -> int:
    """Since 1970; a time without a zone is UTC."""
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)


def row_of(point: MetricPoint) -> Row:
    """The row of a point that the shapes have checked."""
    numbers = (word_of(getattr(point, name)) for name in NUMBERS)
    extra = {name: word_of(value) for name, value in point.extra.items() if value is not None}
    at = None if point.timestamp is None else microseconds(point.timestamp)
    return (point.step, *numbers, at, extra)


@dataclass(frozen=True)
class RawBody:
    """What was sent, unread; or what is wrong with it, told after it was decided who may ask."""

    data: bytes = b""
    problem: Problem | None = None

    def read(self) -> Any:
        """Its JSON, with a word for each number that is not finite; a BrokenJson where it is none."""
        return read_json(self.data, odd_number=word_of)


class RawRequest(StrictRequest):
    """Its JSON is a RawBody, of a bounded size."""

    async def body(self) -> bytes:
        if not hasattr(self, "_kept"):
            self._kept, self._problem = b"", None
            try:
                self._kept = await self._unpacked()
            except Problem as problem:
                self._kept, self._problem = b"{}", problem
        return self._kept

    async def json(self) -> RawBody:
        return RawBody(await self.body(), self._problem)

    async def _unpacked(self) -> bytes:
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise Problem(400, "A body comes as it is, or with Content-Encoding: gzip")
        sent = await self._sent()
        return sent if encoding == "identity" else _gunzip(sent)

    async def _sent(self) -> bytes:
        if int(self.headers.get("content-length") or 0) > LARGEST_BODY:
            raise _too_large()
        chunks, size = [], 0
        async for chunk in self.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_BODY:
                raise _too_large()
        return b"".join(chunks)


class RawRoute(StrictRoute):
    """A route whose requests are RawRequests."""

    request_class: type[Request] = RawRequest


def _too_large() -> Problem:
    return Problem(413, f"Larger than {LARGEST_BODY // 2**20} MiB: send fewer points at a time")


def _gunzip(sent: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(sent, LARGEST_BODY + 1)
    except zlib.error:
        raise Problem(400, "The body is not the gzip that its Content-Encoding says") from None
    if len(plain) > LARGEST_BODY:
        raise _too_large()
    if not unpacker.eof or unpacker.unused_data:
        raise Problem(400, "The body's gzip breaks off, or something follows it")
    return plain
