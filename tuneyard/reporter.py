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
from pathlib import Path
from types import TracebackType
from typing import Self

from tuneyard.client import Client
from tuneyard.outbox import Outbox
from tuneyard.shapes import JobStatus, MetricPoint
from tuneyard.spool import Spool

# Seconds in one push: enough to outlive a kept-alive connection that the server closed, not to delay a stop.
PUSH_PATIENCE = 1.0

log = logging.getLogger(__name__)


class Reporter:
    """One job's way to report; one `Reporter` a process and folder.

    Attributes:
        stop_reason: None while the run should go on; "cancelled" once the server has said that the job is
            being cancelled; "superseded" once it refuses the job token: a newer attempt, or an ended job.
        is_closed: Nothing more can be reported.
    """

    def __init__(self, client: Client | None, job_id: str, folder: Path) -> None:
        """Open the spool in `folder` and begin to send what is in it.

        Args:
            client: Holds the job token; stays the caller's to close, after this is closed. None: only spool.
        """
        self.stop_reason: str | None = None
        self.is_closed = False
        self._client = client
        self._job_id = job_id
        self._outbox = Outbox(
            Spool(folder, "metrics"),
            MetricPoint.model_validate_json,
            None if client is None else self._push,
            f"metrics of job {job_id}",
            on_refusal=lambda why: self._stop("superseded", why),
        )
        if client is None:
            log.warning("Cannot report metrics - job_token not set for %s", job_id)

    def report(self, point: MetricPoint) -> None:
        """Write the point down and return at once; it is sent from the background.

        Raises:
            OSError: The spool's disk does not take it. Never anything for the network.
        """
        self._outbox.put(point.model_dump_json(exclude_unset=True).encode())

    def close(self, patience: float = 60.0) -> int:
        """Send what is left, for at most `patience` seconds; where that takes a while, the log says how much it is.

        Returns:
            How many points are left unsent; they stay in the folder.
        """
        self.is_closed = True
        return self._outbox.close(patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _push(self, points: list[MetricPoint]) -> None:
        assert self._client is not None
        answer = self._client.metrics.push(self._job_id, points, patience=PUSH_PATIENCE)
        if answer.job_status in (JobStatus.CANCELLING, JobStatus.CANCELLED):
            self._stop("cancelled", f"the API says {answer.job_status}")

    def _stop(self, reason: str, why: str) -> None:
        if self.stop_reason is None:
            self.stop_reason = reason
            log.warning("Job %s is to stop, %s: %s", self._job_id, reason, why)
