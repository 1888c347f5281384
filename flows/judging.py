"""The answers of a batch test, given marks by a model behind an endpoint."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.answering import BAR_SECONDS, record_answers, scored_answer
from flows.endpoint import manner_of, open_endpoint
from flows.job_run import JobRun
from tasks.alongside import run_alongside
from tasks.answers import Answer, AnswerFile
from tasks.asking import ask_all
from tasks.endpoint import Chat
from tasks.judge import MOST_TOKENS, fault_of, judging, read_mark
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import NewPrediction, Prediction, Prompt
from tuneyard.scorers import Judge, Scorer, named

Asked = tuple[Prediction, Judge]


@task(cache_policy=NO_CACHE)
def judge(run: JobRun, config: BatchTestConfig, prompts: list[Prompt]) -> None:
    """Have every answer judged that a judge is to score, and record it again with its mark.

    An answer whose judge gives none keeps no score, and its details say why: the model that is tested is not to blame.
    """
    judges = [judges_of(prompt, config.scorers) for prompt in prompts]
    for name in sorted({name for by_name in judges for name in by_name}):
        asked = [
            (one, judges[one.prompt_index][name])
            for one in run.service.tests.iter_predictions(run.job.id)
            if one.error is None and name in judges[one.prompt_index]
        ]
        replies = run.kept_file(f"{name}.jsonl")
        for endpoint in sorted({by.endpoint for _, by in asked}):
            _ask(
                run, config, prompts, endpoint, [one for one in asked if one[1].endpoint == endpoint], replies
            )
        _record(run, config, prompts, name, asked, replies)


def look_for_judges(config: BatchTestConfig, prompts: list[Prompt]) -> None:
    """That they can be asked at all is looked at before the first prompt is answered. Raises BadInput."""
    for endpoint in sorted(
        {by.endpoint for prompt in prompts for by in judges_of(prompt, config.scorers).values()}
    ):
        open_endpoint(endpoint, "scorers")


def judges_of(prompt: Prompt, scorers: list[Scorer]) -> dict[str, Judge]:
    """The judges among those that score this prompt, by the names that their scores have."""
    own = scorers if prompt.scorer is None else [prompt.scorer]
    return {name: scorer for name, scorer in named(own) if isinstance(scorer, Judge)}


def _ask(
    run: JobRun,
    config: BatchTestConfig,
    prompts: list[Prompt],
    block: str,
    asked: list[Asked],
    replies: Path,
) -> None:
    endpoint = open_endpoint(block, "scorers")
    run.at(f"{endpoint.model} at {endpoint.base_url} judges {len(asked)} answers")
    manner = replace(manner_of(config), temperature=0.0, top_p=1.0, top_k=0, most_tokens=MOST_TOKENS)
    best = {one.prompt_index: by.best for one, by in asked}

    def check(index: int, reply: str) -> str | None:
        return fault_of(reply, best[index])

    def look() -> None:
        if run.progress.due("progress", BAR_SECONDS):
            done = replies.read_bytes().count(b"\n") - before
            run.progress.bar(100.0 * done / len(asked), f"{done} of {len(asked)} judged")

    file = AnswerFile(replies)
    before = sum(reply.prompt_index not in best for reply in file.answered())
    chats = _chats(asked, prompts)
    run_alongside(lambda: ask_all(endpoint, chats, manner, file, run.log.info, check), look)


def _chats(asked: list[Asked], prompts: list[Prompt]) -> list[Chat]:
    return [
        Chat(one.prompt_index, judging(by, prompts[one.prompt_index], one.response or ""))
        for one, by in asked
    ]


def _record(
    run: JobRun,
    config: BatchTestConfig,
    prompts: list[Prompt],
    name: str,
    asked: list[Asked],
    replies: Path,
) -> None:
    best = {one.prompt_index: by.best for one, by in asked}
    found = {
        reply.prompt_index: verdict(reply, best[reply.prompt_index])
        for reply in AnswerFile(replies).answered()
        if reply.prompt_index in best
    }
    record_answers(
        run,
        [
            judged(one, prompts[one.prompt_index], config.scorers, name, found[one.prompt_index])
            for one, _ in asked
        ],
    )
    if silent := sum("error" in one for one in found.values()):
        run.log.warning("%s: no mark for %s of %s answers: they have no score", name, silent, len(asked))


def verdict(reply: Answer, best: float) -> dict[str, Any]:
    """What the details of an answer say of its judge."""
    if reply.response is None:
        return {"error": reply.error}
    return read_mark(reply.response, best).model_dump()


def judged(
    prediction: Prediction, prompt: Prompt, scorers: list[Scorer], name: str, found: dict[str, Any]
) -> NewPrediction:
    """An answer with what its judge said of it."""
    line = {field.name: getattr(prediction, field.name) for field in fields(Answer)}
    return scored_answer({**line, "details": {**prediction.details, name: found}}, prompt, scorers)
