"""`tuneyard audit`: who did what to which object."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from tuneyard import display_access
from tuneyard.client import Client
from tuneyard.options import connected, example, json_option, paged, show_page

_AGO = re.compile(r"([0-9]{1,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(given: str) -> datetime:
    """An ISO 8601 time, UTC where it names no zone; or how long ago: 30m, 24h, 7d."""
    if ago := _AGO.fullmatch(given):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise click.BadParameter(
            f"{given!r} is neither a time like 2026-11-21T10:00 nor an age like 24h"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def object_name(given: str) -> tuple[str, str | None]:
    """KIND:ID, as the table shows it; KIND alone for all of a kind."""
    kind, _, object_id = given.partition(":")
    if not kind:
        raise click.BadParameter(f"{given!r} names no kind: write for example api_key:a1B2c3D4e5F6")
    return kind, object_id or None


@click.command("audit", epilog=example("audit --action key.revoked --since 7d"))
@click.option("--action", help="For example key.created, session.opened, job.cancelled.")
@click.option("--actor", help="Who did it: a name or an id.")
@click.option(
    "--object", "target", type=object_name, metavar="KIND:ID", help="For example api_key:a1B2c3D4e5F6."
)
@click.option("--since", type=moment, metavar="TIME", help="2026-11-21T10:00 (UTC), or an age such as 24h.")
@click.option("--until", type=moment, metavar="TIME")
@paged(100, 50)
@json_option
@connected
def audit(
    client: Client,
    action: str | None,
    actor: str | None,
    target: tuple[str, str | None] | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """Show who did what to which object, newest first; needs an admin."""
    kind, object_id = target or (None, None)
    page = client.events.list(action, actor, kind, object_id, since, until, limit, offset)
    show_page(page, as_json, display_access.events_table)
