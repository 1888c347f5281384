"""The numeric scorer: which number an answer comes to, and whether it is the right one.

Read as numbers: `1,234.5` (commas between groups of three), `1e-3`, `-5` with any minus sign, `.5`, `3/4`, `½`, `3½`,
`$-5`, `-$5`, `50%`. Not read: a decimal comma, and digits that hang on a letter, as in CO2.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from dataclasses import dataclass
from decimal import Context, Decimal

_MINUS = dict.fromkeys(map(ord, "\u2212\ufe63\uff0d"), "-")
_VULGAR = "¼½¾⅐-⅞"
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)])[-+])?[$€£¥]?(?P<inner>(?<=[$€£¥])[-+])?(?<![A-Za-z_\d])"
    r"(?:(?<!/)(?P<over>\d+)/(?P<under>\d+)(?![\d/])"
    rf"|(?P<whole>\d*)(?P<vulgar>[{_VULGAR}])"
    r"|(?P<plain>\d+(?:,\d+)*(?:\.\d+)?|(?<!\.)\.\d+)(?P<exponent>[eE][-+]?\d+)?)"
    r"\s?(?P<percent>[%\uff05])?"
)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ARITHMETIC = Context(prec=34, traps=[])  # what overflows becomes infinite, what is nonsense no number
_SLACK = Decimal("1e-9")  # of the limit: a tolerance of 0.1 was written in tenths


@dataclass(frozen=True)
class Found:
    """A number of a text; `percent`: a per cent sign follows."""

    value: Decimal
    percent: bool


def last_number(text: str) -> Found | None:
    """The last number of a text; None where it has none, or that one is not finite."""
    found = deque(_NUMBER.finditer(text.translate(_MINUS)), maxlen=1)
    if not found:
        return None
    value = _value(found[0])
    return Found(value, found[0]["percent"] is not None) if value.is_finite() else None


def numeric(response: str, expected: str, *, tolerance: float, relative: float) -> float:
    """1.0 where the last numbers of both are the same within a tolerance; no number is 0.0.

    `50%` is 50 as well as 0.5 where the other one has no sign.
    """
    answer, right = last_number(response), last_number(expected)
    if answer is None or right is None:
        return 0.0
    values = [answer.value]
    if answer.percent and not right.percent:
        values.append(_ARITHMETIC.divide(answer.value, Decimal(100)))
    elif right.percent and not answer.percent:
        values.append(_ARITHMETIC.multiply(answer.value, Decimal(100)))
    share = _ARITHMETIC.multiply(Decimal(str(relative)), _ARITHMETIC.abs(right.value))
    limit = _ARITHMETIC.multiply(max(Decimal(str(tolerance)), share), 1 + _SLACK)
    return float(any(_ARITHMETIC.abs(_ARITHMETIC.subtract(value, right.value)) <= limit for value in values))


def _value(match: re.Match[str]) -> Decimal:
    negative = "-" in (match["sign"], match["inner"])
    if match["over"] is not None:
        value = _ARITHMETIC.divide(_decimal(match["over"]), _decimal(match["under"]))
    elif match["vulgar"] is not None:
        part = Decimal(str(unicodedata.numeric(match["vulgar"])))
        value = _ARITHMETIC.add(_decimal(match["whole"] or "0"), part)
    else:
        number = match["plain"]
        if "," in number and not _GROUPED.fullmatch(number):  # a list without spaces: its last one
            number, negative = number.rpartition(",")[2], False
        value = _decimal(number.replace(",", "") + (match["exponent"] or ""))
    return -value if negative else value


def _decimal(text: str) -> Decimal:
    return _ARITHMETIC.create_decimal(text)
