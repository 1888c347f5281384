"""What two batch tests of one suite say of each other, once their answers are paired: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from api.paired_statistics import difference_interval, mcnemar_p, prompts_needed
from tuneyard.batch_shapes import Interval, McNemar, Verdict

FEWEST, FEWEST_FOR_SAME = 6, 10
MOST_LOST = 0.1  # of the pairs, to errors


class Pair(NamedTuple):
    """One prompt that both have an outcome for."""

    prompt_index: int
    weight: float
    tags: Sequence[str]
    baseline: float
    candidate: float
    baseline_passed: bool
    candidate_passed: bool

    @property
    def difference(self) -> float:
        return self.candidate - self.baseline

    @property
    def is_pass_or_fail(self) -> bool:
        return all(
            score in (0.0, 1.0) and passed == (score == 1.0)
            for score, passed in (
                (self.baseline, self.baseline_passed),
                (self.candidate, self.candidate_passed),
            )
        )


@dataclass(frozen=True)
class Found:
    verdict: Verdict
    reason: str
    difference: Interval | None = None
    mcnemar: McNemar | None = None


def judge(pairs: Sequence[Pair], left_out: int, alpha: float, margin: float) -> Found:
    """The verdict on the candidate.

    Args:
        left_out: Prompts of both that no pair was made of, because of an error.
        margin: Differences within it are none, once that is certain.
    """
    if not pairs:
        return Found("insufficient_data", f"there is no prompt that both have an outcome for; {_at_least(0)}")
    difference = difference_interval(
        [pair.difference for pair in pairs], [pair.weight for pair in pairs], alpha
    )
    mcnemar = _mcnemar(pairs)
    verdict, reason = _verdict(pairs, left_out, alpha, margin, difference, mcnemar)
    return Found(verdict, reason, difference, mcnemar)


def _mcnemar(pairs: Sequence[Pair]) -> McNemar:
    outcomes = [(pair.baseline_passed, pair.candidate_passed) for pair in pairs]
    gained, lost = outcomes.count((False, True)), outcomes.count((True, False))
    return McNemar(
        both=outcomes.count((True, True)),
        gained=gained,
        lost=lost,
        neither=outcomes.count((False, False)),
        p_value=mcnemar_p(gained, lost),
    )


def _verdict(
    pairs: Sequence[Pair],
    left_out: int,
    alpha: float,
    margin: float,
    difference: Interval,
    mcnemar: McNemar,
) -> tuple[Verdict, str]:
    if left_out > MOST_LOST * (left_out + len(pairs)):
        lost = f"{left_out} of {left_out + len(pairs)} pairs were lost to errors, more than one in ten"
        return "insufficient_data", f"{lost}: see to the errors and run the test again"
    if len(pairs) < FEWEST:
        return "insufficient_data", f"{_counted(len(pairs))} can show nothing; {_at_least(len(pairs))}"
    balance: float
    if all(pair.is_pass_or_fail for pair in pairs):
        certain, balance = mcnemar.p_value < alpha, mcnemar.gained - mcnemar.lost
        why = f"{mcnemar.gained} gained, {mcnemar.lost} lost of {len(pairs)}: McNemar's exact p = {mcnemar.p_value:.3g}"
    else:
        certain, balance = not difference.low <= 0 <= difference.high, difference.value
        why = f"the score differs by {_in_words(difference)}"
    if certain:
        return ("better" if balance > 0 else "worse"), why
    return _undecided(len(pairs), difference, margin, why)


def _undecided(prompts: int, difference: Interval, margin: float, why: str) -> tuple[Verdict, str]:
    """No difference shows: because there is none that matters, or because it could not show?"""
    within = -margin <= difference.low and difference.high <= margin
    if within and prompts >= FEWEST_FOR_SAME:
        return "same", f"{why}; the difference, {_in_words(difference)}, lies within ±{margin:g}"
    if within:
        return "insufficient_data", f"{why}; {_at_least(prompts)}"
    enough = max(FEWEST_FOR_SAME, prompts_needed(prompts, difference, margin))
    open_to = f"the difference, {_in_words(difference)}, may be none or more than ±{margin:g}"
    return "insufficient_data", f"{why}; {open_to}: about {enough} prompts like these would tell"


def _in_words(difference: Interval) -> str:
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _counted(prompts: int) -> str:
    return f"{prompts} pair{'s' if prompts != 1 else ''}"


def _at_least(prompts: int) -> str:
    return f"{FEWEST_FOR_SAME} prompts are the least that would do, and there are {prompts}"
