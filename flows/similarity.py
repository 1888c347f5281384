"""How alike answers and expected texts are in meaning, found once all prompts are answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.answering import ANSWERS, record_answers, scored_answer
from flows.cards import cards
from flows.job_run import JobRun
from flows.models import get_model
from tasks.launch import run_child
from tasks.score import own_scorers
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import Prompt
from tuneyard.scorers import Similarity, named

BATCH = 32
Line = dict[str, Any]


@task(cache_policy=NO_CACHE)
def get_sentence_models(run: JobRun, config: BatchTestConfig, prompts: list[Prompt]) -> dict[str, Path]:
    """The folder of each model that a similarity is by: had before anything is answered."""
    scorers = [one for prompt in prompts for one in own_scorers(prompt, config.scorers)]
    return {
        name: get_model(run, name) for name in sorted({s.model for s in scorers if isinstance(s, Similarity)})
    }


@task(cache_policy=NO_CACHE)
def measure_similarity(
    run: JobRun, config: BatchTestConfig, prompts: list[Prompt], models: dict[str, Path]
) -> None:
    """Record again, with their cosines, the answers that a scorer waits with."""
    wanted = _wanted(run, config, prompts) if models else []
    for model, folder in models.items():
        ours = [(name, line) for name, one, line in wanted if one.model == model]
        texts = [[line["response"], prompts[line["prompt_index"]].expected or ""] for _, line in ours]
        run.at(f"Comparing {len(ours)} answers by {model}")
        for (name, line), cosine in zip(ours, _cosines(run, config, folder, texts), strict=True):
            line["details"][name] = {"cosine": cosine}
    lines = {line["prompt_index"]: line for _, _, line in wanted}
    record_answers(
        run, [scored_answer(line, prompts[at], config.scorers) for at, line in sorted(lines.items())]
    )


def _wanted(
    run: JobRun, config: BatchTestConfig, prompts: list[Prompt]
) -> list[tuple[str, Similarity, Line]]:
    """(a scorer's name, the scorer, the answer) for all answers that have a similarity."""
    scorers = [named(own_scorers(prompt, config.scorers)) for prompt in prompts]
    known = {one.prompt_index: one.details for one in run.service.tests.iter_predictions(run.job.id)}
    text = (run.folder / ANSWERS).read_text(encoding="utf-8")
    lines: list[Line] = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        line["details"] = {**known.get(line["prompt_index"], {}), **line.get("details", {})}
    return [
        (name, one, line)
        for line in lines
        if line["error"] is None
        for name, one in scorers[line["prompt_index"]]
        if isinstance(one, Similarity)
    ]


def _cosines(run: JobRun, config: BatchTestConfig, folder: Path, pairs: list[list[str]]) -> list[float]:
    with cards(run, config.gpus) as lease:
        found = run_child(
            "tasks.similarity",
            {"model_dir": str(folder), "pairs": pairs, "batch_size": BATCH},
            run.folder / "similarity",
            secrets={},
            watch=run.journal.look,
            say=run.log.info,
            environment=lease.environment,
        )
    return list(found["cosines"])
