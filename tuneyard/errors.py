"""What can go wrong, one exception a meaning.

    TuneyardError
    ├── BadInput              a config, data row, model or path that cannot be used; nothing was started
    ├── WorkFailed            the trainer or generator process ended without a result
    │   ├── OutOfMemory       the device's memory did not hold what was asked of it
    │   ├── Diverged          training came to numbers from which no later step comes back
    │   └── ProcessKilled     a signal ended it: run again, it may well come to its end
    ├── Damaged               what was downloaded is not what was recorded
    ├── Unreachable           no answer from the API: connection refused, reset or timed out, after every retry
    └── ApiError              the API answered with a problem (RFC 9457)
        ├── Invalid           400, 413, 422: the request itself is wrong
        ├── Unauthorized      401: no key, a bad key, or a job token that a newer attempt replaced
        ├── Forbidden         403: a good key without the permission
        ├── NotFound          404: no such object in this workspace
        ├── Conflict          409, 425: the object's state does not allow it (yet)
        ├── RateLimited       429: too many requests, after every retry
        └── Unavailable       5xx: the server could not do it, after every retry

No message holds a key, a token or a request's headers. `KeyExpiresSoon` is a warning, not an error.
"""

from __future__ import annotations

from typing import Any

NOTHING_AT = "There is nothing at "  # how an API of ours begins where no route is


class TuneyardError(Exception):
    """The root of everything tuneyard raises on purpose; `str()` is one clear sentence."""


class BadInput(TuneyardError):
    """Something the user gave cannot be used; says which file, line or field, and what to do.

    Args:
        problem: What is wrong, and how to put it right.
        file: The file it was found in, if any.
        line: The line in that file, counted from 1.
        field: The config field or column, if that is what is wrong.
    """

    def __init__(
        self, problem: str, *, file: str | None = None, line: int | None = None, field: str | None = None
    ) -> None:
        where = f"{file}:{line}" if file and line else file
        super().__init__(": ".join(part for part in (where, field, problem) if part))
        self.problem = problem
        self.file = file
        self.line = line
        self.field = field


class WorkFailed(TuneyardError):
    """A child process ended without its result; the message holds how it ended and its last words."""


class ProcessKilled(WorkFailed):
    """A child process was ended by a signal that was not ours."""


class OutOfMemory(WorkFailed):
    """A GPU, or the host, had too little memory for a step; a smaller batch may fit."""


class Diverged(WorkFailed):
    """A loss or gradient is no longer a finite number."""


class Damaged(TuneyardError):
    """A file came with another size or digest than was recorded of it; nothing was kept under its name."""


class Unreachable(TuneyardError):
    """No HTTP answer came; the message names the address and what to start."""


class ApiError(TuneyardError):
    """The API refused or failed.

    Attributes:
        status: The HTTP status code.
        title: The problem's short name.
        detail: What was wrong in this case.
        request_id: What to quote when asking the server's log about it.
        problem: The whole problem+json body.
    """

    def __init__(self, status: int, title: str, detail: str, request_id: str | None, problem: dict[str, Any]):
        super().__init__(f"{status} {title}: {detail}" if detail else f"{status} {title}")
        self.status = status
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.problem = problem


class Invalid(ApiError):
    """400, 413 or 422."""


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""


class NotFound(ApiError):
    """404. Where it is the path that is not there, `nearest` names the endpoints that are most like it."""

    @property
    def nearest(self) -> list[str]:
        """`GET /api/v1/jobs`, …: the best first; the message names them too."""
        found = self.problem.get("nearest")
        return [
            f"{one.get('method')} {one.get('path')}"
            for one in (found if isinstance(found, list) else [])
            if isinstance(one, dict)
        ]


class Conflict(ApiError):
    """409, 425."""


class RateLimited(ApiError):
    """429."""


class Unavailable(ApiError):
    """5xx."""


class KeyExpiresSoon(UserWarning):
    """The server says that the key in use expires within days; warned of once a client."""


def told(error: TuneyardError) -> str:
    """The error for a person: whether it is the key that is refused, or a good key's endpoint that is not there."""
    if isinstance(error, Unauthorized) and error.title == "Unauthorized":
        return f"401 key refused: {error.detail}"
    if isinstance(error, NotFound) and error.detail.startswith(NOTHING_AT):
        return f"404 key accepted, endpoint missing: {error.detail}"
    return str(error)
