"""Training, in a child process: started with batches that fit, watched, shown while it goes on, and told to the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal

from flows.cards import cards
from flows.guard import Guard
from flows.job_ends import LEAVING_PATIENCE, WORKING_PATIENCE
from flows.job_run import JobRun
from tasks.chart import Curves
from tasks.checkpoint import go_back
from tasks.launch import Tail, run_child
from tasks.lease import Lease
from tasks.memory import Batch, run_within_memory
from tasks.storage import output_folder
from tuneyard import Reporter
from tuneyard.batch_shapes import Prompt
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput, Diverged, TuneyardError
from tuneyard.shapes import Job, MetricPoint

BAR_SECONDS = 3.0
CHART_SECONDS = 20.0


@task(cache_policy=NO_CACHE)
def train(run: JobRun, config: FinetuneConfig, base: Path, prompts: list[Prompt]) -> dict[str, Any]:
    """Train on the cards that the config asks for; Prefect's page shows its progress and its loss.

    Args:
        prompts: What the model is to answer now and then, as `config.tests` says.
    """
    plan = {
        "config": config.model_dump(mode="json"),
        "model_dir": str(base),
        "output_dir": str(output_folder(run.job.id)),
        "api_url": run.block.api_url,
        "job_id": run.job.id,
        "prompts": [prompt.model_dump(mode="json", exclude_none=True) for prompt in prompts],
    }
    if run.job.resume_from is not None:
        go_back(run.folder / "checkpoints", _where_told(run.job), run.log.info)
    told = _Told(run)
    with cards(run, config.gpus) as lease:
        run.at("Starting the trainer")
        run.journal.event("started", f"Training on {run.job.host}")
        guard = Guard(run, config.watchdog)
        start = _starter(run, plan, lease, guard, lambda: guard.look(told.look()))
        result = _to_its_end(run, config, start)
    told.look()
    told.chart()
    return result


def _where_told(job: Job) -> str:
    """The checkpoint that somebody who resumed the job wants it to begin at."""
    if job.resume_from != "best":
        return str(job.resume_from)
    if job.best_checkpoint is None:
        raise BadInput("no checkpoint of the job is known to be the best: name one", field="from_best")
    return f"checkpoint-{job.best_checkpoint}"


def _starter(
    run: JobRun, plan: dict[str, Any], lease: Lease, guard: Guard, watch: Callable[[], None]
) -> Callable[[Batch], dict[str, Any]]:
    """Runs the trainer once, a process for each card."""

    def start(batch: Batch) -> dict[str, Any]:
        try:
            return run_child(
                "tasks.train",
                {**plan, "batch": asdict(batch)},
                run.folder,
                secrets={"job_token": run.token},
                watch=watch,
                say=run.log.info,
                environment=lease.environment,
                processes=max(1, len(lease.uuids)),
            )
        except Diverged as error:
            guard.diverged(error)

    return start


def _to_its_end(
    run: JobRun, config: FinetuneConfig, start: Callable[[Batch], dict[str, Any]]
) -> dict[str, Any]:
    """The trainer's result, once all that it reported is sent."""

    def back_off(words: str, batch: Batch) -> None:
        run.log.warning(words)
        run.journal.event("oom_backoff", words, **asdict(batch))

    asked = Batch(config.batch_size, config.gradient_accumulation)
    try:
        result = run_within_memory(start, asked, run.folder, back_off)
    except (TuneyardError, TerminationSignal):
        _send_rest(run, LEAVING_PATIENCE)
        raise
    _send_rest(run, WORKING_PATIENCE)
    return result


def _send_rest(run: JobRun, patience: float) -> None:
    """Send what the trainer reported and could not send before it ended: its spool lies in the job's folder."""
    if left := Reporter(run.writer, run.job.id, run.folder).close(patience):
        run.log.warning("%s metric points were not sent; they lie in %s", left, run.folder)


class _Told:
    """What the trainer has reported so far, an earlier attempt's on this host included, and its picture in Prefect."""

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._spool = Tail(run.kept_file("metrics.jsonl"))
        self._curves = Curves()
        self._last: MetricPoint | None = None
        self._new()

    def look(self) -> list[MetricPoint]:
        """What is new, shown."""
        new = self._new()
        self._run.journal.look()
        if self._last and self._run.progress.due("progress", BAR_SECONDS):
            last, total = self._last, self._run.total_steps()
            self._run.progress.bar(100.0 * last.step / total if total else 0.0, _words(last, total))
        if self._run.progress.due("loss", CHART_SECONDS):
            self.chart()
        return new

    def chart(self) -> None:
        if self._last:
            self._run.progress.picture("loss", self._curves.svg(), f"The course of job {self._run.job.id}")

    def _new(self) -> list[MetricPoint]:
        new = [MetricPoint.model_validate_json(line) for line in self._spool.new_lines()]
        self._curves.add(new)
        self._last = new[-1] if new else self._last
        return new


def _words(point: MetricPoint, total: int | None) -> str:
    loss = "" if point.train_loss is None else f", loss {point.train_loss:.4f}"
    speed = "" if point.tokens_per_second is None else f", {point.tokens_per_second:.0f} tokens/s"
    memory = "" if point.gpu_memory_allocated_gb is None else f", GPU {point.gpu_memory_allocated_gb:.1f} GB"
    return f"step {point.step} of {total or '?'}{loss}{speed}{memory}"
