"""What is wrong with a suite and the scorers it is to be judged by, before any prompt is answered; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import regex

from tasks.choice_scores import meant_choice, plain_texts
from tasks.json_scores import schema_of
from tasks.number_scores import last_number
from tasks.score import own_scorers
from tasks.text_scores import compiled
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput
from tuneyard.faults import SHOWN
from tuneyard.scorers import Choice, ChoiceLikelihood, JsonSchema, JsonValid, Judge, Matches, Numeric, Scorer

NO_LIKELIHOODS = {"choice_likelihood": "an endpoint gives no likelihoods; use choice"}
NO_MODEL_BESIDE = {
    "similarity": "it needs a model of its own, which has no room beside a training",
    "judge": "it needs an endpoint, which a training does not wait for",
    "choice_likelihood": "a model in training gives answers, no likelihoods; use choice",
}


def unable_at(model: str) -> Mapping[str, str]:
    """The kinds of scorers that cannot work with a config's model, and why."""
    return NO_LIKELIHOODS if model.startswith("endpoint:") else {}


def check_prompts(
    prompts: Sequence[Prompt], scorers: Sequence[Scorer], unable: Mapping[str, str] | None = None
) -> None:
    """Raises BadInput for the first fault of `prompt_faults`; its message goes on with the next ones."""
    faults = list(prompt_faults(prompts, scorers, unable or {}))
    if not faults:
        return
    words = [faults[0].problem, *map(str, faults[1:SHOWN])]
    if len(faults) > 1:
        words.append(
            f"{len(faults)} faults" + (f"; these are the first {SHOWN}" if len(faults) > SHOWN else "")
        )
    raise BadInput("\n".join(words), field=faults[0].field)


def prompt_faults(
    prompts: Sequence[Prompt], scorers: Sequence[Scorer], unable: Mapping[str, str]
) -> Iterator[BadInput]:
    """Everything that a scorer lacks or cannot use, by field: `scorers.0.pattern`, `prompts.12.expected`.

    Args:
        prompts: Their places are counted from 0.
        scorers: For prompts that have none of their own.
        unable: Kinds of scorers that cannot work here, and why.
    """
    for at, scorer in enumerate(scorers):
        yield from _faults_of(scorer, f"scorers.{at}", unable)
    for index, prompt in enumerate(prompts):
        if prompt.scorer is not None:
            yield from _faults_of(prompt.scorer, f"prompts.{index}.scorer", unable)
        for scorer in own_scorers(prompt, scorers):
            fault = _lack(scorer, prompt)
            if fault is not None:
                yield BadInput(f"{scorer.kind}: {fault[1]}", field=f"prompts.{index}.{fault[0]}")


def _faults_of(scorer: Scorer, field: str, unable: Mapping[str, str]) -> Iterator[BadInput]:
    """What is wrong with a scorer whatever the prompt."""
    if scorer.kind in unable:
        yield BadInput(unable[scorer.kind], field=field)
    if isinstance(scorer, Matches) and scorer.pattern is not None:
        problem = _bad_pattern(scorer.pattern)
        if problem:
            yield BadInput(problem, field=f"{field}.pattern")
    if isinstance(scorer, JsonSchema) and scorer.json_schema is not None:
        problem = _bad_schema(scorer.json_schema)
        if problem:
            yield BadInput(problem, field=f"{field}.json_schema")


def _lack(scorer: Scorer, prompt: Prompt) -> tuple[str, str] | None:
    """(field, what this scorer would need of this prompt); None where it has all."""
    match scorer:
        case JsonValid() | Judge():
            return None
        case Matches(pattern=str()) | JsonSchema(json_schema=dict()):
            return None
        case Choice() | ChoiceLikelihood() if prompt.choices is None:
            return "choices", "the prompt has no choices"
    if prompt.expected is None:
        return "expected", "the prompt says nothing of what is expected"
    problem = _unfit(scorer, prompt.expected, prompt.choices or [])
    return problem if problem is None else ("choices" if problem.startswith("two ") else "expected", problem)


def _unfit(scorer: Scorer, expected: str, choices: Sequence[str]) -> str | None:
    """Why the scorer can make nothing of what is expected."""
    match scorer:
        case Matches():
            return _bad_pattern(expected)
        case JsonSchema():
            return _bad_schema(expected)
        case Numeric():
            return None if last_number(expected) else "there is no number in it"
        case Choice() | ChoiceLikelihood():
            if len(set(plain_texts(choices))) < len(choices):
                return "two choices are the same but for case and punctuation"
            return None if meant_choice(expected, choices) is not None else "it is none of the choices"
    return None if expected.strip() or scorer.kind in ("exact", "normalized_exact") else "it is empty"


def _bad_pattern(pattern: str) -> str | None:
    try:
        compiled(pattern)
    except (regex.error, RecursionError, MemoryError, OverflowError) as error:
        return f"not a regular expression: {error}"
    return None


def _bad_schema(schema: dict[str, object] | str) -> str | None:
    try:
        schema_of(schema)
    except ValueError as error:
        return f"not a JSON Schema that can be used: {error}"
    return None
