"""GPUs and hosts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from tuneyard.shapes.shape import Request, Shape
from tuneyard.values import Count, Counter, Flag, GpuUuid, Interval, Number, Text, Time, Utc


class GpuProcess(Request):
    """A process on a card, as seen from the host that the card is in; a container does not see those of others."""

    pid: Count
    memory_gb: Counter = None
    name: Text | None = Field(None, max_length=255)
    parents: list[Count] = Field(
        default_factory=list, max_length=100, description="Its parent's pid, that one's parent's, and so on."
    )
    flow_run_id: Text | None = Field(
        None, max_length=64, description="The Prefect run that it says to be a part of."
    )


ThrottleReason = Literal[
    "idle",
    "clocks_setting",
    "power_cap",
    "hw_slowdown",
    "sync_boost",
    "thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clock",
]


class GpuCounters(BaseModel):
    """What one card says of itself; a counter that it does not have is null."""

    utilization_percent: Counter = None
    memory_utilization_percent: Counter = Field(
        None, description="Part of the time in which memory was read or written."
    )
    memory_used_gb: Counter = None
    memory_total_gb: Counter = None
    temperature_c: Counter = None
    power_w: Counter = None
    power_limit_w: Counter = None
    energy_j: Counter = Field(None, description="All that it has used since its driver was loaded.")
    sm_clock_mhz: Counter = None
    memory_clock_mhz: Counter = None
    throttle: list[ThrottleReason] | None = Field(None, description="What holds its clocks down.")
    ecc_corrected: Counter = Field(None, description="Errors in its memory since its driver was loaded.")
    ecc_uncorrected: Counter = None
    pcie_sent_mb_s: Counter = None
    pcie_received_mb_s: Counter = None
    error: Text | None = Field(
        None, description="Why the card, or some of its counters, could not be read, if so."
    )


class GpuSample(GpuCounters, Request):
    """One reading of one card, or of one MIG slice of it: a slice has memory and processes of its own alone."""

    uuid: GpuUuid
    index: Count
    name: Text | None = None
    card_uuid: GpuUuid | None = Field(None, description="Of a slice: the card that it is a part of.")
    mig: Flag = Field(False, description="In MIG mode: its slices do the work.")
    processes: list[GpuProcess] = Field(default_factory=list, max_length=1000)


class HostSample(Request):
    """One reading of one host and every card in it. `no_gpu` says why `gpus` is empty."""

    host: Text = Field(min_length=1, max_length=255)
    taken_at: Time
    interval_seconds: Interval | None = Field(
        None, description="How far apart this host's readings are meant to be."
    )
    cpu_percent: Number = None
    memory_used_gb: Number = None
    memory_total_gb: Number = None
    driver_version: Text | None = None
    no_gpu: Text | None = None
    gpus: list[GpuSample] = Field(default_factory=list, max_length=256)


class HostSampleBatch(Request):
    samples: list[HostSample] = Field(min_length=1, max_length=1000)


class GpuFinding(Shape):
    """What somebody should look at. idle: no use, leased or free. zombie: memory that no live job accounts for.
    foreign: processes of no job. lost: it can no longer be read. silent: nobody reads it."""

    kind: Literal["idle", "zombie", "foreign", "lost", "silent"]
    since: Utc
    message: str


class Gpu(GpuCounters, Shape):
    """A card, or a MIG slice of one, as it was when it was last read."""

    uuid: str
    index: int
    name: str | None = None
    card_uuid: str | None = None
    mig: bool = False
    taken_at: Utc
    processes: list[GpuProcess] = Field(default_factory=list)
    jobs: list[str] = Field(
        default_factory=list, description="The jobs that have it, by lease or by process."
    )
    findings: list[GpuFinding] = Field(default_factory=list)


class GpuHost(Shape):
    """A host as it was when it was last read, and its cards."""

    host: str
    taken_at: Utc
    interval_seconds: float | None = None
    cpu_percent: float | None = None
    memory_used_gb: float | None = None
    memory_total_gb: float | None = None
    driver_version: str | None = None
    no_gpu: str | None = None
    gpus: list[Gpu] = Field(default_factory=list)


class GpuReading(GpuCounters, Shape):
    """One reading out of a card's history, or five minutes' worth of them: then use, power, clocks and PCIe are
    means, memory and temperature are the highest, `samples` says of how many."""

    taken_at: Utc
    samples: int = 1
    jobs: list[str] = Field(default_factory=list)


class GpuUse(Shape):
    """What a job had of cards. Shared by several jobs, a card's time and energy are parted among them; a MIG slice
    counts as its part of the card's memory."""

    gpu_hours: float = 0.0
    utilization_percent: float | None = Field(None, description="Mean over the time.")
    energy_wh: float | None = None
    energy_source: Literal["counter", "power", "both"] | None = Field(
        None, description="The card's own counter, or its power over the time."
    )
    peak_memory_gb: float | None = Field(None, description="The most on one card.")
    cost: float | None = Field(
        None, description="By the API's tariff, if it has one and what it prices is known."
    )


class CardUse(GpuUse):
    """One attempt's use of one card."""

    attempt: int
    host: str
    uuid: str
    name: str | None = None
    first_at: Utc
    last_at: Utc


class JobGpu(GpuUse):
    """All that a job had, and each card of each attempt by itself."""

    job_id: str
    currency: str | None = None
    cards: list[CardUse] = Field(default_factory=list)


class Stored(Shape):
    count: int
