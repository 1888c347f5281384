"""Finds texts that stand twice: among the training rows, and in what the model is later tested or evaluated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tasks.examples import Taught
from tasks.findings import finding, some
from tasks.likeness import answered_in, asked_in, plain, questions_in, words_of
from tuneyard.shapes import Diagnostic

GRAM = 13  # words; as in "Language Models are Few-Shot Learners" (Brown et al., 2020), appendix C
NEARLY = "but for case, spacing or the mark at its end, the same as"
CONTAINED = 0.5  # of a prompt's own grams, from which on a row holds the prompt


def copies(rows: Sequence[Taught], file: str) -> list[Diagnostic]:
    """Rows that are exact or near copies of an earlier one; the lines are those of the later ones."""
    exact, near = _Firsts(), _Firsts()
    for row in rows:
        asked, answered = asked_in(row), answered_in(row)
        if not exact.take((asked, answered), row.line):
            near.take((plain(asked), plain(answered)), row.line)
    return [
        *finding("warning", "duplicate_rows", f"the same as {exact.of}", file, exact.again),
        *finding("warning", "near_duplicate_rows", f"{NEARLY} {near.of}", file, near.again),
    ]


def conflicts(rows: Iterable[Taught], file: str) -> list[Diagnostic]:
    """Rows that ask the very same and answer otherwise."""
    answers: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        if asked := asked_in(row).strip():
            answers.setdefault(asked, {}).setdefault(answered_in(row).strip(), []).append(row.line)
    torn = [lines for found in answers.values() if len(found) > 1 for lines in found.values()]
    lines = [line for group in torn for line in group]
    message = "another row asks the very same, and answers it otherwise"
    return finding("warning", "different_answers", message, file, lines)


def eval_overlap(rows: Iterable[Taught], held: Iterable[Taught], file: str) -> list[Diagnostic]:
    """Training rows that ask (or, plain text, say) what a row to evaluate on does."""
    asked = {plain(asked_in(row) or answered_in(row)) for row in held}
    lines = [row.line for row in rows if plain(asked_in(row) or answered_in(row)) in asked]
    message = "a row to evaluate on asks the same: the evaluation will look too good"
    return finding("warning", "eval_overlap", message, file, lines)


def suite_overlap(rows: Sequence[Taught], suites: Mapping[str, Sequence[str]], file: str) -> list[Diagnostic]:
    """Training rows that hold a prompt of a test suite: whole, or half of its 13-word sequences.

    Sequences that several prompts of a suite share are its boilerplate and do not count; a prompt of fewer words is
    looked for whole alone.

    Args:
        suites: Each suite's name and its prompts.
    """
    index = _SuiteIndex(suites)
    equal: dict[str, list[int]] = {name: [] for name in suites}
    holds: dict[str, list[int]] = {name: [] for name in suites}
    for row in rows:
        same = {name for text in questions_in(row) for name in index.whole.get(plain(text), ())}
        for name in same:
            equal[name].append(row.line)
        for name in index.contained(plain(f"{asked_in(row)} {answered_in(row)}")) - same:
            holds[name].append(row.line)
    found = []
    for name in suites:
        message = f"asks a prompt of the test suite {name}: its score will look too good"
        found += finding("warning", "suite_overlap", message, file, equal[name])
        message = f"holds half or more of a prompt of the test suite {name}, in sequences of 13 words"
        found += finding("warning", "suite_overlap_in_part", message, file, holds[name])
    return found


class _Firsts:
    """Where each text stood first, and the lines where one stood again."""

    def __init__(self) -> None:
        self.again: list[int] = []
        self._first: dict[Hashable, int] = {}
        self._of: dict[int, None] = {}

    def take(self, text: Hashable, line: int) -> bool:
        """Whether the text has been there before; then the line is a later one."""
        first = self._first.setdefault(text, line)
        if first == line:
            return False
        self.again.append(line)
        self._of[first] = None
        return True

    @property
    def of(self) -> str:
        firsts = [str(line) for line in sorted(self._of)]
        return f"line {firsts[0]}" if len(firsts) == 1 else f"an earlier one (lines {some(firsts)})"


Gram = tuple[str, ...]
Owner = tuple[str, int]  # a suite's name and the number of a prompt in it


@dataclass
class _SuiteIndex:
    """The prompts of all suites, whole and by the word sequences that are theirs alone."""

    suites: Mapping[str, Sequence[str]]
    whole: dict[str, set[str]] = field(default_factory=dict)
    grams: dict[Gram, list[Owner]] = field(default_factory=dict)
    sizes: Counter[Owner] = field(default_factory=Counter)
    pairs: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, prompts in self.suites.items():
            texts = {plain(prompt) for prompt in prompts}
            for text in texts:
                self.whole.setdefault(text, set()).add(name)
            self._add_grams(name, sorted(texts))

    def _add_grams(self, name: str, texts: Sequence[str]) -> None:
        held = [set(_grams(words_of(text))) for text in texts]
        shared = Counter(gram for grams in held for gram in grams)
        for at, grams in enumerate(held):
            for gram in grams:
                if shared[gram] == 1:
                    self.grams.setdefault(gram, []).append((name, at))
                    self.sizes[name, at] += 1
                    self.pairs.update(pairwise(gram))

    def contained(self, text: str) -> set[str]:
        """The suites of which a prompt stands in the text, at least by half."""
        if not self.grams:
            return set()
        words, run, seen = words_of(text), 1, set[Gram]()
        for end, pair in enumerate(pairwise(words), start=2):
            run = run + 1 if pair in self.pairs else 1  # words in a row that a prompt could have in a row
            if run >= GRAM and (gram := tuple(words[end - GRAM : end])) in self.grams:
                seen.add(gram)
        counts = Counter(owner for gram in seen for owner in self.grams[gram])
        return {owner[0] for owner, count in counts.items() if count >= CONTAINED * self.sizes[owner]}


def _grams(words: Sequence[str]) -> Iterable[Gram]:
    return (tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1))
