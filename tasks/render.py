"""From prompts, conversations and texts to token ids, the same way in training and in answering.

What is learnt of a row is known by its place, not by its tokens' values: in many models the pad token is the
turn-end token, and a mask made from its id would hide the very token that teaches the model to stop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.examples import Example, Passage, Preference, Turn
from tuneyard.errors import BadInput

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row in tokens. `learnt` are half-open spans of `ids`; the other tokens are only read."""

    ids: list[int]
    learnt: list[Span]
    line: int
    file: str


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two answers to one prompt, each ended by the model's end token."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    line: int
    file: str

    def __len__(self) -> int:
        """Tokens of the longer side."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a row's text. `opening`: the tokenizer adds its own tokens, such as one that begins a text."""

    text: str
    learnt: bool
    opening: bool = False


@dataclass(frozen=True, slots=True)
class _Draft:
    """One row in text."""

    pieces: list[_Piece]
    record: Example | Passage | Preference


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a model reads before it answers, as text and in tokens."""

    text: str
    ids: list[int]


def rendered(tokenizer: Any, turns: Sequence[Turn]) -> Rendered:
    """A conversation as the chat template has it, up to where the answer begins; without one, its bare prompt.

    Raises:
        ValueError: the template, or a model without one, cannot write this conversation.
    """
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        if len(turns) > 1:
            raise ValueError("the model has no chat template, so it takes one prompt and no conversation")
        return Rendered(turns[0].text, tokenizer(turns[0].text)["input_ids"])
    try:
        text = _chat(tokenizer, turns, answering=True)
    except TemplateError as error:
        raise ValueError(f"the model's chat template cannot write this conversation: {error}") from None
    return Rendered(text, tokenizer(text, add_special_tokens=False)["input_ids"])


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """What the model reads before it answers: the chat template's user turn, where the model has a template."""
    return rendered(tokenizer, (Turn("user", prompt),)).ids


def template_sha256(tokenizer: Any) -> str | None:
    """Which chat template it is; None: the model has none."""
    template = tokenizer.chat_template
    if template is None:
        return None
    return hashlib.sha256(
        (template if isinstance(template, str) else json.dumps(template)).encode()
    ).hexdigest()


def token_rows(
    tokenizer: Any,
    records: Iterable[Example | Passage],
    ends: set[int],
    loss_on: Literal["completion", "all"] = "completion",
) -> list[TokenRow]:
    """Rows in the records' order, each ended by one of the tokens at which this model stops.

    A conversation is one row in which every assistant's turn is learnt; where the chat template writes earlier
    turns differently later on (as those that drop old reasoning do), it is one row for each assistant's turn.
    A passage is learnt whole.

    Args:
        tokenizer: A transformers tokenizer.
        ends: Ids of the tokens that end an answer; see `tasks.pretrained.end_tokens`.
        loss_on: all: the prompts are learnt too.

    Raises:
        BadInput: a conversation that the model's template cannot write, by file and line.
    """
    drafts = [draft for record in records for draft in _drafts(tokenizer, record)]
    return [
        _row(draft, tokens, ends, tokenizer.eos_token_id, loss_on)
        for draft, tokens in zip(drafts, _tokens(tokenizer, drafts), strict=True)
    ]


def pair_rows(tokenizer: Any, records: Sequence[Preference], ends: set[int]) -> list[PairRow]:
    """Preferences in tokens, prompts and ends as `token_rows` makes them. Raises BadInput as it does."""
    drafts = []
    for record in records:
        for answer in (record.chosen, record.rejected):
            turns = (*record.prompt, Turn("assistant", answer))
            drafts.append(_Draft(_answer_alone(tokenizer, turns, record), record))
    sides = []
    for draft, tokens in zip(drafts, _tokens(tokenizer, drafts), strict=True):
        row = _row(draft, tokens, ends, tokenizer.eos_token_id, "completion")
        [(start, _)] = row.learnt
        sides.append((row.ids[:start], row.ids[start:]))
    return [
        PairRow(prompt, chosen, rejected, record.line, record.file)
        for record, (prompt, chosen), (_, rejected) in zip(records, sides[::2], sides[1::2], strict=True)
    ]


def _drafts(tokenizer: Any, record: Example | Passage) -> list[_Draft]:
    if isinstance(record, Passage):
        return [_Draft([_Piece(record.text, learnt=True, opening=True)], record)]
    whole = _conversation(tokenizer, record)
    if whole is not None:
        return [_Draft(whole, record)]
    answers = [at for at, turn in enumerate(record.turns) if turn.role == "assistant"]
    return [_Draft(_answer_alone(tokenizer, record.turns[: at + 1], record), record) for at in answers]


def _conversation(tokenizer: Any, record: Example) -> list[_Piece] | None:
    """All turns as one text in which every answer stands as it would be given; None where there is no such text."""
    if tokenizer.chat_template is None:
        return None
    pieces, written = [], ""
    for at, turn in enumerate(record.turns):
        if turn.role != "assistant":
            continue
        before = _written(tokenizer, record.turns[:at], record, answering=True)
        whole = _written(tokenizer, record.turns[: at + 1], record)
        if not (before.startswith(written) and whole.startswith(before)):
            return None
        pieces.append(_Piece(before[len(written) :], learnt=False))
        pieces.append(_Piece(whole[len(before) :], learnt=True))
        written = whole
    return pieces


def _answer_alone(tokenizer: Any, turns: tuple[Turn, ...], record: Example | Preference) -> list[_Piece]:
    """The last turn, learnt after what the model reads before it; its bare text where the template rewrites it."""
    *asked, answer = turns
    if tokenizer.chat_template is None:
        if [turn.role for turn in asked] != ["user"]:
            problem = "the model has no chat template, so it takes rows of one prompt and one answer only"
            raise BadInput(problem, file=record.file, line=record.line)
        return [_Piece(asked[0].text, learnt=False, opening=True), _Piece(answer.text, learnt=True)]
    before = _written(tokenizer, tuple(asked), record, answering=True)
    whole = _written(tokenizer, turns, record)
    text = whole[len(before) :] if whole.startswith(before) else answer.text
    return [_Piece(before, learnt=False), _Piece(text, learnt=True)]


def _written(
    tokenizer: Any, turns: tuple[Turn, ...], record: Example | Preference, *, answering: bool = False
) -> str:
    from jinja2 import TemplateError

    try:
        return _chat(tokenizer, turns, answering=answering)
    except TemplateError as error:
        problem = f"the model's chat template cannot write this conversation: {error}"
        raise BadInput(problem, file=record.file, line=record.line) from None


def _chat(tokenizer: Any, turns: Sequence[Turn], *, answering: bool) -> str:
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering)
    return text


def _tokens(tokenizer: Any, drafts: list[_Draft]) -> list[list[list[int]]]:
    """Each piece's ids, by draft. All at once: a call for each would take four times as long."""
    pieces = [piece for draft in drafts for piece in draft.pieces]
    found: dict[bool, Any] = {}
    for opening in (False, True):
        texts = [piece.text for piece in pieces if piece.opening is opening]
        found[opening] = iter(tokenizer(texts, add_special_tokens=opening)["input_ids"] if texts else ())
    return [[list(next(found[piece.opening])) for piece in draft.pieces] for draft in drafts]


def _row(draft: _Draft, tokens: list[list[int]], ends: set[int], end: int | None, loss_on: str) -> TokenRow:
    ids: list[int] = []
    learnt: list[Span] = []
    last = len(tokens) - 1
    for at, (piece, own) in enumerate(zip(draft.pieces, tokens, strict=True)):
        start, size = len(ids), len(own)
        if piece.learnt:
            stop = max((place for place, token in enumerate(own) if token in ends), default=None)
            if stop is not None:
                size = stop + 1  # templates put a line break after the end token; nobody generates it
            elif at == last:
                own, size = [*own, end if end is not None else min(ends)], size + 1
            learnt.append((start, start + size))
        ids += own[:size] if at == last else own
    if loss_on == "all":
        learnt = [(0, len(ids))]
    return TokenRow(ids, learnt, draft.record.line, draft.record.file)
