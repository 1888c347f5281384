"""Batch tests that a run has answered, recorded through the real API."""

from __future__ import annotations

from typing import Any

from tests.api_fixtures import Office

TESTS = "/api/v1/batch-tests"
FAILED = {"error": "out of memory", "response": None, "score": None, "passed": None}


def suite_of(office: Office, count: int, name: str = "dates") -> str:
    prompts = [{"prompt": f"p{n}", "expected": f"e{n}", "tags": _tags(n)} for n in range(count)]
    answer = office.call(
        "POST", "/api/v1/test-suites", office.key("admin"), json={"name": name, "prompts": prompts}
    )
    assert answer.status_code in (200, 201), answer.text
    suite_id: str = answer.json()["id"]
    return suite_id


def _tags(index: int) -> list[str]:
    return ["even" if index % 2 == 0 else "odd"]


def answer(index: int, score: float = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "prompt_index": index,
        "prompt": f"p{index}",
        "expected": f"e{index}",
        "response": f"e{index}" if score == 1 else "?",
        "tags": _tags(index),
        "scores": {"exact": score},
        "score": score,
        "passed": score >= 0.5,
        "input_tokens": 10,
        "output_tokens": 3,
        "latency_ms": 10.0 + index,
        "finish_reason": "stop",
        "template_sha256": "c" * 64,
    } | more


def recorded(
    office: Office,
    suite_id: str,
    answers: list[dict[str, Any]],
    *,
    model: str = "org/base",
    end: str | None = "completed",
    total: int | None = None,
    **config: Any,
) -> str:
    """A batch test's id; `end` is how it ended, None where it goes on."""
    admin = office.key("admin")
    new = {
        "suite": suite_id,
        "suite_id": suite_id,
        "model": model,
        "total_prompts": total or len(answers),
        "config": {"scorers": [{"kind": "exact"}]} | config,
    }
    job_id: str = office.call("POST", TESTS, admin, json=new).json()["id"]
    token = office.claim(job_id)
    sent = office.call("POST", f"{TESTS}/{job_id}/predictions", token, json={"predictions": answers})
    assert sent.status_code == 200, sent.text
    if end is not None:
        assert office.end(job_id, token, end).status_code == 200
    return job_id


def artifact(office: Office, **fields: Any) -> str:
    new = {"name": "tuned", "uri": "/m", "size_bytes": 1, "sha256": "d" * 64} | fields
    answer = office.call("POST", "/api/v1/artifacts", office.key("admin"), json=new)
    assert answer.status_code == 201, answer.text
    artifact_id: str = answer.json()["id"]
    return artifact_id
