"""Takes a host's readings at the clock's marks and records them, until the next round has begun."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tasks.readings import driver_held, read_host
from tasks.relay import Relay, marks
from tuneyard import Client
from tuneyard.configs import CollectConfig
from tuneyard.errors import RateLimited, Unavailable, Unreachable
from tuneyard.shapes import HostSample

KEPT = 1000  # readings that wait for an API that is away: as many as it takes at a time
AWAY = (Unreachable, Unavailable, RateLimited)


def collect(
    service: Client,
    config: CollectConfig,
    folder: Path,
    *,
    warn: Callable[[str], None],
    show: Callable[[HostSample], None],
) -> HostSample:
    """Take and record the readings; gives the last one.

    What the API cannot take now it gets with the next, and at the end it is waited for: `warn` hears why.

    Args:
        folder: Where this host's rounds know of one another.
    """
    relay = Relay(folder / f"collector-{socket.gethostname()}")
    unsent: deque[HostSample] = deque(maxlen=KEPT)
    with driver_held():
        for moment in marks(config.interval_seconds, config.most):
            if relay.is_over:
                break
            reading = read_host(moment, config.interval_seconds)
            unsent.append(reading)
            if _send(service, unsent, warn) and config.relay:
                relay.begin()
            show(reading)
    if unsent:
        service.gpus.push(list(unsent))
    return reading


def _send(service: Client, unsent: deque[HostSample], warn: Callable[[str], None]) -> bool:
    """Whether all of it was taken. It is tried once: the next reading must not come late for it."""
    try:
        service.gpus.push(list(unsent), patience=0)
    except AWAY as problem:
        warn(f"{len(unsent)} reading(s) wait: {problem}")
        return False
    unsent.clear()
    return True
