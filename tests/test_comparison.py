"""Two batch tests beside each other, recorded and compared through the real API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api_fixtures import Office
from tests.comparison_fixtures import FAILED, TESTS, answer, artifact, recorded, suite_of
from tuneyard import AsyncClient, Client
from tuneyard.batch_shapes import Comparison, TestSummary

BASE = [answer(n, 0.0) for n in range(50)]
TUNED = [answer(n, float(n != 7)) for n in range(50)]


def compared(office: Office, baseline: str, candidate: str, **more: Any) -> dict[str, Any]:
    body = {"baseline": baseline, "candidate": candidate} | more
    said = office.call("POST", f"{TESTS}/compare", office.key("testing"), json=body)
    assert said.status_code == 200, said.text
    found: dict[str, Any] = said.json()
    return found


def refusal(office: Office, baseline: str, candidate: str) -> tuple[int, str, str | None]:
    body = {"baseline": baseline, "candidate": candidate}
    said = office.call("POST", f"{TESTS}/compare", office.key("testing"), json=body)
    problem = said.json()
    return said.status_code, problem["detail"], (problem.get("errors") or [{"field": None}])[0]["field"]


def test_a_tuned_model_is_better_and_its_base_worse(any_office: Office) -> None:
    suite = suite_of(any_office, 50)
    base, tuned = recorded(any_office, suite, BASE), recorded(any_office, suite, TUNED, model="org/tuned")
    found = compared(any_office, base, tuned)
    assert (found["verdict"], found["pairs"], found["no_effect"], found["notes"]) == ("better", 50, False, [])
    assert found["mcnemar"]["p_value"] < 0.001
    assert {name: found["mcnemar"][name] for name in ("both", "gained", "lost", "neither")} == {
        "both": 0,
        "gained": 49,
        "lost": 0,
        "neither": 1,
    }
    assert (found["baseline_score"], found["candidate_score"], found["difference"]["value"]) == (
        0,
        0.98,
        0.98,
    )
    assert found["tags"]["even"] == {
        "prompts": 25,
        "baseline_score": 0.0,
        "candidate_score": 1.0,
        "gained": 25,
        "lost": 0,
    }
    back = compared(any_office, tuned, base)
    assert (back["verdict"], back["mcnemar"]["lost"]) == ("worse", 49)
    same = compared(any_office, tuned, tuned)
    assert (same["verdict"], same["same_answers"], same["changed"], same["no_effect"]) == (
        "same",
        50,
        [],
        False,
    )


def test_what_changed_is_told_with_the_lost_first(any_office: Office) -> None:
    suite = suite_of(any_office, 8)
    base = [answer(n, score) for n, score in enumerate([1, 1, 0, 0, 0.5, 0.9, 1, 1])]
    new = [answer(n, score) for n, score in enumerate([1, 0, 1, 0, 0.2, 1.0, 1, 0.4])]
    found = compared(any_office, recorded(any_office, suite, base), recorded(any_office, suite, new))
    assert [change["prompt_index"] for change in found["changed"]] == [1, 7, 4, 2, 5]
    assert found["changed"][0] == {
        "prompt_index": 1,
        "prompt": "p1",
        "expected": "e1",
        "tags": ["odd"],
        "baseline": "e1",
        "candidate": "?",
        "baseline_score": 1.0,
        "candidate_score": 0.0,
    }


def test_a_pair_with_an_error_is_left_out_and_counted(office: Office) -> None:
    suite = suite_of(office, 50)
    broken = [one | FAILED if one["prompt_index"] < 5 else one for one in TUNED]
    base = recorded(office, suite, BASE)
    found = compared(office, base, recorded(office, suite, broken))
    assert (found["verdict"], found["pairs"]) == ("better", 45)
    assert (found["baseline_errors"], found["candidate_errors"]) == (0, 5)
    more = [one | FAILED if one["prompt_index"] < 6 else one for one in TUNED]
    found = compared(office, base, recorded(office, suite, more))
    assert (found["verdict"], found["candidate_errors"]) == ("insufficient_data", 6)
    assert "6 of 50 pairs were lost to errors" in found["reason"]


def test_only_ended_runs_of_one_suite_and_the_same_scorers_are_compared(office: Office) -> None:
    suite = suite_of(office, 50)
    base = recorded(office, suite, BASE)
    going = recorded(office, suite, TUNED[:20], end=None, total=50)
    failed = recorded(office, suite, TUNED, end="failed")
    for other, status in ((going, "running"), (failed, "failed")):
        code, detail, _ = refusal(office, base, other)
        assert (code, f"{other} is {status}" in detail) == (409, True)
    assert refusal(office, base, recorded(office, suite_of(office, 49), TUNED))[::2] == (409, "suite")
    lenient = recorded(office, suite, TUNED, scorers=["normalized_exact"])
    assert refusal(office, base, lenient)[::2] == (409, "scorers")
    asked_another = [one | {"prompt": "else"} if one["prompt_index"] == 3 else one for one in TUNED]
    assert refusal(office, base, recorded(office, suite, asked_another)) == (
        409,
        "the two were asked different things at prompt 3",
        "prompts",
    )
    assert refusal(office, base, "nowhere")[0] == 404


def test_a_run_that_sums_up_has_all_its_answers(office: Office) -> None:
    suite = suite_of(office, 50)
    summing_up = recorded(office, suite, TUNED, end=None)
    assert compared(office, recorded(office, suite, BASE), summing_up)["verdict"] == "better"


def test_a_scorer_is_the_same_however_it_is_written(office: Office) -> None:
    suite = suite_of(office, 50)
    short = recorded(office, suite, TUNED, scorers=["exact"])
    assert compared(office, recorded(office, suite, BASE), short)["verdict"] == "better"


def test_settings_that_differ_are_noted(office: Office) -> None:
    suite = suite_of(office, 50)
    base = recorded(office, suite, BASE)
    notes = compared(
        office, base, recorded(office, suite, TUNED[:40], precision="fast", seed=7, prompt_limit=40)
    )["notes"]
    assert notes == [
        "precision differs: exact and fast",
        "seed differs: 42 and 7",
        "prompt_limit differs: none and 40",
        "precision fast: an answer can change with its neighbours in the batch",
        "left out: 10 prompts that only the baseline answered, 0 only the candidate",
    ]


@pytest.mark.parametrize("base_name", ["org/base", "/models/base", "artifact"])
def test_a_fine_tune_that_changes_no_answer_is_told_loudly(office: Office, base_name: str) -> None:
    base_id = artifact(office, kind="base", name="org/base", uri="/models/base")
    middle = artifact(office, kind="merged", name="middle", parent_id=base_id)
    tuned = artifact(office, kind="adapter", parent_id=middle, base_model="other")
    model = f"artifact:{base_id}" if base_name == "artifact" else base_name
    suite = suite_of(office, 3)
    answers = [answer(n, 0.0) for n in range(3)]
    base = recorded(office, suite, answers, model=model)
    found = compared(office, base, recorded(office, suite, answers, model=f"artifact:{tuned}"))
    assert (found["verdict"], found["no_effect"]) == ("same", True)
    assert found["reason"].startswith("NO EFFECT")
    assert found["notes"][0] == found["reason"]

    other = [answer(n, 0.0, response=f"else {n == 1}") for n in range(3)]
    for candidate in (
        recorded(office, suite, other, model=f"artifact:{tuned}"),
        recorded(office, suite, answers, model=f"artifact:{artifact(office, base_model='unrelated')}"),
        recorded(office, suite, answers, model="org/tuned"),
        recorded(office, suite, answers, model=f"artifact:{tuned}", temperature=0.7),
    ):
        assert not compared(office, base, candidate)["no_effect"]


def test_another_workspace_s_run_is_not_found(office: Office, sqlite_served: Any) -> None:
    suite = suite_of(office, 50)
    base, elsewhere = recorded(office, suite, BASE), Office(sqlite_served)
    theirs = recorded(elsewhere, suite_of(elsewhere, 50), TUNED)
    assert refusal(office, base, theirs)[:2] == (404, "Batch test not found")
    elsewhere.http.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_both_clients_sum_up_compare_and_report(office: Office, kind: str) -> None:
    suite = suite_of(office, 50)
    base, tuned = recorded(office, suite, BASE), recorded(office, suite, TUNED)
    key = office.key("testing")

    async def asked() -> tuple[TestSummary, Comparison, str]:
        async with AsyncClient(office.served.url, key) as client:
            tests = client.tests
            return (
                await tests.summary(tuned),
                await tests.compare(base, tuned, alpha=0.01, margin=0.2),
                await tests.report(tuned, base),
            )

    if kind == "async":
        summary, found, page = asyncio.run(asked())
    else:
        with Client(office.served.url, key) as client:
            summary = client.tests.summary(tuned)
            found = client.tests.compare(base, tuned, alpha=0.01, margin=0.2)
            page = client.tests.report(tuned, base)
    assert (summary.overall.passed, found.verdict, found.alpha) == (49, "better", 0.01)
    assert page.startswith("<!doctype html>")
    assert "<strong>Better</strong>" in page
