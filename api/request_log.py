"""A ULID for every request: in its answer, on each of its log lines; and the rim where surprises end."""

import logging
import time
from contextvars import ContextVar

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from api.problems import problem_answer
from tuneyard.keys import redact

log = logging.getLogger("tuneyard.api")
_request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestLog:
    """ASGI middleware: X-Request-ID, one line a request, and a 500 that shows nothing for what nobody handled."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, began, status = str(ULID()), time.perf_counter(), 0
        scope.setdefault("state", {})["request_id"] = request_id
        token = _request_id.set(request_id)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:  # the rim: the log gets all of it, the client only the number to quote
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status == 0:
                answer = problem_answer(Request(scope), 500, f"Something failed here; quote {request_id}")
                await answer(scope, receive, send_with_id)
        finally:
            milliseconds = (time.perf_counter() - began) * 1000
            log.info("%s %s %s %.1f ms", scope["method"], scope["path"], status, milliseconds)
            _request_id.reset(token)


class _Lines(logging.Formatter):
    """Writes the request's id on the line, and no key whole, wherever it came from."""

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = _request_id.get()
        return redact(super().format(record))


def log_to_stderr() -> None:
    """One format for our lines and uvicorn's."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
