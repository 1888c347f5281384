"""Direct preference optimisation: TRL's DPOTrainer with our checkpoints, order and ends. Needs the extra `dpo`.

The reference is the base model with its adapter switched off, so no second copy of it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from tasks.adapter import lora_config
from tasks.fitting import Fitter
from tasks.material import Material
from tuneyard.configs import FinetuneConfig


class PairFitter(Fitter, DPOTrainer):  # type: ignore[misc]  # trl has no types
    """Fitter whose steps are DPOTrainer's."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Ours is written beside the result."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # rendered already, by the rules that also render prompts for answers

    def _weight(self, inputs: Any) -> torch.Tensor:
        return torch.tensor(len(inputs["input_ids"]) // 2, device=self.args.device)


class PairCollator:
    """TRL's, and the number of tokens that are no padding."""

    def __init__(self, pad: int) -> None:
        self._collator = DataCollatorForPreference(pad_token_id=pad)

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Both sides of the pairs, (2 x pairs, longest): first all chosen ones, then all rejected ones."""
        batch: dict[str, Any] = self._collator(list(pairs))
        return batch | {"tokens": int(batch["attention_mask"].sum())}


def make_pair_fitter(
    model: Any, tokenizer: Any, pairs: Material, arguments: dict[str, Any], config: FinetuneConfig
) -> PairFitter:
    """The Trainer for preferences, with a fresh adapter beside `model`. Raises BadInput where none fits it."""
    pad = model.config.pad_token_id
    return PairFitter(
        model=model,
        args=DPOConfig(**arguments, beta=config.dpo_beta, max_length=None),
        peft_config=lora_config(config.lora),
        train_dataset=_columns(pairs.items),
        eval_dataset=_columns(pairs.evaluation) if pairs.evaluation else None,
        processing_class=tokenizer,
        data_collator=PairCollator(0 if pad is None else pad),
        lengths=[len(pair) for pair in pairs.items],
        config=config,
    )


def _columns(pairs: Sequence[Any]) -> Dataset:
    return Dataset.from_list(
        [
            {"prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected}
            for pair in pairs
        ]
    )
