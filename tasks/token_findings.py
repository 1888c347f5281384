"""Finds rows that would be cut, refused or teach nothing, once they are tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.findings import finding
from tasks.render import PairRow, TokenRow
from tasks.row_length import LongRows, within_limit
from tuneyard.errors import BadInput
from tuneyard.shapes import Diagnostic


@dataclass(frozen=True)
class Limit:
    """The most tokens a row may have, whose limit that is (in words), and what becomes of longer rows."""

    tokens: int
    whose: str
    long_rows: LongRows


def token_findings(
    rows: Sequence[TokenRow], limit: Limit, ends: set[int], file: str
) -> tuple[list[TokenRow], list[Diagnostic]]:
    """(the rows as they will be trained on, what is wrong with them).

    Args:
        ends: Ids of the tokens that end an answer.
    """
    kept: list[TokenRow] = []
    refused, cut, split, empty, open_ended, cut_off = (set[int]() for _ in range(6))
    for row in rows:
        parts = _parts(row, limit)
        if len(row.ids) > limit.tokens:
            {0: empty if limit.long_rows == "truncate" else refused, 1: cut}.get(len(parts), split).add(
                row.line
            )
        if not any(stop > max(start, 1) for start, stop in row.learnt):  # nothing predicts a first token
            empty.add(row.line)
        elif any(row.ids[stop - 1] not in ends for _, stop in row.learnt):
            open_ended.add(row.line)
        elif len(parts) == 1 and parts[0].ids[parts[0].learnt[-1][1] - 1] not in ends:
            cut_off.add(row.line)
        kept += parts
    long = f"longer than {limit.tokens} tokens, which is {limit.whose}"
    return kept, [
        *finding(
            "error",
            "row_too_long",
            f"{long}; shorten it, raise it or set long_rows",
            file,
            refused,
            "max_length",
        ),
        *finding("warning", "rows_truncated", f"{long}; its end is cut off", file, cut, "long_rows"),
        *finding("info", "rows_split", f"{long}; split into several", file, split, "long_rows"),
        *finding(
            "error",
            "no_trainable_token",
            f"nothing is learnt of it within {limit.tokens} tokens",
            file,
            empty,
        ),
        *finding("error", "turn_end_not_learnt", OPEN, file, open_ended),
        *finding("warning", "turn_end_cut_off", CUT_OFF, file, cut_off),
    ]


OPEN = "an answer does not end with a token at which the model stops: it would not learn to stop"
CUT_OFF = "what is cut off holds the answer's end: of this row the model does not learn to stop"


def pair_findings(rows: Sequence[PairRow], limit: Limit, file: str) -> tuple[list[PairRow], list[Diagnostic]]:
    """As `token_findings`; a pair is never cut: half an answer has no rank."""
    kept = [row for row in rows if len(row) <= limit.tokens]
    refused = {row.line for row in rows if len(row) > limit.tokens}
    words = f"its longer side has more than {limit.tokens} tokens, which is {limit.whose}"
    return kept, finding("error", "row_too_long", words, file, refused, "max_length")


def _parts(row: TokenRow, limit: Limit) -> list[TokenRow]:
    """What is trained on of a row; nothing where it is refused."""
    try:
        return within_limit([row], limit.tokens, limit.whose, limit.long_rows)
    except BadInput:
        return []
