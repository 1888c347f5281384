"""The report on Prefect's page: everything that was found, and nothing that a model said is markup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flows.report_markdown import report_markdown
from tuneyard.batch_shapes import (
    BatchTest,
    ChangedPrompt,
    Comparison,
    GroupFigures,
    Interval,
    Prediction,
    TagComparison,
    TestSummary,
)
from tuneyard.shapes import JobStatus

EVIL = "a | b\n\n# <script>alert(1)</script> ![x](http://y) `code` \\| [l](javascript:1)"
SCORE = Interval(value=0.5, low=0.25, high=0.75)


def a_test(**more: Any) -> BatchTest:
    fields = {
        "id": "t1",
        "name": "n",
        "status": JobStatus.RUNNING,
        "model": EVIL,
        "suite": "s",
        "total_prompts": 4,
    }
    return BatchTest(
        **fields | {"created_at": datetime.now(UTC), "completed_prompts": 4, "passed_prompts": 2} | more
    )


def a_summary() -> TestSummary:
    group = GroupFigures(prompts=4, passed=2, score=SCORE)
    return TestSummary(
        test=a_test(),
        overall=group,
        tags={EVIL: group},
        scorers={"exact": SCORE},
        latency_ms={"p50": 12.34},
        input_tokens=40,
        output_tokens=7,
    )


def a_comparison(**more: Any) -> Comparison:
    scores: dict[str, Any] = {"baseline_score": 1.0, "candidate_score": 0.0}
    changed = [
        ChangedPrompt(prompt_index=0, prompt=EVIL, expected=EVIL, baseline=EVIL, candidate=EVIL, **scores),
        ChangedPrompt(prompt_index=1, prompt="p1", baseline_score=0.0, candidate_score=1.0),
    ]
    fields: dict[str, Any] = {
        "baseline": a_test(id="t0"),
        "candidate": a_test(),
        "verdict": "insufficient_data",
        "reason": "4 pairs can show nothing",
        "notes": ["seed differs: 1 and 2"],
        "alpha": 0.05,
        "margin": 0.1,
        "pairs": 4,
        "difference": Interval(value=0.0, low=-0.5, high=0.5),
        "tags": {"odd": TagComparison(prompts=2, gained=1, lost=0, **scores)},
        "changed": changed,
    }
    return Comparison(**fields | more)


def is_sound(markdown: str) -> bool:
    """Each row of each table has as many cells as its head, and nothing raw is left."""
    widths = set()
    for block in markdown.split("\n\n"):
        rows = [line.replace("\\\\", "").replace("\\|", "") for line in block.splitlines() if line[:1] == "|"]
        widths.add(len({row.count("|") for row in rows}) <= 1)
    bare = markdown.replace("\\\\", "").replace("\\<", "").replace("\\!", "").replace("\\`", "")
    return widths == {True} and not any(text in bare for text in ("<script", "![x", "`code"))


def test_one_test_s_report_has_scores_tags_wrong_answers_latency_and_tokens() -> None:
    wrong = [Prediction(id="1", prompt_index=0, prompt=EVIL, expected="e", response=EVIL)]
    said = report_markdown(a_summary(), None, wrong)
    for text in (
        "4 of 4 answered, 2 right, 0 errors",
        "| score | 0.500 (0.250 to 0.750) |",
        "| exact | 0.500 (0.250 to 0.750) |",
        "### Wrong",
        "| latency p50 | 12.3 ms |",
        "| tokens written | 7 |",
        "tuneyard tests report t1",
    ):
        assert text in said, said
    assert is_sound(said)


def test_a_comparison_s_report_has_the_verdict_and_what_was_lost_and_won() -> None:
    said = report_markdown(a_summary(), a_comparison(), [])
    for text in (
        "### Verdict: insufficient data",
        "- seed differs: 1 and 2",
        "| difference, 4 pairs | 0.000 (-0.500 to 0.500) |",
        "| odd | 2 | 1.000 | 0.000 | 1 | 0 |",
        "### Lost: 1",
        "### Won: 1",
        "tuneyard tests compare t0 t1",
    ):
        assert text in said, said
    assert is_sound(said)
    assert "### Verdict: NO EFFECT" in report_markdown(a_summary(), a_comparison(no_effect=True), [])
