"""The processes of one Prefect run on this host, found and ended.

A worker gives a run's process the run's id in its environment, and whatever that starts inherits it: a process that
has the id is the run's for certain, where a recorded pid might be another process's by now.
"""

from __future__ import annotations

import os

import psutil

RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
ENDING = 10.0  # seconds for the kernel to take a killed process's memory back


def processes_of(run_id: str) -> list[psutil.Process]:
    """Every living one but this process itself: the flow's, its trainer's, and what those have started."""
    return [process for process in psutil.process_iter() if _belongs(process, run_id)]


def end_processes(run_id: str) -> int:
    """SIGKILL to all of them, until there is none left; how many there were."""
    ended = 0
    while found := processes_of(run_id):
        for process in found:
            _kill(process)
        _, alive = psutil.wait_procs(found, timeout=ENDING)
        ended += len(found) - len(alive)
        if alive:  # in the kernel's hands, waiting for a disk or a driver
            break
    return ended


def _belongs(process: psutil.Process, run_id: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        is_zombie: bool = process.status() == psutil.STATUS_ZOMBIE
        return not is_zombie and process.environ().get(RUN_VARIABLE) == run_id
    except psutil.Error:
        return False  # it has just ended, or is another user's


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
