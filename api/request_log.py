"""A ULID for every request: in its answer, on each of its log lines; and the rim where surprises end."""

import logging
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from fastapi import Request
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from api.problems import problem_answer
from tuneyard.keys import redact

log = logging.getLogger("tuneyard.api")
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
# What `log.info(event, extra={…})` may say of an event.
EVENT_FIELDS = {
    "method",
    "path",
    "address",
    "mode",
    "key_id",
    "user_id",
    "key_prefix",
    "job_id",
    "operation",
    "cost_estimate",
}
_JSON_NAMES = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "traceback"}


class RequestLog:
    """ASGI middleware: X-Request-ID, one line a request, and a 500 that shows nothing for what nobody handled."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, began, status, first = str(ULID()), time.perf_counter(), 0, 0.0
        # `notices` are headers that whatever answers is to carry: dependencies add theirs.
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, notices={"x-request-id": request_id})
        token = _request_id.set(request_id)

        async def send_with_id(message: Message) -> None:
            nonlocal status, first
            if message["type"] == "http.response.start":
                status, first = message["status"], time.perf_counter() - began
                notices = [(name.encode(), value.encode()) for name, value in state["notices"].items()]
                message["headers"] = [*message["headers"], *notices]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:  # the rim: the log gets all of it, the client only the number to quote
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status == 0:
                answer = problem_answer(Request(scope), 500, f"Something failed here; quote {request_id}")
                await answer(scope, receive, send_with_id)
        finally:
            scope["app"].state.counts.answered(scope, status, first)
            milliseconds = (time.perf_counter() - began) * 1000
            _log_answer(scope["method"], scope["path"], status, milliseconds)
            _request_id.reset(token)


def _log_answer(method: str, path: str, status: int, milliseconds: float) -> None:
    """The path without its query, where people put what is no log's business."""
    fields = {"method": method, "path": path, "status": status, "milliseconds": round(milliseconds, 1)}
    log.info(
        "%s %s %s %.1f ms", method, path, status, milliseconds, extra={"event": "http.request", **fields}
    )


class _Lines(logging.Formatter):
    """A line a record, whatever it says, with the request's id and an event's fields; a traceback follows it."""

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = _request_id.get() or "-"
        return redact(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return _utc(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        said = "event" in vars(record)  # in the message's own words
        fields = [(name, value) for name, value in vars(record).items() if name in EVENT_FIELDS and not said]
        line = super().formatMessage(record) + "".join(f" {name}={value}" for name, value in fields)
        return line if line.isprintable() else line.encode("unicode_escape").decode()


class _JsonLines(JsonFormatter):
    """A record as one JSON object on one line, its traceback inside."""

    def __init__(self) -> None:
        names = ["asctime", "levelname", "name", "event", "request_id"]
        unsaid = [*RESERVED_ATTRS, "color_message"]  # uvicorn's message once more, for a terminal
        super().__init__(names, rename_fields=_JSON_NAMES, reserved_attrs=unsaid)

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = _request_id.get()
        record.event = vars(record).get("event") or record.getMessage()
        return redact(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return _utc(record)


def _utc(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03}Z"


@lru_cache(maxsize=4)
def _second(since_1970: int) -> str:
    return datetime.fromtimestamp(since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def log_to_stderr(style: Literal["text", "json"] = "text") -> None:
    """One format for our lines, uvicorn's and Python's warnings, in each process that serves."""
    handler = logging.StreamHandler()
    line = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
    handler.setFormatter(_JsonLines() if style == "json" else _Lines(line))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # No line says where in the code, or in which thread, it was written, and finding out takes longer than the line.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for quiet in ("alembic", "uvicorn.error"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
