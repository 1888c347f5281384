"""Similarity is the cosine of mean-pooled states, the same in a batch as alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.child import Order
from tasks.similarity import POOLING, first_token_counts, similarity
from tuneyard.errors import BadInput

PAIRS = [
    ["the 12th of May 1999", "the 12th of May 1999"],
    ["March 5th", "Write as an ISO date: March 5th, 2031"],
    ["", "user"],
    ["x" * 3000, "the 12th"],
]


def cosines(model: Path, tmp_path: Path, size: int) -> list[float]:
    found = similarity(Order(tmp_path, {"model_dir": str(model), "pairs": PAIRS, "batch_size": size}, {}))
    assert found["device"]
    return list(found["cosines"])


def by_hand(folder: Path, pair: list[str]) -> float:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModel.from_pretrained(folder, dtype=torch.float32),
    )
    with torch.no_grad():
        one, other = (
            model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False))
            .last_hidden_state[0]
            .mean(0)
            for text in pair
        )
    return float(torch.cosine_similarity(one, other, dim=0))


def test_cosines_are_what_a_hand_computes_in_any_batch(tiny_model: Path, tmp_path: Path) -> None:
    together = cosines(tiny_model, tmp_path, 32)
    assert together == pytest.approx(cosines(tiny_model, tmp_path, 1), abs=1e-5)
    assert together[0] == pytest.approx(1.0, abs=1e-5)
    assert together[1] == pytest.approx(by_hand(tiny_model, PAIRS[1]), abs=1e-5)
    assert together[2] == 0.0
    assert -1.0 <= together[3] <= 1.0


@pytest.mark.parametrize(
    ("modes", "first"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, False),
        ({"pooling_mode_cls_token": True}, True),
    ],
)
def test_the_folder_says_how_tokens_are_pooled(tmp_path: Path, modes: dict[str, Any], first: bool) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / POOLING).write_text(
        json.dumps({"word_embedding_dimension": 64, "include_prompt": True, **modes})
    )
    assert first_token_counts(tmp_path) is first


def test_a_rule_that_is_not_known_is_refused(tmp_path: Path) -> None:
    assert first_token_counts(tmp_path) is False
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / POOLING).write_text(json.dumps({"pooling_mode_lasttoken": True}))
    with pytest.raises(BadInput, match="pooling_mode_lasttoken"):
        first_token_counts(tmp_path)
