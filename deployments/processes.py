"""Servers as child processes: started with a log, waited for, and stopped with everything they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil


class StartFailed(Exception):
    """A server did not come up; the message says why and where its log is."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


class Server:
    """A child process in a session of its own, so that Ctrl-C reaches us first and we stop things in order."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], log: Path, cwd: Path
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = dict(environment)
        self._cwd = cwd
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        self._past_words = log.stat().st_size
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as sink:
            return subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_again(self) -> None:
        """The same once more, after it has ended; what it had started itself may live on."""
        self.process.wait()
        self._past_words = self.log.stat().st_size
        self.process = self._begin()

    def has_said(self, words: str) -> bool:
        """Whether its log says so, since it was last started."""
        with self.log.open("rb") as said:
            said.seek(self._past_words)
            return words.encode() in said.read()

    def wait_until(self, answers: Callable[[], bool], seconds: float) -> None:
        """Wait for the first answer; StartFailed if the process ends before it, or the time is up."""
        deadline = time.monotonic() + seconds
        while not answers():
            if self.process.poll() is not None:
                raise StartFailed(f"{self.name} ended at start:\n{self.last_words()}\nIts log: {self.log}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} did not answer within {seconds:.0f} s. Its log: {self.log}")
            time.sleep(0.2)

    def last_words(self, lines: int = 8) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end_children(self, grace: float) -> None:
        """Ask what it started itself to end, and give that `grace` seconds; their own children are their affair.

        The server stands still from then on: it must not start anything in their place. `stop` lets it go on.
        """
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGSTOP)
        children = _family(self.process.pid, recursive=False)[1:]
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        deadline = time.monotonic() + grace
        while any(_is_at_work(child) for child in children) and time.monotonic() < deadline:
            time.sleep(0.1)

    def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL for whatever of its family is left after `grace` seconds."""
        family = _family(self.process.pid)
        if self.process.poll() is None:
            self.process.terminate()
            self.process.send_signal(signal.SIGCONT)
        _kill_after(family, grace)
        self.process.wait()


def end_all(processes: list[psutil.Process], grace: float) -> None:
    """SIGTERM to each, then SIGKILL to those that are left after `grace` seconds."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _kill_after(processes, grace)


def _kill_after(processes: list[psutil.Process], grace: float) -> None:
    _, left = psutil.wait_procs(processes, timeout=grace)
    for straggler in left:
        with suppress(psutil.NoSuchProcess):
            straggler.kill()
    psutil.wait_procs(left, timeout=5)


def environment_of(process: psutil.Process) -> dict[str, str]:
    """What it was started with; nothing of one that has just ended, or is another user's."""
    try:
        found: dict[str, str] = process.environ()
    except psutil.Error:
        return {}
    return found


def parent_of(process: psutil.Process) -> int | None:
    """Its parent's pid; None once it has ended."""
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None


def _is_at_work(process: psutil.Process) -> bool:
    """Neither gone nor waiting to be buried by a parent that stands still."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _family(pid: int, *, recursive: bool = True) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=recursive)]
    except psutil.NoSuchProcess:
        return []


def environment_without(prefix: str) -> dict[str, str]:
    """This process's environment less every variable that begins with `prefix`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefix)}
