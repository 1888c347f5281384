"""Perplexity is transformers' own loss, whatever the windows; every token is scored once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.child import Order
from tasks.perplexity import perplexity, perplexity_of, windows
from tests.tiny_model import make_broken_model
from tuneyard.errors import BadInput, Diverged

TEXTS = ["the 12th of May 1999", "Write as an ISO date: March 5th, 2031", "March " * 200]


@given(st.integers(0, 300), st.integers(2, 60), st.data())
def test_every_token_but_the_first_is_scored_once_with_context(
    length: int, size: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, size - 1))
    found = windows(length, size, stride)
    assert [at for one in found for at in range(one.scored, one.end)] == list(range(1, length))
    for one in found:
        assert one.end - one.start <= size
        assert one.scored - one.start >= min(one.scored, size - stride)


def by_hand(folder: Path, size: int) -> tuple[float, int]:
    """As the transformers documentation has it: the model's own loss over -100 labels, one window at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    total, tokens = 0.0, 0
    for text in TEXTS:
        ids = torch.tensor([[0, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        done = 1
        while done < ids.shape[1]:
            end = min(ids.shape[1], max(size, done + size // 2))
            start = (
                max(0, end - size) if end == done + size // 2 else max(0, done - size // 2 if done > 1 else 0)
            )
            labels = ids[:, start:end].clone()
            labels[:, : done - start] = -100
            with torch.no_grad():
                loss = model(input_ids=ids[:, start:end], labels=labels).loss
            total, tokens, done = total + float(loss) * (end - done), tokens + end - done, end
    return total, tokens


def plan(model: Path, tmp_path: Path, **changes: str) -> Order:
    rows = tmp_path / "texts.txt"
    rows.write_text("\n\n".join(TEXTS))
    return Order(
        tmp_path, {"model_dir": str(model), "dataset": str(rows), "precision": "exact", **changes}, {}
    )


def test_perplexity_is_what_a_hand_computes_with_transformers(tiny_model: Path, tmp_path: Path) -> None:
    found = perplexity(plan(tiny_model, tmp_path))
    total, tokens = by_hand(tiny_model, 256)
    assert (found["tokens"], found["texts"], found["window"], found["stride"]) == (tokens, 3, 256, 128)
    assert found["value"] == pytest.approx(math.exp(total / tokens), rel=1e-5)
    assert perplexity(plan(tiny_model, tmp_path, precision="fast"))["value"] == pytest.approx(
        found["value"], rel=0.05
    )


def test_what_has_no_perplexity_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="no perplexity"):
        perplexity(plan(make_broken_model(tmp_path / "broken"), tmp_path))
    with pytest.raises(Diverged):
        perplexity_of(1e6, 1)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(BadInput, match="not texts") as problem:
        perplexity(plan(tiny_model, tmp_path, dataset=str(pairs)))
    assert problem.value.field == "perplexity_on"
