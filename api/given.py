"""Bodies that another system's clients send, read by hand: they may hold fields that nobody here knows."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.problems import Problem
from api.strict_json import BrokenJson

Model = TypeVar("Model", bound=BaseModel)
Open = dict[str, Any]


def object_in(body: Any) -> Open:
    if body is None or isinstance(body, BrokenJson) or not isinstance(body, dict):
        raise Problem(
            400, "Invalid JSON body" if not isinstance(body, list) else "The body must be an object"
        )
    return body


def required(body: Open, *names: str) -> None:
    missing = [name for name in names if body.get(name) is None]
    if missing:
        raise Problem(400, f"Missing required field: {', '.join(missing)}")


def shape_of(shape: type[Model], fields: Open) -> Model:
    """The canonical shape, or 422 naming the first field that it does not accept."""
    try:
        return shape.model_validate(fields)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Problem(422, f"{field}: {first['msg']}", field=field) from None
