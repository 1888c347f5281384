"""The child's side of `tasks.launch`: read the plan, do the work, leave a result or say why there is none.

A child may be several processes (ranks) of `torch.distributed.run`. Rank 0 speaks for all: it alone reads the secrets,
talks, and leaves the result; of the failures, the first one is kept.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tasks.durable import write_json
from tuneyard.errors import BadInput, Diverged, OutOfMemory, WorkFailed

PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "TUNEYARD_KEEPER_PID"
STOPPED = 128 + signal.SIGTERM
FAILED = 3
KINDS = {"oom": OutOfMemory, "diverged": Diverged, "error": WorkFailed}


@dataclass(frozen=True, repr=False)
class Order:
    """What the parent asks for. `secrets` came over stdin: neither the disk nor the environment has them."""

    folder: Path
    plan: dict[str, Any]
    secrets: dict[str, str]


def rank() -> int:
    """Which of the child's processes this is, as `torch.distributed.run` counts; 0 where it is the only one."""
    return int(os.environ.get("RANK", "0"))


def ranks() -> int:
    """Of how many processes the child consists."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def serve(work: Callable[[Order], dict[str, Any]]) -> NoReturn:
    """Runs `work` as this process's whole purpose: `python -m <module> <folder>`.

    Leaves folder/result.json (rank 0) and exits 0; or, for BadInput and WorkFailed, folder/failure.json and exits 3.
    SIGTERM raises SystemExit in the main thread wherever it is, so `finally` blocks run. Any other exception
    is a traceback in the log and exit code 1.
    """
    if "RANK" in os.environ:
        _die_with_starter()
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(sys.argv[1])
    line = sys.stdin.readline() if rank() == 0 else ""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    try:
        result = work(Order(folder, plan, json.loads(line) if line else {}))
    except (BadInput, WorkFailed) as error:
        sys.stdout.write(f"{error}\n")
        _keep_first(folder / "failure.json", _failure(error))
        sys.exit(FAILED)
    if rank() == 0:
        write_json(folder / "result.json", result)
    sys.exit(0)


def say(text: str) -> None:
    """One line for the person who watches: stdout is the run's log. Of several ranks, only the first is heard."""
    if rank() != 0:
        return
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _failure(error: BadInput | WorkFailed) -> dict[str, Any]:
    if isinstance(error, BadInput):
        where = {"file": error.file, "line": error.line, "field": error.field}
        return {"kind": "bad_input", "message": str(error), "problem": error.problem, **where}
    kind = next(kind for kind, meaning in KINDS.items() if isinstance(error, meaning))
    return {"kind": kind, "message": str(error)}


def _keep_first(path: Path, value: dict[str, Any]) -> None:
    """Writes a JSON file that no other rank has written: what the others fail of is what the first did to them."""
    mine = path.with_name(f".{path.name}.{os.getpid()}")
    mine.write_text(json.dumps(value), encoding="utf-8")
    with suppress(FileExistsError):
        path.hardlink_to(mine)
    mine.unlink()


def _die_with_starter() -> None:
    """Asks the kernel for SIGKILL when the process of torch.distributed.run that started this rank ends.

    A rank whose launcher is dead holds its card for nobody. Is it dead already, this one is the keeper's child by now.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(os.environ[PARENT_VARIABLE]):
        sys.exit("The process that started this one is gone.")


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the clean-up short
    raise SystemExit(STOPPED)
