"""BLEU, chrF and ROUGE-L give what their makers published."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tasks.overlap_scores import bleu, chrf, longest_common, rouge_l


@pytest.mark.parametrize(
    ("response", "expected", "score"),
    [  # sacrebleu's test/test_sentence_bleu.py
        (
            "Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;",
            "producţia de zahăr brut se exprimă în zahăr alb;",
            8.493,
        ),
        ("this is a cat", "okay thanks", 0.0),
        ("", "okay", 0.0),
    ],
)
def test_bleu_is_sacrebleus(response: str, expected: str, score: float) -> None:
    assert bleu(response, expected) * 100 == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize(
    ("response", "expected", "score"),
    [  # sacrebleu's test/test_chrf.py, whose smoothing moves the fourth digit
        (
            "Co nás nejvíc trápí, protože lékaři si vybírají, kdo bude žít a kdo zemře.",
            "Nejvíce smutní jsme z toho, že musíme rozhodovat o tom, kdo bude žít a kdo zemře.",
            39.14078509,
        ),
        (
            "Nebo prostě nemají vybavení, které by jim pomohlo, uvedli lékaři.",
            "A někdy nemáme ani potřebný materiál, abychom jim pomohli, popsali lékaři.",
            31.22557079,
        ),
        (
            "Lapali po dechu, jejich životy skončily dřív, než skutečně začaly.",
            "Lapali po dechu a pak jejich život skončil - dřív, než skutečně mohl začít, připomněli.",
            57.15704367,
        ),
        ("a b c", "abc", 100.0),
        ("", "reference", 0.0),
    ],
)
def test_chrf_is_sacrebleus(response: str, expected: str, score: float) -> None:
    assert chrf(response, expected) * 100 == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize(
    ("response", "expected", "score"),
    [  # rouge-score's rouge_scorer_test.py
        ("testing one", "testing one two", 4 / 5),
        ("testing two", "testing one two", 4 / 5),
        ("", "testing one two", 0.0),
        ("/", "w1 w2 w3", 0.0),
    ],
)
def test_rouge_l_is_rouge_scores(response: str, expected: str, score: float) -> None:
    assert rouge_l(response, expected) == pytest.approx(score)


WORDS = st.lists(st.sampled_from(["the", "Cat", "sat", "on", "a_b", "it's", "x-1", ".", "42"]), max_size=30)


@given(WORDS, WORDS)
def test_rouge_l_agrees_with_rouge_score_on_all_texts(response: list[str], expected: list[str]) -> None:
    answer, right = " ".join(response), "\n".join(expected)
    theirs = RougeScorer(["rougeL"]).score(right, answer)["rougeL"].fmeasure
    assert rouge_l(answer, right) == pytest.approx(theirs)


def test_words_of_every_script_count() -> None:
    assert rouge_l("быстрая лиса", "быстрая рыжая лиса") == pytest.approx(0.8)


def test_long_answers_are_compared_in_seconds() -> None:
    chance = random.Random(5)
    one, other = (" ".join(chance.choices("abcdefgh", k=50_000)) for _ in range(2))
    started = time.monotonic()
    assert 0 < longest_common(one.split(), other.split()) < 50_000
    for score in (bleu, chrf, rouge_l):
        assert 0 < score(one, other) < 1
    assert time.monotonic() - started < 15
