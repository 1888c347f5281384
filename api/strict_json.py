"""Bodies are JSON that both databases can keep, and faults in them are told after who may ask was decided."""

import json
import math
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

DEEPEST = 64
# What a body must hold before it needs a closer look: NUL, a half of a surrogate pair, a non-number.
_ODD = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]|[eE]\+?\d{3}|\d{309}|NaN|Infinity")


@dataclass(frozen=True)
class BrokenJson:
    """Stands in for a body that cannot be used. No shape accepts it, so it is refused where shapes are checked:
    after the key, the permission and the object, which a body must not be able to overtake."""

    problem: str

    def __getattr__(self, name: str) -> NoReturn:
        """Shapes look for their fields in an object's attributes; without this it would be a shape left empty."""
        raise _Unreadable(name)


class _Unreadable(LookupError):
    """A broken body has no fields."""


class _Unstorable(ValueError):
    """A text that PostgreSQL cannot keep."""


class StrictRequest(Request):
    async def json(self) -> Any:
        """The body; NaN and infinities in it are null."""
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """A route whose requests are StrictRequests."""

    request_class: type[Request] = StrictRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            if not isinstance(request, self.request_class):
                request = self.request_class(request.scope, request.receive)
            return await handle(request)

        return handle_strictly


def null_of(value: float) -> float | None:
    return value if math.isfinite(value) else None


def word_of(value: float | None) -> float | str | None:
    """A number that is not finite as the word that stands for it in JSON."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def read_json(body: bytes, odd_number: Callable[[float], Any] = null_of) -> Any:
    """The value, or a BrokenJson that says what is wrong with it; `odd_number` says what stands for a float that is
    not finite."""
    try:
        value = json.loads(body)
        if _depth_exceeds(value, DEEPEST):
            return BrokenJson(f"nested more than {DEEPEST} deep")
        return _storable(value, odd_number) if _ODD.search(body) else value
    except _Unstorable as problem:
        return BrokenJson(str(problem))
    except RecursionError:
        return BrokenJson(f"nested more than {DEEPEST} deep")
    except json.JSONDecodeError as problem:
        return BrokenJson(f"not JSON: {problem.msg} at line {problem.lineno}, column {problem.colno}")
    except ValueError:  # not UTF-8, or a number of thousands of digits
        return BrokenJson("not JSON in UTF-8")


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        inner = (
            v
            for c in level
            for v in (c.values() if isinstance(c, dict) else c if isinstance(c, list) else ())
        )
        level = [v for v in inner if isinstance(v, dict | list)]
        if not level:
            return False
    return True


def _storable(value: Any, odd_number: Callable[[float], Any]) -> Any:
    match value:
        case str():
            return _text(value)
        case float():
            return odd_number(value)
        case list():
            return [_storable(item, odd_number) for item in value]
        case dict():
            return {_text(key): _storable(item, odd_number) for key, item in value.items()}
    return value


def _text(value: str) -> str:
    if "\0" in value:
        raise _Unstorable("a text holds the NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Unstorable("a text holds half of a surrogate pair") from None
    return value
