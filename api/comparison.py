"""Two batch tests of one suite, prompt by prompt: which is the better, how certain, and where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, or_
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from api import tables
from api.comparability import Run, demand_comparable, setting, what_differs
from api.lineage import is_made_from
from api.problems import Problem
from api.routes.batch_tests import find_run, shown_test
from api.verdicts import Found, Pair, judge
from tuneyard.batch_shapes import ChangedPrompt, CompareRequest, Comparison, TagComparison

ARTIFACT = "artifact:"
MOST_CHANGED = 1000
NO_EFFECT = (
    "NO EFFECT: every greedy answer is the same as its base model's. The fine-tune changed nothing that "
    "this suite can see: was the adapter trained, and was it loaded?"
)


@dataclass
class _Answers:
    """What both have answers to."""

    pairs: list[Pair] = field(default_factory=list)
    asked: int = 0
    answered: int = 0  # by both, without an error
    same: int = 0
    unscored: int = 0
    errors: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def left_out(self) -> int:
        return self.asked - len(self.pairs)


def compare_runs(session: Session, workspace_id: int, request: CompareRequest) -> Comparison:
    """What the candidate is beside the baseline.

    Raises:
        Problem: 404 where one is missing, 409 where they cannot be compared.
    """
    baseline = find_run(session, workspace_id, request.baseline)
    candidate = find_run(session, workspace_id, request.candidate)
    demand_comparable(baseline, candidate)
    answers = _answers(session, baseline, candidate)
    found = judge(answers.pairs, answers.left_out, request.alpha, request.margin)
    no_effect = _has_no_effect(session, workspace_id, baseline, candidate, answers)
    if no_effect:
        found = Found("same", NO_EFFECT, found.difference, found.mcnemar)
    return Comparison(
        baseline=shown_test(baseline),
        candidate=shown_test(candidate),
        verdict=found.verdict,
        reason=found.reason,
        no_effect=no_effect,
        notes=([NO_EFFECT] if no_effect else []) + _notes(baseline, candidate, answers),
        alpha=request.alpha,
        margin=request.margin,
        pairs=len(answers.pairs),
        baseline_errors=answers.errors[0],
        candidate_errors=answers.errors[1],
        same_answers=answers.same,
        difference=found.difference,
        mcnemar=found.mcnemar,
        tags=_by_tag(answers.pairs),
        changed=_changed(session, baseline, candidate, answers.pairs),
        **_scores(answers.pairs),
    )


def _answers(session: Session, baseline: Run, candidate: Run) -> _Answers:
    """One row a prompt, without the texts: the database compares those."""
    old, new = aliased(tables.Prediction), aliased(tables.Prediction)
    asked_another = or_(
        col(old.prompt) != new.prompt,
        func.coalesce(old.expected, "") != func.coalesce(new.expected, ""),
    )
    columns: tuple[Any, ...] = (
        new.prompt_index,
        new.weight,
        new.tags,
        old.score,
        new.score,
        old.passed,
        new.passed,
        col(old.error).is_not(None).label("old_error"),
        col(new.error).is_not(None).label("new_error"),
        (col(old.response) == col(new.response)).label("same"),
        asked_another.label("another"),
    )
    query = _of_both(select_columns(*columns), old, new, baseline, candidate)
    answers = _Answers()
    for row in session.execute(query.order_by(new.prompt_index)):
        _take(answers, row)
    return answers


def _of_both(query: Any, old: Any, new: Any, baseline: Run, candidate: Run) -> Any:
    """The rows of prompts that both have answered."""
    met = (new.prompt_index == old.prompt_index) & (new.job_pk == candidate[0].pk) & (new.step == 0)
    return query.select_from(old).join(new, met).where(old.job_pk == baseline[0].pk, old.step == 0)


def _take(answers: _Answers, row: Any) -> None:
    index, weight, tags, old, new, old_passed, new_passed, *failed, same, another = row
    if another:
        raise Problem(409, f"the two were asked different things at prompt {index}", field="prompts")
    answers.asked += 1
    answers.errors = [count + bool(one) for count, one in zip(answers.errors, failed, strict=True)]
    if any(failed):
        return
    answers.answered += 1
    answers.same += bool(same)
    if old is None or new is None:
        answers.unscored += 1
        return
    passed = [
        score >= 1.0 if said is None else said for score, said in ((old, old_passed), (new, new_passed))
    ]
    answers.pairs.append(Pair(index, weight, tags or (), old, new, *passed))


def _has_no_effect(
    session: Session, workspace_id: int, baseline: Run, candidate: Run, answers: _Answers
) -> bool:
    """Whether a model answers as the one it was made from does, every time, with no chance in it."""
    model = candidate[0].model
    greedy = all(setting(job.config, "temperature") == 0 for job, _ in (baseline, candidate))
    if not greedy or not 0 < answers.answered == answers.same or not model.startswith(ARTIFACT):
        return False
    return is_made_from(session, workspace_id, model.removeprefix(ARTIFACT), baseline[0].model)


def _notes(baseline: Run, candidate: Run, answers: _Answers) -> list[str]:
    notes = what_differs(baseline, candidate)
    alone = [run.completed_prompts + run.failed_prompts - answers.asked for _, run in (baseline, candidate)]
    if any(alone):
        notes.append(
            f"left out: {alone[0]} prompts that only the baseline answered, {alone[1]} only the candidate"
        )
    if any(answers.errors):
        notes.append(
            f"left out for an error: {answers.errors[0]} of the baseline's answers, "
            f"{answers.errors[1]} of the candidate's"
        )
    if answers.unscored:
        notes.append(f"left out: {answers.unscored} prompts with an answer that no scorer has judged")
    if len({pair.weight for pair in answers.pairs}) > 1:
        notes.append("prompts have weights: they count in the scores, not in McNemar's test")
    return notes


def _scores(pairs: Sequence[Pair]) -> dict[str, float | None]:
    return {
        "baseline_score": _mean([(pair.baseline, pair.weight) for pair in pairs]),
        "candidate_score": _mean([(pair.candidate, pair.weight) for pair in pairs]),
    }


def _mean(scores: Sequence[tuple[float, float]]) -> float | None:
    weight = sum(weight for _, weight in scores)
    return round(sum(score * weight for score, weight in scores) / weight, 6) if weight else None


def _by_tag(pairs: Sequence[Pair]) -> dict[str, TagComparison]:
    by_tag: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        for tag in set(pair.tags):
            by_tag[tag].append(pair)
    return {tag: _of_tag(by_tag[tag]) for tag in sorted(by_tag)}


def _of_tag(pairs: Sequence[Pair]) -> TagComparison:
    outcomes = [(pair.baseline_passed, pair.candidate_passed) for pair in pairs]
    gained, lost = outcomes.count((False, True)), outcomes.count((True, False))
    return TagComparison(prompts=len(pairs), gained=gained, lost=lost, **_scores(pairs))


def _changed(session: Session, baseline: Run, candidate: Run, pairs: Sequence[Pair]) -> list[ChangedPrompt]:
    """The lost ones first, and of both kinds those first that changed most."""
    changed = [p for p in pairs if p.difference or p.baseline_passed != p.candidate_passed]
    changed.sort(key=lambda p: (p.difference > 0, -abs(p.difference), p.prompt_index))
    chosen = {pair.prompt_index: pair for pair in changed[:MOST_CHANGED]}
    old, new = aliased(tables.Prediction), aliased(tables.Prediction)
    columns: tuple[Any, ...] = (new.prompt_index, new.prompt, new.expected, old.response, new.response)
    query = _of_both(select_columns(*columns), old, new, baseline, candidate)
    rows = {row[0]: row for row in session.execute(query.where(col(new.prompt_index).in_([*chosen])))}
    return [_told(pair, *rows[index][1:]) for index, pair in chosen.items()]


def _told(pair: Pair, prompt: str, expected: str | None, old: str | None, new: str | None) -> ChangedPrompt:
    return ChangedPrompt(
        prompt_index=pair.prompt_index,
        prompt=prompt,
        expected=expected,
        tags=[*pair.tags],
        baseline=old,
        candidate=new,
        baseline_score=pair.baseline,
        candidate_score=pair.candidate,
    )
