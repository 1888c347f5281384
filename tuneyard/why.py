"""Why a job waits, or how it came to its end: from what was seen to one screen of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from tuneyard.display import clipped, duration, long_time, plain, progress_line
from tuneyard.display_jobs import error_lines, event_line, log_line
from tuneyard.prefect_reads import Pool, Run, Worker
from tuneyard.shapes import GpuHost, Job, JobError, JobEvent, JobEventKind, JobStatus, LogLine, Shape

SILENT = 60.0  # seconds without a word from a run that beats every ten
CARDS_SHOWN, ERRORS_SHOWN = 4, 3
TOLD = (JobEventKind.WATCHDOG, JobEventKind.LOST, JobEventKind.REQUEUED, JobEventKind.OOM_BACKOFF)
# By the kind of an error, where it brings no hint of its own.
HINTS = {
    "oom": "take less memory: tuneyard jobs resume {id} --set batch_size=1; or a smaller max_length, or method lora",
    "diverged": "learn more slowly, from before it broke: tuneyard jobs resume {id} --best --set learning_rate=1e-5",
    "bad_input": "put that right, then start it anew",
    "lost": "look at its host, then: tuneyard jobs resume {id}",
}


@dataclass(frozen=True)
class InPrefect:
    """`trouble`: why there is no more. `run` None: Prefect knows no such run, or none was made."""

    trouble: str | None = None
    pool: Pool | None = None
    queue: Pool | None = None
    workers: Sequence[Worker] = ()
    run: Run | None = None


@dataclass(frozen=True)
class Seen:
    """`prefect` None: it was not asked."""

    job: Job
    errors: Sequence[JobError] = ()
    events: Sequence[JobEvent] = ()
    lines: Sequence[LogLine] = ()
    hosts: Sequence[GpuHost] = ()
    prefect: InPrefect | None = None


class Explanation(Shape):
    job: Job
    headline: str
    reasons: list[str]
    advice: list[str] = Field(description="What to do, the likeliest first.")
    errors: list[JobError]
    events: list[JobEvent]
    lines: list[LogLine]


Said = tuple[str, str | None]  # a reason, and what to do about it


def explained(seen: Seen, now: datetime) -> Explanation:
    said = [*_said(seen, now)]
    advice = dict.fromkeys(what for _, what in said if what)
    return Explanation(
        job=seen.job,
        headline=_headline(seen.job, now),
        reasons=[reason for reason, _ in said if reason],
        advice=[*advice],
        errors=[*seen.errors],
        events=[*seen.events],
        lines=[*seen.lines],
    )


def drawn(found: Explanation, width: int) -> str:
    parts = [found.headline, *(f"  {plain(reason)}" for reason in found.reasons)]
    parts += [f"  -> {plain(what)}" for what in found.advice]
    blocks = ["\n".join(parts)]
    if found.errors:
        blocks.append("\n".join(map(error_lines, found.errors[-ERRORS_SHOWN:])))
    blocks.append("\n".join(_cut(event_line(event), width) for event in found.events))
    if found.job.status not in (JobStatus.PENDING, JobStatus.COMPLETED):
        blocks.append("\n".join(_cut(log_line(line), width) for line in found.lines))
    return "\n\n".join(block for block in blocks if block)


def _cut(text: str, width: int) -> str:
    return clipped(text.splitlines()[0] if text else "", width)


def _headline(job: Job, now: datetime) -> str:
    what = {
        JobStatus.PENDING: "waits for a run",
        JobStatus.QUEUED: "has a run, which gets ready",
        JobStatus.RUNNING: "runs",
        JobStatus.PAUSING: "is being paused, until its run has saved a checkpoint",
        JobStatus.PAUSED: "is paused",
        JobStatus.CANCELLING: "is being cancelled, until its run has stopped",
        JobStatus.COMPLETED: "completed",
        JobStatus.FAILED: "failed",
        JobStatus.CANCELLED: "was cancelled",
    }[job.status]
    since = job.ended_at or job.started_at or job.launched_at or job.created_at
    return f"{plain(job.name)} ({job.id}, {job.kind}) {what}; {long_time(since, now)}"


def _said(seen: Seen, now: datetime) -> Iterator[Said]:
    job = seen.job
    if job.status in (JobStatus.PENDING, JobStatus.QUEUED):
        yield from _waiting(seen, now)
    elif job.status.is_final or job.status == JobStatus.PAUSED:
        yield from _ended(seen)
    else:
        yield progress_line(job), None
        yield from _happened(seen)
        yield from _silence(job, now)


def _silence(job: Job, now: datetime) -> Iterator[Said]:
    if job.heartbeat_at is not None and (quiet := (now - job.heartbeat_at).total_seconds()) > SILENT:
        what = "close-lost-jobs/gpu, which runs each minute, closes it or starts it again: is a worker there?"
        yield f"nothing has been heard of its run on {job.host} for {duration(quiet)}", what


# Waiting


def _waiting(seen: Seen, now: datetime) -> Iterator[Said]:
    job = seen.job
    if reason := job.wait_reason or job.stage:
        yield reason, None
    if job.queue_position:
        yield f"jobs of the workspace before it: {job.queue_position}", None
    if job.status == JobStatus.PENDING:
        yield from _untaken(seen, now)
    else:
        yield from _silence(job, now)
    yield from _cards(seen.hosts)
    if job.expires_at is not None:
        left = (job.expires_at - now).total_seconds()
        yield (
            f"it expires in {duration(left)} if no run has taken it"
            if left > 0
            else "its time to start is over",
            None,
        )
    yield from _happened(seen)


def _untaken(seen: Seen, now: datetime) -> Iterator[Said]:
    job, prefect = seen.job, seen.prefect
    if job.launched_at is None and job.flow_run_id is None:
        yield "nobody was asked to run it: it waits for who recorded it to claim it", None
    elif prefect is None:
        yield (
            "Prefect was not asked, as PREFECT_API_URL is not set here",
            "export PREFECT_API_URL, and ask again: tuneyard doctor",
        )
    elif prefect.trouble:
        yield prefect.trouble, "start Prefect, or correct PREFECT_API_URL: tuneyard doctor"
    else:
        yield from _run(job, prefect, now)
        yield from _way(prefect, now)


def _run(job: Job, prefect: InPrefect, now: datetime) -> Iterator[Said]:
    if job.flow_run_id is None:
        yield (
            "Prefect has no run for it yet",
            "set PREFECT_API_URL where the API runs; close-lost-jobs/gpu asks again each minute",
        )
    elif prefect.run is None:
        yield (
            f"Prefect no longer knows its run {job.flow_run_id}",
            "close-lost-jobs/gpu gives it another within a minute",
        )
    elif (state := prefect.run.state) is not None:
        message = f" ({plain(state.message)})" if state.message else ""
        yield (
            f"Prefect shows its run as {state.name or state.type}{message}, {long_time(state.timestamp, now)}",
            None,
        )


def _way(prefect: InPrefect, now: datetime) -> Iterator[Said]:
    """What stands between a run and a worker."""
    pool, queue = prefect.pool, prefect.queue
    if pool is None:
        yield "Prefect has no work pool gpu", "python -m deployments, from a checkout"
        return
    if pool.is_paused:
        yield f"the work pool {pool.name} is paused", f"prefect work-pool resume {pool.name}"
    if queue is not None and queue.is_paused:
        yield (
            f"its queue {queue.name} is paused",
            f"prefect work-queue resume {queue.name} --pool {pool.name}",
        )
    if not [one for one in prefect.workers if one.status == "ONLINE"]:
        beats = [one.last_heartbeat_time for one in prefect.workers if one.last_heartbeat_time]
        last = f"; the last was heard of {long_time(max(beats), now)}" if beats else ""
        yield (
            f"no worker is online{last}",
            f"on the GPU host, from a checkout: prefect worker start --pool {pool.name}",
        )
    elif (
        queue is not None and queue.concurrency_limit and (queue.active_slots or 0) >= queue.concurrency_limit
    ):
        what = "wait for one of them; with more hosts: python -m deployments --jobs-at-once N"
        yield f"its queue {queue.name} runs {queue.concurrency_limit} at a time, and has as many", what


def _cards(hosts: Sequence[GpuHost]) -> Iterator[Said]:
    taken = [(host, card) for host in hosts for card in host.gpus if card.jobs]
    for host, card in taken[:CARDS_SHOWN]:
        jobs = ", ".join(card.jobs)
        yield f"{host.host} GPU {card.index} ({card.name or 'a card'}) is taken by {jobs}", None
    if len(taken) > CARDS_SHOWN:
        yield f"and {len(taken) - CARDS_SHOWN} more cards are taken", "tuneyard gpus list"


# Ended


def _ended(seen: Seen) -> Iterator[Said]:
    job = seen.job
    if job.status == JobStatus.COMPLETED:
        yield (
            f"it came to its end on {job.host or 'its host'}, attempt {job.attempt}",
            f"tuneyard jobs show {job.id}",
        )
        return
    if job.error and not seen.errors:
        yield job.error, None
    yield from _happened(seen, JobEventKind.CANCEL_ASKED, JobEventKind.PAUSE_ASKED)
    if job.restarts:
        yield f"it was started again {job.restarts} of {job.max_restarts} times", None
    if job.attempt and job.host:
        yield f"attempt {job.attempt}, on {job.host}{f' ({job.device})' if job.device else ''}", None
    yield from _remedies(job, seen.errors)


def _remedies(job: Job, errors: Sequence[JobError]) -> Iterator[Said]:
    newest = [error for error in errors if error.attempt == errors[-1].attempt]
    for error in newest:
        if hint := error.hint or HINTS.get(error.kind):
            yield "", hint.replace("{id}", job.id)
    if job.attempt and not (newest and newest[-1].kind == "bad_input"):
        begin = f", from step {job.last_checkpoint}" if job.last_checkpoint is not None else ""
        yield "", f"tuneyard jobs resume {job.id}{begin and f'   (goes on{begin})'}"
    yield "", f"tuneyard jobs logs {job.id}"


def _happened(seen: Seen, *more: JobEventKind) -> Iterator[Said]:
    """What the run's guards and the record did with it."""
    for event in [one for one in seen.events if one.kind in (*TOLD, *more)][-3:]:
        yield f"{event.kind}: {event.message}", None
