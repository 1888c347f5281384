"""Reports a run's metrics without ever making the run wait.

    with Reporter(client, job_id, folder) as reporter:
        reporter.report(MetricPoint(step=10, train_loss=0.8))
        if reporter.stop_reason:
            ...

`report` writes to a spool on disk; a background thread sends from there. What one process leaves unsent, the
next `Reporter` on the same folder sends; what was sent twice is one row at the server.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from tuneyard.client import Client
from tuneyard.errors import Invalid, TuneyardError, Unauthorized
from tuneyard.patience import backoff
from tuneyard.shapes import JobStatus, MetricPoint
from tuneyard.spool import Line, Spool

MOST_AT_ONCE = 500
LONGEST_PAUSE = 30.0
# Seconds in one push: enough to outlive a kept-alive connection that the server closed, not to delay a stop.
PUSH_PATIENCE = 1.0

log = logging.getLogger(__name__)


class Reporter:
    """One job's way to report; one `Reporter` a process and folder.

    Attributes:
        stop_reason: None while the run should go on; "cancelled" once the server has said that the job is
            being cancelled; "superseded" once it refuses the job token: a newer attempt, or an ended job.
    """

    def __init__(self, client: Client | None, job_id: str, folder: Path) -> None:
        """Open the spool in `folder` and begin to send what is in it.

        Args:
            client: Holds the job token; stays the caller's to close, after this is closed. None: only spool.
        """
        self.stop_reason: str | None = None
        self._client = client
        self._job_id = job_id
        self._spool = Spool(folder)
        self._batch = MOST_AT_ONCE
        self._refused = False
        self._news = threading.Event()
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name=f"report-{job_id}", daemon=True)
        if client is None:
            log.warning("Cannot report metrics - job_token not set for %s", job_id)
        else:
            self._news.set()
            self._thread.start()

    def report(self, point: MetricPoint) -> None:
        """Write the point down and return at once; it is sent from the background.

        Raises:
            OSError: The spool's disk does not take it. Never anything for the network.
        """
        self._spool.append(point.model_dump_json(exclude_unset=True).encode())
        self._news.set()

    def close(self, patience: float = 60.0) -> int:
        """Send what is left, for at most `patience` seconds.

        Returns:
            How many points are left unsent; they stay in the folder.
        """
        self._closing.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        self._abandoned.set()
        self._spool.close()
        return self._spool.count_waiting()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send_all(self) -> None:
        """The thread: until closed and empty, given up on, or the token is dead."""
        failures = 0
        while not (self._abandoned.is_set() or self._refused):
            # Asked before looking: between the look and the question a last point and the close may come.
            closing = self._closing.is_set()
            try:
                sent = self._send_some()
            except (TuneyardError, OSError) as error:
                failures += 1
                self._pause(failures, error)
                continue
            except RuntimeError:
                if self._abandoned.is_set():  # the owner has closed the client under a push that hung
                    return
                raise
            if failures:
                log.info("Metrics of job %s are being sent again", self._job_id)
            failures = 0
            if not sent and closing:
                return
            if not (sent or self._closing.is_set()):
                self._news.wait()

    def _send_some(self) -> bool:
        """Send the oldest lines; False where there are none."""
        self._news.clear()
        lines = self._spool.waiting(self._batch)
        points = {line: point for line in lines if (point := _point_in(line)) is not None}
        refusal = self._push([*points.values()]) if points else None
        if self._refused:
            return True
        if refusal and len(lines) > 1:
            # One point that the server refuses must not hold up the rest: halve until it stands alone.
            self._batch = len(lines) // 2
            return True
        for line in lines:
            if refusal or line not in points:
                self._set_aside(line, refusal or "not a whole point: its process was killed while writing it")
        if lines:
            self._spool.acknowledge(lines[-1].end)
        return bool(lines)

    def _push(self, points: list[MetricPoint]) -> str | None:
        """Send; the reason where the server calls a point invalid, None where it took them all."""
        assert self._client is not None
        try:
            answer = self._client.metrics.push(self._job_id, points, patience=PUSH_PATIENCE)
        except Invalid as refusal:
            return str(refusal)
        except Unauthorized as refusal:
            self._refused = True
            self._stop("superseded", str(refusal))
            return None
        self._batch = min(MOST_AT_ONCE, self._batch * 2)
        if answer.job_status in (JobStatus.CANCELLING, JobStatus.CANCELLED):
            self._stop("cancelled", f"the API says {answer.job_status}")
        return None

    def _stop(self, reason: str, why: str) -> None:
        if self.stop_reason is None:
            self.stop_reason = reason
            log.warning("Job %s is to stop, %s: %s", self._job_id, reason, why)

    def _set_aside(self, line: Line, reason: str) -> None:
        self._spool.set_aside(line.text, reason)
        log.warning(
            "A metric point of job %s is set aside in %s: %s", self._job_id, self._spool.rejected, reason
        )

    def _pause(self, failures: int, error: Exception) -> None:
        if failures == 1:
            log.warning("Metrics of job %s wait in %s: %s", self._job_id, self._spool.path, error)
        if self._closing.is_set():
            self._abandoned.wait(backoff(failures, longest=1.0))
        else:
            self._closing.wait(backoff(failures, LONGEST_PAUSE))


def _point_in(line: Line) -> MetricPoint | None:
    try:
        return MetricPoint.model_validate_json(line.text)
    except ValidationError:
        return None
