"""Child main: fine-tunes a model, `python -m tasks.train <folder>`.

Plan: {"config": a FinetuneConfig as dict, "model_dir", "output_dir", "api_url", "job_id"}, and "batch" where memory did
not hold the config's ({"micro", "accumulation"}), "prompts" where the config has `tests`; secrets: {"job_token"}.
Without api_url or job_token nothing is sent and the points stay in folder/metrics.jsonl.
Checkpoints lie in folder/checkpoints; a run in a folder that has a whole one goes on from it, if config, data and base
model are still the same. SIGTERM leaves a checkpoint behind if there is time for one.
Result: {"model_dir", "kind": "model" or "adapter", "sha256", "weights_sha256", "size_bytes", "files" (a KeptFile
each), "steps", "epochs", "first_loss", "last_loss", "best_step" and "eval_loss" (that of the kept weights; null without
evaluations), "tokens", "tokens_per_second", "seconds", "reporting_seconds", "device", "precision"}. Tokens and rate
count non-padding tokens of the steps that this process made, seconds is the wall time of its training loop,
reporting_seconds its reports' share.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tasks.child import Order, rank, ranks, say, serve
from tasks.dataset import Dataset, whole
from tasks.durable import folder_sha256
from tasks.fingerprint import fingerprint, hold_to
from tasks.hardware import Device, this_device, training_precision
from tasks.held_back import read_sides
from tasks.hush import hushed
from tasks.memory import Batch
from tasks.method import refuse_method
from tasks.provenance import training_facts
from tasks.report import RunReport
from tuneyard.batch_shapes import Prompt
from tuneyard.configs import FinetuneConfig

LAST_WORDS = 60.0  # seconds to send what is unsent after a whole run
STOPPING_WORDS = 2.0  # the same when told to stop


def train(order: Order) -> dict[str, Any]:
    """The whole run; raises BadInput before the first step where the data or model cannot be used."""
    plan = order.plan
    report = RunReport(plan["api_url"], order.secrets.get("job_token"), plan["job_id"], _own_folder(order))
    patience = STOPPING_WORDS
    try:
        with hushed():
            result = _fine_tune(order, report)
        patience = LAST_WORDS
    finally:
        unsent = report.close(patience)
        if unsent and plan["api_url"]:
            say(f"{unsent} metric points could not be sent; they are kept in {order.folder}")
    return result


def _own_folder(order: Order) -> Path:
    """Where this rank writes down what it has to tell; rank 0 tells it, in the job's name."""
    folder = order.folder if rank() == 0 else order.folder / f"rank-{rank()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fine_tune(order: Order, report: RunReport) -> dict[str, Any]:
    config = FinetuneConfig.model_validate(order.plan["config"])
    _one_card()
    device = this_device()
    refuse_method(config, device)
    taught, evaluated = _sides(config)
    hashes = _hashes(order, taught, evaluated)
    if rank() == 0:
        hold_to(fingerprint(config, hashes) | {"gpus": ranks()}, order.folder / "checkpoints")
    try:
        result = _trained(order, config, device, taught, evaluated, hashes, report)
    except SystemExit:
        _part()
        raise
    _part()
    return result


def _part() -> None:
    """Leave the other ranks in good order: gloo's threads abort a process that ends while they live. Not after an
    error, when it might wait for one that is stuck."""
    if ranks() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _one_card() -> None:
    """Trainer would split each batch over all the cards that it sees; one process has one card.

    A rank of several sees them all, and everything that it puts on a card goes to its own.
    """
    if ranks() == 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def _sides(config: FinetuneConfig) -> tuple[Dataset, Dataset | None]:
    taught, evaluated = read_sides(config)
    return whole(taught), None if evaluated is None else whole(evaluated)


def _hashes(order: Order, taught: Dataset, evaluated: Dataset | None) -> dict[str, str | None]:
    """SHA-256 of what goes into the run, by the config's field that names it."""
    model, _ = folder_sha256(Path(order.plan["model_dir"]))
    others = None if evaluated is None else evaluated.sha256
    return {"model": model, "dataset": taught.sha256, "eval_dataset": others}


def _trained(
    order: Order,
    config: FinetuneConfig,
    device: Device,
    taught: Dataset,
    evaluated: Dataset | None,
    hashes: dict[str, str | None],
    report: RunReport,
) -> dict[str, Any]:
    from tasks.base_weights import load_base
    from tasks.course import run_course
    from tasks.material import prepare
    from tasks.result import keep_result

    folder, output = Path(order.plan["model_dir"]), Path(order.plan["output_dir"])
    report.tell(stage="loading the model")
    say(f"Loading the model from {folder}")
    base = load_base(folder, config, device, training_precision(config.precision, device))
    material = prepare(base.model, base.tokenizer, taught.rows, evaluated.rows if evaluated else [], config)
    say(f"{material.rows} rows, {material.tokens} tokens in {taught.uri}")
    prompts = [Prompt.model_validate(prompt) for prompt in order.plan.get("prompts", [])]
    course = run_course(order.folder, config, _batch(order, config), base, material, report, prompts)
    if rank() != 0:
        return {}
    say(f"Saving the {course.kind} to {output}")
    report.tell(stage="saving the model")
    hardware = {"device": device.words, "precision": base.precision}
    facts = training_facts(config, hashes, hardware, course.outcome)
    kept = keep_result(course.model, base, course.kind, facts, output)
    return {**kept, **course.outcome, **course.measured, **hardware}


def _batch(order: Order, config: FinetuneConfig) -> Batch:
    smaller = order.plan.get("batch")
    return Batch(**smaller) if smaller else Batch(config.batch_size, config.gradient_accumulation)


if __name__ == "__main__":
    serve(train)
