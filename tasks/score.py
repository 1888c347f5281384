"""How an answer is judged: pure functions from an answer and its prompt to scores between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.choice_scores import choice, choice_likelihood
from tasks.json_scores import json_schema, json_valid, schema_of
from tasks.number_scores import numeric
from tasks.overlap_scores import bleu, chrf, rouge_l
from tasks.text_scores import Unscorable, contains, exact, matches, normalized_exact
from tuneyard.batch_shapes import Prompt
from tuneyard.scorers import (
    Bleu,
    Choice,
    ChoiceLikelihood,
    Chrf,
    Contains,
    Exact,
    JsonSchema,
    JsonValid,
    Judge,
    Matches,
    NormalizedExact,
    Numeric,
    RougeL,
    Scorer,
    Similarity,
    named,
)


@dataclass(frozen=True)
class Scored:
    """`scores` by scorer's kind; `score` and `passed` are None while a scorer is not through (a judge, say), and where
    one can say nothing about this answer, which is the answer's own `error`."""

    scores: dict[str, float]
    score: float | None
    passed: bool | None
    error: str | None = None


def score_answer(response: str, prompt: Prompt, scorers: Sequence[Scorer], details: dict[str, Any]) -> Scored:
    """The answer by each scorer, by the prompt's own where it has one, and together by weight.

    Args:
        details: What scorers that need a model of their own have found, by their names; see there. Likelihoods are by
            kind: they are of the model under test, the same for each scorer that looks at them.
    """
    own = named(own_scorers(prompt, scorers))
    scores, errors = {}, []
    for name, scorer in own:
        found = details.get(scorer.kind if isinstance(scorer, ChoiceLikelihood) else name)
        try:
            score = _score(scorer, response, prompt, found)
        except Unscorable as problem:
            errors.append(f"{name}: {problem}")
            continue
        if score is not None:
            scores[name] = min(1.0, max(0.0, score))
    if len(scores) < len(own):
        return Scored(scores, None, None, "; ".join(errors) or None)
    mean = sum(scores[name] * one.weight for name, one in own) / sum(one.weight for _, one in own)
    return Scored(scores, min(1.0, mean), all(scores[name] >= one.pass_at for name, one in own))


def own_scorers(prompt: Prompt, scorers: Sequence[Scorer]) -> Sequence[Scorer]:
    """What judges the answers to this prompt."""
    return scorers if prompt.scorer is None else [prompt.scorer]


def _score(scorer: Scorer, response: str, prompt: Prompt, found: Any) -> float | None:
    """One scorer's score; None while it waits for `found`, what a model of its own says of the answer."""
    expected, choices = prompt.expected or "", prompt.choices or []
    match scorer:
        case Exact():
            return exact(response, expected)
        case NormalizedExact():
            return normalized_exact(response, expected)
        case Contains():
            return contains(response, expected, ignore_case=scorer.ignore_case)
        case Matches():
            return matches(response, scorer.pattern or expected, ignore_case=scorer.ignore_case)
        case Numeric():
            return numeric(response, expected, tolerance=scorer.tolerance, relative=scorer.relative)
        case Choice():
            return choice(response, expected, choices)
        case JsonValid():
            return json_valid(response)
        case JsonSchema():
            return _json_schema(scorer, response, expected)
        case Bleu() | Chrf() | RougeL():
            return {"bleu": bleu, "chrf": chrf, "rouge_l": rouge_l}[scorer.kind](response, expected)
        case ChoiceLikelihood() | Similarity() | Judge():
            return None if found is None else _by_model(scorer, found, expected, choices)


def _json_schema(scorer: JsonSchema, response: str, expected: str) -> float:
    try:
        return json_schema(
            response, schema_of(expected if scorer.json_schema is None else scorer.json_schema)
        )
    except ValueError as problem:
        raise Unscorable(f"the schema cannot be used: {problem}") from None


def _by_model(
    scorer: ChoiceLikelihood | Similarity | Judge, found: Any, expected: str, choices: Sequence[str]
) -> float | None:
    match scorer:
        case ChoiceLikelihood():
            return choice_likelihood(found, expected, choices, by_token=scorer.by_token)
        case Similarity():
            return _number(found.get("cosine"))
        case Judge():
            mark = _number(found.get("mark"))
            return None if mark is None else mark / scorer.best


def _number(given: Any) -> float | None:
    """None where there is none yet. NaN is no score."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given:
        raise Unscorable(f"{given!r} is no mark")
    return float(given)
