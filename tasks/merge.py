"""Child main: adds an adapter into its base model's weights, `python -m tasks.merge <folder>`.

Plan: {"adapter_dir", "output_dir", "prompts": [str], by default some of ours}. The merged model is stored in the number
format that its base is stored in. Checked before it is: merged in fp32, it must have the logits of base and adapter;
and counted after: how many prompts the stored model answers alike, greedily.
Result: {"model_dir", "kind": "merged", "sha256", "weights_sha256", "size_bytes", "files", "base_dir", "prompts",
"same_answers", "largest_difference" of a logit}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.adapter import FACTS, base_of, is_adapter, with_adapter
from tasks.child import Order, say, serve
from tasks.durable import folder_sha256, publish, staging_beside
from tasks.provenance import write_provenance
from tasks.render import prompt_ids
from tuneyard.errors import BadInput, WorkFailed

PROMPTS = ("What is the capital of France?", "Write a short sentence about the sea.", "1, 2, 3,", "Hello!")
NEW_TOKENS = 16
TOLERANCE = 1e-2  # of a logit in fp32; the sums are the same but for their order


def merge(order: Order) -> dict[str, Any]:
    """The whole work. Raises BadInput where there is no adapter, WorkFailed where the merged model differs."""
    import torch

    from tasks.pretrained import load_model, load_tokenizer

    folder, output = Path(order.plan["adapter_dir"]), Path(order.plan["output_dir"])
    if not is_adapter(folder):
        raise BadInput("there is no adapter in it", file=str(folder))
    base = base_of(folder)
    tokenizer = load_tokenizer(folder)
    prompts = [prompt_ids(tokenizer, prompt) for prompt in order.plan.get("prompts") or PROMPTS]
    say(f"Merging {folder} into {base}")
    beside = with_adapter(folder, load_model, torch.float32).eval()
    before = [_answer(beside, prompt) for prompt in prompts]
    merged = beside.merge_and_unload().eval()
    difference = max(
        _difference(_answer(merged, prompt)[0], old[0]) for prompt, old in zip(prompts, before, strict=True)
    )
    if not difference <= TOLERANCE:
        raise WorkFailed(
            f"The merged model differs from base and adapter: a logit by {difference}. Nothing was kept"
        )
    _store(merged, tokenizer, folder, base, output)
    stored = load_model(output, torch.float32).eval()
    same = sum(_answer(stored, prompt)[1] == old[1] for prompt, old in zip(prompts, before, strict=True))
    say(
        f"{same} of {len(prompts)} sample prompts are answered alike; largest difference of a logit {difference:.2g}"
    )
    return {
        **_kept(output),
        "base_dir": str(base),
        "prompts": len(prompts),
        "same_answers": same,
        "largest_difference": difference,
    }


def _answer(model: Any, prompt: list[int]) -> tuple[Any, list[int]]:
    """(the logits over the prompt, the first tokens of the greedy answer)."""
    import torch

    ids = torch.tensor([prompt])
    with torch.inference_mode():
        logits = model(input_ids=ids).logits
        answer = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=0,
        )
    return logits, answer[0, len(prompt) :].tolist()


def _difference(one: Any, other: Any) -> float:
    return float((one - other).abs().max())


def _store(merged: Any, tokenizer: Any, adapter: Path, base: Path, output: Path) -> None:
    from transformers import AutoConfig

    staging = staging_beside(output)
    merged.to(AutoConfig.from_pretrained(base).dtype).save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    facts = json.loads((adapter / FACTS).read_text(encoding="utf-8"))
    facts["merged"] = {"adapter_sha256": folder_sha256(adapter)[0], "base_sha256": folder_sha256(base)[0]}
    write_provenance(staging, facts)
    publish(staging, output)


def _kept(output: Path) -> dict[str, Any]:
    from tasks.result import digests

    return {"model_dir": str(output), "kind": "merged", **digests(output)}


if __name__ == "__main__":
    serve(merge)
