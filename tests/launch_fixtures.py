"""A child for the launcher's tests, `python -m tests.launch_fixtures <folder>`: does what its plan's "act" says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tasks.child import Order, say, serve
from tuneyard.errors import BadInput, WorkFailed


def act(order: Order) -> dict[str, Any]:
    return globals()[order.plan["act"]](order)


def answer(order: Order) -> dict[str, Any]:
    say("first line")
    sys.stderr.write("second line\n")
    marked = order.secrets["job_token"]
    return {
        "plan": order.plan["number"],
        "token_size": len(marked),
        "in_environment": marked in str(os.environ),
    }


def refuse(order: Order) -> dict[str, Any]:
    raise BadInput("is empty", file="rows.jsonl", line=3, field="prompt")


def fail(order: Order) -> dict[str, Any]:
    raise WorkFailed("diverged at step 3")


def crash(order: Order) -> dict[str, Any]:
    raise ZeroDivisionError("a bug")


def die(order: Order) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def leave(order: Order) -> dict[str, Any]:
    os._exit(0)


def flood(order: Order) -> dict[str, Any]:
    for _ in range(40):
        say("x" * 999 + "\n" + "y" * 50_000)
    say("the end")
    return {}


def cling(order: Order) -> dict[str, Any]:
    """Ignores SIGTERM, and so does the process that it starts."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pids = order.folder / "pids.new"
    pids.write_text(f"{os.getpid()} {other.pid}")
    pids.rename(Path(order.folder) / "pids")
    time.sleep(60)
    return {}


if __name__ == "__main__":
    serve(act)
