"""The servers that benchmarks/metrics.py compares, each in a folder of its own, and a client that costs little."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.processes import free_port

ROOT = Path(__file__).parent.parent
PEERS = ("mlflow==3.17.2", "trackio==0.43.0")


class Connection:
    """One kept HTTP/1.1 connection. A request is one packet, and every answer is acknowledged at once: a server that
    sends head and body by themselves would otherwise wait 40 ms for it."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def ask(self, request: bytes) -> bytes:
        """Send a request made by `request` and give the answer's body, which must be a 2xx's."""
        self._socket.sendall(request)
        head = self._until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{head!r} {self._left[:500]!r}")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return b"".join(self._chunks())
        length = re.search(rb"content-length: (\d+)", lower)
        return self._exactly(int(length[1]) if length else 0)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            self._exactly(2)
        self._exactly(2)

    def _until(self, end: bytes) -> bytes:
        while end not in self._left:
            self._receive()
        found, _, self._left = self._left.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        parts, have = [self._left], len(self._left)
        while have < size:
            self._left = b""
            self._receive()
            parts.append(self._left)
            have += len(self._left)
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]

    def _receive(self) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        more = self._socket.recv(1 << 20)
        if not more:
            raise ConnectionError("the server hung up")
        self._left += more

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return json.loads(self.ask(request(method, path, body, **headers)))


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """A request as bytes; a header's `_` is a `-`."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
    if content:
        lines.append("Content-Type: application/json")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


def memory_mb(pid: int) -> float:
    """The resident memory of a process and of all that it started."""
    return sum(_resident(one) for one in _family(pid)) / 1024


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


class Server:
    """A server of either kind: where it answers, its process, its folder."""

    def __init__(self, url: str, process: subprocess.Popen[Any], folder: Path) -> None:
        self.url = url
        self.process = process
        self.folder = folder

    def connection(self) -> Connection:
        return Connection(self.url)

    @property
    def memory_mb(self) -> float:
        return memory_mb(self.process.pid)


@contextmanager
def _stopped(process: subprocess.Popen[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(words: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[Any]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            words, cwd=ROOT, env=dict(environment), stdout=log, stderr=log, start_new_session=True
        )


@contextmanager
def tuneyard(folder: Path, database_url: str | None = None) -> Iterator[tuple[Server, str]]:
    """Our API as `python -m api serve` runs it, and an admin's key to it."""
    dropped = ("DATABASE_URL", "TUNEYARD_PEPPER", "PREFECT_API_URL")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {
        "TUNEYARD_HOME": str(folder),
        "API_RATE_LIMIT_PER_KEY": "100000000",
        "PYTHONPATH": str(ROOT),
    }
    if database_url:
        environment["DATABASE_URL"] = database_url
    api, port = [sys.executable, "-m", "api"], str(free_port())
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([*api, "pepper"], cwd=ROOT, env=environment, check=True, stderr=subprocess.DEVNULL)
    made = subprocess.run(
        [*api, "first-admin", "a"], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    process = _start([*api, "serve", "--port", port], folder, environment)
    with _stopped(process):
        yield _answering(f"http://127.0.0.1:{port}", "/health", process, folder), made.stdout.strip()


@contextmanager
def mlflow(folder: Path, peers: Path) -> Iterator[Server]:
    """`mlflow server` on SQLite, as it comes."""
    port = str(free_port())
    words = [str(peers / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", port]
    words += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder)]
    environment = {
        **os.environ,
        "PATH": f"{peers / 'bin'}:{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    process = _start(words, folder, {k: v for k, v in environment.items() if k != "PYTHONPATH"})
    with _stopped(process):
        yield _answering(f"http://127.0.0.1:{port}", "/health", process, folder)


def _answering(url: str, path: str, process: subprocess.Popen[Any], folder: Path) -> Server:
    until = time.monotonic() + 120
    while True:
        try:
            Connection(url).ask(request("GET", path))
        except (OSError, RuntimeError):
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError((folder / "log").read_text()[-3000:]) from None
            time.sleep(0.2)
        else:
            return Server(url, process, folder)


def peers_in(folder: Path) -> Path:
    """A virtual environment with MLflow and trackio, made with the first use."""
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "-qq", *PEERS], check=True)
        (folder / "ready").touch()
    return folder


TRACKIO = """
import random, sys, time
from trackio.sqlite_storage import SQLiteStorage
batches, names = int(sys.argv[1]), sys.argv[2].split(",")
rows = [[{name: random.random() for name in names} for _ in range(125)] for _ in range(20)]
SQLiteStorage.bulk_log("benchmark", "warm", rows[0], steps=list(range(125)))
began = time.perf_counter()
for number in range(batches):
    steps = list(range(number * 125, number * 125 + 125))
    SQLiteStorage.bulk_log("benchmark", "run", rows[number % 20], steps=steps)
print(batches * 125 * len(names) / (time.perf_counter() - began))
"""


def trackio_points_a_second(folder: Path, peers: Path, names: list[str], batches: int = 80) -> float:
    """trackio's own writer in a process of its own, without HTTP."""
    environment = {**os.environ, "TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    words = [str(peers / "bin" / "python"), "-c", TRACKIO, str(batches), ",".join(names)]
    done = subprocess.run(words, env=environment, cwd=folder, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])
