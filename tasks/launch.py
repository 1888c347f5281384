"""Starts a child process for heavy work, watches it, and makes sure that nothing of it is left.

The child lives in its own session and process group. A thread of its own starts, ends and reaps it: Prefect
delivers SIGTERM as an exception in the main thread, at any instruction, and a clean-up that runs there could
itself be cut short by the next one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.child import PARENT_VARIABLE
from tasks.durable import write_json
from tuneyard.errors import BadInput, WorkFailed

REPOSITORY = Path(__file__).resolve().parent.parent
LAST_LINES = 15
LONGEST_LINE = 500  # in an error message; a flood's lines would not fit into the record
# OpenMP threads that wait by spinning starve one another as soon as anything else wants the cores.
GENTLE = {"OMP_WAIT_POLICY": "PASSIVE"}
QUIET = {
    "PYTHONUNBUFFERED": "1",
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def run_child(
    module: str,
    plan: dict[str, Any],
    folder: Path,
    *,
    secrets: dict[str, str],
    watch: Callable[[], None],
    say: Callable[[str], None],
    interval: float = 1.0,
    grace: float = 20.0,
) -> dict[str, Any]:
    """Runs `python -m <module> <folder>` to its end and returns its folder/result.json.

    Args:
        module: A module whose main calls `tasks.child.serve`.
        plan: Becomes folder/plan.json; never put a secret here.
        folder: Made if need be; keeps plan, log and result. What an earlier child left is used by the new one.
        secrets: One JSON line on the child's stdin.
        watch: Called about every `interval` seconds; an exception out of it stops the child and goes on.
        say: Called with each new line of the child's output.
        grace: Seconds between SIGTERM and SIGKILL.

    Raises:
        BadInput: the child says that what the user gave cannot be used.
        WorkFailed: the child ended without a result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("result.json", "failure.json"):
        (folder / stale).unlink(missing_ok=True)
    write_json(folder / "plan.json", plan)
    log = folder / "child.log"
    log.touch()
    tail = Tail(log, start=log.stat().st_size)
    last: deque[str] = deque(maxlen=LAST_LINES)

    def relay(lines: list[str]) -> None:
        for line in lines:
            last.append(line)
            say(line)

    keeper = _Keeper(module, folder, secrets, grace)
    try:
        keeper.start()
        while not keeper.ended.wait(interval):
            relay(tail.new_lines())
            watch()
        relay(tail.rest())
    finally:
        keeper.stop()
    return _outcome(module, folder, keeper.returncode(), list(last))


def _outcome(module: str, folder: Path, code: int, last: list[str]) -> dict[str, Any]:
    if code == 0 and (folder / "result.json").exists():
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return result
    if (folder / "failure.json").exists():
        failure = json.loads((folder / "failure.json").read_text(encoding="utf-8"))
        if failure["kind"] == "bad_input":
            raise BadInput(
                failure["problem"], file=failure["file"], line=failure["line"], field=failure["field"]
            )
        raise WorkFailed(failure["message"])
    words = "\n".join(line[:LONGEST_LINE] for line in last) or "(it printed nothing)"
    raise WorkFailed(f"{module} {_ending(code)}. Its last lines ({folder / 'child.log'}):\n{words}")


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was ended by SIGKILL (by somebody, or by the kernel for want of memory)"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code} and no result"


class Tail:
    """Reads whole lines as they are added to a file; what is not yet ended by a newline waits.

    At most `limit` bytes are read at a time: of a flood only the newest part is returned, with a line that says
    how much was passed over.
    """

    def __init__(self, path: Path, start: int = 0, limit: int = 1 << 18) -> None:
        self._path = path
        self._offset = start
        self._limit = limit

    def new_lines(self) -> list[str]:
        """The whole lines added since the last call, without their line ends."""
        return self._read(at_end=False)

    def rest(self) -> list[str]:
        """What is left once the writer has ended, an unended last line too."""
        return self._read(at_end=True)

    def _read(self, *, at_end: bool) -> list[str]:
        skipped = self._path.stat().st_size - self._offset - self._limit
        with self._path.open("rb") as file:
            file.seek(self._offset + max(0, skipped))
            chunk = file.read(self._limit)
        whole = len(chunk) if at_end or len(chunk) == self._limit else chunk.rfind(b"\n") + 1
        self._offset += max(0, skipped) + whole
        lines = chunk[:whole].decode("utf-8", errors="replace").splitlines()
        if skipped > 0:
            lines[:1] = [f"[{skipped} bytes of output are not shown here; {self._path} has them]"]
        return lines


class _Keeper:
    """Owns the child from start to reaping, in a thread that no signal handler interrupts.

    The thread also outlives the child because PR_SET_PDEATHSIG counts from the starting *thread*'s end. It is
    not a daemon: an interpreter that shuts down waits for it.
    """

    def __init__(self, module: str, folder: Path, secrets: dict[str, str], grace: float) -> None:
        self.ended = threading.Event()
        self._stopping = threading.Event()
        self._hurried = threading.Event()
        self._command = [sys.executable, "-P", "-m", module, str(folder)]
        self._log = folder / "child.log"
        self._secrets = secrets
        self._grace = grace
        self._code: int | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keeper of {module}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when nothing of the child is left; an exception raised meanwhile only shortens the grace."""
        self._stopping.set()
        if self._thread.ident is None:
            return
        try:
            self._thread.join()
        except BaseException:
            self._hurried.set()
            self._thread.join()
            raise

    def returncode(self) -> int:
        """How the child ended, as `subprocess` counts: below zero is a signal. Raises what starting it raised."""
        if self._error is not None:
            raise self._error
        assert self._code is not None
        return self._code

    def _keep(self) -> None:
        try:
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=True,
                )
            self._attend(process)
        except OSError as error:
            self._error = error
        finally:
            self.ended.set()

    def _attend(self, process: subprocess.Popen[bytes]) -> None:
        try:
            _hand_over(process, self._secrets)
            while not _has_ended(process) and not self._stopping.wait(0.1):
                pass
            if not _has_ended(process):
                os.killpg(process.pid, signal.SIGTERM)
                deadline = time.monotonic() + self._grace
                while not _has_ended(process) and time.monotonic() < deadline:
                    if self._hurried.wait(0.05):
                        break
        finally:
            # The leader is not reaped yet, so the group's number cannot belong to anybody else.
            os.killpg(process.pid, signal.SIGKILL)
            self._code = process.wait()


def _hand_over(process: subprocess.Popen[bytes], secrets: dict[str, str]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(secrets).encode() + b"\n")
        process.stdin.close()
    except BrokenPipeError:
        pass  # it died at once; its exit code and log say why


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child is dead, seen without reaping it."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _environment() -> dict[str, str]:
    """Ours, so that `tasks` is importable from any working folder and no progress bar is drawn in a log."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {"PYTHONPATH": os.pathsep.join(paths), PARENT_VARIABLE: str(os.getpid())}
    return {**GENTLE, **os.environ, **QUIET, **ours}
