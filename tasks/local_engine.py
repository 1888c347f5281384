"""Answers with a model that transformers loads, on this process's device. For child processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.answers import Answer, Batch, Question, answered
from tasks.batch_memory import MOST, rows_that_fit, shapes_of
from tasks.child import say
from tasks.hardware import Device
from tuneyard.errors import OutOfMemory

GIB = 2**30


class LocalEngine:
    """A loaded model. `format` is of its numbers, `sizes` the batches that were answered."""

    def __init__(self, plan: dict[str, Any], device: Device) -> None:
        import torch

        from tasks.cpu_linear import pack_linears
        from tasks.decoding import Decoder
        from tasks.pretrained import context_length, end_tokens, load_model, load_tokenizer
        from tasks.sampling import Sampling

        torch.set_float32_matmul_precision("highest")  # TF32 would make answers hang on their neighbours
        exact = plan["precision"] == "exact"
        self.format = "fp32" if exact else "bf16"
        self.sizes: list[int] = []
        folder = Path(plan["model_dir"])
        say(f"Loading the model from {folder}")
        self.tokenizer = load_tokenizer(folder)
        self._model = load_model(folder, torch.float32 if exact else torch.bfloat16).to(device.kind).eval()
        if device.kind == "cpu" and (exact or device.has_bf16):
            pack_linears(self._model)
        self._ends = end_tokens(self._model, self.tokenizer)
        self._context = context_length(self._model)
        self._plan, self._most = plan, plan["max_new_tokens"]
        sampling = Sampling(*(plan[name] for name in ("temperature", "top_p", "top_k", "seed")))
        self._decoder = Decoder(self._model, self._ends, self._most, sampling)
        self._shapes = shapes_of(self._model.config.get_text_config(), 4 if exact else 2)

    def refuses(self, question: Question) -> str | None:
        """Why a prompt cannot be answered, if so."""
        if not question.ids:
            return "the prompt has no tokens"
        choices = [len(choice) for choice in question.choices or []]
        if 0 in choices:
            return "choice_likelihood: an empty choice has no likelihood"
        new = max([self._most, *choices])
        if self._context is None or len(question.ids) + new <= self._context:
            return None
        return (
            f"the prompt has {len(question.ids)} tokens; with {new} new ones it does not fit into the "
            f"model's context of {self._context}"
        )

    def fits(self, questions: Batch) -> int:
        """How many of these, by length, go together now."""
        from tasks.decoding import PART_TOKENS

        cap = self._plan["batch_size"] or MOST[self._plan["precision"]]
        lengths = [len(question.ids) for question in questions[:cap]]
        part = PART_TOKENS[self._model.device.type]
        return rows_that_fit(lengths, self._most, self._shapes, self._budget(), part)

    def _budget(self) -> float:
        import psutil
        import torch

        if self._plan["memory_gb"] is not None:
            return float(self._plan["memory_gb"] * GIB)
        cuda = self._model.device.type == "cuda"
        return (torch.cuda.mem_get_info()[0] if cuda else psutil.virtual_memory().available) / 2

    def answer(self, batch: Batch) -> list[Answer]:
        """Raises OutOfMemory where they do not fit together."""
        import torch
        from accelerate.utils.memory import should_reduce_batch_size

        try:
            answers = self._answer(batch)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):  # CUDA's, cuDNN's and the CPU allocator's words for it
                raise
            problem = f"{len(batch)} prompts at once do not fit into memory: {error}"
        else:
            self.sizes.append(len(batch))
            return answers
        say(problem)
        torch.cuda.empty_cache()
        raise OutOfMemory(problem)

    def _answer(self, batch: Batch) -> list[Answer]:
        indices = [question.index for question in batch]
        said = self._decoder.answer([question.ids for question in batch], indices)
        answers = []
        for question, one in zip(batch, said, strict=True):
            text = self.tokenizer.decode(one.tokens, skip_special_tokens=True)
            took = round(one.seconds * 1000, 1)
            reason = "stop" if one.ended else "length"
            details = self._likelihoods(question)
            answers.append(
                answered(question, text, len(one.tokens), took, reason, None, details)  # type: ignore[arg-type]
            )
        return answers

    def _likelihoods(self, question: Question) -> dict[str, Any]:
        from tasks.likelihood import choice_likelihoods

        if question.choices is None:
            return {}
        return {"choice_likelihood": choice_likelihoods(self._model, question.ids, question.choices)}
