"""Rows that are longer than they may be: refused by line, cut off, or, where they are plain text, split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tasks.render import PairRow, Span, TokenRow
from tuneyard.errors import BadInput

LongRows = Literal["refuse", "truncate", "split"]


def length_limit(max_length: int, context: int | None) -> tuple[int, str]:
    """(the most tokens that a row may have, whose limit that is, in words)."""
    if context is None or max_length <= context:
        return max_length, "max_length"
    return context, "the model's context"


def within_limit(rows: list[TokenRow], limit: int, whose: str, long_rows: LongRows) -> list[TokenRow]:
    """The rows, none longer than `limit` tokens.

    Raises:
        BadInput: for the first row that is too long, where `long_rows` says so, and where cutting would leave
            nothing to learn.
    """
    return [part for row in rows for part in _parts(row, limit, whose, long_rows)]


def refuse_long_pairs(rows: list[PairRow], limit: int, whose: str) -> None:
    """Raises BadInput for the first pair of which a side is too long: half an answer has no rank."""
    for row in rows:
        if len(row) > limit:
            raise BadInput(_too_long(len(row), limit, whose), file=row.file, line=row.line)


def _parts(row: TokenRow, limit: int, whose: str, long_rows: LongRows) -> Iterator[TokenRow]:
    size = len(row.ids)
    if size <= limit:
        yield row
    elif long_rows == "split" and row.learnt == [(0, size)]:
        parts = -(-size // limit)
        for part in range(parts):  # of one size: a last one of a single token would teach nothing
            yield _slice(row, part * size // parts, (part + 1) * size // parts)
    elif long_rows == "truncate":
        cut = _slice(row, 0, limit)
        if not cut.learnt:
            problem = (
                f"cut to {limit} tokens ({whose}), the row's prompt alone is left: there is nothing to learn"
            )
            raise BadInput(problem, file=row.file, line=row.line)
        yield cut
    else:
        raise BadInput(_too_long(size, limit, whose), file=row.file, line=row.line)


def _slice(row: TokenRow, start: int, stop: int) -> TokenRow:
    spans: list[Span] = [(max(a, start) - start, min(b, stop) - start) for a, b in row.learnt]
    return TokenRow(row.ids[start:stop], [span for span in spans if span[0] < span[1]], row.line, row.file)


def _too_long(size: int, limit: int, whose: str) -> str:
    return f"the row has {size} tokens and {whose} is {limit}; shorten the row or raise the limit"
