"""Cards, their history and what jobs had of them, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tuneyard.display import Column, duration, fields, number, of_total, plain, short_time, table
from tuneyard.shapes import CardUse, Gpu, GpuHost, GpuReading, JobGpu


def gpus_table(hosts: Iterable[GpuHost], now: datetime, width: int) -> str:
    """A line a card, and what is the matter with them under it."""
    hosts = list(hosts)
    columns = [
        Column("HOST", elastic=True),
        Column("GPU", right=True),
        Column("NAME", elastic=True),
        Column("USE", right=True),
        Column("MEMORY GIB", right=True),
        Column("TEMP", right=True),
        Column("POWER", right=True),
        Column("PROCS", right=True),
        Column("JOB", elastic=True),
        Column("TAKEN (UTC)"),
    ]
    rows = [row for host in hosts for row in _rows(host, now)]
    told = [line for host in hosts for card in host.gpus for line in _findings(host, card, now)]
    return "\n".join([table(columns, rows, width), *([""] if told else []), *told])


def _rows(host: GpuHost, now: datetime) -> Iterable[Sequence[object]]:
    if not host.gpus:
        yield host.host, None, host.no_gpu or "no GPU", *(None,) * 6, short_time(host.taken_at, now)
    for card in host.gpus:
        memory = of_total(number(card.memory_used_gb, ".1f"), number(card.memory_total_gb, ".1f"))
        yield (
            host.host,
            card.index,
            card.error or _name(card),
            number(card.utilization_percent, ".0f", "%"),
            memory,
            number(card.temperature_c, ".0f", " C"),
            number(card.power_w, ".0f", " W"),
            len(card.processes),
            ", ".join(card.jobs) or None,
            short_time(card.taken_at, now),
        )


def _name(card: Gpu) -> str | None:
    return f"slice of {card.name}" if card.card_uuid else card.name


def _findings(host: GpuHost, card: Gpu, now: datetime) -> Iterable[str]:
    for one in card.findings:
        age = duration((now - one.since).total_seconds())
        yield plain(f"{one.kind} {host.host} GPU {card.index}, for {age}: {one.message} ({card.uuid})")


def readings_table(readings: Iterable[GpuReading], _now: datetime, width: int) -> str:
    columns = [
        Column("TIME (UTC)"),
        Column("USE", right=True),
        Column("MEMORY GIB", right=True),
        Column("TEMP", right=True),
        Column("POWER", right=True),
        Column("SM MHZ", right=True),
        Column("PCIE MB/S", right=True),
        Column("HELD DOWN BY", elastic=True),
        Column("JOB", elastic=True),
    ]
    return table(columns, map(_reading, readings), width)


def _reading(one: GpuReading) -> Sequence[object]:
    pcie = of_total(number(one.pcie_sent_mb_s, ".0f"), number(one.pcie_received_mb_s, ".0f"))
    return (
        f"{one.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        number(one.utilization_percent, ".0f", "%"),
        number(one.memory_used_gb, ".1f"),
        number(one.temperature_c, ".0f", " C"),
        number(one.power_w, ".0f", " W"),
        number(one.sm_clock_mhz, ".0f"),
        pcie,
        one.error or ", ".join(one.throttle or ()) or None,
        ", ".join(one.jobs) or None,
    )


def account_card(had: JobGpu) -> str:
    """What a job has had of cards, a line each; empty where no reading tells."""
    if not had.cards:
        return ""
    source = {"power": " (from its power)", "both": " (partly from its power)"}
    energy = number(had.energy_wh, ",.2f", " Wh")
    return fields(
        [
            ("GPU-hours", f"{had.gpu_hours:.4f}"),
            ("GPU use", number(had.utilization_percent, ".1f", "%")),
            ("GPU energy", energy and energy + source.get(had.energy_source or "", "")),
            ("GPU peak", number(had.peak_memory_gb, ".2f", " GiB")),
            ("GPU cost", number(had.cost, ",.2f", f" {had.currency}")),
        ]
    )


def account_table(had: JobGpu, now: datetime) -> str:
    """The same, and each card of each attempt by itself."""
    if not had.cards:
        return "No reading of a card tells of this job."
    columns = [
        Column("TRY", right=True),
        Column("HOST", elastic=True),
        Column("CARD"),
        Column("FROM (UTC)"),
        Column("TO"),
        Column("HOURS", right=True),
        Column("USE", right=True),
        Column("WH", right=True),
        Column("PEAK GIB", right=True),
    ]
    rows = [_card_use(one, now) for one in had.cards]
    return f"{account_card(had)}\n\n{table(columns, rows, 120)}"


def _card_use(one: CardUse, now: datetime) -> Sequence[object]:
    return (
        one.attempt,
        one.host,
        one.uuid,
        short_time(one.first_at, now),
        short_time(one.last_at, now),
        f"{one.gpu_hours:.4f}",
        number(one.utilization_percent, ".1f", "%"),
        number(one.energy_wh, ",.2f"),
        number(one.peak_memory_gb, ".2f"),
    )
