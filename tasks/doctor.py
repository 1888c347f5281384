"""`python -m tasks.doctor [--json]`: whether driver, NVML and torch of this host fit together, and what to do.

`tuneyard doctor` runs it as a child where it is called in a checkout.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from tasks.gpu import GpusUnreadable, NoGpu, nvml
from tuneyard.doctor import Diagnosis, Finding, diagnosis, drawn, fail, ok, skipped, warn

CPU = "work runs on the CPU here; nothing to do if this host has no NVIDIA card, else install its driver"
VARIABLE = "CUDA_VISIBLE_DEVICES"
NO_NVML = skipped("NVML", "there is nothing to read without a driver")


@dataclass(frozen=True)
class Torch:
    """`cuda`: the version it was built for, None of a CPU build; `cards`: how many it can use; `trouble`: why none."""

    version: str
    cuda: str | None
    cards: int
    architectures: tuple[str, ...] = ()
    capabilities: tuple[tuple[int, int], ...] = ()
    trouble: str | None = None


@dataclass(frozen=True)
class Driver:
    """`cuda`: the newest that it can run, as (major, minor); `cards`: how many it finds."""

    version: str
    cuda: tuple[int, int]
    cards: int


def look() -> Diagnosis:
    if find_spec("pynvml") is None or find_spec("torch") is None:
        advice = "look from the worker's environment: .venv/bin/python -m tasks.doctor"
        why = f"pynvml or torch is not installed for {sys.executable}"
        return diagnosis(skipped(what, why, advice) for what in ("driver", "NVML", "torch"))
    driver, findings = about_driver()
    return diagnosis([*findings, about_torch(seen_torch(), driver)])


def about_driver() -> tuple[Driver | None, list[Finding]]:
    """The driver, where there is one that answers; and what is to be said of it and of NVML."""
    import pynvml

    try:
        with nvml():
            cuda = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
            cards = int(pynvml.nvmlDeviceGetCount())
            driver = Driver(
                str(pynvml.nvmlSystemGetDriverVersion()), (cuda // 1000, cuda % 1000 // 10), cards
            )
    except GpusUnreadable as trouble:
        advice = "after an update of the driver restart the host; else a card is ill: nvidia-smi and dmesg say which"
        return None, [fail("driver", str(trouble), advice=advice), NO_NVML]
    except NoGpu as none:
        return None, [warn("driver", str(none), advice=CPU), NO_NVML]
    said = f"{driver.version}, for CUDA up to {driver.cuda[0]}.{driver.cuda[1]}"
    return driver, [ok("driver", said), about_cards()]


def about_cards() -> Finding:
    """Whether every card can be read."""
    from tasks.readings import read_host

    seen = read_host()
    if not seen.gpus:
        return warn("NVML", seen.no_gpu or "no card is found", CPU)
    if ill := [f"card {card.index}: {card.error}" for card in seen.gpus if card.error]:
        advice = "it takes no work until the host, or the card (nvidia-smi --gpu-reset), is reset"
        return fail("NVML", "; ".join(ill), advice=advice)
    names = sorted({card.name or "a card" for card in seen.gpus})
    return ok("NVML", f"{len(seen.gpus)} to read: {', '.join(names)}")


def seen_torch() -> Torch:
    import torch

    trouble = None
    try:
        cards = torch.cuda.device_count()
        capabilities = tuple(torch.cuda.get_device_capability(at) for at in range(cards))
    except RuntimeError as error:  # what CUDA says when a card or the driver does not do
        cards, capabilities, trouble = 0, (), " ".join(str(error).split())
    architectures = tuple(torch.cuda.get_arch_list()) if cards else ()
    return Torch(str(torch.__version__), torch.version.cuda, cards, architectures, capabilities, trouble)


def about_torch(torch: Torch, driver: Driver | None) -> Finding:
    """Whether torch can use what the driver has."""
    built = f"{torch.version}, built for {f'CUDA {torch.cuda}' if torch.cuda else 'the CPU'}"
    if driver is None or not driver.cards:
        return ok("torch", built)
    if torch.cuda is None:
        version = torch.version.partition("+")[0]
        advice = (
            f"install its CUDA build into this environment: pip install --force-reinstall torch=={version}"
        )
        return fail("torch", f"{built}: it cannot use the cards", advice)
    if _major(torch.cuda) > driver.cuda[0]:
        said = f"{built}; the driver {driver.version} runs CUDA up to {driver.cuda[0]}.{driver.cuda[1]}"
        advice = f"update the driver to one for CUDA {_major(torch.cuda)}, or install a torch for CUDA {driver.cuda[0]}"
        return fail("torch", said, advice)
    return _about_use(torch, driver, built)


def _about_use(torch: Torch, driver: Driver, built: str) -> Finding:
    if not torch.cards:
        said = (
            f"{built}: it finds none of {driver.cards} cards{f' ({torch.trouble})' if torch.trouble else ''}"
        )
        advice = f"is {VARIABLE} set to nothing, or /dev/nvidia* closed to this user? After an update restart the host"
        return fail("torch", said, advice)
    if odd := [pair for pair in torch.capabilities if not _can_run(pair, torch.architectures)]:
        said = f"{built}: it holds no code for cards of capability {odd[0][0]}.{odd[0][1]}"
        return fail("torch", said, "install a torch that still, or already, knows them")
    if torch.cards < driver.cards:
        advice = f"{VARIABLE} names fewer, or cards are in MIG mode: fine if that is meant"
        return warn("torch", f"{built}: uses {torch.cards} of {driver.cards} cards", advice)
    return ok("torch", f"{built}: uses {torch.cards} cards")


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _can_run(capability: tuple[int, int], architectures: tuple[str, ...]) -> bool:
    """Code for a card runs on later ones of the same major; `compute_` is translated for any later one."""
    for one in architectures:
        kind, _, digits = one.partition("_")
        digits = digits.rstrip("af")
        built = (int(digits[:-1]), int(digits[-1]))
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return not architectures


def main() -> None:
    found = look()
    if "--json" in sys.argv[1:]:
        text = found.model_dump_json()
    else:
        text = drawn(found, shutil.get_terminal_size((120, 24)).columns)
    sys.stdout.write(f"{text}\n")
    sys.exit(0 if found.well else 1)


if __name__ == "__main__":
    main()
