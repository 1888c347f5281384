"""What the coordinator's clients send. Members that nobody here knows are let through."""

from typing import Annotated, Any

from fastapi import Body
from pydantic import ConfigDict

from tuneyard.submission_shapes import NewSubmission, Payload
from tuneyard.values import NO_NUL, Json, ShownAs

Anything = Annotated[Any, ShownAs(Json)]
NAMES: dict[str, Any] = {"propertyNames": {"pattern": NO_NUL}}
OPEN = ConfigDict(extra="allow", json_schema_extra=NAMES)


class AnyPayload(Payload):
    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]


class BarePrompt(Payload):
    """The same without a `payload` around it, as the seed's curl line sends it."""

    model_config = ConfigDict(extra="allow", json_schema_extra=NAMES | {"not": {"required": ["payload"]}})
    __pydantic_extra__: dict[str, Anything]


class AnySubmission(NewSubmission):
    """Members that nobody here knows, such as those about payment, are let through and decide nothing."""

    model_config = OPEN
    __pydantic_extra__: dict[str, Anything]
    payload: AnyPayload


SubmissionBody = Annotated[Any, Body(), ShownAs(AnySubmission | BarePrompt)]
