"""What is sent, filled in from single values."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tuneyard.errors import BadInput

T = TypeVar("T", bound=BaseModel)


def filled(shape: type[T], **values: object) -> T:
    """The shape with these values.

    Raises:
        BadInput: One cannot be what it is given as. The message does not repeat it: it may be a password.
    """
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    raise BadInput(first["msg"], field=".".join(map(str, first["loc"])))
