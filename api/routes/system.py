"""Whether the API is well, and where it runs."""

import platform
import socket
from datetime import datetime
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.access.auth import AnyCaller, DatabaseDep, anybody
from api.strict_json import StrictRoute
from api.tables import now
from tuneyard.shapes import Health, System

public = APIRouter(tags=["system"], route_class=StrictRoute)
router = APIRouter(prefix="/api/v1/system", tags=["system"], route_class=StrictRoute)
UNHEALTHY: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "The database is away."}}


@public.get("/", dependencies=[anybody], responses=UNHEALTHY)
@public.get("/health", dependencies=[anybody], responses=UNHEALTHY)
def health(database: DatabaseDep, response: Response) -> Health:
    """`healthy`, or `unhealthy` with 503; for anybody."""
    try:
        with database.reading() as session:
            session.connection().execute(text("SELECT 1 FROM workspace LIMIT 1"))
    except SQLAlchemyError:
        response.status_code = 503
        return Health(status="unhealthy", checks={"database": "unhealthy"})
    return Health(status="healthy", checks={"database": "healthy"})


@router.get("")
def system(_: AnyCaller) -> System:
    """For any key."""
    return System(
        current_time=now(),
        timezone=str(datetime.now().astimezone().tzinfo),
        python_version=platform.python_version(),
        platform=platform.platform(),
        hostname=socket.gethostname(),
        tuneyard_version=version("tuneyard"),
    )
