"""GPUs and hosts."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, UniqueConstraint
from sqlmodel import Field, SQLModel

from api.tables.columns import OPEN, ROW_NUMBER, UtcTime, link_to, open_column, pk_column, time_column


class HostSample(SQLModel, table=True):
    """One reading of a host; those of its cards are GpuSamples."""

    __tablename__ = "host_sample"
    __table_args__ = (UniqueConstraint("workspace_id", "host", "taken_at"),)

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    host: str = Field(max_length=255)
    taken_at: datetime = Field(sa_type=UtcTime)
    interval_seconds: float | None = None
    cpu_percent: float | None = None
    memory_used_gb: float | None = None
    memory_total_gb: float | None = None
    driver_version: str | None = None
    no_gpu: str | None = None


class Gpu(SQLModel, table=True):
    """A host's card, or a MIG slice of one, and what its newest reading said.

    `holders` are [{"id", "attempt"}] of the jobs that had it then, `seen` says by pid whose its processes are, and
    `conditions` says by kind since when it is idle, lost, …, and in what words. What was read before `rolled_until`
    is summed up.
    """

    __table_args__ = (UniqueConstraint("workspace_id", "host", "uuid"),)

    pk: int = pk_column()
    workspace_id: int = link_to("workspace.pk")
    host: str = Field(max_length=255)
    uuid: str = Field(max_length=100)
    taken_at: datetime | None = time_column()
    reading: dict[str, Any] = open_column()
    holders: list[dict[str, Any]] = Field(default_factory=list, sa_type=OPEN)
    seen: dict[str, str] = open_column()
    conditions: dict[str, dict[str, str]] = open_column()
    rolled_until: datetime | None = time_column()


class GpuSample(SQLModel, table=True):
    """One reading of one card, or `samples` of them summed up."""

    __tablename__ = "gpu_sample"
    __table_args__ = ({"sqlite_with_rowid": False},)

    gpu_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("gpu.pk"), primary_key=True, autoincrement=False)
    )
    taken_at: datetime = Field(sa_column=Column(UtcTime, primary_key=True))
    workspace_id: int = link_to("workspace.pk")
    samples: int = 1
    utilization_percent: float | None = None
    memory_utilization_percent: float | None = None
    memory_used_gb: float | None = None
    memory_total_gb: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    ecc_corrected: float | None = None
    ecc_uncorrected: float | None = None
    pcie_sent_mb_s: float | None = None
    pcie_received_mb_s: float | None = None
    throttle: list[str] | None = Field(default=None, sa_type=OPEN)
    jobs: list[str] = Field(default_factory=list, sa_type=OPEN)
    error: str | None = None


class GpuUse(SQLModel, table=True):
    """What one attempt at a job has had of one card, added up as the readings come in: it outlives them."""

    __tablename__ = "gpu_use"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("job.pk"), primary_key=True, autoincrement=False)
    )
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    gpu_pk: int = Field(
        sa_column=Column(ROW_NUMBER, ForeignKey("gpu.pk"), primary_key=True, autoincrement=False)
    )
    workspace_id: int = link_to("workspace.pk")
    name: str | None = None
    first_at: datetime = Field(sa_type=UtcTime)
    last_at: datetime = Field(sa_type=UtcTime)
    seconds: float = 0.0
    measured_seconds: float = 0.0
    busy_seconds: float = 0.0
    counted_j: float | None = None
    integrated_j: float | None = None
    peak_memory_gb: float | None = None
