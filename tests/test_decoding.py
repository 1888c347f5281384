"""Padding, neighbours, shared beginnings and rows that leave a batch change no answer; memory is planned by shapes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tasks.batch_memory import Shapes, rows_that_fit, shapes_of
from tests.tiny_model import CONTEXT, HEADS, HIDDEN, INNER, LAYERS, make_tiny_model

MOST = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    folder: Path = make_tiny_model(tmp_path_factory.mktemp("model"), seed=5)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():  # small weights say the same token for ever
        for parameter in loaded.parameters():
            parameter.mul_(4.0 if parameter.ndim > 1 else 1.0)
    return loaded


def prompts(beginning: int, seed: int) -> list[list[int]]:
    numbers = random.Random(seed)
    shared = [numbers.randrange(2, 300) for _ in range(beginning)]
    own = [[numbers.randrange(2, 300) for _ in range(numbers.randint(1, 90))] for _ in range(17)]
    return sorted((shared + one for one in own), key=len)


def by_generate(model: Any, prompt: list[int], ends: set[int]) -> list[int]:
    import torch

    ids = torch.tensor([prompt])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=MOST,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=1,
    )
    said: list[int] = output[0, len(prompt) :].tolist()
    return said


@pytest.mark.parametrize("beginning", [0, 3, 40])
def test_a_batch_says_what_one_by_one_generate_says(
    model: Any, beginning: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import decoding
    from tasks.sampling import Sampling

    monkeypatch.setitem(decoding.PART_TOKENS, "cpu", 200)  # several parts
    ends = set(range(1, 60))  # so that rows end at different times
    asked = prompts(beginning, seed=beginning)
    said = decoding.Decoder(model, ends, MOST, Sampling()).answer(asked, range(len(asked)))
    expected = [by_generate(model, prompt, ends) for prompt in asked]
    assert [one.tokens for one in said] == expected
    assert [one.ended for one in said] == [tokens[-1] in ends for tokens in expected]
    assert len({len(tokens) for tokens in expected}) > 3


def test_a_model_with_windows_is_answered_through_its_own_cache(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import decoding
    from tasks.sampling import Sampling

    asked = prompts(20, seed=1)
    expected = [by_generate(model, prompt, {1}) for prompt in asked]
    monkeypatch.setattr(decoding, "fits_places", lambda _: False)
    said = decoding.Decoder(model, {1}, MOST, Sampling()).answer(asked, range(len(asked)))
    assert [one.tokens for one in said] == expected


@pytest.mark.parametrize(
    ("ends", "length"),
    [(([1], [2, 3], [1, 4]), 12), (([], [5]), 11), (([7, 8], [7, 8]), 13)],
    ids=["differ at once", "one is the beginning itself", "twins"],
)
def test_what_all_prompts_begin_with_leaves_each_a_token_of_its_own(
    ends: tuple[list[int], ...], length: int
) -> None:
    from tasks.decoding import shared_beginning

    assert shared_beginning([[9] * 12 + end for end in ends]) == length
    assert shared_beginning([[9] * 12]) == shared_beginning([[9] * 5 + end for end in ends]) == 0


def test_sampling_keeps_to_top_k_and_top_p() -> None:
    import torch

    from tasks.sampling import Dice, Sampling, next_tokens

    logits = torch.log(torch.tensor([[0.1, 0.4, 0.3, 0.2]])).repeat(500, 1)

    def drawn(**settings: Any) -> list[int]:
        sampling = Sampling(temperature=1.0, **settings)
        tokens: list[int] = next_tokens(logits, sampling, [Dice(1, at) for at in range(500)]).tolist()
        return tokens

    assert set(drawn(top_k=2)) == {1, 2}
    assert set(drawn(top_p=0.75)) == {1, 2, 3}
    assert set(drawn(top_p=0.3)) == {1}
    every = drawn()
    assert [every.count(token) / 500 for token in range(4)] == pytest.approx([0.1, 0.4, 0.3, 0.2], abs=0.07)
    assert next_tokens(logits, Sampling(), []).tolist() == [1] * 500


def test_a_batch_is_as_large_as_its_memory_allows() -> None:
    shapes = Shapes(kept=10, read=2, logits=100)
    lengths = [10, 20, 30, 40]
    # One row of 10: (10 + 5) * 10 + 100 = 250; of two, each as long as the longer one: 2 * 350; 3 * 450; 4 * 550.
    part = 16 * 2
    assert rows_that_fit(lengths, 5, shapes, 250 + part, part=16) == 1
    assert rows_that_fit(lengths, 5, shapes, 700 + 40, part=16) == 2
    assert rows_that_fit(lengths, 5, shapes, 1350 + 59, part=16) == 2
    assert rows_that_fit(lengths, 5, shapes, 1e9, part=16) == 4
    assert rows_that_fit(lengths, 5, shapes, 1, part=16) == 1


def test_shapes_come_from_the_models_config(model: Any) -> None:
    shapes = shapes_of(model.config, 4)
    assert shapes.kept == 2 * LAYERS * HIDDEN * 4
    assert shapes.read == (8 * HIDDEN + 3 * INNER) * 4
    assert (model.config.num_attention_heads, model.config.max_position_embeddings) == (HEADS, CONTEXT)
