"""Every error answer: RFC 9457 problem+json, with an `error` member for clients that are older than it."""

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.lifecycle import IllegalMove
from api.strict_json import BrokenJson
from tuneyard.config_words import FORM
from tuneyard.errors import TuneyardError

log = logging.getLogger("tuneyard.api")
RETRY_SECONDS = "1"


class Problem(TuneyardError):
    """Raised anywhere below a route: becomes the answer.

    Args:
        status: HTTP status code.
        detail: What was wrong in this case; never holds a key or token.
        field: The part of the request that a 422 is about.
        retry_after: Seconds until it is worth asking again; a 429 says it.
        members: What else the body holds, in the words of another system.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        retry_after: int | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.retry_after = retry_after
        self.members = members


def problem_answer(
    request: Request,
    status: int,
    detail: str,
    *,
    errors: Sequence[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
    members: dict[str, Any] | None = None,
) -> Response:
    """The problem+json answer; a 401 says how to authenticate, a 503 when to come again."""
    title = HTTPStatus(status).phrase
    body: dict[str, Any] = {
        "type": f"urn:tuneyard:error:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": request.state.request_id,
        "error": detail,
    }
    if errors is not None:
        body["errors"] = errors
    body |= members or {}
    for prefix, in_their_words in request.app.state.error_words.items():
        if request.url.path.startswith(prefix):
            body = in_their_words(body)
    headers = dict(headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tuneyard"'
    if status == 503:
        headers["Retry-After"] = RETRY_SECONDS
    content = json.dumps(body, allow_nan=False).encode()
    return Response(content, status, headers, media_type="application/problem+json")


async def answer_to(request: Request, problem: Problem) -> Response:
    errors = [{"field": problem.field, "message": problem.detail}] if problem.field else None
    headers = {"Retry-After": str(problem.retry_after)} if problem.retry_after else None
    return problem_answer(
        request, problem.status, problem.detail, errors=errors, headers=headers, members=problem.members
    )


async def _http(request: Request, problem: HTTPException) -> Response:
    detail, headers = problem.detail, dict(problem.headers or {})
    if problem.status_code == 405:
        detail = f"{request.method} is not served at {request.url.path}"
        headers["Allow"] = ", ".join(sorted(_methods_at(request)))
    return problem_answer(request, problem.status_code, detail, headers=headers)


def _methods_at(request: Request) -> set[str]:
    """Every method that is served at the path: the router itself only knows the first route's. A path that is written
    out is no object of that name."""
    routes = iter_route_contexts(request.app.routes)
    path = request.scope["path"]
    matching = [route for route in routes if route.path_regex.match(path)]
    here = [route for route in matching if route.path == path] or matching
    return {method for route in here for method in route.methods or ()}


async def _invalid(request: Request, problem: RequestValidationError) -> Response:
    """Names each field and what is wrong with it; never repeats what was sent."""
    if isinstance(problem.body, BrokenJson):
        errors = [{"field": "body", "message": problem.body.problem}]
    else:
        errors = [{"field": _field(error["loc"]), "message": error["msg"]} for error in problem.errors()]
    return problem_answer(request, 422, _summary(errors), errors=errors)


def _field(where: Sequence[str | int]) -> str:
    """`metrics.0.step` for a body's field, `limit` for a query's: without the part of the request it came in."""
    parts = [str(part) for part in where if not str(part).startswith(FORM)]
    return ".".join(parts[1:]) or parts[0]


def _summary(errors: list[dict[str, str]]) -> str:
    first = f"{errors[0]['field']}: {errors[0]['message']}"
    return first if len(errors) == 1 else f"{first} (and {len(errors) - 1} more)"


async def _illegal_move(request: Request, problem: IllegalMove) -> Response:
    return problem_answer(request, 409, str(problem))


async def _taken(request: Request, problem: IntegrityError) -> Response:
    log.warning("The database refused a row: %s", problem.orig)
    return problem_answer(request, 409, "That contradicts what is recorded already")


async def _not_storable(request: Request, problem: DataError | OverflowError) -> Response:
    log.warning("The database cannot store a value: %s", getattr(problem, "orig", problem))
    message = "a value is out of the range that can be stored"
    return problem_answer(request, 422, message, errors=[{"field": "body", "message": message}])


async def _database_away(request: Request, problem: Exception) -> Response:
    log.error("The database did not answer: %s", getattr(problem, "orig", problem))
    return problem_answer(request, 503, "The database is locked or away: try again")


def answer_with_problems(app: FastAPI) -> None:
    """Make every error of the app a problem; what none of these knows is answered by the request log's rim."""
    handlers: dict[type[Exception], Any] = {
        Problem: answer_to,
        HTTPException: _http,
        RequestValidationError: _invalid,
        IllegalMove: _illegal_move,
        IntegrityError: _taken,
        DataError: _not_storable,
        OverflowError: _not_storable,
        OperationalError: _database_away,
        InterfaceError: _database_away,
        NoConnectionFree: _database_away,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
