"""What is well and what is not, of an installation: from what was seen to findings and advice. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from textwrap import wrap
from typing import Literal

from pydantic import Field

from tuneyard import __version__
from tuneyard.display import duration, plain
from tuneyard.prefect_reads import POOL, Worker, Yard
from tuneyard.shapes import Health, Shape, System, WhoAmI

State = Literal["ok", "warn", "fail", "skip"]
GIB = 2**30
SKEW = 5.0  # seconds that a clock may be off: readings of cards and jobs are laid beside one another
BAD_SKEW = 60.0
LITTLE_DISK, NO_DISK = 20.0, 2.0  # GiB
SOON = 7  # days
MAKE_READY = "python -m deployments, where Prefect is reached from a checkout"


class Finding(Shape):
    """One thing that was looked at; `advice` says what to do. skip: it could not be looked at from here."""

    what: str
    state: State
    said: str
    advice: str | None = None


class Diagnosis(Shape):
    well: bool = Field(description="Nothing failed.")
    findings: list[Finding]


class Disk(Shape):
    """`variable`: what says where the place is."""

    variable: str
    place: str
    free: int
    total: int


def ok(what: str, said: str) -> Finding:
    return Finding(what=what, state="ok", said=said)


def warn(what: str, said: str, advice: str) -> Finding:
    return Finding(what=what, state="warn", said=said, advice=advice)


def fail(what: str, said: str, advice: str | None = None) -> Finding:
    return Finding(what=what, state="fail", said=said, advice=advice)


def skipped(what: str, why: str, advice: str | None = None) -> Finding:
    return Finding(what=what, state="skip", said=why, advice=advice)


def diagnosis(findings: Iterable[Finding]) -> Diagnosis:
    found = [*findings]
    return Diagnosis(well=all(one.state != "fail" for one in found), findings=found)


def drawn(found: Diagnosis, width: int) -> str:
    """A line each, what to do under it, and one that sums up."""
    widest = max(len(one.what) for one in found.findings)
    edge = " " * (widest + 8)
    lines = []
    for one in found.findings:
        begin = f"{one.state:4}  {one.what.ljust(widest)}  "
        lines += wrap(plain(one.said), width, initial_indent=begin, subsequent_indent=edge)
        if one.advice:
            lines += wrap(
                f"-> {plain(one.advice)}", width, initial_indent=edge, subsequent_indent=edge + "   "
            )
    counts = {
        state: sum(one.state == state for one in found.findings) for state in ("ok", "warn", "fail", "skip")
    }
    lines.append("\n" + ", ".join(f"{count} {state}" for state, count in counts.items() if count))
    return "\n".join(lines)


def about_disk(disk: Disk) -> Finding:
    free = disk.free / GIB
    said = f"{free:,.1f} of {disk.total / GIB:,.1f} GiB free at {disk.place} ({disk.variable})"
    if free < NO_DISK:
        return fail("disk", said, f"remove models or artifacts there, or move {disk.variable}")
    if free < LITTLE_DISK:
        advice = "a checkpoint takes several times its model's size: make room before a long fine-tune"
        return warn("disk", said, advice)
    return ok("disk", said)


def about_api(url: str, health: Health | None, trouble: str | None) -> Finding:
    if health is None:
        advice = "start it (make up; by hand: python -m api serve), or set TUNEYARD_API_URL to where it is"
        return fail("API", trouble or f"no answer from {url}", advice)
    if health.status != "healthy":
        ill = ", ".join(f"{name} {state}" for name, state in health.checks.items() if state != "healthy")
        advice = "look at the API's log; python -m api migrate brings its database up to date"
        return fail("API", f"{url} is unhealthy: {ill}", advice)
    return ok("API", f"{url} is healthy")


def about_version(system: System) -> Finding:
    said = f"the API is {system.tuneyard_version}, this is {__version__}"
    if system.tuneyard_version.split(".")[:2] != __version__.split(".")[:2]:
        return warn("version", said, "install the same version at both ends")
    return ok("version", said)


def about_key(who: WhoAmI, source: str, now: datetime) -> Finding:
    holder = (
        f"{who.name} of {who.workspace} (from {source}): {', '.join(who.scopes) or who.role or 'no scope'}"
    )
    if who.must_change_password:
        return warn("key", holder, "choose a password: tuneyard auth password")
    if who.expires_at is None:
        return ok("key", f"{holder}; never expires")
    left = (who.expires_at - now).total_seconds()
    said = f"{holder}; expires in {duration(left)}"
    if who.mode == "apiKey" and left < SOON * 86_400:
        advice = f"ask an admin for its successor: tuneyard keys rotate {who.key_id}"
        return warn("key", said, advice)
    return ok("key", said)


def refused_key(status: int, detail: str) -> Finding:
    """A key that is refused is something else than one that lacks a permission."""
    if status == 403:
        advice = "the key is good and lacks the permission: tuneyard keys sets; an admin makes another"
        return fail("key", f"403: {detail}", advice)
    advice = "log in with a key that is live: tuneyard auth login; an admin makes one: tuneyard keys create"
    return fail("key", f"{status}, key refused: {detail}", advice)


def about_clock(server: datetime, before: datetime, after: datetime) -> Finding:
    """The server's word for a whole second, said between two moments here."""
    early, late = (before - server).total_seconds() - 1, (after - server).total_seconds()
    off = max(early, -late, 0.0)
    if off < SKEW:
        return ok("clock", "this clock and the API's agree to within seconds")
    side = "ahead of" if early > 0 else "behind"
    said = f"this clock is {duration(off)} {side} the API's"
    advice = (
        "set both by NTP (timedatectl set-ntp true): heartbeats, expiries and readings of cards are compared"
    )
    return (fail if off >= BAD_SKEW else warn)("clock", said, advice)


def about_prefect(yard: Yard, api_url: str, now: datetime) -> list[Finding]:
    """The server, the pool, its worker, the deployments, the block."""
    if yard.trouble:
        advice = "start it (make up; by hand: prefect server start), or correct PREFECT_API_URL"
        return [fail("Prefect", yard.trouble, advice)]
    return [
        ok("Prefect", f"{yard.version} at {yard.url}"),
        _pool(yard),
        _worker(yard, now),
        _deployments(yard),
        _block(yard, api_url),
    ]


def _pool(yard: Yard) -> Finding:
    if yard.pool is None:
        return fail("pool", f"there is no work pool {POOL}", MAKE_READY)
    if yard.pool.is_paused:
        advice = f"prefect work-pool resume {POOL}"
        return fail("pool", f"{POOL} is paused: nothing starts", advice)
    return ok("pool", f"{POOL} is there ({(yard.pool.status or 'ready').lower()})")


def _worker(yard: Yard, now: datetime) -> Finding:
    if yard.online:
        said = "; ".join(f"{one.name}, last heard of {heard(one, now)}" for one in yard.online)
        return ok("worker", said)
    last = max((one for one in yard.workers if one.last_heartbeat_time), key=_beat, default=None)
    said = (
        f"none online; {last.name} was last heard of {heard(last, now)}"
        if last
        else "none has ever been here"
    )
    advice = f"on the GPU host, from a checkout: prefect worker start --pool {POOL}"
    return fail("worker", said, advice)


def _beat(worker: Worker) -> datetime:
    assert worker.last_heartbeat_time is not None
    return worker.last_heartbeat_time


def heard(worker: Worker, now: datetime) -> str:
    if worker.last_heartbeat_time is None:
        return "never"
    return f"{duration(max(0.0, (now - worker.last_heartbeat_time).total_seconds()))} ago"


def _deployments(yard: Yard) -> Finding:
    if yard.missing:
        said = f"missing: {', '.join(yard.missing)}"
        return fail("deployments", said, MAKE_READY)
    return ok("deployments", "all of them are there")


def _block(yard: Yard, api_url: str) -> Finding:
    keep = "python -m deployments store-key --api-url URL < service.key"
    if not yard.has_block:
        return fail("block", "no credentials for flows are kept", keep)
    if yard.api_url and yard.api_url.rstrip("/") != api_url:
        said = f"flows write to {yard.api_url}, and {api_url} is read here"
        return warn("block", said, f"if those are two APIs: {keep}")
    return ok("block", f"flows write to {yard.api_url or api_url}")
