"""The service itself: its problems, its health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tuneyard.shapes.shape import Shape
from tuneyard.values import Utc


class FieldProblem(Shape):
    field: str = Field(description="The part of the request, for example metrics.0.step.")
    message: str


class Endpoint(Shape):
    method: str
    path: str


class Problem(Shape):
    """Every error answer: RFC 9457's members, which request it was, and `errors` where fields are refused."""

    type: str = Field(
        description="A URN that ends in the title, as urn:chapkit:error:not-found; the same for the same kind of error."
    )
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="As in X-Request-ID, and in the server's log.")
    error: str | dict[str, Any] = Field(
        description="The same as `detail`; an object where clients of another system read one."
    )
    errors: list[FieldProblem] | None = None
    nearest: list[Endpoint] | None = Field(
        None, description="Where there is no such path: those most like it."
    )


class Health(Shape):
    status: Literal["healthy", "unhealthy"]
    checks: dict[str, str]


class System(Shape):
    current_time: Utc
    timezone: str
    python_version: str
    platform: str
    hostname: str
    tuneyard_version: str
