"""Which part of a file is asked for: the header `Range`, of which one part at a time is served."""

import re

_ONE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


class NoSuchPart(ValueError):
    """Nothing of what is asked for is there."""


def part_asked(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, stop) of the bytes that are asked for; None: all of them, as for several parts or an odd header.

    Raises:
        NoSuchPart: It begins behind the end.
    """
    found = _ONE.fullmatch(header or "")
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:  # the last so many
        start, stop = max(0, size - int(found[2])), size
    else:
        start, stop = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size:
        raise NoSuchPart
    return start, stop
