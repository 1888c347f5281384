"""Other systems' URLs and field names: a module or package a system, and none imports another.

Each has a `router`, whose routes call what the canonical ones call. One whose clients read errors in words of its own
has also `ERROR_WORDS`: path prefix -> what makes its body of our problem's, which keeps every member that we send.
"""

from importlib import import_module

from fastapi import APIRouter, FastAPI


def speak(app: FastAPI, name: str) -> None:
    """Serve the dialect of that name."""
    dialect = import_module(f"{__name__}.{name}")
    serve_directly(app, dialect.router)
    app.state.error_words |= getattr(dialect, "ERROR_WORDS", {})


def serve_directly(app: FastAPI, router: APIRouter) -> None:
    """Its routes as the app's own. FastAPI looks for changes in every included router with each request, level by
    level: a fifth of a small request's time."""
    app.router.routes.extend(router.routes)
