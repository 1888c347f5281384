# Generated from async_jobs.py by `python -m tests.unasync --write`; do not edit.
"""Jobs: recorded or asked for, claimed, reported on, paused, resumed, ended; and what happened to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from tuneyard.addresses import object_path
from tuneyard.asking import Asking
from tuneyard.batch_shapes import NewPrediction, Prediction, PredictionBatch
from tuneyard.following import Following
from tuneyard.shapes import (
    Beat,
    Claim,
    Claimed,
    CloseLost,
    Heartbeat,
    Job,
    JobEnd,
    JobError,
    JobEvent,
    JobEventBatch,
    JobEventKind,
    JobFacts,
    JobGpu,
    JobKind,
    JobStatus,
    Launched,
    LogBatch,
    LogLevel,
    LogLine,
    NewJob,
    NewJobEvent,
    NewLogLine,
    Page,
    Reported,
    Resume,
    Stored,
)

JobList = list[Job]
Errors = list[JobError]


class Jobs(Asking, Following):
    """Fine-tunes and batch tests, as work that is claimed, reported on and ended."""

    def create(self, new: NewJob) -> Job:
        """Record a job; the same `flow_run_id` again answers the job that is there.

        Example:
            job = client.jobs.create(NewJob(model="my-model", name="by hand"))
        """
        return self._wire.ask(Job, "POST", "/api/v1/jobs", new)

    def list(
        self,
        status: JobStatus | str | None = None,
        kind: JobKind | str | None = None,
        flow_run_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Job]:
        """One page, newest first; `limit` is at most 100.

        Example:
            page = client.jobs.list(status="running", limit=10)
            print(page.total, [job.name for job in page.items])
        """
        params = {
            "status": status,
            "kind": kind,
            "flow_run_id": flow_run_id,
            "limit": limit,
            "offset": offset,
        }
        return self._wire.ask(Page[Job], "GET", "/api/v1/jobs", params=params)

    def iter(
        self,
        status: JobStatus | str | None = None,
        kind: JobKind | str | None = None,
        flow_run_id: str | None = None,
        page_size: int = 100,
    ) -> Iterator[Job]:
        """Every job, newest first, each once, also while new ones come in.

        Under `status`, a job whose status changes between two pages can push another past the reader.

        Example:
            print([job.name for job in client.jobs.iter(status="running")])
        """
        seen: set[str] = set()
        offset = 0
        while True:
            page = self.list(status, kind, flow_run_id, page_size, offset)
            for job in page.items:
                if job.id not in seen:
                    seen.add(job.id)
                    yield job
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return

    def gpu(self, job_id: str) -> JobGpu:
        """What the job has had of cards: hours, use, energy, memory and cost.

        Example:
            print(client.jobs.gpu(job_id).gpu_hours)
        """
        return self._wire.ask(JobGpu, "GET", object_path("jobs", job_id, "gpu"))

    def claim(self, job_id: str, claim: Claim) -> Claimed:
        """Take the job for a new attempt; the job token before it is dead.

        Example:
            taken = client.jobs.claim(job_id, Claim(host="gpu-1", pid=4711))
            own = Client(client.base_url, job_token=taken.job_token)
        """
        return self._wire.ask(Claimed, "POST", object_path("jobs", job_id, "claim"), claim)

    def update(self, job_id: str, facts: JobFacts) -> Job:
        """Tell what the run has learned; needs the job token.

        Example:
            run.jobs.update(job_id, JobFacts(stage="reading rows", total_steps=500))
        """
        return self._wire.ask(Job, "PATCH", object_path("jobs", job_id), facts, as_job=True)

    def heartbeat(self, job_id: str, beat: Heartbeat) -> Beat:
        """Say that the run is alive, and read whether it is to go on; needs the job token.

        Example:
            beat = run.jobs.heartbeat(job_id, Heartbeat(pids=[4711]))
            print(beat.job_status)  # cancelling, pausing: stop
        """
        return self._wire.ask(Beat, "POST", object_path("jobs", job_id, "heartbeat"), beat, as_job=True)

    def add_events(
        self, job_id: str, events: Sequence[NewJobEvent], *, patience: float | None = None
    ) -> Stored:
        """Write 1 to 500 events with the job token; one that has a `key` is stored once.

        Args:
            patience: Seconds of retrying, in place of the client's.

        Example:
            run.jobs.add_events(job_id, [NewJobEvent(kind="checkpoint", message="saved", step=500)])
        """
        path = object_path("jobs", job_id, "events")
        body = JobEventBatch(events=[*events])
        return self._wire.ask(Stored, "POST", path, body, as_job=True, patience=patience)

    def add_lines(self, job_id: str, lines: Sequence[NewLogLine], *, patience: float | None = None) -> Stored:
        """Write 1 to 1000 lines of the run's log with the job token; a number is stored once.

        Args:
            patience: Seconds of retrying, in place of the client's.

        Example:
            line = NewLogLine(number=0, at=datetime.now(UTC), text="begun")
            run.jobs.add_lines(job_id, [line])
        """
        path = object_path("jobs", job_id, "logs")
        body = LogBatch(lines=[*lines])
        return self._wire.ask(Stored, "POST", path, body, as_job=True, patience=patience)

    def add_predictions(
        self, job_id: str, predictions: Sequence[NewPrediction], *, patience: float | None = None
    ) -> Reported:
        """Write 1 to 1000 answers of a model in training with the job token; one of a step and prompt is stored once.

        Args:
            patience: Seconds of retrying, in place of the client's.

        Example:
            answer = NewPrediction(prompt_index=0, step=500, prompt="2 + 2?", response="4", passed=True)
            run.jobs.add_predictions(job_id, [answer])
        """
        path = object_path("jobs", job_id, "predictions")
        body = PredictionBatch(predictions=[*predictions])
        return self._wire.ask(Reported, "POST", path, body, as_job=True, patience=patience)

    def predictions(
        self, job_id: str, step: int | None = None, limit: int = 100, offset: int = 0
    ) -> Page[Prediction]:
        """One page of what a model in training answered, by step, then prompt; `limit` is at most 1000.

        Example:
            for answer in client.jobs.predictions(job_id, step=500).items:
                print(answer.prompt, answer.response)
        """
        path = object_path("jobs", job_id, "predictions")
        params = {"step": step, "limit": limit, "offset": offset}
        return self._wire.ask(Page[Prediction], "GET", path, params=params)

    def close_lost(self, asked: CloseLost) -> JobList:
        """Close the jobs whose runs are dead; those that are `pending` without a `flow_run_id` wait for the caller.

        Example:
            client.jobs.close_lost(CloseLost(silent_seconds=3600))
        """
        return self._wire.ask(JobList, "POST", "/api/v1/jobs/$close-lost", asked)

    def launched(self, job_id: str, launched: Launched) -> Job:
        """Say which run was made for a pending job.

        Example:
            client.jobs.launched(job_id, Launched(run_key=run_key, flow_run_id=flow_run_id))
        """
        return self._wire.ask(Job, "POST", object_path("jobs", job_id, "launched"), launched)

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of the job; one that runs is `cancelling` until its run has stopped.

        Example:
            print(client.jobs.cancel(job_id).status)
        """
        return self._wire.ask(Job, "POST", object_path("jobs", job_id, "cancel"))

    def delete(self, job_id: str) -> None:
        """Delete the job and all that was reported of it; a run that is at work on it stops. What it made stays.

        Example:
            client.jobs.delete(job_id)
        """
        self._wire.tell("DELETE", object_path("jobs", job_id))

    def pause(self, job_id: str) -> Job:
        """Ask for a pause; one that trains is `pausing` until its run has saved a checkpoint.

        Example:
            print(client.jobs.pause(job_id).status)
        """
        return self._wire.ask(Job, "POST", object_path("jobs", job_id, "pause"))

    def resume(self, job_id: str, resume: Resume | None = None) -> Job:
        """Let a paused, failed or cancelled job go on, in a new run.

        Example:
            job = client.jobs.resume(job_id, Resume(config={"epochs": 3}))
        """
        return self._wire.ask(Job, "POST", object_path("jobs", job_id, "resume"), resume)

    def end(self, job_id: str, end: JobEnd) -> Job:
        """End the job. Read the answer's status: a job that was being cancelled does not end `completed`.

        Example:
            run.jobs.end(job_id, JobEnd(status="completed", result={"rows": 100}))
        """
        return self._wire.ask(Job, "POST", object_path("jobs", job_id, "end"), end)

    def events(
        self, job_id: str, kind: JobEventKind | str | None = None, limit: int = 100, offset: int = 0
    ) -> Page[JobEvent]:
        """One page, oldest first; `limit` is at most 1000.

        Example:
            for event in client.jobs.events(job_id, kind="checkpoint").items:
                print(event.at, event.step, event.message)
        """
        params = {"kind": kind, "limit": limit, "offset": offset}
        return self._wire.ask(Page[JobEvent], "GET", object_path("jobs", job_id, "events"), params=params)

    def logs(
        self,
        job_id: str,
        after: datetime | None = None,
        level: LogLevel | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Page[LogLine]:
        """One page by attempt, then number; `limit` is at most 1000.

        Args:
            after: Only lines after this moment.
            level: Only lines of this level and graver ones.

        Example:
            for line in client.jobs.logs(job_id, level="warning").items:
                print(line.at, line.text)
        """
        moment = after.isoformat() if after else None
        params = {"after": moment, "level": level, "limit": limit, "offset": offset}
        return self._wire.ask(Page[LogLine], "GET", object_path("jobs", job_id, "logs"), params=params)

    def errors(self, job_id: str) -> Errors:
        """Whatever went wrong, of all attempts, oldest first.

        Example:
            for error in client.jobs.errors(job_id):
                print(error.file, error.line, error.message, error.hint)
        """
        return self._wire.ask(Errors, "GET", object_path("jobs", job_id, "errors"))
