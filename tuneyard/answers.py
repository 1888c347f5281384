"""What an HTTP answer means: a shape, or one of the errors."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from tuneyard.errors import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)

T = TypeVar("T")

_MEANINGS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    425: Conflict,
    429: RateLimited,
}
_FIELDS_NAMED = 5


def read(shape: type[T], response: httpx.Response) -> T:
    """The answer as `shape`.

    Raises:
        ApiError: It is not that shape: another server, or another version of this one.
    """
    try:
        return TypeAdapter(shape).validate_json(response.content)
    except ValidationError as error:
        # Only places and reasons: the answer's values stay out of messages, one of them may be a new key.
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    first = faults[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    server = _origin(response)
    detail = f"not what was expected at {where}: {first['msg']}; is {server} a tuneyard API of this version?"
    raise ApiError(
        response.status_code, "Unreadable answer", detail, response.headers.get("X-Request-ID"), {}
    )


def problem_in(response: httpx.Response) -> ApiError | None:
    """The error an answer stands for, or None where it is a success."""
    if response.is_success:
        return None
    status = response.status_code
    meaning = Unavailable if status >= 500 else _MEANINGS.get(status, ApiError)
    body = _json_object(response)
    reason = response.reason_phrase or "Error"
    title = _text(body, "title") or reason
    detail = _detail(body) if body else _not_ours(response)
    request_id = _text(body, "request_id") or response.headers.get("X-Request-ID")
    return meaning(status, title, detail, request_id, body)


def _detail(body: dict[str, Any]) -> str:
    detail = _text(body, "detail") or _text(body, "error")
    faults = body.get("errors")
    named = [
        f"{fault.get('field', '?')}: {fault.get('message', '?')}"
        for fault in (faults if isinstance(faults, list) else [])
        if isinstance(fault, dict) and str(fault.get("message")) not in detail
    ]
    return "; ".join([detail, *named[:_FIELDS_NAMED]] if detail else named[:_FIELDS_NAMED])


def _not_ours(response: httpx.Response) -> str:
    kind = response.headers.get("Content-Type", "nothing").split(";")[0]
    text = f"{_origin(response)} answered with {kind}, not as tuneyard's API does"
    if response.has_redirect_location:
        return f"{text}; it points to another address: put TUNEYARD_API_URL right"
    return f"{text}; a proxy in between, or another server? Look at TUNEYARD_API_URL"


def _origin(response: httpx.Response) -> str:
    url = response.request.url
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(body: dict[str, Any], member: str) -> str:
    value = body.get(member)
    return value if isinstance(value, str) else ""
