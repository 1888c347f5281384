"""What is wrong with a prompt that its shape alone does not show. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuneyard.batch_shapes import Prompt
from tuneyard.scorers import Choice, ChoiceLikelihood, JsonSchema, JsonValid, Judge, Matches, Scorer


def fault_of(prompt: Prompt, scorers: Sequence[Scorer] = ()) -> tuple[str, str] | None:
    """(the field, what is wrong with it), or None.

    Args:
        scorers: Those of the batch test; a prompt's own goes before them.
    """
    if prompt.messages is not None and prompt.messages[-1].role != "user":
        return "messages", "the last turn must be the user's"
    for scorer in [prompt.scorer] if prompt.scorer is not None else scorers:
        for field in _needs(scorer):
            if getattr(prompt, field) is None:
                return field, f"is missing, and the scorer {scorer.kind} needs it"
    return None


def first_fault(prompts: Iterable[Prompt], scorers: Sequence[Scorer] = ()) -> tuple[int, str, str] | None:
    """(the prompt's index, the field, what is wrong with it) of the first that has a fault."""
    for index, prompt in enumerate(prompts):
        if found := fault_of(prompt, scorers):
            return index, *found
    return None


def _needs(scorer: Scorer) -> tuple[str, ...]:
    match scorer:
        case JsonValid() | Judge():
            return ()
        case Matches(pattern=str()) | JsonSchema(json_schema=dict()):
            return ()
        case Choice() | ChoiceLikelihood():
            return ("choices", "expected")
    return ("expected",)
