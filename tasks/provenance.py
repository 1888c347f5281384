"""Where a model comes from: what was trained how on what, by which code. Nothing in it changes from one run to an
equal one, so that equal runs make equal folders."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from tasks.durable import write_json
from tuneyard.configs import FinetuneConfig

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("tuneyard", "torch", "transformers", "accelerate", "peft", "trl", "bitsandbytes", "tokenizers")
FACTS = "training.json"
CARD = "README.md"


def training_facts(
    config: FinetuneConfig, hashes: dict[str, str | None], hardware: dict[str, str], outcome: dict[str, Any]
) -> dict[str, Any]:
    """What training.json holds.

    Args:
        hashes: SHA-256 of the base model and the data sets.
        hardware: The device in words, and the precision.
        outcome: The run's figures that an equal run would have too.
    """
    return {
        "config": config.model_dump(mode="json"),
        "sha256": hashes,
        "outcome": outcome,
        "code": code_version(),
        "packages": {"python": platform.python_version(), **_versions()},
        "hardware": {**hardware, "platform": platform.platform()},
        "seed": config.seed,
    }


def write_provenance(folder: Path, facts: dict[str, Any]) -> None:
    """Writes training.json and the model card into the result's folder."""
    write_json(folder / FACTS, facts)
    (folder / CARD).write_text(model_card(facts), encoding="utf-8")


def model_card(facts: dict[str, Any]) -> str:
    """A README in the form that model hubs read: YAML, then words."""
    config, outcome = facts["config"], facts["outcome"]
    adapter = config["method"] != "full" and "merged" not in facts
    head = {
        "base_model": config["model"],
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["tuneyard", config["method"], *(["lora"] if adapter else [])],
    }
    kind = "An adapter for" if adapter else "A fine-tune of"
    tables = [
        ("Result", outcome),
        ("Data and base model (SHA-256)", facts["sha256"]),
        (
            "Made with",
            {"code": facts["code"], **facts["packages"], **facts["hardware"], "seed": facts["seed"]},
        ),
        ("Config", config),
    ]
    words = f"# {config['name'] or config['model']}\n\n{kind} `{config['model']}`, trained on `{config['dataset']}`.\n"
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{words}" + "".join(_table(title, rows) for title, rows in tables)


def code_version() -> str | None:
    """The commit that this code is, with `+changes` where files differ from it; None outside a repository."""
    try:
        commit, changes = (
            subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+changes" if changes.strip() else "")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an extra that this host has not
    return found


def _table(title: str, rows: dict[str, Any]) -> str:
    lines = "".join(f"| {name} | {_cell(value)} |\n" for name, value in rows.items() if value is not None)
    return f"\n## {title}\n\n| | |\n|---|---|\n{lines}"


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
