"""Every prompt of a batch test answered by a local model, scored and recorded as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal

from flows.cards import cards
from flows.job_ends import LEAVING_PATIENCE
from flows.job_run import JobRun
from tasks.launch import Tail, run_child
from tasks.lease import Lease
from tasks.score import score_answer
from tasks.vllm_engine import why_not
from tuneyard.batch_configs import BatchTestConfig, PredictConfig
from tuneyard.batch_shapes import BatchTest, ChatTurn, NewPrediction, Prompt
from tuneyard.errors import BadInput, TuneyardError
from tuneyard.scorers import Scorer

BATCH = 100  # predictions a request
BAR_SECONDS = 3.0
ANSWERS = "answers.jsonl"
SETTINGS = (
    "engine",
    "max_new_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "precision",
    "batch_size",
    "memory_gb",
)
HOW = (
    "engine",
    "device",
    "precision",
    "number_format",
    "batch_sizes",
    "decoding",
    "template_sha256",
    "seconds",
)


@task(cache_policy=NO_CACHE)
def answer(run: JobRun, config: BatchTestConfig, prompts: list[Prompt], model: Path) -> dict[str, Any]:
    """Answer the prompts in a child process; what an earlier attempt on this host has answered is not asked again.

    Returns:
        How they were answered, for the job's result: engine, device, precision, batch sizes, decoding.
    """
    refuse_engine(config)
    run.at("Starting the generator")
    relay = Relay(run, config, prompts)
    relay.look()  # what an earlier attempt has answered and not told
    with cards(run, config.gpus) as lease, relay.to_the_end():
        return generated(run, plan_of(config, prompts, model, relay.file), lease, relay.look)


def generated(run: JobRun, plan: dict[str, Any], lease: Lease, watch: Callable[[], None]) -> dict[str, Any]:
    """Have a child process answer what the plan's file has no answer to; how it did."""
    result = run_child(
        "tasks.generate",
        plan,
        run.folder,
        secrets={},
        watch=watch,
        say=run.log.info,
        environment=lease.environment,
    )
    return {name: result[name] for name in HOW}


def refuse_engine(config: BatchTestConfig | PredictConfig) -> None:
    """Raises BadInput where this host has not what the config's engine needs."""
    if config.engine == "vllm" and (problem := why_not(config.gpus)) is not None:
        raise BadInput(problem, field="engine")


def plan_of(
    config: BatchTestConfig | PredictConfig, prompts: list[Prompt], model: Path, file: Path
) -> dict[str, Any]:
    """What the generator is told; see `tasks.generate`."""
    scorers = config.scorers if isinstance(config, BatchTestConfig) else []
    return {
        "model_dir": str(model),
        "prompts": [_asked(prompt, scorers) for prompt in prompts],
        "answers_path": str(file),
        **config.model_dump(include=set(SETTINGS)),
    }


def _asked(prompt: Prompt, scorers: list[Scorer]) -> dict[str, Any]:
    """A prompt as a conversation; with its choices where a scorer needs their likelihoods."""
    turns = prompt.messages or [ChatTurn(role="user", content=prompt.text)]
    own = [prompt.scorer] if prompt.scorer is not None else scorers
    weighed = any(scorer.kind == "choice_likelihood" for scorer in own)
    return {
        "messages": [turn.model_dump() for turn in turns],
        "choices": prompt.choices if weighed else None,
    }


class Relay:
    """Answers on their way from answers.jsonl to the record: whoever answers adds lines to `file`."""

    def __init__(self, run: JobRun, config: BatchTestConfig, prompts: list[Prompt]) -> None:
        self._run = run
        self._config = config
        self._prompts = prompts
        self.file = run.kept_file(ANSWERS)
        self._answers = Tail(self.file, limit=None)

    @contextmanager
    def to_the_end(self) -> Iterator[None]:
        """Record the last answers however the block ends; one that is told to stop does not wait long for it."""
        try:
            yield
        except (TuneyardError, TerminationSignal):
            with suppress(TuneyardError):
                record_answers(self._run, self._new(), LEAVING_PATIENCE)
            raise
        self.look()

    def _new(self) -> list[NewPrediction]:
        lines = [storable(json.loads(line)) for line in self._answers.new_lines()]
        return [
            scored_answer(line, self._prompts[line["prompt_index"]], self._config.scorers) for line in lines
        ]

    def look(self) -> None:
        """Score and record what is new; a progress bar shows how far it is."""
        scored = self._new()
        record_answers(self._run, scored)
        if scored and self._run.progress.due("progress", BAR_SECONDS):
            test = self._run.service.tests.get(self._run.job.id)
            self._run.progress.bar(100.0 * _done(test) / (test.total_prompts or 1), in_words(test))


def storable(line: dict[str, Any]) -> dict[str, Any]:
    """A line of answers.jsonl without NUL, which models say now and then and PostgreSQL takes in no text."""
    said = line["response"]
    return {**line, "response": said and said.replace("\x00", "\N{REPLACEMENT CHARACTER}")}


def record_answers(run: JobRun, predictions: list[NewPrediction], patience: float | None = None) -> None:
    """Record answers, or record them again with what has been found out since."""
    for batch in _batches(predictions):
        run.writer.tests.add_predictions(run.job.id, batch, patience=patience)


def scored_answer(line: dict[str, Any], prompt: Prompt, scorers: list[Scorer]) -> NewPrediction:
    """One line of answers.jsonl, put beside its prompt and scored; an answer that failed has no score, and neither has
    one that a scorer can say nothing about: why is its error then."""
    scored = (
        None if line["error"] else score_answer(line["response"], prompt, scorers, line.get("details", {}))
    )
    if scored is not None and scored.error is not None:
        line = {**line, "error": scored.error}
    return NewPrediction(
        **line,
        prompt=prompt.text,
        expected=prompt.expected,
        tags=prompt.tags,
        weight=prompt.weight or 1.0,
        scores={} if scored is None else scored.scores,
        score=None if scored is None else scored.score,
        passed=None if scored is None else scored.passed,
    )


def _batches(predictions: list[NewPrediction]) -> Iterable[list[NewPrediction]]:
    return (predictions[start : start + BATCH] for start in range(0, len(predictions), BATCH))


def _done(test: BatchTest) -> int:
    return test.completed_prompts + test.failed_prompts


def in_words(test: BatchTest) -> str:
    return f"{_done(test)} of {test.total_prompts} answered, {test.passed_prompts} right"
