"""What a scorer lacks is said by prompt and field before anything is answered."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.prompt_checks import NO_LIKELIHOODS, check_prompts
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput
from tuneyard.scorers import Scorer

SCORER: TypeAdapter[Scorer] = TypeAdapter(Scorer)


def check(prompt: dict[str, Any], *forms: Any, unable: dict[str, str] | None = None) -> None:
    prompts = [Prompt(prompt="fine", expected="5", choices=["4", "5"]), Prompt(prompt="?", **prompt)]
    check_prompts(prompts, [SCORER.validate_python(form) for form in forms], unable)


@pytest.mark.parametrize(
    ("form", "prompt", "field", "words"),
    [
        ("exact", {}, "prompts.1.expected", "nothing of what is expected"),
        ("contains", {"expected": " "}, "prompts.1.expected", "empty"),
        ("numeric", {"expected": "five"}, "prompts.1.expected", "no number"),
        ("choice", {"expected": "B"}, "prompts.1.choices", "no choices"),
        ("choice", {"expected": "C", "choices": ["x", "y"]}, "prompts.1.expected", "none of the choices"),
        ("choice_likelihood", {"expected": "x", "choices": ["x", "X."]}, "prompts.1.choices", "the same"),
        ("regex", {"expected": "("}, "prompts.1.expected", "not a regular expression"),
        (
            {"kind": "regex", "pattern": "["},
            {"expected": "5"},
            "scorers.0.pattern",
            "not a regular expression",
        ),
        ("json_schema", {"expected": "{"}, "prompts.0.expected", "is an object"),
        (
            {"kind": "json_schema", "json_schema": {"type": "x"}},
            {"expected": "5"},
            "scorers.0.json_schema",
            "not a JSON Schema",
        ),
        (
            {"kind": "json_schema", "json_schema": {"$ref": "https://example.com/s"}},
            {"expected": "5"},
            "scorers.0.json_schema",
            "nothing is fetched",
        ),
        ("exact", {"scorer": "choice"}, "prompts.1.choices", "no choices"),
        (
            "exact",
            {"scorer": {"kind": "regex", "pattern": "*"}},
            "prompts.1.scorer.pattern",
            "not a regular expression",
        ),
    ],
)
def test_what_is_lacking_is_named(form: Any, prompt: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadInput) as problem:
        check(prompt, form)
    assert problem.value.field == field
    assert words in str(problem.value)


@pytest.mark.parametrize(
    "form",
    [
        "json_valid",
        {"kind": "judge", "endpoint": "j"},
        {"kind": "regex", "pattern": "x"},
        {"kind": "json_schema", "json_schema": {}},
    ],
)
def test_what_needs_nothing_expected_lacks_nothing(form: Any) -> None:
    check({}, form)


def test_all_faults_are_said_at_once_and_the_first_ones_shown() -> None:
    prompts = [Prompt(prompt="?") for _ in range(30)]
    with pytest.raises(BadInput, match="30 faults; these are the first 20") as problem:
        check_prompts(prompts, [SCORER.validate_python("exact")])
    assert "prompts.19.expected" in str(problem.value)
    assert "prompts.20.expected" not in str(problem.value)


def test_what_cannot_work_on_an_endpoint_is_said_of_the_tests_and_the_prompts_scorers() -> None:
    right = {"expected": "x", "choices": ["x", "y"]}
    with pytest.raises(BadInput, match="gives no likelihoods") as problem:
        check(right, "exact", "choice_likelihood", unable=NO_LIKELIHOODS)
    assert problem.value.field == "scorers.1"
    with pytest.raises(BadInput, match="gives no likelihoods") as problem:
        check({**right, "scorer": "choice_likelihood"}, "exact", unable=NO_LIKELIHOODS)
    assert problem.value.field == "prompts.1.scorer"
    check({**right, "scorer": "choice"}, "exact", unable=NO_LIKELIHOODS)


@pytest.mark.parametrize("asked", [{"perplexity_on": "texts.txt"}, {"lm_eval": {"tasks": ["arc_easy"]}}])
def test_an_endpoint_is_asked_for_no_likelihoods(asked: dict[str, Any]) -> None:
    assert BatchTestConfig.model_validate({"model": "m", "suite": "s", **asked})
    with pytest.raises(ValidationError, match=f"{next(iter(asked))} needs a local model"):
        BatchTestConfig.model_validate({"model": "endpoint:block", "suite": "s", **asked})
    schema = jsonschema_rs.validator_for(BatchTestConfig.model_json_schema())
    assert schema.is_valid({"model": "m", "suite": "s", **asked})
    assert not schema.is_valid({"model": "endpoint:block", "suite": "s", **asked})


def test_a_scorer_by_its_name_is_in_the_form_that_prefect_checks() -> None:
    schema = jsonschema_rs.validator_for(BatchTestConfig.model_json_schema())
    assert schema.is_valid({"model": "m", "suite": "s", "scorers": ["numeric", {"kind": "exact"}]})
    assert not schema.is_valid({"model": "m", "suite": "s", "scorers": ["judge"]})
