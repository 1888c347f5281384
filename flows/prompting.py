"""Prompts put to a language model, on a card of this host or behind an endpoint, and what it said."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.answering import ANSWERS, BAR_SECONDS, generated, plan_of, refuse_engine, storable
from flows.cards import cards
from flows.endpoint import ENDPOINT, put
from flows.job_run import JobRun
from flows.models import get_model
from flows.tabular import get_rows
from tasks.answers import AnswerFile
from tasks.launch import Tail
from tasks.prompt_rows import read_prompts
from tuneyard.batch_configs import PredictConfig
from tuneyard.batch_shapes import ChatTurn, Prompt
from tuneyard.errors import BadInput, TuneyardError, WorkFailed
from tuneyard.shapes import JobFacts

SHOWN = ("response", "input_tokens", "output_tokens", "finish_reason")


@task(cache_policy=NO_CACHE)
def take_prompts(run: JobRun, config: PredictConfig) -> list[Prompt]:
    """What the model is asked."""
    if config.prompts is None:
        prompts = read_prompts(get_rows(run, config.dataset))
    else:
        prompts = [_prompt(at, ask) for at, ask in enumerate(config.prompts)]
    run.writer.jobs.update(run.job.id, JobFacts(total_steps=len(prompts)))
    return prompts


def _prompt(at: int, ask: Any) -> Prompt:
    if isinstance(ask, str):
        return Prompt(prompt=ask)
    if ask[-1].role != "user":
        raise BadInput("the last turn must be the user's", field=f"prompts.{at}")
    return Prompt(messages=[ChatTurn(role=turn.role, content=turn.content) for turn in ask])


@task(cache_policy=NO_CACHE)
def answer_prompts(run: JobRun, config: PredictConfig, prompts: list[Prompt]) -> dict[str, Any]:
    """Answer them; what an earlier attempt on this host has answered is not asked again.

    Returns:
        How a local model answered, for the job's result.
    """
    if not prompts:
        return {}
    refuse_engine(config)
    file = run.kept_file(ANSWERS)
    progress = _Progress(run, file, len(prompts))
    if config.model.startswith(ENDPOINT):
        put(run, config, prompts, file, progress.look)
        return {}
    model = get_model(run, config.model)
    run.at("Starting the generator")
    with cards(run, config.gpus) as lease:
        run.journal.event("started", f"Answering on {run.job.host}")
        return generated(run, plan_of(config, prompts, model, file), lease, progress.look)


class _Progress:
    """Tells how many answers there are, as they come."""

    def __init__(self, run: JobRun, file: Path, total: int) -> None:
        self._run, self._total, self._done = run, total, 0
        self._answers = Tail(file, limit=None)

    def look(self) -> None:
        self._run.journal.look()
        new = len(self._answers.new_lines())
        self._done += new
        if new and self._run.progress.due("progress", BAR_SECONDS):
            self._run.progress.bar(
                100.0 * self._done / self._total, f"{self._done} of {self._total} answered"
            )
            with suppress(TuneyardError):  # the answers are on the disk: nothing hangs on this
                facts = JobFacts(current_step=self._done)
                self._run.writer.jobs.update(self._run.job.id, facts)


def answers_in(run: JobRun, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """What was said to each prompt, in their order. Raises WorkFailed where none has an answer."""
    lines = {one.prompt_index: storable(asdict(one)) for one in AnswerFile(run.folder / ANSWERS).answered()}
    said = [
        {"prompt": prompt.text, **{name: lines[at][name] for name in SHOWN}, **_error(lines[at])}
        for at, prompt in enumerate(prompts)
    ]
    if said and all("error" in one for one in said):
        raise WorkFailed(f"no prompt was answered; the first one: {said[0]['error']}")
    return said


def _error(line: dict[str, Any]) -> dict[str, str]:
    return {"error": line["error"]} if line["error"] else {}
