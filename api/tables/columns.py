"""What columns are made of."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, Integer, false
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel
from ulid import ULID

from tuneyard.values import NOT_FINITE

GRACE = timedelta(minutes=10)  # how long after its end a job's late points are still taken


SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """A time that carries its zone, UTC, on both databases; SQLite keeps no zone of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AnyNumber(TypeDecorator[float]):
    """A float that need not be finite. SQLite stores NaN as NULL: there, what is not finite is its word in JSON."""

    impl = Float
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> Any:
        if value is None or math.isfinite(value) or dialect.name != "sqlite":
            return value
        return next(word for word, number in NOT_FINITE.items() if repr(number) == repr(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:  # noqa: ARG002
        return None if value is None else float(value)


# Clients count in 64 bits; SQLite numbers rows by themselves only in a column called INTEGER.
BIG = BigInteger()


ROW_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


# PostgreSQL's JSON, not its JSONB: that one writes 1e308 out in digits and forgets the order of a config's fields.
OPEN = JSON()


START = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def token_is_over(ended_at: datetime | None) -> bool:
    """Whether a job ended so long ago that its token is dead."""
    return ended_at is not None and now() > ended_at + GRACE


def new_id() -> str:
    """A ULID: 26 characters that sort by time."""
    return str(ULID())


def pk_column() -> Any:
    return Field(default=None, primary_key=True, sa_type=ROW_NUMBER)


def link_to(target: str) -> Any:
    return Field(sa_type=ROW_NUMBER, foreign_key=target)


def open_column() -> Any:
    return Field(default_factory=dict, sa_type=OPEN)


def reading() -> Any:
    return Field(default=None, sa_type=AnyNumber)


def flag() -> Any:
    return Field(default=False, sa_column_kwargs={"server_default": false()})


def list_column() -> Any:
    """A list in a column that was added later, which is why the database itself would let it be null."""
    return Field(default_factory=list, sa_type=OPEN, nullable=True)


def count_from(start: int) -> Any:
    return Field(default=start, sa_column_kwargs={"server_default": str(start)})


def time_column(*, required: bool = False) -> Any:
    return Field(default_factory=now, sa_type=UtcTime) if required else Field(default=None, sa_type=UtcTime)
