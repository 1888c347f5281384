"""Rows become tokens so that the model learns its answers, and when to stop, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.collate import Block, Collator, one_by_one
from tasks.examples import Example, Passage, Preference, Turn
from tasks.head import batch_loss
from tasks.packing import packed, refuse_mixing
from tasks.pretrained import end_tokens, load_model, load_tokenizer
from tasks.render import TokenRow, pair_rows, prompt_ids, token_rows
from tasks.row_length import within_limit
from tests.tiny_model import make_tiny_model
from tuneyard.errors import BadInput

ASKED = "Write as an ISO date: March 5th, 2031"


def example(*texts: str, line: int = 1, system: str | None = None) -> Example:
    """Turns that alternate between user and assistant."""
    turns = [Turn(("user", "assistant")[at % 2], text) for at, text in enumerate(texts)]
    return Example((*([Turn("system", system)] if system else []), *turns), line, "rows.jsonl")


EXAMPLES = [example(ASKED, "2031-03-05"), example("March", "a much longer answer", line=2)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    return load_model(folder, torch.float32), load_tokenizer(folder)


def rows_of(loaded: tuple[Any, Any], *taught: Example | Passage, **how: Any) -> list[TokenRow]:
    model, tokenizer = loaded
    return token_rows(tokenizer, taught, end_tokens(model, tokenizer), **how)


def learnt_in(tokenizer: Any, row: TokenRow) -> list[str]:
    return [tokenizer.decode(row.ids[start:end]) for start, end in row.learnt]


def test_a_row_reads_as_the_chat_template_writes_it_and_ends_with_the_turn_end(
    loaded: tuple[Any, Any],
) -> None:
    _, tokenizer = loaded
    assert tokenizer.pad_token_id == tokenizer.eos_token_id  # the trap
    [row] = rows_of(loaded, EXAMPLES[0])
    [(start, end)] = row.learnt
    assert tokenizer.decode(row.ids[:start]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
        f"{ASKED}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (tokenizer.decode(row.ids[start:]), end) == ("2031-03-05<|im_end|>", len(row.ids))
    assert row.ids[:start] == prompt_ids(tokenizer, ASKED)


def test_every_answer_of_a_conversation_is_learnt_in_the_context_that_it_is_given_in(
    loaded: tuple[Any, Any],
) -> None:
    _, tokenizer = loaded
    conversation = example("March", "yes", "May", "no", system="Be kind.")
    [row] = rows_of(loaded, conversation)
    assert learnt_in(tokenizer, row) == ["yes<|im_end|>", "no<|im_end|>"]
    assert tokenizer.decode(row.ids) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nMarch<|im_end|>\n<|im_start|>assistant\n"
        "yes<|im_end|>\n<|im_start|>user\nMay<|im_end|>\n<|im_start|>assistant\nno<|im_end|>"
    )


def test_a_template_that_rewrites_earlier_answers_makes_a_row_of_each_answer(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_tiny_model(tmp_path))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {% if m['role'] == 'assistant' and not loop.last %}"
        "(...){% else %}{{ m['content'] }}{% endif %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    rows = token_rows(tokenizer, [example("March", "yes", "May", "no")], {tokenizer.eos_token_id})
    assert [tokenizer.decode(row.ids) for row in rows] == [
        "user: March<|im_end|>assistant: yes<|im_end|>",
        "user: March<|im_end|>assistant: (...)<|im_end|>user: May<|im_end|>assistant: no<|im_end|>",
    ]
    assert [learnt_in(tokenizer, row) for row in rows] == [["yes<|im_end|>"], ["no<|im_end|>"]]


def test_a_model_without_a_template_learns_prompt_completion_and_end(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_tiny_model(tmp_path, chat=False))
    [row] = token_rows(tokenizer, EXAMPLES[:1], {tokenizer.eos_token_id})
    assert tokenizer.decode(row.ids) == ASKED + "2031-03-05<|im_end|>"
    assert learnt_in(tokenizer, row) == ["2031-03-05<|im_end|>"]
    with pytest.raises(BadInput, match=r"rows\.jsonl:7: the model has no chat template"):
        token_rows(tokenizer, [example("a", "b", "c", "d", line=7)], {tokenizer.eos_token_id})


def test_a_conversation_that_the_template_refuses_is_named_by_its_line(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_tiny_model(tmp_path))
    tokenizer.chat_template = "{{ raise_exception('no system turn') }}"
    with pytest.raises(BadInput, match=r"rows\.jsonl:3: the model's chat template .* no system turn"):
        token_rows(tokenizer, [example("a", "b", line=3)], {tokenizer.eos_token_id})


def test_a_text_is_learnt_whole_and_so_is_a_conversation_where_the_config_says_so(
    loaded: tuple[Any, Any],
) -> None:
    _, tokenizer = loaded
    [text] = rows_of(loaded, Passage("some words", 1, "book.txt"))
    assert learnt_in(tokenizer, text) == ["some words<|im_end|>"]
    [row] = rows_of(loaded, EXAMPLES[0], loss_on="all")
    assert row.learnt == [(0, len(row.ids))]


def test_both_answers_of_a_preference_follow_the_same_prompt_and_end(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    preference = Preference((Turn("user", ASKED),), "2031-03-05", "05/03/31", 1, "pairs.jsonl")
    [pair] = pair_rows(tokenizer, [preference], end_tokens(model, tokenizer))
    assert pair.prompt == prompt_ids(tokenizer, ASKED)
    answers = [tokenizer.decode(side) for side in (pair.chosen, pair.rejected)]
    assert answers == ["2031-03-05<|im_end|>", "05/03/31<|im_end|>"]


def test_long_rows_are_refused_cut_or_split_as_the_config_says(loaded: tuple[Any, Any]) -> None:
    [text] = rows_of(loaded, Passage("some words " * 9, 4, "book.txt"))
    size = len(text.ids)
    with pytest.raises(BadInput, match=rf"book\.txt:4: the row has {size} tokens and max_length is 9"):
        within_limit([text], 9, "max_length", "refuse")
    [cut] = within_limit([text], 9, "max_length", "truncate")
    assert (cut.ids, cut.learnt) == (text.ids[:9], [(0, 9)])
    parts = within_limit([text], 9, "max_length", "split")
    assert [token for part in parts for token in part.ids] == text.ids
    assert all(2 <= len(part.ids) <= 9 and part.learnt == [(0, len(part.ids))] for part in parts)
    with pytest.raises(BadInput, match="there is nothing to learn"):
        within_limit(rows_of(loaded, EXAMPLES[0]), 9, "max_length", "truncate")


def test_the_turn_end_is_learnt_and_prompts_and_padding_are_not(loaded: tuple[Any, Any]) -> None:
    _, tokenizer = loaded
    rows = rows_of(loaded, *EXAMPLES, example("a", "b", "c", "d"))
    batch = Collator(pad=tokenizer.pad_token_id)(one_by_one(rows))
    longest = batch["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"].flatten()[batch["learnt"] + 1], batch["labels"])
    for at, row in enumerate(rows):
        learnt = batch["labels"][batch["learnt"] // longest == at].tolist()
        assert learnt == [token for start, end in row.learnt for token in row.ids[start:end]]
        assert learnt[-1] == tokenizer.pad_token_id
        assert batch["attention_mask"][at].sum() == len(row.ids)
    assert batch["tokens"] == sum(len(row.ids) for row in rows)


def gradient(model: Any, loss: Any) -> tuple[Any, Any]:
    model.zero_grad()
    loss.backward()
    return loss.detach(), model.model.embed_tokens.weight.grad.clone()


def loss_and_gradient(model: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
    return gradient(model, batch_loss(model, batch))


def test_the_head_on_learnt_positions_alone_gives_the_models_own_loss_and_gradients(
    loaded: tuple[Any, Any],
) -> None:
    model, _ = loaded
    batch = Collator(1)(one_by_one(rows_of(loaded, *EXAMPLES, example("a", "b", "c", "d"))))
    labels = torch.full_like(batch["input_ids"], -100)
    labels.view(-1)[batch["learnt"] + 1] = batch["labels"]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    whole = gradient(model, model(**inputs, labels=labels).loss)
    torch.testing.assert_close(loss_and_gradient(model, batch), whole)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layout", ["packed", "flat"])
def test_packed_rows_have_the_loss_and_gradients_that_they_have_apart(
    loaded: tuple[Any, Any], layout: Any, attention: str
) -> None:
    model, _ = loaded
    model.set_attn_implementation(attention)
    rows = rows_of(loaded, *EXAMPLES, example("a", "b", "c", "d"), Passage("some words", 1, "book.txt"))
    apart = loss_and_gradient(model, Collator(1)(one_by_one(rows)))
    blocks = [Block(tuple(rows[:3])), Block(tuple(rows[3:]))]  # the second one is padded
    together = loss_and_gradient(model, Collator(1, layout=layout)(blocks))
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(apart, together)


def test_packing_fills_few_blocks_and_leaves_no_row_out() -> None:
    rows = [TokenRow([at] * size, [(0, size)], at, "x") for at, size in enumerate((7, 6, 5, 3, 3, 2, 2, 2))]
    blocks = packed(rows, 10)
    assert sorted(row.line for block in blocks for row in block.rows) == list(range(8))
    assert [len(block) for block in blocks] == [10, 9, 9, 2]


def test_a_model_that_reads_on_over_a_rows_end_is_not_packed(loaded: tuple[Any, Any]) -> None:
    model, _ = loaded
    rows = rows_of(loaded, *EXAMPLES)
    refuse_mixing(model, rows, Collator(1, layout="packed"))

    class Mixing(Collator):
        def __call__(self, blocks: Any) -> dict[str, Any]:
            batch = super().__call__(blocks)
            positions = torch.arange(batch["input_ids"].shape[1])  # one row to the model
            return batch | {"position_ids": positions[None]}

    with pytest.raises(BadInput, match="packing: this model reads on over the end of a row"):
        refuse_mixing(model, rows, Mixing(1, layout="packed"))
