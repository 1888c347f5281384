"""What `benchmarks.generation` compares: each is a process that loads a model at the first line of its stdin, and at
each further one answers all prompts, in batches of so many where the batch size is not its own. Run by two
interpreters: nothing but the standard library at the top."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answering = Callable[[int], list[str]]


def one_by_one(task: dict[str, Any], precision: str) -> Answering:
    """transformers' `generate` as it comes, greedily."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    tokenizer = AutoTokenizer.from_pretrained(task["model_dir"])
    model = AutoModelForCausalLM.from_pretrained(task["model_dir"], dtype=dtype).eval()

    def answer(prompt: str) -> str:
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            output = model.generate(
                **inputs, max_new_tokens=task["new"], do_sample=False, pad_token_id=tokenizer.eos_token_id
            )
        text: str = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return text

    texts = _rendered(task, tokenizer)
    return lambda _: [answer(text) for text in texts]


def ours(task: dict[str, Any], precision: str) -> Answering:
    """The engine that a batch test's generator has, rendering and tokenizing included."""
    from tasks.answers import answer_all
    from tasks.generate import _question
    from tasks.hardware import this_device
    from tasks.local_engine import LocalEngine

    decoding = {"max_new_tokens": task["new"], "temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 42}
    plan = {"model_dir": task["model_dir"], "precision": precision, "batch_size": None, "memory_gb": None}
    engine = LocalEngine({**plan, **decoding}, this_device())
    asked = [{"messages": [{"role": "user", "content": prompt}]} for prompt in task["prompts"]]

    def answer(_: int) -> list[str]:
        questions = [_question(engine.tokenizer, at, prompt, None) for at, prompt in enumerate(asked)]
        found = [one for batch in answer_all(questions, engine.fits, engine.answer) for one in batch]
        return [one.response or "" for one in sorted(found, key=lambda one: one.prompt_index)]

    return answer


def lm_eval(task: dict[str, Any], precision: str) -> Answering:
    """EleutherAI's harness, its hf backend, on the same rendered prompts."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
    backend = HFLM(pretrained=task["model_dir"], dtype=dtype, device="cpu", batch_size=COUNT)
    settings = {"until": [], "max_gen_toks": task["new"], "do_sample": False}
    requests = [
        Instance("generate_until", {}, (text, settings), number)
        for number, text in enumerate(_rendered(task, backend.tokenizer))
    ]

    def answer(size: int) -> list[str]:
        backend.batch_size_per_gpu = size
        texts: list[str] = backend.generate_until(requests, disable_tqdm=True)
        return texts

    return answer


def _rendered(task: dict[str, Any], tokenizer: Any) -> list[str]:
    turns = [[{"role": "user", "content": prompt}] for prompt in task["prompts"]]
    return [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in turns]


COUNT = 50
MAKERS: dict[str, tuple[Callable[[dict[str, Any], str], Answering], str]] = {
    "one_by_one_fp32": (one_by_one, "fp32"),
    "one_by_one_bf16": (one_by_one, "bf16"),
    "exact": (ours, "exact"),
    "fast": (ours, "fast"),
    "lm_eval_fp32": (lm_eval, "fp32"),
    "lm_eval_bf16": (lm_eval, "bf16"),
}


def main() -> None:
    """Answers lines until there are no more."""
    make, precision = MAKERS[sys.argv[1]]
    sys.stdin.readline()
    answering = make(json.loads(Path(sys.argv[2]).read_text()), precision)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        texts = answering(int(line))
        took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        sys.stdout.write(json.dumps({**took, "texts": texts}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
