"""The answer that is a file, whole or in part."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Header, Request
from starlette.responses import Response, StreamingResponse

from api.byte_ranges import NoSuchPart, part_asked
from api.problems import Problem
from api.tar_layout import Piece, length, part_of

BINARY = "application/octet-stream"
TAR = "application/x-tar"


def download_responses(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """What a route that answers so says of itself."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}
    return {
        200: {"description": "The whole.", "content": content},
        206: {"description": "The part that `Range` asks for.", "content": content},
        409: {},
        416: {},
    }


RangeHeader = Annotated[
    str | None, Header(alias="Range", description="One part, such as `bytes=1000-`; several: the whole.")
]
IfRangeHeader = Annotated[
    str | None, Header(alias="If-Range", description="The `ETag` of what was had so far; another: the whole.")
]


def file_answer(
    request: Request, pieces: Sequence[Piece], digest: str, name: str, media_type: str = BINARY
) -> Response:
    """The pieces joined, read by threads as they are sent.

    Args:
        digest: What the bytes are known by: another digest, other bytes.

    Raises:
        Problem: 416.
    """
    size, etag = sum(map(length, pieces)), f'"{digest}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Content-Disposition": _as_file(name)}
    part = _part(request, size) if request.headers.get("If-Range", etag) == etag else None
    start, stop = part or (0, size)
    headers["Content-Length"] = str(stop - start)
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(None, status, headers, media_type)
    return StreamingResponse(part_of(pieces, start, stop), status, headers, media_type)


def _part(request: Request, size: int) -> tuple[int, int] | None:
    if request.method != "GET":
        return None
    try:
        return part_asked(request.headers.get("Range"), size)
    except NoSuchPart:
        request.state.notices["content-range"] = f"bytes */{size}"
        raise Problem(416, f"There are {size} bytes, and none of those that are asked for") from None


def _as_file(name: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
