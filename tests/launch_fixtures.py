"""A child for the launcher's tests, `python -m tests.launch_fixtures <folder>`: does what its plan's "act" says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tasks.child import Order, rank, say, serve
from tuneyard.errors import BadInput, OutOfMemory, WorkFailed


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


def environment(order: Order) -> dict[str, Any]:
    return dict(os.environ)


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


def scatter(order: Order) -> dict[str, Any]:
    """Leaves a process behind that has a session of its own and whose parent is dead."""
    file = order.folder / "pids"
    subprocess.run(["setsid", "--fork", "sh", "-c", f"echo $$ > {file}; exec sleep 60"], check=True)
    while not (file.exists() and file.read_text()):
        time.sleep(0.01)
    if order.plan["then"] == "cling":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    return {}


def ranks(order: Order) -> dict[str, Any]:
    """What each of several processes was given; the result is rank 0's."""
    say(f"heard from rank {rank()}")
    mine = {"secrets": sorted(order.secrets), "world": os.environ["WORLD_SIZE"]}
    (order.folder / f"rank-{rank()}").write_text(json.dumps(mine))
    return {"rank": rank()}


def second_fails(order: Order) -> dict[str, Any]:
    """Rank 1 runs out of memory; rank 0 waits for it, as for a collective that never comes."""
    if rank() == 1:
        raise OutOfMemory("rank 1: no memory left")
    time.sleep(60)
    return {}


def ranks_cling(order: Order) -> dict[str, Any]:
    """No rank heeds SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (order.folder / f"rank-{rank()}").write_text(str(os.getpid()))
    time.sleep(60)
    return {}


if __name__ == "__main__":
    serve(act)
