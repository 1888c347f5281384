"""Scorers that count what an answer and the expected text have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+")


def bleu(response: str, expected: str) -> float:
    """Sentence BLEU by sacrebleu (13a, exponential smoothing, effective order)."""
    from sacrebleu import sentence_bleu

    return sentence_bleu(response, [expected]).score / 100


def chrf(response: str, expected: str) -> float:
    """Sentence chrF2 by sacrebleu."""
    from sacrebleu import sentence_chrf

    return sentence_chrf(response, [expected]).score / 100


def rouge_l(response: str, expected: str) -> float:
    """F1 of the longest common subsequence of words: rouge-score's rougeL, but that words of every script count.

    Ours because theirs takes minutes for 1e5 characters, and brings nltk.
    """
    answer, right = _words(response), _words(expected)
    common = longest_common(answer, right)
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(right)
    return 2 * precision * recall / (precision + recall)


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence (Hyyrö 2004): a row of the usual table is one integer's bits."""
    places: dict[str, int] = {}
    for at, word in enumerate(other):
        places[word] = places.get(word, 0) | 1 << at
    everywhere = (1 << len(other)) - 1
    row = everywhere
    for word in one:
        met = row & places.get(word, 0)
        if met:
            row = (row + met | row - met) & everywhere
    return len(other) - row.bit_count()


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
