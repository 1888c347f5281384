"""The folder that a run leaves: weights, tokenizer, how it generates, and where it all comes from."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from tasks.base_weights import Base
from tasks.durable import files_sha256, folder_files, publish, staging_beside
from tasks.provenance import write_provenance


def keep_result(model: Any, base: Base, kind: str, facts: dict[str, Any], output: Path) -> dict[str, Any]:
    """Saves a model in the format that it was trained to be used in, an adapter in its own fp32.

    The folder is whole under its final name or not there. Returns its name, digests and size.
    """
    staging = staging_beside(output)
    if kind == "model":
        model = model.to(torch.bfloat16 if base.precision == "bf16" else torch.float32)
    else:
        AutoConfig.from_pretrained(base.folder).save_pretrained(staging)  # tokenizers look for it beside them
        model.generation_config.save_pretrained(staging)
    model.save_pretrained(staging)
    base.tokenizer.save_pretrained(staging)
    write_provenance(staging, facts)
    publish(staging, output)
    return {"model_dir": str(output), "kind": kind, **digests(output)}


def digests(folder: Path) -> dict[str, Any]:
    """{"sha256" of the folder, "weights_sha256" (of several files, of their digests in order), "size_bytes", "files"
    (a KeptFile each)}."""
    files = folder_files(folder)
    weights = [file.sha256 for file in files if re.fullmatch(r"[^/]+\.safetensors", file.path)]
    of_all = weights[0] if len(weights) == 1 else hashlib.sha256("".join(weights).encode()).hexdigest()
    return {
        "sha256": files_sha256(files),
        "weights_sha256": of_all,
        "size_bytes": sum(file.size_bytes for file in files),
        "files": [file.model_dump() for file in files],
    }
