"""The values that shapes are made of.

What is sent is taken as JSON means it: a text is no number, and neither is `true`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType


def _a_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("a number is needed")
    return value


def _finite_or_none(value: Any) -> Any:
    """JSON has no NaN or infinity: a number that no float can hold is stored as absent."""
    try:
        return None if isinstance(value, float | int) and not math.isfinite(value) else _a_number(value)
    except OverflowError:
        return None


def _a_reading(value: Any) -> Any:
    """A number, or the word for one that JSON has none for. What is too large for a float is infinite."""
    if isinstance(value, str) and value in NOT_FINITE:
        return NOT_FINITE[value]
    try:
        return value if value is None else float(_a_number(value))
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except TypeError:
        return value  # pydantic says what is wrong with it


def _a_time(value: Any) -> Any:
    """Not a count of seconds; and on no day that is in another year in some zone, where years end."""
    if isinstance(value, float | int) or (isinstance(value, str) and not _TIME.match(value)):
        raise ValueError("a time as 2026-11-21T12:00:00Z is needed")
    return value


def _an_inner_path(value: str) -> str:
    if not re.fullmatch(_INNER_PATH, value):
        raise ValueError("a path inside a folder is needed: no / at its start, no .., no empty part, no \\")
    return value


def _a_grace(value: str) -> str:
    if not re.fullmatch(_GRACE, value):
        raise ValueError("a number and s, m, h or d is needed, at most 30 days")
    return value


def _as_utc(value: datetime) -> datetime:
    """A time without a zone is taken as UTC."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a time between the years 1 and 9999 in UTC") from None


def is_client_id(text: str) -> bool:
    """Whether it can be somebody's id of something."""
    return re.fullmatch(CLIENT_ID[1:-1], text) is not None


@dataclass(frozen=True)
class ShownAs:
    """An annotation: the API's description shows another type. What is sent is checked elsewhere."""

    shown: Any

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(TypeAdapter(self.shown).core_schema)


# How JSON says what it has no number for; pydantic's `ser_json_inf_nan="strings"` writes the same words.
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
LARGEST = 2**53  # beyond it not every reader of JSON keeps an integer as it is
NO_NUL = r"^[^\x00]*$"  # what both databases keep as text; api/strict_json.py refuses the rest
_NO_LIMITS = r"^(?!0001-01-01|9999-12-31)"
_TIME = re.compile(_NO_LIMITS + r"\d{4}-\d\d-\d\d[Tt ]\d")

_GRACE = "|".join(
    (
        r"^(1?[0-9]{1,6}|2[0-4][0-9]{5}|25[0-8][0-9]{4}|259[01][0-9]{3}|2592000)s$",
        r"^([0-3]?[0-9]{1,4}|4[0-2][0-9]{3}|43[01][0-9][0-9]|43200)m$",
        r"^([0-6]?[0-9]{1,2}|7[01][0-9]|720)h$",
        r"^([0-2]?[0-9]|30)d$",
    )
)
# Refused besides: control characters, and what Windows would take for another drive.
CLIENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_INNER_PATH = r"^(?![A-Za-z]:)(?!.*(^|/)\.{0,2}(/|$))[^\x00-\x1f\x7f\\]{1,1024}$"

Text = Annotated[str, Field(json_schema_extra={"pattern": NO_NUL})]
Count = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(_a_number)]
CountFromOne = Annotated[int, Field(ge=1, le=LARGEST), BeforeValidator(_a_number)]
UpToAYear = Annotated[int, Field(ge=1, le=31_536_000), BeforeValidator(_a_number)]
Days = Annotated[int, Field(gt=0, le=3650), BeforeValidator(_a_number)]
Quota = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_a_number)]
Restarts = Annotated[int, Field(ge=0, le=1000), BeforeValidator(_a_number)]
Seconds = Annotated[float, Field(ge=1, le=86_400), BeforeValidator(_a_number)]
Whole = Annotated[int, BeforeValidator(_a_number)]
Real = Annotated[float, BeforeValidator(_a_number)]
Rate = Annotated[float, Field(gt=0, le=1), BeforeValidator(_a_number)]
Flag = Annotated[bool, Field(strict=True)]
Amount = Annotated[float, Field(ge=0), BeforeValidator(_a_number)]
Weight = Annotated[float, Field(ge=0.001, le=1000), BeforeValidator(_a_number)]
Gigabytes = Annotated[float, Field(ge=0.01, le=100_000), BeforeValidator(_a_number)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_a_number)]
Number = Annotated[float | None, BeforeValidator(_finite_or_none)]
Counter = Annotated[float | None, Field(ge=-1e12, le=1e12), BeforeValidator(_finite_or_none)]
Interval = Annotated[float, Field(gt=0, le=86_400), BeforeValidator(_a_number)]
Reading = Annotated[
    float | None,
    BeforeValidator(_a_reading),
    ShownAs(float | Literal["NaN", "Infinity", "-Infinity"] | None),
]
Utc = Annotated[datetime, AfterValidator(_as_utc)]
Time = Annotated[Utc, BeforeValidator(_a_time), Field(json_schema_extra={"pattern": _NO_LIMITS})]

Grace = Annotated[str, AfterValidator(_a_grace), Field(json_schema_extra={"pattern": _GRACE})]

_TEXT_NAMES: dict[str, Any] = {"propertyNames": {"pattern": NO_NUL}}
Json = TypeAliasType(
    "Json",
    "bool | float | Text | list[Json] | Annotated[dict[str, Json], Field(json_schema_extra=_TEXT_NAMES)] | None",
)
JsonObject = Annotated[
    dict[str, Any], ShownAs(Annotated[dict[str, Json], Field(json_schema_extra=_TEXT_NAMES)])
]
Label = Annotated[str, Field(max_length=512, json_schema_extra={"pattern": NO_NUL})]
Labels = Annotated[dict[str, Label], Field(max_length=16, json_schema_extra=_TEXT_NAMES)]
Column = Annotated[str, Field(min_length=1, max_length=255, json_schema_extra={"pattern": NO_NUL})]
Cell = Annotated[bool | int | float | Text | None, Field(description="A number, a text or null.")]
Readings = Annotated[dict[str, Reading], Field(json_schema_extra=_TEXT_NAMES)]
GpuUuid = Annotated[Text, Field(min_length=1, max_length=100)]
Alias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
ClientId = Annotated[str, Field(pattern=CLIENT_ID)]
ArtifactId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,25}$")]
InnerPath = Annotated[
    str,
    AfterValidator(_an_inner_path),
    Field(min_length=1, max_length=1024, json_schema_extra={"pattern": _INNER_PATH}),
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
