"""Child main: fine-tunes a model, `python -m tasks.train <folder>`.

Plan: {"config": a FinetuneConfig as dict, "model_dir", "rows_path", "output_dir", "api_url", "job_id"}; secrets:
{"job_token"}. Without api_url or job_token nothing is sent and the points stay in folder/metrics.jsonl.
Checkpoints lie in folder/checkpoints; a run in a folder that has a whole one goes on from it.
Result: {"model_dir", "sha256", "size_bytes", "steps", "epochs", "first_loss", "last_loss", "tokens",
"tokens_per_second", "seconds", "device", "precision"}; tokens and rate count non-padding tokens of the steps that
this process made, seconds is the wall time of its training loop.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tasks.checkpoint import newest_checkpoint
from tasks.child import Order, say, serve
from tasks.dataset import Rows, read_rows
from tasks.durable import folder_sha256, publish, staging_beside
from tasks.hardware import Device, Precision, this_device, training_precision
from tasks.render import TokenRow, row_ids
from tasks.report import RunReport
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import WorkFailed

LAST_WORDS = 60.0  # seconds to send what is unsent after a whole run
STOPPING_WORDS = 2.0  # the same when told to stop


def train(order: Order) -> dict[str, Any]:
    """The whole run; raises BadInput before the first step where the data or model cannot be used."""
    plan = order.plan
    report = RunReport(plan["api_url"], order.secrets.get("job_token"), plan["job_id"], order.folder)
    patience = STOPPING_WORDS
    try:
        result = _fine_tune(order, report)
        patience = LAST_WORDS
    finally:
        unsent = report.close(patience)
        if unsent and plan["api_url"]:
            say(f"{unsent} metric points could not be sent; they are kept in {order.folder}")
    return result


def _fine_tune(order: Order, report: RunReport) -> dict[str, Any]:
    config = FinetuneConfig.model_validate(order.plan["config"])
    rows = read_rows(Path(order.plan["rows_path"]))
    _one_card()
    report.tell(stage="loading the model")
    say(f"Loading the model from {order.plan['model_dir']}")
    device = this_device()
    precision = training_precision(config.precision, device)
    model, tokenizer, tokens = _load(order, config, rows)
    say(f"{len(tokens)} rows, {sum(len(row.ids) for row in tokens)} tokens in {rows.path}")
    say(f"Training on {device.words} in {precision}")
    result = _fit(order, config, model, tokens, device, precision, report)
    say(f"Saving the model to {order.plan['output_dir']}")
    report.tell(stage="saving the model")
    return {**_save(model, tokenizer, precision, Path(order.plan["output_dir"])), **result}


def _one_card() -> None:
    """Trainer would split each batch over all the cards that it sees; one process has one card."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]


def _load(order: Order, config: FinetuneConfig, rows: Rows) -> tuple[Any, Any, list[TokenRow]]:
    import torch

    from tasks.pretrained import context_length, end_tokens, load_model, load_tokenizer, refuse_long_rows

    folder = Path(order.plan["model_dir"])
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, torch.float32)
    ends = end_tokens(model, tokenizer)
    tokens = [row_ids(tokenizer, row, ends) for row in rows.rows]
    refuse_long_rows(tokens, config.max_length, context_length(model), rows.path)
    return model, tokenizer, tokens


def _fit(
    order: Order,
    config: FinetuneConfig,
    model: Any,
    tokens: list[TokenRow],
    device: Device,
    precision: Precision,
    report: RunReport,
) -> dict[str, Any]:
    import torch

    from tasks.fitting import Pulse, make_fitter, planned_steps
    from tasks.gpu import CardMeter

    cached = model.config.use_cache
    steps, epochs = planned_steps(config, len(tokens))
    report.tell(stage="training", device=device.words, total_steps=steps, total_epochs=epochs)
    fitter = make_fitter(model, tokens, config, device, precision, order.folder)
    pulse = Pulse(report, CardMeter(device.uuid, say), fitter)
    fitter.add_callback(pulse)
    checkpoint = newest_checkpoint(order.folder / "checkpoints")
    if checkpoint is not None:
        say(f"Going on from {checkpoint.name}")
    started = time.monotonic()
    try:
        fitter.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except torch.OutOfMemoryError as error:
        raise WorkFailed(
            f"{device.words} ran out of memory; lower batch_size or max_length: {error}"
        ) from error
    model.config.use_cache = cached  # Trainer switches it off, and would leave a model that generates slowly
    return {
        "steps": fitter.state.global_step,
        "epochs": round(epochs, 4),
        "first_loss": pulse.losses[0],
        "last_loss": pulse.losses[-1],
        "tokens": pulse.tokens,
        "tokens_per_second": round(pulse.tokens / pulse.step_seconds, 1) if pulse.step_seconds else None,
        "seconds": round(time.monotonic() - started, 2),
        "device": device.words,
        "precision": precision,
    }


def _save(model: Any, tokenizer: Any, precision: Precision, output: Path) -> dict[str, Any]:
    """The model in the format it was trained to be used in, whole under its final name or not there."""
    import torch

    staging = staging_beside(output)
    model.to(torch.bfloat16 if precision == "bf16" else torch.float32).save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    publish(staging, output)
    sha256, size = folder_sha256(output)
    return {"model_dir": str(output), "sha256": sha256, "size_bytes": size}


if __name__ == "__main__":
    serve(train)
