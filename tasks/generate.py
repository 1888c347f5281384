"""Child main: answers prompts with a model, `python -m tasks.generate <folder>`.

Plan: {"model_dir", "prompts": [{"messages": [{"role", "content"}], "choices": [str] or null}], "engine",
"max_new_tokens", "temperature", "top_p", "top_k", "seed", "precision": "exact" (fp32: a batch's answers equal those
given one by one) or "fast" (bf16), "batch_size" and "memory_gb" (null: as much as fits), "answers_path"}. One JSON line
a prompt is appended to answers_path (see `tasks.answers.Answer`), batch by batch; prompts that are in it already are
not answered again. `choices`: the likelihood of each is measured too.
Result: {"answered", "failed", "output_tokens"} of the whole file; {"seconds", "batch_sizes"} of this process;
{"engine", "device", "precision", "number_format", "decoding", "template_sha256"}.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tasks.answers import AnswerFile, Question, answer_all, failed
from tasks.child import Order, say, serve
from tasks.examples import Turn
from tasks.hardware import Device, this_device
from tasks.local_engine import LocalEngine
from tasks.render import rendered, template_sha256

DECODING = ("max_new_tokens", "temperature", "top_p", "top_k", "seed")


def generate(order: Order) -> dict[str, Any]:
    """Answers what is not answered yet."""
    plan = order.plan
    file = AnswerFile(Path(plan["answers_path"]))
    done = {answer.prompt_index for answer in file.answered()}
    total = len(plan["prompts"])
    if done:
        say(f"{len(done)} of {total} prompts are answered already")
    device = this_device()
    engine = _engine(plan, device)
    say(f"Answering {total - len(done)} prompts on {device.words}, {plan['precision']} ({engine.format})")
    started, count = time.monotonic(), len(done)
    questions = _questions(plan, engine, file, done)
    for answers in answer_all(questions, engine.fits, engine.answer):
        file.add(answers)
        count += len(answers)
        say(f"{count}/{total} answered  {time.monotonic() - started:.1f} s")
    return _result(plan, engine, file, device) | {"seconds": round(time.monotonic() - started, 2)}


def _engine(plan: dict[str, Any], device: Device) -> Any:
    if plan["engine"] == "vllm":
        from tasks.vllm_engine import VllmEngine

        return VllmEngine(plan)
    return LocalEngine(plan, device)


def _questions(plan: dict[str, Any], engine: Any, file: AnswerFile, done: set[int]) -> list[Question]:
    """What is asked; a prompt that the model cannot be asked has its own error at once."""
    found, errors = [], []
    template = template_sha256(engine.tokenizer)
    for index, prompt in enumerate(plan["prompts"]):
        if index in done:
            continue
        try:
            question = _question(engine.tokenizer, index, prompt, template)
        except ValueError as error:
            errors.append(failed(Question(index, []), str(error)))
            continue
        if (problem := engine.refuses(question)) is not None:
            errors.append(failed(question, problem))
        else:
            found.append(question)
    file.add(errors)
    return found


def _question(tokenizer: Any, index: int, prompt: dict[str, Any], template: str | None) -> Question:
    asked = rendered(tokenizer, [Turn(turn["role"], turn["content"]) for turn in prompt["messages"]])
    choices = prompt.get("choices")
    ids = tokenizer(choices, add_special_tokens=False)["input_ids"] if choices else None
    return Question(index, asked.ids, asked.text, template, ids)


def _result(plan: dict[str, Any], engine: Any, file: AnswerFile, device: Device) -> dict[str, Any]:
    answers = file.answered()
    return {
        "answered": sum(answer.error is None for answer in answers),
        "failed": sum(answer.error is not None for answer in answers),
        "output_tokens": sum(answer.output_tokens or 0 for answer in answers),
        "engine": plan["engine"],
        "device": device.words,
        "precision": plan["precision"],
        "number_format": engine.format,
        "batch_sizes": engine.sizes,
        "decoding": {name: plan[name] for name in DECODING},
        "template_sha256": template_sha256(engine.tokenizer),
    }


if __name__ == "__main__":
    serve(generate)
