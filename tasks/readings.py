"""Reads every counter of a host's cards, and its CPU and memory.

A card that is lost, or a counter that it does not have, takes nothing else down with it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psutil

from tasks.gpu import GIB, NoGpu, is_sliced, nvml, slices
from tasks.run_processes import RUN_VARIABLE
from tuneyard.shapes import GpuProcess, GpuSample, HostSample, ThrottleReason

CPU_WINDOW = (
    0.1  # seconds over which CPU use is measured: psutil's first reading without a window means nothing
)
# By NVML's bits, from the lowest.
REASONS: tuple[ThrottleReason, ...] = (
    "idle",
    "clocks_setting",
    "power_cap",
    "hw_slowdown",
    "sync_boost",
    "thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clock",
)


def read_host(taken_at: datetime | None = None, interval_seconds: float | None = None) -> HostSample:
    """One reading, now. `no_gpu` says in words why there are no cards, where there are none.

    Args:
        taken_at: The moment that it stands for; default: now.
        interval_seconds: How far apart the readings are meant to be.
    """
    memory = psutil.virtual_memory()
    driver, no_gpu, cards = _read_cards()
    return HostSample(
        host=socket.gethostname(),
        taken_at=taken_at or datetime.now(UTC),
        interval_seconds=interval_seconds,
        cpu_percent=psutil.cpu_percent(interval=CPU_WINDOW),
        memory_used_gb=(memory.total - memory.available) / GIB,
        memory_total_gb=memory.total / GIB,
        driver_version=driver,
        no_gpu=no_gpu,
        gpus=cards,
    )


@contextmanager
def driver_held() -> Iterator[None]:
    """Keeps the driver loaded for a `with` block, where there is one: without a client it may unload between two
    readings, and count energy from nothing."""
    with suppress(NoGpu), nvml():
        yield
        return
    yield


def _read_cards() -> tuple[str | None, str | None, list[GpuSample]]:
    """(driver version, why there are no cards, the cards and their slices)."""
    import pynvml

    try:
        with nvml():
            driver = str(pynvml.nvmlSystemGetDriverVersion())
            cards = [sample for index in range(pynvml.nvmlDeviceGetCount()) for sample in _read_at(index)]
    except NoGpu as none:
        return None, str(none), []
    return driver, None if cards else "no GPU here: the NVIDIA driver finds no card", cards


def _read_at(index: int) -> list[GpuSample]:
    """The card at a place, and its slices after it."""
    import pynvml

    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = str(pynvml.nvmlDeviceGetUUID(card))
    except pynvml.NVMLError as error:
        return [GpuSample(uuid=f"unreadable-{index}", index=index, error=str(error))]
    sliced = _Reader(card)
    is_mig = bool(sliced.read(is_sliced))
    whole = _read_card(card, uuid, index, is_mig)
    parts = sliced.read(slices) if is_mig else None
    return [whole, *(part for one in parts or [] if (part := _read_slice(one, whole)))]


class _Reader:
    """Reads one card's counters, each by itself. `faults`: why some could not be read, in order, each once."""

    def __init__(self, card: Any) -> None:
        self._card = card
        self.faults: dict[str, None] = {}

    def read(self, counter: Callable[..., Any], *which: Any, scale: float | None = None) -> Any:
        """What the counter says, divided by `scale`; None where the card does not have it, or it fails."""
        import pynvml

        try:
            value = counter(self._card, *which)
        except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
            return None
        except pynvml.NVMLError as error:
            self.faults[str(error)] = None
            return None
        return value if scale is None else value / scale


def _read_card(card: Any, uuid: str, index: int, is_mig: bool) -> GpuSample:
    import pynvml as n

    reader = _Reader(card)
    read = reader.read
    return GpuSample(
        uuid=uuid,
        index=index,
        mig=is_mig,
        name=read(n.nvmlDeviceGetName),
        **_use(reader),
        **_memory(reader),
        temperature_c=read(_temperature),
        power_w=read(n.nvmlDeviceGetPowerUsage, scale=1000),
        power_limit_w=read(n.nvmlDeviceGetEnforcedPowerLimit, scale=1000),
        energy_j=read(n.nvmlDeviceGetTotalEnergyConsumption, scale=1000),
        sm_clock_mhz=read(n.nvmlDeviceGetClockInfo, n.NVML_CLOCK_SM),
        memory_clock_mhz=read(n.nvmlDeviceGetClockInfo, n.NVML_CLOCK_MEM),
        throttle=read(_reasons),
        ecc_corrected=read(_ecc_errors, n.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        ecc_uncorrected=read(_ecc_errors, n.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
        pcie_sent_mb_s=read(n.nvmlDeviceGetPcieThroughput, n.NVML_PCIE_UTIL_TX_BYTES, scale=1000),
        pcie_received_mb_s=read(n.nvmlDeviceGetPcieThroughput, n.NVML_PCIE_UTIL_RX_BYTES, scale=1000),
        processes=_processes(reader, graphics=True),
        error="; ".join(reader.faults) or None,
    )


def _read_slice(part: Any, card: GpuSample) -> GpuSample | None:
    """A slice has memory and processes of its own, and no other counter; None where it has gone."""
    import pynvml

    reader = _Reader(part)
    uuid = reader.read(pynvml.nvmlDeviceGetUUID)
    if uuid is None:
        return None
    return GpuSample(
        uuid=str(uuid),
        index=card.index,
        card_uuid=card.uuid,
        name=reader.read(pynvml.nvmlDeviceGetName),
        **_memory(reader),
        processes=_processes(reader),
        error="; ".join(reader.faults) or None,
    )


def _use(reader: _Reader) -> dict[str, Any]:
    import pynvml

    use = reader.read(pynvml.nvmlDeviceGetUtilizationRates)
    return {"utilization_percent": use and use.gpu, "memory_utilization_percent": use and use.memory}


def _memory(reader: _Reader) -> dict[str, Any]:
    import pynvml

    memory = reader.read(pynvml.nvmlDeviceGetMemoryInfo)
    return {
        "memory_used_gb": memory and memory.used / GIB,
        "memory_total_gb": memory and memory.total / GIB,
    }


def _processes(reader: _Reader, *, graphics: bool = False) -> list[GpuProcess]:
    """Those that compute there, and those that draw: they hold memory, too."""
    import pynvml

    found = list(reader.read(pynvml.nvmlDeviceGetComputeRunningProcesses) or [])
    if graphics:
        found += reader.read(pynvml.nvmlDeviceGetGraphicsRunningProcesses) or []
    return [_described(pid, memory) for pid, memory in {one.pid: one.usedGpuMemory for one in found}.items()]


def _described(pid: int, memory: int | None) -> GpuProcess:
    """What this host knows of a process: nothing, where it is another container's or has just ended."""
    known: dict[str, Any] = {}
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        known["name"] = _text(process.name())[:255]
        known["parents"] = [parent.pid for parent in process.parents()][:100]
        known["flow_run_id"] = _text(process.environ().get(RUN_VARIABLE, ""))[:64] or None
    return GpuProcess(pid=pid, memory_gb=None if memory is None else memory / GIB, **known)


def _text(name: str) -> str:
    """A name without the bytes that are no text: anybody may call a process what he likes."""
    return name.encode(errors="replace").decode()


def _reasons(card: Any) -> list[ThrottleReason]:
    """Older drivers have the call by its older name."""
    import pynvml

    try:
        bits = int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(card))
    except pynvml.NVMLError_FunctionNotFound:
        bits = int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(card))
    return [name for at, name in enumerate(REASONS) if bits >> at & 1]


def _ecc_errors(card: Any, kind: int) -> int:
    import pynvml

    return int(pynvml.nvmlDeviceGetTotalEccErrors(card, kind, pynvml.NVML_VOLATILE_ECC))


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
