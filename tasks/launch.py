"""Starts a child process for heavy work, watches it, and makes sure that nothing of it is left.

Between the two stands a keeper process (`tasks.keeper`), which ends the child and all that came from it, also where
this process is killed. Prefect delivers SIGTERM as an exception in the main thread, at any instruction: it can cut
short a clean-up here, but not one over there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.child import KINDS, STOPPED
from tasks.durable import write_json
from tuneyard.errors import BadInput, ProcessKilled, WorkFailed

REPOSITORY = Path(__file__).resolve().parent.parent
LAST_LINES = 15
SUMMARY_LINES = 45  # torch.distributed.run ends with a table, below what the rank said that failed
TICK = 0.2
LONGEST_LINE = 500  # in an error message; a flood's lines would not fit into the record
# OpenMP threads that wait by spinning starve one another as soon as anything else wants the cores.
GENTLE = {"OMP_WAIT_POLICY": "PASSIVE"}
QUIET = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONSAFEPATH": "1",
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
    environment: Mapping[str, str] | None = None,
    processes: int = 1,
    interval: float = 1.0,
    grace: float = 20.0,
) -> dict[str, Any]:
    """Runs `python -m <module> <folder>` to its end and returns its folder/result.json.

    However this ends, nothing that the child started is left then, in whatever session or process group.

    Args:
        module: A module whose main calls `tasks.child.serve`.
        plan: Becomes folder/plan.json; never put a secret here.
        folder: Made if need be; keeps plan, log and result. What an earlier child left is used by the new one.
        secrets: One JSON line on the child's stdin; of several processes, rank 0 reads it.
        watch: Called about every `interval` seconds; an exception out of it stops the child and goes on.
        say: Called with each new line of the child's output.
        environment: Added to this process's own: which cards the child may use.
        processes: More than one: so many ranks of `torch.distributed.run`, one a card.
        grace: Seconds between SIGTERM and SIGKILL.

    Raises:
        BadInput: the child says that what the user gave cannot be used.
        OutOfMemory, Diverged: the child says so.
        WorkFailed: the child ended without a result; ProcessKilled where a signal ended it that was not ours.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("result.json", "failure.json"):
        (folder / stale).unlink(missing_ok=True)
    write_json(folder / "plan.json", plan)
    log = folder / "child.log"
    log.touch()
    tail = Tail(log, start=log.stat().st_size)
    last: deque[str] = deque(maxlen=LAST_LINES if processes == 1 else SUMMARY_LINES)

    def relay(lines: list[str]) -> None:
        for line in lines:
            last.append(line)
            say(line)

    order = {"command": _command(module, folder, processes), "grace": grace, "secrets": secrets}
    keeper = _Keeper(folder)
    try:
        keeper.start(order, {**_environment(processes), **(environment or {})})
        while not keeper.ends_within(interval):
            relay(tail.new_lines())
            watch()
        relay(tail.rest())
    finally:
        code = keeper.stop()
    return _outcome(module, folder, code, list(last))


def _command(module: str, folder: Path, processes: int) -> list[str]:
    command = [sys.executable, "-m", module, str(folder)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return command


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
        raise KINDS[failure["kind"]](failure["message"])
    words = "\n".join(line[:LONGEST_LINE] for line in last) or "(it printed nothing)"
    rank_killed = any("Signal 9 (SIGKILL)" in line for line in last)  # as torch.distributed.run says it
    how = ProcessKilled if code < 0 or code == STOPPED or rank_killed else WorkFailed
    raise how(f"{module} {_ending(code)}.\nIts last lines ({folder / 'child.log'}):\n{words}")


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was ended by SIGKILL (by somebody, or by the kernel for want of memory)"
    if code == STOPPED:
        return "was ended by SIGTERM"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code} and no result"


class Tail:
    """Reads whole lines as they are added to a file; what is not yet ended by a newline waits.

    At most `limit` bytes are read at a time: of a flood only the newest part is returned, with a line that says
    how much was passed over. None: nothing is passed over.
    """

    def __init__(self, path: Path, start: int = 0, limit: int | None = 1 << 18) -> None:
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
        size = self._path.stat().st_size - self._offset
        limit = size if self._limit is None else self._limit
        skipped = size - limit
        with self._path.open("rb") as file:
            file.seek(self._offset + max(0, skipped))
            chunk = file.read(limit)
        whole = len(chunk) if at_end or len(chunk) == self._limit else chunk.rfind(b"\n") + 1
        self._offset += max(0, skipped) + whole
        lines = chunk[:whole].decode("utf-8", errors="replace").splitlines()
        if skipped > 0:
            lines[:1] = [f"[{skipped} bytes of output are not shown here; {self._path} has them]"]
        return lines


class _Keeper:
    """The keeper process, and through it the child. Every exception may come at any instruction of this."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, order: dict[str, Any], environment: Mapping[str, str]) -> None:
        with (self._folder / "child.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.keeper", str(self._folder)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._say(json.dumps(order))

    def ends_within(self, seconds: float) -> bool:
        """Whether all is over, waiting for that so long."""
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while not _has_ended(self._process):
            if time.monotonic() > deadline:
                return False
            time.sleep(min(TICK, seconds))
        return True

    def stop(self) -> int:
        """Returns when nothing of the child is left, with how it ended, as `subprocess` counts.

        An exception raised meanwhile shortens the grace, and is raised at the end.
        """
        if self._process is None:
            return 0
        hurried: BaseException | None = None
        order = "stop"
        while True:
            try:
                self._say(order)
                while not self.ends_within(1.0):
                    pass
                break
            except BaseException as error:  # noqa: BLE001  # a second signal must not leave a trainer behind
                hurried, order = error, "now"
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait()
        if hurried is not None:
            raise hurried
        return code

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; how, its exit code says
            self._process.stdin.write(line.encode() + b"\n")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is dead, seen without reaping it and without a lock that an exception could leave locked."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _environment(processes: int) -> dict[str, str]:
    """Ours, so that `tasks` is importable from any working folder and no progress bar is drawn in a log."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    gentle = dict(GENTLE)
    if processes > 1:  # torch.distributed.run would give each rank one thread
        gentle["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // processes))
    return {**gentle, **os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(paths)}
