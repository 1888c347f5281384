"""Serves the app on a port until it is told to stop."""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from uvicorn.supervisors import Multiprocess

from tuneyard.errors import BadInput

log = logging.getLogger("tuneyard.api")
_ARENAS = -8  # M_ARENA_MAX in malloc.h
LAST_REQUESTS_SECONDS = 10


def serve(listener: socket.socket, workers: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that are under way and leave with 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # uvicorn hands the signal on to this once it has closed down
    host, port = listener.getsockname()[:2]
    log.info(
        "Serving on http://%s:%s (docs: /docs, health: /health)", f"[{host}]" if ":" in host else host, port
    )
    config = uvicorn.Config(
        "api.app:from_environment",
        factory=True,
        workers=workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=LAST_REQUESTS_SECONDS,
    )
    server = uvicorn.Server(config)
    if workers == 1:
        server.run(sockets=[listener])
    else:
        # Where all of them count, for /metrics: whichever is asked answers for all.
        with TemporaryDirectory(prefix="tuneyard-counts-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            Multiprocess(config, sockets=[listener]).run()
    if workers == 1 and not server.started:
        sys.exit(1)


def share_memory() -> None:
    """Else glibc gives each thread that answers a heap of its own, and each keeps what its largest answer took."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENAS, 2)


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts already: who comes while the app starts waits, and a port in use is known at once.

    Raises:
        BadInput: The address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except socket.gaierror as problem:
        raise BadInput(
            f"{host} is no address of this machine ({problem.strerror}): choose another --host"
        ) from None
    except OSError as problem:
        reason = os.strerror(problem.errno or 0)
        raise BadInput(
            f"cannot listen on {host}:{port} ({reason}): stop what uses the port, or choose another with --port"
        ) from None
    listener.set_inheritable(True)
    return listener


def on_signals(call: Callable[[], None]) -> None:
    """Call it, in the running loop, when the process is told to end: before uvicorn waits for the last requests."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals come to that one
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def both(number: int, frame: FrameType | None, before: Any = before) -> None:
            loop.call_soon_threadsafe(call)
            if callable(before):
                before(number, frame)

        signal.signal(number, both)


def _leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    sys.exit(0)
