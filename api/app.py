"""The application: its routes, its errors, its log."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from api.access.auth import every_route_declares, unknown_path
from api.access.declared import DeclaredKeys
from api.access.door import Door
from api.access.pepper import load_pepper
from api.access.rate_limits import RateLimits
from api.counts import Counts
from api.database import Database
from api.dialects import serve_directly, speak
from api.job_followers import Feeds
from api.kept_place import Place
from api.launches import Launches
from api.metric_store import MetricStore
from api.openapi_words import describe
from api.problems import answer_with_problems
from api.request_log import RequestLog, log_to_stderr
from api.routes import (
    aliases,
    api_keys,
    artifact_facts,
    artifact_files,
    artifacts,
    batch_test_life,
    batch_tests,
    comparisons,
    config_artifacts,
    configs,
    data_set_files,
    data_sets,
    events,
    gpus,
    job_events,
    job_gpu,
    job_life,
    job_stream,
    jobs,
    metrics,
    ml,
    people,
    predicting,
    scraping,
    sessions,
    step_predictions,
    suites,
    system,
)
from api.serving import on_signals, share_memory
from api.settings import Settings

RESOURCES = (
    metrics,  # asked most by far: a route is looked for from the first on
    jobs,
    job_life,
    job_events,
    job_gpu,
    job_stream,
    step_predictions,
    ml,
    predicting,
    configs,
    config_artifacts,
    data_set_files,
    data_sets,
    artifact_files,
    artifact_facts,
    artifacts,
    aliases,
    suites,
    comparisons,
    batch_tests,
    batch_test_life,
    gpus,
    sessions,
    people,
    events,
    system,
    scraping,
)
DIALECTS = ("finetunelab", "chapkit", "astrid", "aitbc", "openai_sdk")


def create_app(settings: Settings) -> FastAPI:
    """The API over the settings' database, which must be at head; nothing is connected before the first request.

    Raises:
        BadInput: There is no pepper, or a declared key, the Redis URL or the artifacts' place cannot be used.
        TypeError: A route does not say who may call it.
    """
    app = FastAPI(title="tuneyard", version=version("tuneyard"), lifespan=_running, redirect_slashes=False)
    database, pepper = Database(settings.database, settings.tuneyard_database_patience), load_pepper(settings)
    app.state.settings = settings
    app.state.error_words = {}
    app.state.job_words = {}
    app.state.place = Place(settings.artifacts)
    app.state.launches = Launches(settings)
    app.state.counts = Counts()
    app.state.metrics = MetricStore(database)
    app.state.feeds = Feeds(database)
    app.state.door = Door(database, pepper, DeclaredKeys(settings, pepper), RateLimits(settings))
    for router in (*(resource.router for resource in RESOURCES), system.public):
        serve_directly(app, router)
    app.include_router(api_keys.router, prefix="/api/v1")
    for dialect in DIALECTS:
        speak(app, dialect)
    every_route_declares(app)
    describe(app)
    answer_with_problems(app)
    app.add_exception_handler(404, unknown_path)
    app.add_middleware(RequestLog)
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    app.state.door.usage.start()
    on_signals(app.state.feeds.stop)
    yield
    app.state.feeds.stop()
    await run_in_threadpool(app.state.metrics.stop)
    await run_in_threadpool(app.state.door.usage.stop)
    app.state.door.limits.close()
    app.state.launches.close()
    app.state.door.database.close()


def from_environment() -> FastAPI:
    """What each worker process of `python -m api serve` runs."""
    share_memory()
    settings = Settings()
    log_to_stderr(settings.tuneyard_log_format)
    app = create_app(settings)
    # What is there by now stays: a collection that walks over it all with every few thousand rows takes longer than
    # the rows do.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return app
