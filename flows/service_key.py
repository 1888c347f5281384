"""The credentials block, opened: how a flow reaches the API."""

from __future__ import annotations

from typing import cast

from blocks.credentials import TuneyardCredentials
from tuneyard.errors import BadInput

DEFAULT_CREDENTIALS = "tuneyard"


def load(credentials: str) -> TuneyardCredentials:
    """The credentials block of that name, or BadInput that says how to store one."""
    try:
        # _sync is taken by the wrapper around it: a hook may run inside a loop
        found = TuneyardCredentials.load(credentials, _sync=True)  # type: ignore[call-arg]
        return cast(TuneyardCredentials, found)
    except ValueError:
        raise BadInput(
            f"there is no Tuneyard credentials block called {credentials!r} in Prefect: "
            "store one with `python -m deployments store-key`"
        ) from None
