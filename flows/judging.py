"""The answers of a batch test, given marks by a model behind an endpoint."""

from __future__ import annotations

from dataclasses import fields, replace

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
from tuneyard.scorers import Judge, Scorer

JUDGED = "judged.jsonl"
Asked = tuple[Prediction, Judge]


@task(cache_policy=NO_CACHE)
def judge(run: JobRun, config: BatchTestConfig, prompts: list[Prompt]) -> None:
    """Have every answer judged that a judge is to score, and record it again with its mark.

    An answer whose judge gives none keeps no score: that is not the fault of the model that is tested.
    """
    judges = [judge_of(prompt, config.scorers) for prompt in prompts]
    if not any(judges):
        return
    asked = [
        (prediction, judge)
        for prediction in run.service.tests.iter_predictions(run.job.id)
        if prediction.error is None and (judge := judges[prediction.prompt_index]) is not None
    ]
    file = AnswerFile(run.kept_file(JUDGED))
    for name in sorted({judge.endpoint for _, judge in asked}):
        _ask(run, config, prompts, name, [one for one in asked if one[1].endpoint == name], file)
    replies = {reply.prompt_index: reply for reply in file.answered()}
    record_answers(
        run,
        [
            judged(one, by, prompts[one.prompt_index], config.scorers, replies[one.prompt_index])
            for one, by in asked
        ],
    )
    if silent := sum(replies[one.prompt_index].error is not None for one, _ in asked):
        run.log.warning("The judge gave no mark for %s of %s answers: they have no score", silent, len(asked))


def judge_of(prompt: Prompt, scorers: list[Scorer]) -> Judge | None:
    """The judge among those that score this prompt."""
    own = scorers if prompt.scorer is None else [prompt.scorer]
    return next((scorer for scorer in own if isinstance(scorer, Judge)), None)


def _ask(
    run: JobRun,
    config: BatchTestConfig,
    prompts: list[Prompt],
    name: str,
    asked: list[Asked],
    file: AnswerFile,
) -> None:
    endpoint = open_endpoint(name, "scorers")
    run.at(f"{endpoint.model} at {endpoint.base_url} judges {len(asked)} answers")
    manner = replace(manner_of(config), temperature=0.0, top_p=1.0, top_k=0, most_tokens=MOST_TOKENS)
    best = {one.prompt_index: by.best for one, by in asked}
    chats = [
        Chat(one.prompt_index, judging(by, prompts[one.prompt_index], one.response or ""))
        for one, by in asked
    ]

    def check(index: int, reply: str) -> str | None:
        return fault_of(reply, best[index])

    def look() -> None:
        if run.progress.due("progress", BAR_SECONDS):
            done = len({reply.prompt_index for reply in file.answered()} & set(best))
            run.progress.bar(100.0 * done / len(best), f"{done} of {len(best)} judged")

    run_alongside(lambda: ask_all(endpoint, chats, manner, file, run.log.info, check), look)


def judged(
    prediction: Prediction, by: Judge, prompt: Prompt, scorers: list[Scorer], reply: Answer
) -> NewPrediction:
    """An answer with what its judge said of it."""
    line = {field.name: getattr(prediction, field.name) for field in fields(Answer)}
    others = {name: said for name, said in prediction.details.items() if name != "judge"}
    if reply.response is None:
        scored = scored_answer({**line, "details": others}, prompt, scorers)
        return scored.model_copy(
            update={
                "score": None,
                "passed": None,
                "scores": {name: score for name, score in scored.scores.items() if name != "judge"},
                "details": {**others, "judge": {"error": reply.error}},
            }
        )
    mark = read_mark(reply.response, by.best)
    return scored_answer({**line, "details": {**others, "judge": mark.model_dump()}}, prompt, scorers)
