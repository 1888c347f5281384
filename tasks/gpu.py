"""Reads a host's cards through NVML, and its CPU and memory.

A card that is lost, or a counter that it does not have, takes nothing else down with it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil

from tuneyard.shapes import GpuSample, HostSample

GIB = 2**30
CPU_WINDOW = (
    0.1  # seconds over which CPU use is measured: psutil's first reading without a window means nothing
)


def read_host() -> HostSample:
    """One reading, now. `no_gpu` says in words why there are no cards, where there are none."""
    memory = psutil.virtual_memory()
    driver, no_gpu, cards = _read_cards()
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


def _read_cards() -> tuple[str | None, str | None, list[GpuSample]]:
    """(driver version, why there are no cards, the cards)."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return None, "no GPU here: this host has no NVIDIA driver library (libnvidia-ml.so.1)", []
    except pynvml.NVMLError_DriverNotLoaded:
        return None, "no GPU here: the NVIDIA driver is installed but not loaded", []
    except pynvml.NVMLError as error:
        return None, f"no GPU can be read: NVML does not start ({error})", []
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        cards = [_read_card(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        return None, f"no GPU can be read: {error}", []
    finally:
        pynvml.nvmlShutdown()
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
