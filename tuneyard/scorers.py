"""How an answer is judged, as a config says it: one form a scorer, told apart by `kind`.

    scorers: [normalized_exact, {kind: rouge_l, weight: 0.5, pass_at: 0.4}]

A score is between 0 and 1. An answer's score is the mean of its scorers' by weight; it passes where each of them is at
`pass_at` or above. What each one does with an answer is `tasks/score.py`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tuneyard.config_words import Config
from tuneyard.values import Amount, Flag, JsonObject, Real, Share, Text

Regex = Annotated[Text, Field(min_length=1, max_length=2000)]


class _Scorer(Config):
    weight: Real = Field(1.0, ge=0.001, le=1000)
    pass_at: Share = 1.0


class Exact(_Scorer):
    """The answer equals the expected text once outer white space is taken off."""

    kind: Literal["exact"]


class NormalizedExact(_Scorer):
    """The same, without regard to case, punctuation, English articles, width and spacing (SQuAD's rule)."""

    kind: Literal["normalized_exact"]


class Contains(_Scorer):
    """The expected text stands in the answer."""

    kind: Literal["contains"]
    ignore_case: Flag = False


class Matches(_Scorer):
    """A regular expression finds something in the answer; the pattern is the expected text where none is given."""

    kind: Literal["regex"]
    pattern: Regex | None = None
    ignore_case: Flag = False


class Numeric(_Scorer):
    """The answer's last number is the expected one, within `tolerance` or `relative` times the expected one."""

    kind: Literal["numeric"]
    tolerance: Amount = 0.0
    relative: Amount = 1e-6


class Choice(_Scorer):
    """The answer names the right one of the prompt's `choices`, by its letter or its text."""

    kind: Literal["choice"]


class ChoiceLikelihood(_Scorer):
    """The model gives the right one of the prompt's `choices` the highest likelihood; local models only."""

    kind: Literal["choice_likelihood"]
    by_token: Flag = Field(False, description="The mean over a choice's tokens decides, not their sum.")


class JsonValid(_Scorer):
    """The answer is JSON, by itself or as its one fenced block."""

    kind: Literal["json_valid"]


class JsonSchema(_Scorer):
    """The same, and it fits a JSON Schema: this one, or the expected text where none is given."""

    kind: Literal["json_schema"]
    json_schema: JsonObject | None = None


class Bleu(_Scorer):
    """Sentence BLEU (sacrebleu, 13a, exponential smoothing), 0 to 1."""

    kind: Literal["bleu"]
    pass_at: Share = 0.5


class Chrf(_Scorer):
    """Sentence chrF2 (sacrebleu), 0 to 1."""

    kind: Literal["chrf"]
    pass_at: Share = 0.5


class RougeL(_Scorer):
    """F1 of the longest common subsequence of words (rouge-score's rougeL, without stemming)."""

    kind: Literal["rouge_l"]
    pass_at: Share = 0.5


class Similarity(_Scorer):
    """Cosine of two sentence embeddings, negative ones as 0; the extra `similarity`."""

    kind: Literal["similarity"]
    model: Text = Field("sentence-transformers/all-MiniLM-L6-v2", min_length=1, max_length=1024)
    pass_at: Share = 0.8


class Judge(_Scorer):
    """A model behind an OpenAI-compatible endpoint gives marks by a rubric."""

    kind: Literal["judge"]
    endpoint: Text = Field(
        min_length=1,
        max_length=255,
        description="`<block>[/<model>]`: the name of an endpoint's credentials block.",
    )
    rubric: Text = Field(
        "Is the answer correct and complete, judged by the expected one?", min_length=1, max_length=20_000
    )
    best: Real = Field(10, gt=0, le=1000, description="The best mark; the worst is 0.")
    pass_at: Share = 0.7


def _by_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Scorer = Annotated[
    Annotated[
        Exact
        | NormalizedExact
        | Contains
        | Matches
        | Numeric
        | Choice
        | ChoiceLikelihood
        | JsonValid
        | JsonSchema
        | Bleu
        | Chrf
        | RougeL
        | Similarity
        | Judge,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_by_name),
]


def named(scorers: Sequence[Scorer]) -> list[tuple[str, Scorer]]:
    """Each scorer under its kind; a second one of a kind is `kind_2`, and so on."""
    seen: Counter[str] = Counter()
    pairs = []
    for scorer in scorers:
        seen[scorer.kind] += 1
        number = seen[scorer.kind]
        pairs.append((scorer.kind if number == 1 else f"{scorer.kind}_{number}", scorer))
    return pairs
