"""What a run tells the API as it goes, from background threads: the API being away never slows the work."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tasks.happening import ANSWERS, SPOOL, event_line
from tuneyard import Client, Reporter
from tuneyard.batch_shapes import NewPrediction
from tuneyard.errors import ApiError, Unavailable, Unreachable
from tuneyard.shapes import JobFacts, MetricPoint, RunEventKind
from tuneyard.spool import Spool

FACT_PATIENCE = 2.0  # seconds of retrying within one attempt; attempts go on until the facts are told
FACT_PAUSE = 3.0


class RunReport:
    """Points and facts of one job.

    Args:
        api_url: None: nothing is sent, points lie in the spool alone.
        job_token: As `api_url`.
        folder: Where the spool of points is kept.
    """

    def __init__(self, api_url: str | None, job_token: str | None, job_id: str, folder: Path) -> None:
        self._client: Client | None = None
        if api_url and job_token:
            self._client = Client(api_url, None, job_token=job_token, patience=FACT_PATIENCE, timeout=10.0)
        self._job_id = job_id
        self._reporter = Reporter(self._client, job_id, folder)
        self._events = Spool(folder, SPOOL)
        self._answers = Spool(folder, ANSWERS)
        self._facts: dict[str, Any] = {}
        self._facts_lock = threading.Lock()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_facts, name="job facts", daemon=True)
        self._thread.start()

    @property
    def stop_reason(self) -> str | None:
        """ "cancelled" or "superseded" once the API has said so."""
        return self._reporter.stop_reason

    def point(self, point: MetricPoint) -> None:
        """Write one step's numbers down, to be sent."""
        self._reporter.report(point)

    def tell(self, **facts: Any) -> None:
        """Fields of JobFacts; those told before and not yet sent are sent together with them."""
        with self._facts_lock:
            self._facts |= facts
        self._news.set()

    def event(self, kind: RunEventKind, message: str, *, step: int | None = None, **details: Any) -> None:
        """Write down what happened; the flow, which outlives this process, sends it."""
        self._events.append(event_line(kind, message, step, details))

    def answer(self, answer: NewPrediction) -> None:
        """Write down what the model answered; the flow sends it, as it does events."""
        self._answers.append(answer.model_dump_json(exclude_unset=True).encode())

    def close(self, patience: float) -> int:
        """Sends what is left for at most about `patience` seconds; returns how many points stay unsent."""
        self._closing.set()
        self._news.set()
        self._thread.join(min(patience, 2 * FACT_PATIENCE))
        left = self._reporter.close(patience)
        self._events.close()
        self._answers.close()
        if self._client is not None:
            self._client.close()
        return left

    def _send_facts(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            told = self._send_once()
            if self._closing.is_set():
                return
            if not told:
                self._closing.wait(FACT_PAUSE)
                self._news.set()

    def _send_once(self) -> bool:
        """False where the API could not be asked and the facts are to be told again."""
        with self._facts_lock:
            facts, self._facts = self._facts, {}
        if not facts or self._client is None:
            return True
        try:
            self._client.jobs.update(self._job_id, JobFacts(**facts))
        except (Unreachable, Unavailable):
            with self._facts_lock:
                self._facts = facts | self._facts
            return False
        except ApiError:
            # Refused for good. The reporter meets the same refusal and stops the run where it matters.
            return True
        except RuntimeError:
            if not self._closing.is_set():
                raise
            # `close` has closed the client under a request that hung.
        return True
