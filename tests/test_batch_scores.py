"""A batch test scores by what is asked, measures what is asked besides, and refuses what cannot be scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import Stack
from tests.deployed import finished, start

SCORERS = ["normalized_exact", "chrf", {"kind": "regex", "pattern": "(a|a)+$"}]


def suite(folder: Path, *rows: dict[str, Any]) -> str:
    file = folder / "suite.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_scores_similarity_and_perplexity_come_of_one_run(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("the 12th of May 1999\n\nMarch 5th")
    config = {
        "model": str(tiny_model),
        "suite": suite(tmp_path, *({"prompt": f"Say {n}", "expected": str(n)} for n in range(3))),
        "scorers": [*SCORERS, {"kind": "similarity", "model": str(tiny_model)}],
        "max_new_tokens": 4,
        "perplexity_on": str(texts),
    }
    job = finished(stack, start(stack, "batch-test/gpu", {"config": config}))
    assert (job.status, job.error) == ("completed", None)
    assert job.result is not None
    assert job.result["perplexity"]["texts"] == 2
    assert job.result["perplexity"]["value"] > 1
    with stack.client() as client:
        answers = list(client.tests.iter_predictions(job.id))
    assert len(answers) == 3
    for one in answers:
        assert set(one.scores) == {"normalized_exact", "chrf", "regex", "similarity"}
        assert one.scores["similarity"] == pytest.approx(max(0.0, one.details["similarity"]["cosine"]))
        assert one.score == pytest.approx(sum(one.scores.values()) / 4)


def test_a_suite_that_a_scorer_cannot_use_is_refused_before_it_is_asked(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    config = {
        "model": str(tiny_model),
        "suite": suite(tmp_path, {"prompt": "1 + 1", "expected": "2"}, {"prompt": "?", "expected": "two"}),
        "scorers": ["numeric"],
    }
    job = finished(stack, start(stack, "batch-test/gpu", {"config": config}))
    assert job.status == "failed"
    assert "prompts.1.expected: numeric: there is no number in it" in (job.error or "")
