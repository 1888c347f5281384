"""The application: its routes, its errors, its log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from api.access.pepper import load_pepper
from api.database import Database
from api.dialects import finetunelab
from api.problems import answer_with_problems
from api.request_log import RequestLog, log_to_stderr
from api.routes import api_keys, artifacts, batch_tests, datasets, gpus, jobs, metrics, suites, system
from api.settings import Settings

RESOURCES = (jobs, metrics, datasets, artifacts, suites, batch_tests, gpus, api_keys, system)


def create_app(settings: Settings) -> FastAPI:
    """The API over the settings' database, which must be at head; nothing is connected before the first request."""
    app = FastAPI(title="tuneyard", version=version("tuneyard"), lifespan=_closing, redirect_slashes=False)
    app.state.database = Database(settings.database, settings.tuneyard_database_patience)
    app.state.pepper = load_pepper(settings)
    app.include_router(system.public)
    canonical = APIRouter(prefix="/api/v1")
    for resource in RESOURCES:
        canonical.include_router(resource.router)
    app.include_router(canonical)
    app.include_router(finetunelab.router)
    answer_with_problems(app)
    app.add_middleware(RequestLog)
    return app


@asynccontextmanager
async def _closing(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.database.close()


def from_environment() -> FastAPI:
    """What each worker process of `python -m api serve` runs."""
    log_to_stderr()
    return create_app(Settings())
