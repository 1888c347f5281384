"""Child main: answers prompts with a model, `python -m tasks.generate <folder>`.

Plan: {"model_dir", "prompts": [str], "max_new_tokens", "batch_size", "precision": "exact" (fp32: a batch's answers
equal those given one by one) or "fast" (bf16), "seed", "answers_path"}. Greedy. One JSON line a prompt is appended
to answers_path (see `tasks.answers.Answer`); prompts that are in it already are not answered again.
Result: {"answered", "failed", "seconds", "output_tokens", "device", "precision"}; the counts are of the whole file,
seconds the wall time that this process spent answering.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from tasks.answers import Answer, AnswerFile, Batch, Question, answer_or_own_error, batches, failed
from tasks.child import Order, say, serve
from tasks.hardware import this_device
from tasks.render import prompt_ids


def generate(order: Order) -> dict[str, Any]:
    """Answers what is not answered yet."""
    plan = order.plan
    file = AnswerFile(Path(plan["answers_path"]))
    done = {answer.prompt_index for answer in file.answered()}
    open_prompts = [(at, prompt) for at, prompt in enumerate(plan["prompts"]) if at not in done]
    if done:
        say(f"{len(done)} of {len(plan['prompts'])} prompts are answered already")
    device = this_device()
    responder = _Responder(plan, device.kind)
    questions = [Question(at, prompt_ids(responder.tokenizer, prompt)) for at, prompt in open_prompts]
    say(f"Answering {len(questions)} prompts on {device.words}, {plan['precision']} ({responder.format})")
    started = time.monotonic()
    for batch in batches(questions, plan["batch_size"]):
        file.add(answer_or_own_error(batch, responder.answer))
        done |= {question.index for question in batch}
        say(f"{len(done)}/{len(plan['prompts'])} answered  {time.monotonic() - started:.1f} s")
    answers = file.answered()
    return {
        "answered": sum(answer.error is None for answer in answers),
        "failed": sum(answer.error is not None for answer in answers),
        "seconds": round(time.monotonic() - started, 2),
        "output_tokens": sum(answer.output_tokens or 0 for answer in answers),
        "device": device.words,
        "precision": plan["precision"],
    }


class _Responder:
    """A loaded model that answers batches."""

    def __init__(self, plan: dict[str, Any], kind: str) -> None:
        import torch
        from transformers import GenerationConfig

        from tasks.pretrained import context_length, end_tokens, load_model, load_tokenizer

        torch.manual_seed(plan["seed"])
        torch.set_float32_matmul_precision("highest")  # TF32 would make answers hang on their neighbours
        exact = plan["precision"] == "exact"
        self.format = "fp32" if exact else "bf16"
        folder = Path(plan["model_dir"])
        say(f"Loading the model from {folder}")
        self.tokenizer = load_tokenizer(folder)
        self._model = load_model(folder, torch.float32 if exact else torch.bfloat16).to(kind).eval()
        self._ends = end_tokens(self._model, self.tokenizer)
        self._context = context_length(self._model)
        self._most = plan["max_new_tokens"]
        self._pad = min(self._ends)  # masked before the prompt, cut off after the answer
        # In place of the maker's: sampling settings in it would be mixed into ours.
        self._model.generation_config = GenerationConfig(
            max_new_tokens=self._most,
            do_sample=False,
            eos_token_id=sorted(self._ends),
            pad_token_id=self._pad,
        )

    def answer(self, batch: Batch) -> list[Answer]:
        """Answers the prompts that leave room for an answer in the model's context; the others get an error."""
        long = [
            question for question in batch if self._context and len(question.ids) + self._most > self._context
        ]
        errors = [failed(question, self._too_long(question)) for question in long]
        rest = [question for question in batch if question not in long]
        return errors + (self._generate(rest) if rest else [])

    def _too_long(self, question: Question) -> str:
        return (
            f"the prompt has {len(question.ids)} tokens; with {self._most} new ones it does not fit into the "
            f"model's context of {self._context}"
        )

    def _generate(self, batch: Batch) -> list[Answer]:
        import torch

        started = time.monotonic()
        ids, mask = _left_padded(batch, self._pad)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(self._model.device), attention_mask=mask.to(self._model.device)
            )
        new = output[:, ids.shape[1] :].tolist()
        took = round((time.monotonic() - started) * 1000, 1)
        return [self._answer(question, tokens, took) for question, tokens in zip(batch, new, strict=True)]

    def _answer(self, question: Question, tokens: list[int], took: float) -> Answer:
        end = next((at for at, token in enumerate(tokens) if token in self._ends), None)
        said = tokens if end is None else tokens[: end + 1]
        text = self.tokenizer.decode(said, skip_special_tokens=True)
        reason: Literal["stop", "length"] = "length" if end is None else "stop"
        return Answer(question.index, text, len(question.ids), len(said), took, reason, None)


def _left_padded(batch: Batch, pad: int) -> tuple[Any, Any]:
    """(ids, attention mask), each (prompts, longest): generation goes on from the right end."""
    import torch

    longest = max(len(question.ids) for question in batch)
    gaps = [longest - len(question.ids) for question in batch]
    ids = [[pad] * gap + question.ids for gap, question in zip(gaps, batch, strict=True)]
    mask = [[0] * gap + [1] * len(question.ids) for gap, question in zip(gaps, batch, strict=True)]
    return torch.tensor(ids), torch.tensor(mask)


if __name__ == "__main__":
    serve(generate)
