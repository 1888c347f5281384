"""Files one after the other, or as a tar: bytes that follow from the list of files alone, so that any part can be
asked for again."""

from collections.abc import Iterator, Sequence
from tarfile import BLOCKSIZE, PAX_FORMAT, TarInfo

from api.kept_place import Source

Piece = bytes | Source


def tar_of(files: Sequence[Source]) -> list[Piece]:
    """An uncompressed tar by name, without times or owners."""
    pieces: list[Piece] = []
    for file in sorted(files, key=lambda file: file.name):
        pieces += [_header(file), file, bytes(-file.size % BLOCKSIZE)]
    return [*pieces, bytes(2 * BLOCKSIZE)]


def _header(file: Source) -> bytes:
    entry = TarInfo(file.name)
    entry.size = file.size
    return entry.tobuf(PAX_FORMAT)


def length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.size


def part_of(pieces: Sequence[Piece], start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop` of the pieces joined; no more than a chunk is held."""
    at = 0
    for piece in pieces:
        first, last = max(start - at, 0), min(stop - at, length(piece))
        if first < last:
            yield from [piece[first:last]] if isinstance(piece, bytes) else piece.read(first, last)
        at += length(piece)
