"""What batch tests come to, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tuneyard.batch_shapes import ChangedPrompt, Comparison, Interval, McNemar, TagComparison
from tuneyard.display import Column, fields, number, plain, table


def comparison_card(found: Comparison) -> str:
    verdict = "no effect" if found.no_effect else found.verdict.replace("_", " ")
    card = fields(
        [
            ("Verdict", verdict),
            ("Why", found.reason),
            ("Baseline", f"{found.baseline.id}  {found.baseline.model}"),
            ("Candidate", f"{found.candidate.id}  {found.candidate.model}"),
            ("Scores", _scores(found)),
            ("Difference", _interval(found.difference, found.alpha)),
            ("Pairs", found.pairs),
            ("Pass or fail", _outcomes(found.mcnemar)),
            ("Same answers", found.same_answers),
            ("Errors", _errors(found)),
        ]
    )
    notes = [f"Note: {plain(note)}" for note in found.notes if note != found.reason]
    return "\n".join([card, *notes])


def _scores(found: Comparison) -> str | None:
    if found.baseline_score is None or found.candidate_score is None:
        return None
    return f"{found.baseline_score:.3f} -> {found.candidate_score:.3f}"


def _interval(one: Interval | None, alpha: float) -> str | None:
    if one is None:
        return None
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}] at {100 * (1 - alpha):g} %"


def _outcomes(found: McNemar | None) -> str | None:
    if found is None:
        return None
    counts = f"both {found.both}, won {found.gained}, lost {found.lost}, neither {found.neither}"
    return f"{counts}; McNemar's exact p = {found.p_value:.3g}"


def _errors(found: Comparison) -> str | None:
    if not found.baseline_errors and not found.candidate_errors:
        return None
    return f"{found.baseline_errors} of the baseline's, {found.candidate_errors} of the candidate's"


def tags_table(tags: Mapping[str, TagComparison], width: int) -> str:
    columns = [
        Column("TAG", elastic=True),
        Column("PAIRS", right=True),
        Column("BASELINE", right=True),
        Column("CANDIDATE", right=True),
        Column("WON", right=True),
        Column("LOST", right=True),
    ]
    rows = [
        (
            tag,
            one.prompts,
            number(one.baseline_score, ".3f"),
            number(one.candidate_score, ".3f"),
            one.gained,
            one.lost,
        )
        for tag, one in tags.items()
    ]
    return table(columns, rows, width)


def changed_table(changed: Iterable[ChangedPrompt], width: int) -> str:
    columns = [
        Column("#", right=True),
        Column("SCORE"),
        Column("PROMPT", elastic=True),
        Column("EXPECTED", elastic=True),
        Column("BASELINE", elastic=True),
        Column("CANDIDATE", elastic=True),
    ]
    rows = [
        (
            one.prompt_index,
            f"{number(one.baseline_score, '.2f')} -> {number(one.candidate_score, '.2f')}",
            one.prompt,
            one.expected,
            one.baseline,
            one.candidate,
        )
        for one in changed
    ]
    return table(columns, rows, width)
