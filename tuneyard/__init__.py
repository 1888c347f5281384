"""tuneyard: read and write the record of fine-tunes and batch tests, from Python or a terminal.

    import tuneyard

    with tuneyard.Client("http://127.0.0.1:8400", api_key) as client:
        for job in client.jobs.iter(status="running"):
            print(job.id, job.progress, job.loss)

Names below are imported when first used, so that `tuneyard.shapes` alone costs no HTTP library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneyard.async_client import AsyncClient
    from tuneyard.client import Client
    from tuneyard.errors import KeyExpiresSoon, TuneyardError
    from tuneyard.reporter import Reporter

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "KeyExpiresSoon", "Reporter", "TuneyardError", "__version__"]

_HOMES = {
    "AsyncClient": "tuneyard.async_client",
    "Client": "tuneyard.client",
    "KeyExpiresSoon": "tuneyard.errors",
    "Reporter": "tuneyard.reporter",
    "TuneyardError": "tuneyard.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tuneyard' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
