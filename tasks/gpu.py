"""Reads a host's cards through NVML, and its CPU and memory.

A card that is lost, or a counter that it does not have, takes nothing else down with it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil

from tuneyard.shapes import GpuSample, HostSample

GIB = 2**30
CPU_WINDOW = (
    0.1  # seconds over which CPU use is measured: psutil's first reading without a window means nothing
)


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


def read_host() -> HostSample:
    """One reading, now. `no_gpu` says in words why there are no cards, where there are none."""
    memory = psutil.virtual_memory()
    driver, no_gpu, cards = _read_samples()
    return HostSample(
        host=socket.gethostname(),
        taken_at=datetime.now(UTC),
        cpu_percent=psutil.cpu_percent(interval=CPU_WINDOW),
        memory_used_gb=(memory.total - memory.available) / GIB,
        memory_total_gb=memory.total / GIB,
        driver_version=driver,
        no_gpu=no_gpu,
        gpus=cards,
    )


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

    with _nvml():
        uses = [use for index in range(pynvml.nvmlDeviceGetCount()) for use in _uses_of(index)]
    if not uses:
        raise NoGpu("no GPU here: the NVIDIA driver finds no card")
    return uses


@contextmanager
def _nvml() -> Iterator[None]:
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
        return [_use_of(part) for part in (_slices(card) if _is_sliced(card) else [card])]
    except pynvml.NVMLError as error:
        return [CardUse(uuid, None, (), error=str(error))]


def _is_sliced(card: Any) -> bool:
    """Whether the card is in MIG mode: then a process can be given its slices alone."""
    import pynvml

    try:
        return bool(pynvml.nvmlDeviceGetMigMode(card)[0] != pynvml.NVML_DEVICE_MIG_DISABLE)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return False


def _slices(card: Any) -> list[Any]:
    import pynvml

    slices = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        try:
            slices.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index))
        except pynvml.NVMLError_NotFound:
            continue  # a place that no slice has been made in
    return slices


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


def _read_samples() -> tuple[str | None, str | None, list[GpuSample]]:
    """(driver version, why there are no cards, the cards)."""
    import pynvml

    try:
        with _nvml():
            driver = str(pynvml.nvmlSystemGetDriverVersion())
            cards = [_read_card(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except NoGpu as none:
        return None, str(none), []
    return driver, None if cards else "no GPU here: the NVIDIA driver finds no card", cards


def _read_card(index: int) -> GpuSample:
    import pynvml

    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = str(pynvml.nvmlDeviceGetUUID(card))
    except pynvml.NVMLError as error:
        return GpuSample(uuid=f"unreadable-{index}", index=index, error=str(error))
    faults: dict[str, None] = {}  # in order, each once

    def read(counter: Callable[[Any], Any]) -> Any:
        try:
            return counter(card)
        except pynvml.NVMLError_NotSupported:
            return None
        except pynvml.NVMLError as error:
            faults[str(error)] = None
            return None

    memory = read(pynvml.nvmlDeviceGetMemoryInfo)
    use = read(pynvml.nvmlDeviceGetUtilizationRates)
    power = read(pynvml.nvmlDeviceGetPowerUsage)
    processes = read(pynvml.nvmlDeviceGetComputeRunningProcesses)
    return GpuSample(
        uuid=uuid,
        index=index,
        name=read(pynvml.nvmlDeviceGetName),
        utilization_percent=use and use.gpu,
        memory_used_gb=memory and memory.used / GIB,
        memory_total_gb=memory and memory.total / GIB,
        temperature_c=read(_temperature),
        power_w=power if power is None else power / 1000,
        process_pids=[process.pid for process in processes or []],
        error="; ".join(faults) or None,
    )


def _temperature(card: Any) -> Any:
    """The older call goes away with CUDA 14; older drivers do not have the newer one."""
    import pynvml

    try:
        return pynvml.nvmlDeviceGetTemperatureV(card, pynvml.NVML_TEMPERATURE_GPU)
    except (
        pynvml.NVMLError_FunctionNotFound,
        pynvml.NVMLError_NotSupported,
        pynvml.NVMLError_ArgumentVersionMismatch,
    ):
        return pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU)
