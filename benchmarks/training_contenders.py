"""The loops that `benchmarks.training` compares, each a process of its own: `python -m benchmarks.training_contenders
NAME FOLDER`. Reads FOLDER/task.json, leaves FOLDER/figures.json.

All train the same rows of the same model with the same optimizer (AdamW, fused), clipping, schedule, batch size and
number format; what differs is how each of them comes. A step's time is that from the end of the step before: batches
are made, and numbers reported, within it.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.chart import Curves
from tasks.child import Order, serve
from tasks.launch import Tail, run_child
from tasks.report import RunReport
from tasks.watchdog import Watchdog
from tuneyard import Client
from tuneyard.configs import WatchdogConfig
from tuneyard.shapes import MetricPoint

CHART_SECONDS, BEAT_SECONDS = 20.0, 5.0  # as in flows/trainer.py and flows/heartbeat.py
TOKEN = "t" * 43


@dataclass
class Clock:
    """Ends of steps, by the wall clock and by the CPU time of all threads, and the non-padding tokens trained on by
    then. On a busy machine CPU time says more."""

    tokens: int = 0
    ends: list[tuple[float, float, int]] = field(default_factory=list)

    def step(self) -> None:
        self.ends.append((time.perf_counter(), time.process_time(), self.tokens))

    def figures(self, warmup: int) -> dict[str, float]:
        seconds, cpu, tokens = (b - a for a, b in zip(self.ends[warmup - 1], self.ends[-1], strict=True))
        return {
            "tokens_per_second": tokens / seconds,
            "tokens_per_cpu_second": tokens / cpu,
            "step_seconds": seconds / (len(self.ends) - warmup),
        }


def by_hand(task: dict[str, Any], clock: Clock, _: Path) -> None:
    """The best loop that we can write: rows grouped by length, the head on exactly the tokens that are learnt."""
    import torch
    from transformers import get_linear_schedule_with_warmup

    model, tokenizer = _model_of(task)
    model.train()
    rows = sorted(_token_rows(task, tokenizer), key=lambda row: len(row[0]))
    batches = [rows[at : at + task["batch_size"]] for at in range(0, len(rows), task["batch_size"])]
    # The longest first, as ours has it: the warm-up takes it out of both.
    longest = len(batches) - 1
    order = [longest, *torch.randperm(longest, generator=torch.Generator().manual_seed(1)).tolist()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=task["learning_rate"], weight_decay=0.0, fused=True)
    steps = task["steps"] + task["warmup"]
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    for at in order[:steps]:
        ids, mask, targets, tokens = _tensors(batches[at])
        with torch.autocast("cpu", torch.bfloat16, enabled=task["precision"] == "bf16"):
            hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            learnt = targets != -100
            logits = model.lm_head(hidden[learnt])
        loss = torch.nn.functional.cross_entropy(logits.float(), targets[learnt])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        clock.tokens += tokens
        clock.step()


def _tensors(rows: list[tuple[list[int], int]]) -> tuple[Any, Any, Any, int]:
    """(ids, mask, the next token where it is learnt and -100 elsewhere, tokens), each (rows, longest)."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row, _ in rows])
    targets = torch.full_like(ids, -100)
    for at, (row, start) in enumerate(rows):
        targets[at, start - 1 : len(row) - 1] = torch.tensor(row[start:])
    return ids, mask, targets, int(mask.sum())


def trainer(task: dict[str, Any], clock: Clock, folder: Path) -> None:
    """HF Trainer as it comes: random order, its own padding collator."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    model, tokenizer = _model_of(task)
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * start + ids[start:]}
        for ids, start in _token_rows(task, tokenizer)
    ]
    _counted(Trainer, clock)(
        model=model,
        args=TrainingArguments(str(folder / "trainer"), **_arguments(task)),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        callbacks=[_stopwatch(clock)],
    ).train()


def trl(task: dict[str, Any], clock: Clock, folder: Path) -> None:
    """TRL's SFTTrainer as it comes, on prompts and completions as conversations."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = _model_of(task)
    rows = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["completion"]}],
        }
        for row in _rows(task)
    ]
    _counted(SFTTrainer, clock)(
        model=model,
        args=SFTConfig(str(folder / "trl"), max_length=task["max_length"], **_arguments(task)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[_stopwatch(clock)],
    ).train()


def ours(task: dict[str, Any], _: Clock, folder: Path) -> dict[str, Any]:
    """tasks.train as a flow runs it: a child process that reports, and a parent that watches, asks and draws.

    Beside the child's figures: the CPU seconds of the watching parent for each second, and of one report.
    """
    client = Client(task["api_url"], None, job_token=TOKEN)
    spool, points = Tail(_touched(folder / "run" / "metrics.jsonl")), list[MetricPoint]()
    dog = Watchdog(WatchdogConfig(), time.monotonic())
    drawn = beaten = time.monotonic()

    def watch() -> None:
        nonlocal drawn, beaten
        now = time.monotonic()
        new = [MetricPoint.model_validate_json(line) for line in spool.new_lines()]
        points.extend(new)
        for point in new:
            dog.see(point, now)
        dog.look(now, shutil.disk_usage(folder).free)
        if now - beaten > BEAT_SECONDS:
            client.jobs.get("job-1")  # as costly as a heartbeat
            beaten = now
        if points and now - drawn > CHART_SECONDS:
            Curves(points).svg()
            drawn = now

    Curves([MetricPoint(step=1, train_loss=1.0)]).svg()  # what is imported for it once is no cost of a step
    began, cpu = time.perf_counter(), time.process_time()
    plan = {"task": task, "config": _config(task), "api_url": task["api_url"], "job_id": "job-1"}
    plan |= {"model_dir": task["model_dir"], "output_dir": str(folder / "model")}
    module = "benchmarks.training_contenders"
    found = run_child(module, plan, folder / "run", secrets={"job_token": TOKEN}, watch=watch, say=_quiet)
    watching = (time.process_time() - cpu) / (time.perf_counter() - began)
    return {**found, "watching_share": watching, "report_cpu_seconds": _one_report(task, folder)}


def child(order: Order) -> dict[str, Any]:
    """The trainer's side of `ours`."""
    from tasks.pulse import Pulse
    from tasks.train import train

    clock, original = Clock(), Pulse.on_step_end

    def on_step_end(pulse: Pulse, *arguments: Any, **named: Any) -> None:
        original(pulse, *arguments, **named)
        clock.tokens = pulse._fitter.tokens_seen
        clock.step()

    Pulse.on_step_end = on_step_end
    result = train(order)
    own = {"reporting_seconds": result["reporting_seconds"] / result["steps"]}
    return {**clock.figures(order.plan["task"]["warmup"]), **own}


def _config(task: dict[str, Any]) -> dict[str, Any]:
    names = ("batch_size", "learning_rate", "max_length", "precision")
    steps = task["steps"] + task["warmup"]
    return {"model": "m", "dataset": task["rows"], "max_steps": steps, "checkpoint_every": None} | {
        name: task[name] for name in names
    }


def _one_report(task: dict[str, Any], folder: Path, count: int = 200) -> float:
    """CPU seconds, all threads counted, of one point from the loop to the API."""
    folder = folder / "reports"
    folder.mkdir()
    began = time.process_time()
    report = RunReport(task["api_url"], TOKEN, "job-1", folder)
    for step in range(count):
        report.point(MetricPoint(step=step, train_loss=1.0, learning_rate=1e-4, grad_norm=1.0))
        time.sleep(0.01)  # one by one, as a run reports them: together they would be sent together
    report.close(30.0)
    return (time.process_time() - began) / count


def _model_of(task: dict[str, Any]) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(task["model_dir"], dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(task["model_dir"])


def _rows(task: dict[str, Any]) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(task["rows"]).read_text().splitlines()]


def _token_rows(task: dict[str, Any], tokenizer: Any) -> list[tuple[list[int], int]]:
    """(ids, where the completion begins), by the chat template."""
    found = []
    for row in _rows(task):
        turns = [{"role": "user", "content": row["prompt"]}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        start = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        answer = tokenizer(row["completion"] + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        found.append((start + answer, len(start)))
    return found


def _arguments(task: dict[str, Any]) -> dict[str, Any]:
    """The same for all trainers; everything else is as it comes."""
    return {
        "max_steps": task["steps"] + task["warmup"],
        "per_device_train_batch_size": task["batch_size"],
        "learning_rate": task["learning_rate"],
        "warmup_steps": 1,
        "bf16": task["precision"] == "bf16",
        "use_cpu": True,
        "seed": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _counted(kind: Any, clock: Clock) -> Any:
    class Counted(kind):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            clock.tokens += int(inputs["attention_mask"].sum())
            return super().training_step(model, inputs, *rest, **named)

    return Counted


def _stopwatch(clock: Clock) -> Any:
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step()

    return Stopwatch()


def _touched(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def _quiet(_: str) -> None:
    """The child's log is in its folder."""


CONTENDERS: dict[str, Callable[[dict[str, Any], Clock, Path], dict[str, Any] | None]] = {
    "by_hand": by_hand,
    "trainer": trainer,
    "trl": trl,
    "ours": ours,
}

if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(child)
    name, place = sys.argv[1], Path(sys.argv[2])
    what, watch = json.loads((place / "task.json").read_text()), Clock()
    figures = CONTENDERS[name](what, watch, place) or watch.figures(what["warmup"])
    (place / "figures.json").write_text(json.dumps(figures))
