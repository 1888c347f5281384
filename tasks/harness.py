"""Child main: tasks of EleutherAI's lm-eval on a local model, `python -m tasks.harness <folder>`.

Plan: {"model_dir", "tasks": [a name, or a .yaml file with a task of one's own], "limit", "batch_size", "precision":
"exact" (fp32) or "fast" (bf16), "seed"}. The model is loaded as for its batch test, an adapter merged into its base;
the prompts are the harness's own, without a chat template, so that its figures compare with published ones.
Result: {"version", "limit", "precision", "tasks": {name: {"acc,none": 0.5, "acc_stderr,none": 0.05, …}}}.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from tasks.child import Order, say, serve
from tasks.hardware import this_device
from tuneyard.errors import BadInput

FIELD = "lm_eval.tasks"
_TASK = re.compile(r"^task:\s*['\"]?([\w.-]+)", re.MULTILINE)


def harness(order: Order) -> dict[str, Any]:
    """The whole work. Raises BadInput where lm-eval is missing, or knows no such task, or cannot have its data."""
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise BadInput(
            f"lm-eval is not installed on this host ({error}): pip install 'tuneyard[lm-eval]'",
            field="lm_eval",
        ) from error
    plan = order.plan
    files = [Path(task) for task in plan["tasks"] if task.endswith((".yaml", ".yml"))]
    manager = TaskManager(include_path=[str(file.parent.absolute()) for file in files] or None)
    names = [_name_in(Path(task)) if Path(task) in files else task for task in plan["tasks"]]
    unknown = [name for name in names if not manager.match_tasks([name])]
    if unknown:
        raise BadInput(f"lm-eval {lm_eval.__version__} knows no task {', '.join(unknown)}", field=FIELD)
    say(f"lm-eval {lm_eval.__version__}: {', '.join(names)} on {this_device().words}")
    found = _evaluated(plan, names, manager)
    figures = {name: _figures(row) for name, row in found["results"].items()}
    return {
        "version": lm_eval.__version__,
        "limit": plan["limit"],
        "precision": plan["precision"],
        "tasks": figures,
    }


def _evaluated(plan: dict[str, Any], names: list[str], manager: Any) -> dict[str, Any]:
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import HfHubHTTPError
    from lm_eval import simple_evaluate

    try:
        found: dict[str, Any] = simple_evaluate(
            model=_model(plan),
            tasks=names,
            task_manager=manager,
            limit=plan["limit"],
            log_samples=False,
            bootstrap_iters=1000,
            random_seed=plan["seed"],
            numpy_random_seed=plan["seed"],
            torch_random_seed=plan["seed"],
            fewshot_random_seed=plan["seed"],
        )
    except (DatasetNotFoundError, HfHubHTTPError, ConnectionError, FileNotFoundError) as error:
        raise BadInput(f"the data of a task cannot be had: {error}", field=FIELD) from error
    return found


def _model(plan: dict[str, Any]) -> Any:
    import torch
    from lm_eval.models.huggingface import HFLM

    from tasks.pretrained import load_model, load_tokenizer

    folder = Path(plan["model_dir"])
    model = load_model(folder, torch.bfloat16 if plan["precision"] == "fast" else torch.float32)
    model = model.to(this_device().kind).eval()
    return HFLM(pretrained=model, tokenizer=load_tokenizer(folder), batch_size=plan["batch_size"])


def _name_in(file: Path) -> str:
    """The name of the task that a file holds."""
    try:
        match = _TASK.search(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"it cannot be read: {error}", file=str(file), field=FIELD) from None
    if match is None:
        raise BadInput("it names no task: a line `task: NAME` is needed", file=str(file), field=FIELD)
    return match[1]


def _figures(row: dict[str, Any]) -> dict[str, float]:
    """The metrics of one task that are numbers."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


if __name__ == "__main__":
    serve(harness)
