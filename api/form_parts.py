"""A multipart form as it comes in: its fields are kept, its one file is passed on piece by piece, never held whole.

form = Form(request.stream(), request.headers.get("Content-Type", ""))
name = await form.until_file()        the file's name; nothing of it has been read
async for piece in form.content():    its bytes; when they are over, `form.fields` has every field
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from api.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE = "file"
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
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Problem(400, "the body must be multipart/form-data with a boundary")
        self.fields: dict[str, str] = {}
        self._raw: dict[str, bytes] = {}
        self._pieces = _pieces(body, boundary)
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


async def _pieces(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[tuple[Part, bytes]]:
    """Each part's content as it comes; a part that is empty too."""
    told = _Told()
    try:
        parser = MultipartParser(boundary, told.callbacks())
        async for chunk in body:
            parser.write(chunk)
            for piece in told.take():
                yield piece
    except FormParserError as problem:
        raise Problem(400, f"the form cannot be read: {problem}") from None
    if not told.is_over:
        raise Problem(400, "the form breaks off before its end")


class _Told:
    """What the parser has said and nobody has taken yet."""

    def __init__(self) -> None:
        self.is_over = False
        self._pieces: list[tuple[Part, bytes]] = []
        self._part = Part("", "")
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_part,
            "on_part_data": self._add_piece,
            "on_end": self._end,
        }

    def take(self) -> list[tuple[Part, bytes]]:
        taken, self._pieces = self._pieces, []
        return taken

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _begin_part(self) -> None:
        _, said = parse_options_header(self._headers.pop(b"content-disposition", b""))
        self._headers.clear()
        name, file_name = (said.get(word, b"").decode(errors="replace") for word in (b"name", b"filename"))
        if not name:
            raise Problem(400, "a part of the form has no name")
        self._part = Part(name, re.split(r"[/\\]", file_name)[-1])
        self._pieces.append((self._part, b""))

    def _add_piece(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append((self._part, data[start:end]))

    def _end(self) -> None:
        self.is_over = True
