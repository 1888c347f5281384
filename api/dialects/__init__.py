"""Other systems' URLs and field names: a module or package a system, and none imports another.

Each has a `router`, whose routes call what the canonical ones call. One whose clients read errors in words of its own
has also `ERROR_WORDS`: path prefix -> what makes its body of our problem's, which keeps every member that we send.
`JOB_WORDS` shows the jobs that were asked for in its words: api/askers.py. One that has only words needs no router.
"""

from importlib import import_module

from fastapi import APIRouter, FastAPI


def speak(app: FastAPI, name: str) -> None:
    """Serve the dialect of that name."""
    dialect = import_module(f"{__name__}.{name}")
    if router := getattr(dialect, "router", None):
        serve_directly(app, router)
    app.state.error_words |= getattr(dialect, "ERROR_WORDS", {})
    if words := getattr(dialect, "JOB_WORDS", None):
        app.state.job_words[name] = words


def serve_directly(app: FastAPI, router: APIRouter) -> None:
    """Its routes as the app's own. FastAPI looks for changes in every included router with each request, level by
    level: a fifth of a small request's time."""
    app.router.routes.extend(router.routes)
