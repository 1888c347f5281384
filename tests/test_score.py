"""Scores are what a person would say: together by weight, each between 0 and 1, whatever the answer is."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tasks.score import Scored, score_answer
from tuneyard.batch_shapes import Prompt
from tuneyard.scorers import Scorer

SCORER: TypeAdapter[Scorer] = TypeAdapter(Scorer)
KINDS = (
    *("exact", "normalized_exact", "contains", "numeric", "choice", "choice_likelihood", "json_valid"),
    *("bleu", "chrf", "rouge_l", "similarity"),
)
FORMS: list[Any] = [
    *KINDS,
    {"kind": "regex", "pattern": "a.b"},
    "regex",
    {
        "kind": "json_schema",
        "json_schema": {"type": "object", "patternProperties": {"^(a+)+$": {"minimum": 1}}},
    },
    {"kind": "judge", "endpoint": "judge"},
    {"kind": "numeric", "relative": 0, "tolerance": 0.1},
]
FOUND = {
    "choice_likelihood": {"logprobs": [-3.0, -1.0], "tokens": [4, 1]},
    "similarity": {"cosine": -0.2},
    "judge": {"mark": 7, "why": "nearly"},
}
PROMPT = Prompt(prompt="?", expected="Paris", choices=["London", "Paris"])


def scored(
    response: str, forms: list[Any], prompt: Prompt = PROMPT, found: dict[str, Any] | None = None
) -> Scored:
    return score_answer(response, prompt, [SCORER.validate_python(form) for form in forms], found or {})


def test_several_scorers_count_by_weight_and_pass_together() -> None:
    forms = [{"kind": "contains", "weight": 3}, "exact"]
    assert scored("It is Paris", forms) == Scored({"contains": 1.0, "exact": 0.0}, 0.75, False)
    assert scored("Paris", forms) == Scored({"contains": 1.0, "exact": 1.0}, 1.0, True)
    lenient = [{"kind": "rouge_l", "pass_at": 0.5}]
    assert scored("Paris it", lenient).passed is True


def test_a_prompts_own_scorer_goes_before_the_tests() -> None:
    own = Prompt(prompt="?", expected="5", scorer={"kind": "numeric"})
    assert scored("it is 5.0", ["exact", "bleu"], own).scores == {"numeric": 1.0}


def test_a_scorer_that_waits_for_its_model_leaves_the_answer_without_a_score() -> None:
    for kind in ("choice_likelihood", "similarity", {"kind": "judge", "endpoint": "j"}):
        assert scored("Paris", ["exact", kind]) == Scored({"exact": 1.0}, None, None)
    assert scored("Paris", ["exact", {"kind": "judge", "endpoint": "j"}], found=FOUND) == Scored(
        {"exact": 1.0, "judge": 0.7}, 0.85, True
    )
    assert scored("Paris", ["similarity"], found=FOUND).score == 0.0
    assert scored("Paris", ["choice_likelihood"], found=FOUND).passed is True


def test_two_scorers_of_a_kind_have_a_score_each() -> None:
    two = [{"kind": "contains", "ignore_case": True}, "contains"]
    assert scored("PARIS", two) == Scored({"contains": 1.0, "contains_2": 0.0}, 0.5, False)
    judges = [{"kind": "judge", "endpoint": "j"}, {"kind": "judge", "endpoint": "k"}]
    assert scored("", judges, found=FOUND).score is None
    assert scored("", judges, found={**FOUND, "judge_2": {"mark": 9}}).scores == {
        "judge": 0.7,
        "judge_2": 0.9,
    }
    likely = [{"kind": "choice_likelihood", "by_token": True}, "choice_likelihood"]
    assert scored("", likely, found=FOUND).scores == {"choice_likelihood": 0.0, "choice_likelihood_2": 1.0}


def test_the_likeliest_choice_is_by_its_whole_or_by_its_token() -> None:
    found = {"choice_likelihood": {"logprobs": [-3.0, -2.0], "tokens": [4, 1]}}
    assert scored("", ["choice_likelihood"], found=found).score == 1.0
    assert scored("", [{"kind": "choice_likelihood", "by_token": True}], found=found).score == 0.0
    tie = {"choice_likelihood": {"logprobs": [-2.0, -2.0], "tokens": [1, 1]}}
    assert scored("", ["choice_likelihood"], found=tie).score == 0.0


@pytest.mark.parametrize(
    "found",
    [
        {"choice_likelihood": {"logprobs": [-1.0]}},
        {"choice_likelihood": {"logprobs": [float("nan"), -1.0]}},
        {"similarity": {"cosine": float("nan")}},
        {"judge": {"mark": "seven"}},
    ],
)
def test_junk_from_a_model_is_the_answers_own_error(found: dict[str, Any]) -> None:
    [kind] = found
    form = {"kind": "judge", "endpoint": "j"} if kind == "judge" else kind
    got = scored("Paris", ["exact", form], found=found)
    assert (got.scores, got.score, got.passed) == ({"exact": 1.0}, None, None)
    assert got.error is not None
    assert got.error.startswith(f"{kind}: ")


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"(a|aa)+$", r"^(\w+\s?)*$"])
def test_a_pattern_that_would_take_for_ever_is_ended(pattern: str) -> None:
    started = time.monotonic()
    got = scored("a" * 100_000 + "!", [{"kind": "regex", "pattern": pattern}, "exact"])
    assert time.monotonic() - started < 10
    assert got.error == "regex: the pattern took longer than 2 s on this answer" or got.scores["regex"] == 0.0


LONG = [
    "a" * 100_000,
    "the cat sat " * 8400,
    "1," * 50_000,
    "1,234," * 16_000 + "2",
    "[" * 100_000,
    "[" * 50_000 + "]" * 50_000,
    "```" * 33_000,
    '{"a":' * 20_000,
    "9" * 100_000,
    "The answer is " * 7_000,
    "A) " * 33_000,
    "\n" * 100_000,
    "ﷺ" * 20_000,
    "$-" * 50_000,
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: ascii(text[:8]))
def test_long_answers_take_seconds_not_minutes(text: str) -> None:
    started = time.monotonic()
    for form in FORMS:
        for prompt in (PROMPT, Prompt(prompt="?", expected=text[::-1], choices=["x", "y"])):
            if form != "regex":  # there the pattern is the long text
                scored(text, [form], prompt, FOUND)
    assert time.monotonic() - started < 20


@given(st.text(), st.text(min_size=1), st.sampled_from(range(len(FORMS))))
def test_every_score_is_between_0_and_1_and_nothing_raises(response: str, expected: str, form: int) -> None:
    for prompt in (PROMPT, Prompt(prompt="?", expected=expected, choices=[expected, expected + "x", "y"])):
        got = scored(response, [FORMS[form]], prompt, FOUND)
        assert all(0.0 <= one <= 1.0 for one in got.scores.values())
        assert (got.score is None) == (got.error is not None)


@given(
    st.text(alphabet="0123456789,.eE+-\u2212½%$/ ٣", max_size=30),
    st.text(alphabet='{}[]",:0nulNa\\ud8`j ', max_size=30),
)
def test_numbers_and_brackets_of_any_kind_raise_nothing(numbers: str, brackets: str) -> None:
    assert scored(numbers, ["numeric"], Prompt(prompt="?", expected=numbers)).error is None
    schema = {"kind": "json_schema", "json_schema": {"type": ["object", "array"], "uniqueItems": True}}
    assert scored(brackets, ["json_valid", schema]).error is None


def test_a_right_answer_scores_1_with_every_scorer_of_texts() -> None:
    for kind in ("exact", "normalized_exact", "contains", "choice", "regex"):
        assert scored("Paris", [kind]) == Scored({kind: 1.0}, 1.0, True)
    whole = Prompt(prompt="?", expected="It is in Paris, the capital.")
    for kind in ("bleu", "chrf", "rouge_l"):
        assert scored("It is in Paris, the capital.", [kind], whole) == Scored({kind: 1.0}, 1.0, True)
