"""Whose turn it is to have which cards of a host, and why the others wait. Pure: files and NVML are in `tasks.lease`.

First come, first served: who waits for two cards is not overtaken by one after another who need one. Free cards are
kept for the first in the line until it has as many as it asks for. Only who waits for a card that no lease will give
back (a foreign process has it, or it is lost) holds up nobody: how long that lasts is not ours to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A card, or a MIG slice of one, as a lease sees it.

    Attributes:
        uuid: NVML's name.
        fault: Why no lease can have it, whoever asks.
        holder: Who has it leased, in words.
    """

    uuid: str
    fault: str | None = None
    holder: str | None = None


@dataclass(frozen=True)
class Ticket:
    """A place in the line: `count` of the cards in `may`, all or none."""

    number: int
    job: str
    count: int
    may: frozenset[str]


def grants(line: Sequence[Ticket], slots: Sequence[Slot]) -> dict[int, list[str]]:
    """Ticket number -> the cards that are kept for it now; with as many as it asks for, it may go.

    Args:
        line: The tickets, first come first.
        slots: The host's cards.
    """
    kept: dict[int, list[str]] = {}
    given: set[str] = set()
    for ticket in line:
        reach = [slot for slot in slots if slot.uuid in ticket.may and not slot.fault]
        if len(reach) < ticket.count:
            kept[ticket.number] = []
            continue
        free = [slot.uuid for slot in reach if not slot.holder and slot.uuid not in given]
        kept[ticket.number] = free[: ticket.count]
        given.update(kept[ticket.number])
    return kept


def wait_reason(ticket: Ticket, line: Sequence[Ticket], slots: Sequence[Slot]) -> str:
    """One sentence for the person who asks why nothing happens: what is with each card, and the place in the line."""
    kept = grants(line, slots)
    ahead = {uuid: other.job for other in line if other != ticket for uuid in kept[other.number]}
    there = {slot.uuid: slot for slot in slots}
    states = [_state(uuid, there.get(uuid), ahead.get(uuid)) for uuid in sorted(ticket.may)]
    place = [other.number for other in line].index(ticket.number) + 1
    return "; ".join(
        [
            f"waiting for {ticket.count} of {len(ticket.may)} GPUs: {states[0]}",
            *states[1:],
            f"place {place} of {len(line)} in this host's line",
        ]
    )


def _state(uuid: str, slot: Slot | None, ahead: str | None) -> str:
    if slot is None:
        return f"{uuid} is gone"
    if reason := slot.fault or slot.holder:
        return f"{uuid} {reason}"
    return f"{uuid} is kept for job {ahead}" if ahead else f"{uuid} is free"
