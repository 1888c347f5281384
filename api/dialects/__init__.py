"""Other systems' URLs and field names: a module or package a system, and none imports another.

Each has a `router`, whose routes call what the canonical ones call. One whose clients read errors in words of its own
has also `ERROR_WORDS`: path prefix -> what makes its body of our problem's, which keeps every member that we send.
`JOB_WORDS` shows the jobs that were asked for in its words: api/askers.py. One that has only words needs no router.
"""

from importlib import import_module

from fastapi import FastAPI


def speak(app: FastAPI, name: str) -> None:
    """Serve the dialect of that name."""
    dialect = import_module(f"{__name__}.{name}")
    if router := getattr(dialect, "router", None):
        app.include_router(router)
    app.state.error_words |= getattr(dialect, "ERROR_WORDS", {})
    if words := getattr(dialect, "JOB_WORDS", None):
        app.state.job_words[name] = words
