"""Child main: looks at a fine-tune before it starts, `python -m tasks.check <folder>`.

Plan: {"config": a FinetuneConfig as dict, "model_dir": the base model's folder, "suites": {name: [prompts]},
"disk": a folder on the disk that will hold the checkpoints}. Result: a Preflight as dict; what is wrong with the data
or the model is in it, and no failure of this process. The model's config and tokenizer are read, its weights are not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tasks.child import Order, say, serve
from tasks.dataset import Dataset
from tasks.findings import refusal
from tasks.hardware import this_device, training_precision
from tasks.held_back import read_sides
from tasks.method import refuse_method
from tasks.preflight import BaseModel, Room, data_findings, figures_of, row_findings
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput
from tuneyard.shapes import Diagnostic, Preflight, PreflightFigures

Answer = TypeVar("Answer")


def check(order: Order) -> dict[str, Any]:
    """The whole look, as far as data and model let it go."""
    config = FinetuneConfig.model_validate(order.plan["config"])
    found: list[Diagnostic] = []
    _or_refusal(found, lambda: refuse_method(config, this_device()))
    base = _or_refusal(found, lambda: _base(Path(order.plan["model_dir"])))
    started = time.monotonic()
    figures = PreflightFigures()
    if sides := _or_refusal(found, lambda: read_sides(config)):
        train, held = sides
        special = base.tokenizer.all_special_tokens if base else ()
        found += data_findings(config, train, held, order.plan["suites"], special)
        if base is not None:
            figures, more = _figures(order, config, base, train, held)
            found += more
        figures.eval_rows = 0 if held is None else len(held.rows)
    figures.seconds = round(time.monotonic() - started, 2)
    return _said(found, figures).model_dump(mode="json")


def _or_refusal(found: list[Diagnostic], ask: Callable[[], Answer]) -> Answer | None:
    """The answer; or None, and what is wrong among what was found."""
    try:
        return ask()
    except BadInput as error:
        found.append(refusal(error))
        return None


def _base(folder: Path) -> BaseModel:
    from tasks.model_size import size_of, weightless
    from tasks.pretrained import context_length, end_tokens, load_tokenizer

    tokenizer = load_tokenizer(folder)
    model = weightless(folder)
    return BaseModel(tokenizer, size_of(model), context_length(model), end_tokens(model, tokenizer))


def _figures(
    order: Order, config: FinetuneConfig, base: BaseModel, train: Dataset, held: Dataset | None
) -> tuple[PreflightFigures, list[Diagnostic]]:
    rows, found = row_findings(config, base, train, held)
    figures, more = figures_of(config, base, rows, _room(config, Path(order.plan["disk"])))
    return figures, found + more


def _room(config: FinetuneConfig, folder: Path) -> Room:
    import psutil
    import torch

    device = this_device()
    if device.kind == "cuda":
        memory = torch.cuda.get_device_properties(0).total_memory
    else:
        memory = psutil.virtual_memory().available
    disk = shutil.disk_usage(folder).free
    return Room(device, training_precision(config.precision, device), memory, disk)


def _said(found: list[Diagnostic], figures: PreflightFigures) -> Preflight:
    """Errors first, then warnings."""
    order = ("error", "warning", "info")
    found = sorted(found, key=lambda diagnostic: order.index(diagnostic.severity))
    for diagnostic in found:
        where = f"{diagnostic.file}:{diagnostic.lines[0]}: " if diagnostic.lines else ""
        say(f"{diagnostic.severity}: {where}{diagnostic.message} ({diagnostic.count})")
    return Preflight(
        valid=not any(diagnostic.severity == "error" for diagnostic in found),
        diagnostics=found,
        figures=figures,
    )


if __name__ == "__main__":
    serve(check)
