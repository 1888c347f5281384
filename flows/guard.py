"""What the watchdog sees of a run becomes an event and, where the config wants it, the run's pause or its end."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from typing import NoReturn

from flows.job_run import JobRun
from tasks.gpu import GIB
from tasks.watchdog import Firing, Watchdog
from tuneyard.configs import WatchdogConfig
from tuneyard.errors import Conflict, Diverged, Unavailable, Unreachable, WorkFailed
from tuneyard.shapes import MetricPoint

ASKING_SECONDS = 2.0  # between two tries to have the record pause the job, while the API is away


class Guard:
    """One for an attempt, from the moment its trainer starts."""

    def __init__(self, run: JobRun, config: WatchdogConfig) -> None:
        self._run = run
        self._config = config
        self._dog = Watchdog(config, time.monotonic())
        self._pausing = False

    def look(self, new: list[MetricPoint]) -> None:
        """At what has come since the last look, at the clock and at the disk.

        Raises:
            WorkFailed: The config wants a run with such a fault stopped.
        """
        now = time.monotonic()
        fired = [firing for point in new for firing in self._dog.see(point, now)]
        fired += self._dog.look(now, shutil.disk_usage(self._run.folder).free / GIB)
        for firing in fired:
            self._note(firing)
            if firing.action == "stop":
                raise WorkFailed(f"Stopped by the watchdog. {firing.message}")
            self._pausing |= firing.action == "pause"
        if self._pausing:
            self._ask_for_pause()

    def diverged(self, error: Diverged) -> NoReturn:
        """The trainer has ended itself at a number that is not finite.

        Raises:
            Diverged: Unless the config wants the job paused then: that ends this process, as any pause does.
        """
        self._note(Firing("nan", self._config.nan, str(error)))
        while self._config.nan == "pause":
            self._ask_for_pause()
            time.sleep(ASKING_SECONDS)
        raise error

    def _note(self, firing: Firing) -> None:
        self._run.log.warning("Watchdog (%s, %s): %s", firing.kind, firing.action, firing.message)
        self._run.journal.event(
            "watchdog",
            firing.message,
            step=firing.step,
            fault=firing.kind,
            action=firing.action,
            **firing.details,
        )

    def _ask_for_pause(self) -> None:
        """The record tells this run by its next heartbeat. An API that is away is asked again at the next look."""
        with suppress(Unreachable, Unavailable, Conflict), self._run.block.client(0) as record:
            record.jobs.pause(self._run.job.id)
            self._pausing = False
