"""Whether the API is well, and where it runs."""

import platform
import socket
from datetime import datetime
from importlib.metadata import version

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.access.auth import AnyCaller, DatabaseDep
from api.strict_json import StrictRoute
from api.tables import now
from tuneyard.shapes import Health, System

public = APIRouter(tags=["system"], route_class=StrictRoute)
router = APIRouter(prefix="/system", tags=["system"], route_class=StrictRoute)


@public.get("/")
@public.get("/health")
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
