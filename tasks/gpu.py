"""A host's cards through NVML: which there are, and what is on them. Their counters are in `readings`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

GIB = 2**30


class NoGpu(Exception):
    """This host has no card that can be used; the message says why in words."""


class GpusUnreadable(NoGpu):
    """There is a driver, and it does not answer as it should: a state that somebody has to end, not a host
    without cards."""


@dataclass(frozen=True)
class CardProcess:
    """A process that computes on a card; `memory` in bytes, None where the driver does not say."""

    pid: int
    memory: int | None


@dataclass(frozen=True)
class CardUse:
    """What is on one card, or on one MIG slice of it; `error` says why it cannot be used, if it cannot.

    In a container NVML often shows memory in use and no process: those of other containers are hidden.
    """

    uuid: str
    memory_used: int | None  # bytes; None on chips that share the host's memory
    processes: tuple[CardProcess, ...]
    error: str | None = None


class CardMeter:
    """How busy one card is, for as long as a run lasts. `uuid` None: there is no card, it reads None."""

    def __init__(self, uuid: str | None, say: Callable[[str], None]) -> None:
        import pynvml

        self._handle: Any = None
        if uuid is None:
            return
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            say(f"GPU utilisation is not reported: {error}")

    def utilization_percent(self) -> float | None:
        """Part of the last sampling period in which a kernel ran."""
        import pynvml

        if self._handle is None:
            return None
        try:
            return float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
        except pynvml.NVMLError:
            return None  # MIG slices have no such counter


def read_uses() -> list[CardUse]:
    """What is on each thing that a process can be given: a whole card, or a slice of one that is in MIG mode.

    Raises:
        NoGpu: there is no card.
        GpusUnreadable: there is a driver, and NVML fails.
    """
    import pynvml

    with nvml():
        uses = [use for index in range(pynvml.nvmlDeviceGetCount()) for use in _uses_of(index)]
    if not uses:
        raise NoGpu("no GPU here: the NVIDIA driver finds no card")
    return uses


@contextmanager
def nvml() -> Iterator[None]:
    """NVML, for the length of a `with` block; such blocks may lie in one another.

    Raises:
        NoGpu: there is none to use.
        GpusUnreadable: it fails, at its start or inside the block.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        raise NoGpu("no GPU here: this host has no NVIDIA driver library (libnvidia-ml.so.1)") from None
    except pynvml.NVMLError_DriverNotLoaded:
        raise NoGpu("no GPU here: the NVIDIA driver is installed but not loaded") from None
    except pynvml.NVMLError as error:
        raise GpusUnreadable(f"no GPU can be read: NVML does not start ({error})") from None
    try:
        yield
    except pynvml.NVMLError as error:
        raise GpusUnreadable(f"no GPU can be read: {error}") from None
    finally:
        pynvml.nvmlShutdown()


def _uses_of(index: int) -> list[CardUse]:
    import pynvml

    uuid = f"unreadable-{index}"
    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = str(pynvml.nvmlDeviceGetUUID(card))
        return [_use_of(part) for part in (slices(card) if is_sliced(card) else [card])]
    except pynvml.NVMLError as error:
        return [CardUse(uuid, None, (), error=str(error))]


def is_sliced(card: Any) -> bool:
    """Whether the card is in MIG mode: then a process can be given its slices alone."""
    import pynvml

    try:
        return bool(pynvml.nvmlDeviceGetMigMode(card)[0] != pynvml.NVML_DEVICE_MIG_DISABLE)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return False


def slices(card: Any) -> list[Any]:
    """The slices of a card in MIG mode."""
    import pynvml

    found = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        try:
            found.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index))
        except pynvml.NVMLError_NotFound:
            continue  # a place that no slice has been made in
    return found


def _use_of(card: Any) -> CardUse:
    import pynvml

    try:
        memory = int(pynvml.nvmlDeviceGetMemoryInfo(card).used)
    except pynvml.NVMLError_NotSupported:
        memory = None
    return CardUse(
        uuid=str(pynvml.nvmlDeviceGetUUID(card)),
        memory_used=memory,
        processes=tuple(
            CardProcess(process.pid, process.usedGpuMemory)
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(card)
        ),
    )
