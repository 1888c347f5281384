"""Answers with vLLM, on a card; the extra `vllm`. For child processes, but for `why_not`.

Written to vLLM's documented interface and never run by us: no machine with a card has been at hand. `exact` asks for
vLLM's batch-invariant kernels (VLLM_BATCH_INVARIANT), which keep an answer from depending on its neighbours; numbers
are bf16 either way.
"""

from __future__ import annotations

import importlib.util
import os
import random
import time
from pathlib import Path
from typing import Any

from tasks.adapter import base_of, is_adapter
from tasks.answers import Answer, Batch, Question, answered
from tasks.gpu import NoGpu, read_uses

AT_A_TIME = 512  # it makes its own batches of them; a killed run loses these


def why_not(gpus: int) -> str | None:
    """Why this host cannot have it, if so; asked before a card is taken."""
    if gpus == 0:
        return "vllm computes on a card: set gpus to 1"
    if importlib.util.find_spec("vllm") is None:
        return "vllm is not installed here: the extra `vllm`"
    try:
        read_uses()
    except NoGpu as error:
        return f"vllm needs CUDA: {error}"
    return None


class VllmEngine:
    """A model loaded by vLLM; an adapter beside its base."""

    def __init__(self, plan: dict[str, Any]) -> None:
        exact = plan["precision"] == "exact"
        if exact:
            os.environ["VLLM_BATCH_INVARIANT"] = "1"
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        from tasks.pretrained import load_tokenizer

        folder = Path(plan["model_dir"])
        adapter = is_adapter(folder)
        self.format = "bf16, batch-invariant" if exact else "bf16"
        self.sizes: list[int] = []
        self.tokenizer = load_tokenizer(folder)
        self._plan = plan
        self._lora = LoRARequest("adapter", 1, str(folder)) if adapter else None
        base = base_of(folder) if adapter else folder
        self._llm = LLM(
            str(base),
            tokenizer=str(folder),
            dtype="bfloat16",
            enable_lora=adapter,
            max_lora_rank=512 if adapter else 16,
        )

    def refuses(self, question: Question) -> str | None:
        """Why a prompt cannot be answered, if so."""
        if question.choices is not None:
            return "choice_likelihood needs engine: transformers"
        longest = self._llm.llm_engine.model_config.max_model_len
        if len(question.ids) + self._plan["max_new_tokens"] <= longest:
            return None
        return f"the prompt has {len(question.ids)} tokens, which do not fit into the model's context of {longest}"

    def fits(self, questions: Batch) -> int:
        return min(len(questions), self._plan["batch_size"] or AT_A_TIME)

    def answer(self, batch: Batch) -> list[Answer]:
        started = time.monotonic()
        prompts = [{"prompt_token_ids": question.ids} for question in batch]
        settings = [self._settings(question) for question in batch]
        outputs = self._llm.generate(prompts, settings, lora_request=self._lora, use_tqdm=False)
        took = round((time.monotonic() - started) * 1000, 1)
        self.sizes.append(len(batch))
        return [
            answered(question, said.text, len(said.token_ids), took, said.finish_reason)
            for question, said in zip(batch, (output.outputs[0] for output in outputs), strict=True)
        ]

    def _settings(self, question: Question) -> Any:
        from vllm import SamplingParams

        plan = self._plan
        return SamplingParams(
            max_tokens=plan["max_new_tokens"],
            temperature=plan["temperature"],
            top_p=plan["top_p"],
            top_k=plan["top_k"],
            seed=random.Random(f"{plan['seed']}:{question.index}").getrandbits(31),
        )
