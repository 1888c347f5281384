"""A multipart form as it comes in: its fields are kept, its one file is passed on piece by piece, never held whole.

form = Form(request.stream(), request.headers.get("Content-Type", ""))
name = await form.until_file()        the file's name; nothing of it has been read
async for piece in form.content():    its bytes; when they are over, `form.fields` has every field
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message

from starlette.requests import ClientDisconnect

from api.problems import Problem

FILE = "file"
LONGEST_HEADERS = 16 * 2**10
LONGEST_FIELDS = 64 * 2**10


@dataclass(frozen=True)
class Part:
    name: str
    file_name: str


class Form:
    """A form with one file, in the part that is called `file`.

    Raises:
        Problem: 400 where it is no such form; each method as well, as far as it has read.
    """

    def __init__(self, body: AsyncIterator[bytes], content_type: str) -> None:
        self.fields: dict[str, str] = {}
        self._raw: dict[str, bytes] = {}
        self._pieces = _pieces(body, _boundary(content_type))
        self._first = b""

    async def until_file(self) -> str:
        try:
            async for part, piece in self._pieces:
                if part.name == FILE:
                    self._first = piece
                    return part.file_name
                self._keep(part, piece)
        except ClientDisconnect:
            raise Problem(400, "The upload broke off: nothing was kept") from None
        raise Problem(400, "the form has no part that is called file", field=FILE)

    async def content(self) -> AsyncIterator[bytes]:
        yield self._first
        is_file = True
        async for part, piece in self._pieces:
            if part.name != FILE:
                is_file = False
                self._keep(part, piece)
            elif not is_file:
                raise Problem(400, "one file at a time", field=FILE)
            else:
                yield piece

    def _keep(self, part: Part, piece: bytes) -> None:
        self._raw[part.name] = self._raw.get(part.name, b"") + piece
        if sum(map(len, self._raw.values())) + sum(map(len, self._raw)) > LONGEST_FIELDS:
            raise Problem(400, "the form's fields are too long")
        self.fields[part.name] = self._raw[part.name].decode(errors="replace")


def _boundary(content_type: str) -> bytes:
    said = Message()
    said["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    boundary = said.get_boundary()
    if said.get_content_type() != "multipart/form-data" or not boundary:
        raise Problem(400, "the body must be multipart/form-data with a boundary")
    return boundary.encode(errors="replace")


async def _pieces(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[tuple[Part, bytes]]:
    """Each part's content as it comes; a part that is empty too."""
    mark = b"\r\n--" + boundary
    buffer, part = bytearray(b"\r\n"), None  # so that the first mark is like the others
    async for chunk in body:
        buffer += chunk
        while (at := buffer.find(mark)) >= 0:
            headers = at + len(mark)
            if buffer.startswith(b"--", headers):
                if part is not None:
                    yield part, bytes(buffer[:at])
                return
            end = buffer.find(b"\r\n\r\n", headers)
            if end < 0:
                break
            if part is not None:
                yield part, bytes(buffer[:at])
            part = _part(bytes(buffer[headers:end]))
            del buffer[: end + 4]
        if at < 0 and part is not None and len(buffer) > len(mark):
            sure = len(buffer) - len(mark)  # the rest may be a mark's beginning
            yield part, bytes(buffer[:sure])
            del buffer[:sure]
        elif len(buffer) - max(at, 0) > LONGEST_HEADERS + len(mark):
            raise Problem(400, "a part of the form has no end to its headers")
    raise Problem(400, "the form breaks off before its end")


def _part(headers: bytes) -> Part:
    said = message_from_string(headers.decode(errors="replace").lstrip(" \t\r\n"))
    name = said.get_param("name", "", "Content-Disposition")
    file_name = said.get_filename("")
    if not isinstance(name, str) or not name:
        raise Problem(400, "a part of the form has no name")
    return Part(name, re.split(r"[/\\]", file_name)[-1])
