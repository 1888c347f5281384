"""The child's side of `tasks.launch`: read the plan, do the work, leave a result or say why there is none."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tasks.durable import write_json
from tuneyard.errors import BadInput, WorkFailed

PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "TUNEYARD_PARENT_PID"
STOPPED = 128 + signal.SIGTERM
FAILED = 3


@dataclass(frozen=True, repr=False)
class Order:
    """What the parent asks for. `secrets` came over stdin: neither the disk nor the environment has them."""

    folder: Path
    plan: dict[str, Any]
    secrets: dict[str, str]


def serve(work: Callable[[Order], dict[str, Any]]) -> NoReturn:
    """Runs `work` as this process's whole purpose: `python -m <module> <folder>`.

    Leaves folder/result.json and exits 0; or, for BadInput and WorkFailed, folder/failure.json and exits 3.
    SIGTERM raises SystemExit in the main thread wherever it is, so `finally` blocks run. Any other exception
    is a traceback in the log and exit code 1.
    """
    _die_with_parent()
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(sys.argv[1])
    line = sys.stdin.readline()
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    try:
        result = work(Order(folder, plan, json.loads(line) if line else {}))
    except (BadInput, WorkFailed) as error:
        say(str(error))
        write_json(folder / "failure.json", _failure(error))
        sys.exit(FAILED)
    write_json(folder / "result.json", result)
    sys.exit(0)


def say(text: str) -> None:
    """One line for the person who watches: stdout is the run's log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _failure(error: BadInput | WorkFailed) -> dict[str, Any]:
    failure: dict[str, Any] = {"kind": "error", "message": str(error)}
    if isinstance(error, BadInput):
        failure |= {"kind": "bad_input", "problem": error.problem}
        failure |= {"file": error.file, "line": error.line, "field": error.field}
    return failure


def _die_with_parent() -> None:
    """Asks the kernel for SIGKILL when the parent's thread that started us ends.

    A trainer whose flow is dead holds the GPU for nobody. The parent may have died before the question was
    put: then our parent is already another process than the one that it said it was.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("The process that started this one is gone.")


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the clean-up short
    raise SystemExit(STOPPED)
