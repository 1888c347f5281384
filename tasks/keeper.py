"""Stands between a flow and its child process, and sees to it that nothing of the child is left.

`python -m tasks.keeper <folder>`; the folder is there for whoever reads the process table. It is a process of its own,
which outlives a flow that is killed for as long as it takes to end what that had started, and to which the kernel gives
every orphan below it, whatever session or process group that made for itself. Out of its reach are only processes that
another program starts on request (a container engine, systemd), those of another user, and those that wait in the
kernel for a disk or a driver. Killed itself, it takes the child with it, but not the child's own children.

stdin: one line of JSON, {"command": [...], "grace": seconds, "secrets": {...}}; then "stop" to end the child by
SIGTERM, and after `grace` by SIGKILL; "now", or the end of stdin, to end it by SIGKILL. The secrets go on to the
child's stdin. It ends as the child did: with its exit code, or by its signal.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

import psutil

from tasks.child import PARENT_VARIABLE, PR_SET_PDEATHSIG

PR_SET_CHILD_SUBREAPER = 36
TICK = 0.05
ENDING = 15.0  # seconds in which a killed process must be gone


class Orders:
    """What the flow says, line by line. It is silent for ever once it is dead."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._read = b""
        self._terminated = False
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the flow, which will say what it wants

    def next(self, seconds: float) -> str | None:
        """The next line, or None if none comes in time; "now" when the flow is dead."""
        if self._terminated:
            self._terminated = False
            return "stop"
        if os.getppid() != self._parent:
            return "now"
        if b"\n" not in self._read:
            ready, _, _ = select.select([0], [], [], seconds)
            if not ready:
                return None
            more = os.read(0, 1 << 16)
            if not more:
                return "now"
            self._read += more
        line, newline, rest = self._read.partition(b"\n")
        if not newline:
            return None
        self._read = rest
        return line.decode()

    def _on_sigterm(self, *_: Any) -> None:
        self._terminated = True


class Child:
    """The child and all that comes from it."""

    def __init__(self, command: list[str], secrets: dict[str, str]) -> None:
        self.code: int | None = None
        library, keeper = ctypes.CDLL(None), os.getpid()

        def die_with_keeper() -> None:
            if sys.platform.startswith("linux"):
                library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != keeper:
                    os._exit(1)

        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env={**os.environ, PARENT_VARIABLE: str(keeper)},
            start_new_session=True,
            preexec_fn=die_with_keeper,
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once; its exit code and log say why
            self._process.stdin.write(json.dumps(secrets).encode() + b"\n")
            self._process.stdin.close()

    def has_ended(self) -> bool:
        """Whether the child itself is dead; reaps it, and every orphan that has ended."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._process.pid:
                    self.code = self._process.returncode = os.waitstatus_to_exitcode(found[1])
        return self.code is not None

    def ask_to_end(self) -> None:
        """SIGTERM to its process group."""
        if not self.has_ended():
            os.killpg(self._process.pid, signal.SIGTERM)  # not reaped yet: the number is nobody else's

    def end(self) -> None:
        """SIGKILL to it and all its descendants, until there is none, at most `ENDING` seconds long."""
        deadline = time.monotonic() + ENDING
        while left := psutil.Process().children(recursive=True):
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            if time.monotonic() > deadline:
                sys.stdout.write(f"Could not be ended: {', '.join(str(each) for each in left)}\n")
                return
            time.sleep(TICK / 5)
            self.has_ended()


def keep(orders: Orders, child: Child, grace: float) -> None:
    """Waits for the child's end, or makes it."""
    deadline = None
    while not child.has_ended():
        order = orders.next(TICK)
        if order == "stop" and deadline is None:
            child.ask_to_end()
            deadline = time.monotonic() + grace
        if order == "now" or (deadline is not None and time.monotonic() > deadline):
            break
    child.end()


def main() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    orders = Orders()
    while (line := orders.next(TICK)) is None:
        pass
    if line in ("now", "stop"):
        return
    order = json.loads(line)
    child = Child(order["command"], order["secrets"])
    keep(orders, child, order["grace"])
    end_as(child.code)


def end_as(code: int | None) -> NoReturn:
    """Ends this process as the child ended; None where that could not be ended."""
    sys.stdout.flush()
    if code is not None and code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    sys.exit(1 if code is None else code)


if __name__ == "__main__":
    main()
