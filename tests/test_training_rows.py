"""Rows become tokens so that the model learns its answers, and when to stop, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.collate import Collator, as_items, can_narrow
from tasks.dataset import Row
from tasks.pretrained import end_tokens, load_model, load_tokenizer
from tasks.render import prompt_ids, row_ids
from tests.tiny_model import make_tiny_model

ROWS = [
    Row("Write as an ISO date: March 5th, 2031", "2031-03-05", 1),
    Row("March", "a much longer answer", 2),
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    return load_model(folder, torch.float32), load_tokenizer(folder)


def test_a_row_reads_as_the_chat_template_writes_it_and_ends_with_the_turn_end(
    loaded: tuple[Any, Any],
) -> None:
    model, tokenizer = loaded
    assert tokenizer.pad_token_id == tokenizer.eos_token_id  # the trap
    row = row_ids(tokenizer, ROWS[0], end_tokens(model, tokenizer))
    assert tokenizer.decode(row.ids[: row.completion_start]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
        "Write as an ISO date: March 5th, 2031<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(row.ids[row.completion_start :]) == "2031-03-05<|im_end|>"
    assert row.ids[: row.completion_start] == prompt_ids(tokenizer, ROWS[0].prompt)


def test_a_model_without_a_template_learns_prompt_completion_and_end(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_tiny_model(tmp_path, chat=False))
    row = row_ids(tokenizer, ROWS[0], {tokenizer.eos_token_id})
    assert tokenizer.decode(row.ids) == ROWS[0].prompt + ROWS[0].completion + "<|im_end|>"
    assert tokenizer.decode(row.ids[row.completion_start :]) == ROWS[0].completion + "<|im_end|>"


def test_the_turn_end_is_learnt_and_prompts_and_padding_are_not(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    rows = [row_ids(tokenizer, row, end_tokens(model, tokenizer)) for row in ROWS]
    batch = Collator(pad=tokenizer.pad_token_id, narrow=False)(as_items(rows))
    for at, row in enumerate(rows):
        learnt = batch["labels"][at][batch["labels"][at] != -100].tolist()
        assert learnt == row.ids[row.completion_start :]
        assert learnt[-1] == tokenizer.pad_token_id
        assert batch["attention_mask"][at].sum() == len(row.ids)


def test_the_narrow_head_gives_the_same_loss_and_gradients(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    assert can_narrow(model)
    rows = as_items([row_ids(tokenizer, row, end_tokens(model, tokenizer)) for row in ROWS])
    losses, gradients = [], []
    for narrow in (False, True):
        model.zero_grad()
        loss = model(**Collator(pad=1, narrow=narrow)(rows)).loss
        loss.backward()
        losses.append(loss.detach())
        gradients.append(model.model.embed_tokens.weight.grad.clone())
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])
