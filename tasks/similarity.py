"""Child main: how alike texts are in meaning, `python -m tasks.similarity <folder>`.

Plan: {"model_dir", "pairs": [[text, text]], "batch_size"}. A text's embedding is the mean of its tokens' last hidden
states, or the first token's where the folder says so in sentence-transformers' words (1_Pooling/config.json): the two
rules of nearly all sentence models, for which transformers alone is enough. What a model does not read of a long text
does not count.
Result: {"cosines": [one a pair; 0.0 where a text has no tokens], "device"}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.child import Order, say, serve
from tasks.hardware import this_device
from tuneyard.errors import BadInput

POOLING = "1_Pooling/config.json"
MEAN, FIRST = "pooling_mode_mean_tokens", "pooling_mode_cls_token"
LONGEST = 512  # tokens of a text, where the model names no length


def similarity(order: Order) -> dict[str, Any]:
    """The whole work."""
    import torch

    device = this_device()
    embedder = _Embedder(Path(order.plan["model_dir"]), device.kind)
    texts = sorted(
        {text for pair in order.plan["pairs"] for text in pair}, key=lambda text: (len(text), text)
    )
    say(f"Embedding {len(texts)} texts on {device.words}")
    size = order.plan["batch_size"]
    with torch.inference_mode():
        parts = [embedder.embed(texts[at : at + size]) for at in range(0, len(texts), size)]
    known = dict(zip(texts, torch.cat(parts), strict=True)) if parts else {}
    cosines = [round(float(known[one] @ known[other]), 6) for one, other in order.plan["pairs"]]
    return {"cosines": cosines, "device": device.words}


class _Embedder:
    """A loaded encoder and how its tokens become one vector."""

    def __init__(self, folder: Path, kind: str) -> None:
        import torch
        from transformers import AutoModel

        from tasks.pretrained import load_tokenizer

        self._first = first_token_counts(folder)
        self._tokenizer = load_tokenizer(folder)
        self._tokenizer.padding_side = "right"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token  # masked, as every padding is
        try:
            self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).to(kind).eval()
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"the model cannot be loaded: {error}", file=str(folder), field="model") from error
        self._longest = _longest(folder, self._model, self._tokenizer)

    def embed(self, texts: list[str]) -> Any:
        """(texts, width), each of length 1; of length 0 where a text has no tokens."""
        from torch.nn.functional import normalize

        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._model.device)
        mask = tokens["attention_mask"]
        if not mask.shape[1]:
            return mask.new_zeros(len(texts), self._model.config.hidden_size).float().cpu()
        states = self._model(input_ids=tokens["input_ids"].long(), attention_mask=mask).last_hidden_state
        kept = mask[..., None].to(states.dtype)
        pooled = (
            states[:, 0] * kept[:, 0] if self._first else (states * kept).sum(1) / kept.sum(1).clamp(min=1)
        )
        return normalize(pooled, dim=-1).nan_to_num().cpu()


def first_token_counts(folder: Path) -> bool:
    """Whether the first token's state is the text's, not the mean. Raises BadInput for any other rule."""
    file = folder / POOLING
    if not file.exists():
        return False
    modes = {
        name
        for name, on in json.loads(file.read_text()).items()
        if name.startswith("pooling_") and on is True
    }
    if modes not in ({MEAN}, {FIRST}):
        raise BadInput(
            f"the model pools its tokens by {', '.join(sorted(modes)) or 'no known rule'}; known are the mean and the "
            "first token",
            file=str(file),
            field="model",
        )
    return modes == {FIRST}


def _longest(folder: Path, model: Any, tokenizer: Any) -> int:
    """As many tokens as model, tokenizer and sentence-transformers' own file all allow."""
    file = folder / "sentence_bert_config.json"
    said = json.loads(file.read_text()).get("max_seq_length") if file.exists() else None
    limits = (said, getattr(model.config, "max_position_embeddings", None), tokenizer.model_max_length)
    longest = min((limit for limit in limits if limit), default=LONGEST)
    return min(longest, 8192) if longest < 1e9 else LONGEST


if __name__ == "__main__":
    serve(similarity)
