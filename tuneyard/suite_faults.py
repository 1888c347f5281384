"""What is wrong with a prompt that its shape alone does not show. Pure."""

from __future__ import annotations

from tuneyard.batch_shapes import Prompt
from tuneyard.scorers import Choice, ChoiceLikelihood, JsonSchema, JsonValid, Judge, Matches, Scorer


def fault_of(prompt: Prompt) -> tuple[str, str] | None:
    """(the field, what is wrong with it), or None. What a batch test's scorers need of it is known when one runs."""
    if prompt.messages is not None and prompt.messages[-1].role != "user":
        return "messages", "the last turn must be the user's"
    if prompt.scorer is None:
        return None
    lacking = [field for field in _needs(prompt.scorer) if getattr(prompt, field) is None]
    return (lacking[0], f"is missing, and the scorer {prompt.scorer.kind} needs it") if lacking else None


def _needs(scorer: Scorer) -> tuple[str, ...]:
    match scorer:
        case JsonValid() | Judge():
            return ()
        case Matches(pattern=str()) | JsonSchema(json_schema=dict()):
            return ()
        case Choice() | ChoiceLikelihood():
            return ("choices", "expected")
    return ("expected",)
