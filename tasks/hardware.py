"""What this process computes on, and in which number format."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["bf16", "fp32"]
CPU_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@dataclass(frozen=True)
class Device:
    """`kind` is torch's name for it, `words` what a person reads; `uuid` is NVML's name of a card."""

    kind: Literal["cuda", "cpu"]
    words: str
    has_bf16: bool
    uuid: str | None = None


def this_device() -> Device:
    """The first CUDA card that this process may use, else the CPU.

    torch is asked, not NVML: NVML sees cards that torch cannot use.
    """
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device("cuda", f"cuda:0 ({card.name})", native, f"GPU-{card.uuid}")
    flags = _cpu_flags(Path("/proc/cpuinfo"))
    words = f"cpu ({os.cpu_count()} cores; no GPU that torch can use)"
    return Device("cpu", words, not flags.isdisjoint(CPU_BF16_FLAGS))


def training_precision(wish: Literal["auto", "bf16", "fp32"], device: Device) -> Precision:
    """auto: bf16 only where the hardware multiplies it natively; emulated, it is slower than fp32."""
    if wish == "auto":
        return "bf16" if device.has_bf16 else "fp32"
    return wish


def _cpu_flags(cpuinfo: Path) -> set[str]:
    """The first CPU's features; x86 calls the line `flags`, ARM `Features`; no such file: none known."""
    if not cpuinfo.exists():
        return set()
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    return set(line[1].split()) if line else set()
