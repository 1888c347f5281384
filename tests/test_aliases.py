"""An alias moves only on evidence, every move is known, and each can be taken back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api_fixtures import Office

PROMPTS = 20


class Lab:
    """A workspace with models, a suite, and batch tests that end as the test wants."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.worker = office.key("worker")
        prompts = [{"prompt": f"p{at}", "expected": "yes"} for at in range(PROMPTS)]
        suite = {"name": "s", "prompts": prompts}
        self.suite = office.call("POST", "/api/v1/test-suites", self.worker, json=suite).json()["id"]

    def model(self, name: str, kind: str = "model", parent: str | None = None) -> str:
        new = {"name": name, "kind": kind, "uri": f"/m/{name}", "size_bytes": 1, "parent_id": parent}
        answer = self.office.call("POST", "/api/v1/artifacts", self.worker, json=new)
        return str(answer.json()["id"])

    def test(self, model: str, right: int, words: str = "yes") -> str:
        """A batch test in which the first `right` answers are."""
        config = {"scorers": [{"kind": "exact"}], "temperature": 0, "model": model}
        new = {
            "suite": "s",
            "suite_id": self.suite,
            "model": model,
            "config": config,
            "total_prompts": PROMPTS,
        }
        test = self.office.call("POST", "/api/v1/batch-tests", self.worker, json=new).json()["id"]
        token = self.office.claim(test)
        answers = [
            {
                "prompt_index": at,
                "prompt": f"p{at}",
                "expected": "yes",
                "response": words if at < right else f"no, {words}",
                "scores": {"exact": float(at < right)},
                "score": float(at < right),
                "passed": at < right,
            }
            for at in range(PROMPTS)
        ]
        path = f"/api/v1/batch-tests/{test}/predictions"
        stored = self.office.call("POST", path, token, json={"predictions": answers})
        assert stored.status_code == 200, stored.text
        assert self.office.end(test, token).status_code == 200
        return str(test)

    def promote(self, artifact: str, baseline: str, candidate: str, **more: Any) -> httpx.Response:
        body = {"artifact_id": artifact, "baseline": baseline, "candidate": candidate} | more
        return self.office.call("POST", "/api/v1/aliases/production/promote", self.worker, json=body)

    def undo(self, **body: Any) -> httpx.Response:
        return self.office.call("POST", "/api/v1/aliases/production/undo", self.worker, json=body)

    def holder(self) -> str | None:
        answer = self.office.call("GET", "/api/v1/aliases/production", self.worker)
        return answer.json()["artifact_id"] if answer.status_code == 200 else None

    def moves(self) -> list[dict[str, Any]]:
        answer = self.office.call("GET", "/api/v1/aliases/production/moves", self.worker)
        return list(answer.json()["items"])


@pytest.fixture
def lab(any_office: Office) -> Lab:
    return Lab(any_office)


def test_a_better_model_is_promoted_and_the_move_says_why(lab: Lab) -> None:
    base, tuned = lab.test("base", 0), lab.model("tuned")
    test = lab.test(f"artifact:{tuned}", 18)
    answer = lab.promote(tuned, base, test, reason="nightly")
    assert (answer.status_code, lab.holder()) == (200, tuned)
    [move] = lab.moves()
    assert (move["from_artifact_id"], move["to_artifact_id"], move["reason"]) == (None, tuned, "nightly")
    assert (move["evidence"]["verdict"], move["evidence"]["baseline"]) == ("better", base)
    again = lab.promote(tuned, base, test)
    assert (again.status_code, len(lab.moves())) == (200, 1)


def test_what_is_not_better_leaves_the_alias_where_it_is(lab: Lab) -> None:
    good, bad, new = lab.model("good"), lab.model("bad", parent=None), lab.model("new")
    base, well, badly = lab.test("base", 0), lab.test(f"artifact:{good}", 18), lab.test(f"artifact:{bad}", 2)
    alike = lab.test(f"artifact:{new}", 18, "yes")
    assert lab.promote(good, base, well).status_code == 200
    worse = lab.promote(bad, well, badly)
    assert (worse.status_code, lab.holder()) == (409, good)
    assert "worse" in worse.json()["detail"]
    assert lab.promote(new, well, alike).status_code == 409
    assert lab.promote(new, well, alike, require="not_worse").status_code == 200
    assert lab.holder() == new


def test_evidence_of_other_models_is_none(lab: Lab) -> None:
    good, other = lab.model("good"), lab.model("other")
    base, well = lab.test("base", 0), lab.test(f"artifact:{good}", 18)
    best = lab.test(f"artifact:{other}", 20)
    of_another = lab.promote(other, base, well)
    assert (of_another.status_code, of_another.json()["errors"][0]["field"]) == (409, "candidate")
    assert lab.promote(good, base, well).status_code == 200
    beside_the_base = lab.promote(other, base, best)
    assert (beside_the_base.status_code, lab.holder()) == (409, good)
    assert beside_the_base.json()["errors"][0]["field"] == "baseline"


def test_moves_are_taken_back_one_by_one_as_often_as_there_were_any(lab: Lab) -> None:
    first, second = lab.model("first"), lab.model("second")
    base, well = lab.test("base", 0), lab.test(f"artifact:{first}", 9)
    best = lab.test(f"artifact:{second}", 20)
    assert lab.promote(first, base, well).status_code == lab.promote(second, well, best).status_code == 200
    newest = lab.moves()[0]["id"]
    assert lab.undo(move_id="0" * 26).status_code == 409
    assert lab.undo(move_id=newest, reason="it is rude").json()["artifact_id"] == first
    assert lab.undo().json()["artifact_id"] is None
    assert lab.undo().status_code == 409
    assert [move["undoes"] is None for move in lab.moves()] == [False, False, True, True]
    assert lab.promote(second, base, best).status_code == 200
    assert lab.undo().json()["artifact_id"] is None


def test_promotions_at_once_are_one_move(lab: Lab) -> None:
    base, tuned = lab.test("base", 0), lab.model("tuned")
    test = lab.test(f"artifact:{tuned}", 18)
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda _: lab.promote(tuned, base, test).status_code, range(8))]
    assert (answers, len(lab.moves())) == ([200] * 8, 1)


def test_another_workspace_s_alias_is_another_one(lab: Lab) -> None:
    base, tuned = lab.test("base", 0), lab.model("tuned")
    assert lab.promote(tuned, base, lab.test(f"artifact:{tuned}", 18)).status_code == 200
    office = Office(lab.office.served)
    stranger = Lab(office)
    assert (stranger.holder(), stranger.undo().status_code) == (None, 404)
    office.http.close()


def test_reports_are_no_models(lab: Lab) -> None:
    base, report = lab.test("base", 0), lab.model("report", "report")
    answer = lab.promote(report, base, lab.test(f"artifact:{report}", 18))
    assert (answer.status_code, lab.holder()) == (409, None)


def test_a_run_says_which_model_an_alias_was_and_can_pass_off_no_other(office: Office) -> None:
    for model, codes in (("alias:production", (200, 200, 409)), ("artifact:a", (200, 409, 409))):
        job, token = office.claimed_job(model=model)
        said = [
            office.call("PATCH", f"/api/v1/jobs/{job}", token, json={"model": f"artifact:{one}"})
            for one in ("a", "a" if model.startswith("alias") else "b", "c")
        ]
        assert tuple(answer.status_code for answer in said) == codes
        assert office.job(job)["model"] == "artifact:a"
