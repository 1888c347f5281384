"""When a candidate is better, worse, the same, and when too little is known to say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.verdicts import Pair, judge

MIRRORED = {"better": "worse", "worse": "better", "same": "same", "insufficient_data": "insufficient_data"}


def pairs_of(*runs: tuple[float, float, int]) -> list[Pair]:
    """So many pairs of each (baseline's score, candidate's)."""
    scores = [(old, new) for old, new, count in runs for _ in range(count)]
    return [Pair(n, 1.0, (), old, new, old >= 0.5, new >= 0.5) for n, (old, new) in enumerate(scores)]


@pytest.mark.parametrize(
    ("pairs", "left_out", "verdict", "why"),
    [
        (
            pairs_of((0, 1, 49), (0, 0, 1)),
            0,
            "better",
            "49 gained, 0 lost of 50: McNemar's exact p = 3.55e-15",
        ),
        (pairs_of((1, 0, 49), (0, 0, 1)), 0, "worse", "0 gained, 49 lost"),
        (pairs_of((0, 1, 6)), 0, "better", "p = 0.0312"),
        (pairs_of((0, 1, 5), (1, 1, 30)), 0, "insufficient_data", "about"),
        (pairs_of((1, 1, 50)), 0, "same", "within ±0.1"),
        (pairs_of((1, 1, 10)), 0, "same", "within ±0.1"),
        (pairs_of((1, 1, 9)), 0, "insufficient_data", "10 prompts are the least"),
        (pairs_of((1, 1, 98), (0, 1, 1), (1, 0, 1)), 0, "same", "1 gained, 1 lost of 100"),
        (pairs_of((1, 1, 5), (0, 1, 3), (1, 0, 3)), 0, "insufficient_data", "prompts like these would tell"),
        (pairs_of((0, 1, 5)), 0, "insufficient_data", "5 pairs can show nothing"),
        (pairs_of(), 0, "insufficient_data", "there is no prompt"),
        (pairs_of((0, 1, 45)), 5, "better", "45 gained"),
        (pairs_of((0, 1, 44)), 6, "insufficient_data", "6 of 50 pairs were lost to errors"),
        (pairs_of((0.3, 0.6, 10), (0.4, 0.9, 10)), 0, "better", "the score differs by +0.400"),
        (pairs_of((0.6, 0.3, 10), (0.9, 0.4, 10)), 0, "worse", "the score differs by -0.400"),
        (pairs_of((0.6, 0.65, 10), (0.65, 0.6, 10)), 0, "same", "within ±0.1"),
        (pairs_of((0.1, 0.9, 4), (0.9, 0.1, 4)), 0, "insufficient_data", "prompts like these would tell"),
    ],
)
def test_the_table_of_verdicts(pairs: list[Pair], left_out: int, verdict: str, why: str) -> None:
    found = judge(pairs, left_out, alpha=0.05, margin=0.1)
    assert (found.verdict, why in found.reason) == (verdict, True), found.reason


def test_alpha_and_margin_are_the_caller_s() -> None:
    six = pairs_of((0, 1, 6), (1, 1, 4))
    assert judge(six, 0, 0.05, 0.1).verdict == "better"
    assert judge(six, 0, 0.01, 0.1).verdict == "insufficient_data"
    wavering = pairs_of((1, 1, 44), (0, 1, 3), (1, 0, 3))
    assert judge(wavering, 0, 0.05, 0.05).verdict == "insufficient_data"
    assert judge(wavering, 0, 0.05, 0.2).verdict == "same"


def test_a_pass_mark_below_a_full_score_leaves_it_to_the_interval() -> None:
    """All answers pass, before and after; the scores still fell."""
    found = judge(pairs_of((1.0, 0.6, 20), (1.0, 1.0, 5)), 0, 0.05, 0.1)
    assert found.mcnemar is not None
    assert (found.verdict, found.mcnemar.p_value) == ("worse", 1.0)


def test_the_number_of_prompts_that_is_asked_for_would_do() -> None:
    """Were the rest like these."""
    some = pairs_of((1, 1, 15), (0, 1, 2), (1, 0, 2))
    reason = judge(some, 0, 0.05, 0.1).reason
    asked = int(reason.split("about ")[1].split()[0])
    times = -(-asked // len(some)) + 1
    assert (
        judge(pairs_of((1, 1, 15 * times), (0, 1, 2 * times), (1, 0, 2 * times)), 0, 0.05, 0.1).verdict
        == "same"
    )


score = st.sampled_from([0.0, 1.0]) | st.sampled_from([0.0, 0.2, 0.5, 1.0])
rows = st.lists(st.tuples(score, score, st.sampled_from([1.0, 3.0])), max_size=15)


@given(rows, st.randoms(), st.integers(0, 2))
def test_sides_mirror_the_verdict_and_order_changes_nothing(
    given_rows: list[tuple[float, float, float]], random: object, left_out: int
) -> None:
    pairs = [Pair(n, w, (), old, new, old >= 0.5, new >= 0.5) for n, (old, new, w) in enumerate(given_rows)]
    found = judge(pairs, left_out, 0.05, 0.1)
    swapped = [
        one._replace(
            baseline=one.candidate,
            candidate=one.baseline,
            baseline_passed=one.candidate_passed,
            candidate_passed=one.baseline_passed,
        )
        for one in pairs
    ]
    assert judge(swapped, left_out, 0.05, 0.1).verdict == MIRRORED[found.verdict]
    assert judge(random.sample(pairs, len(pairs)), left_out, 0.05, 0.1) == found  # type: ignore[attr-defined]
