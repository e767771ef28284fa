"""Rows as files: CSV after RFC 4180, for spreadsheets, or one JSON object per line.

A spreadsheet may run a cell as a formula if it begins with `=`, `+`, `-`, `@` (or their full-width forms), a
tab or a line end, and visitors choose the texts of cells. So such a text gets an apostrophe in front (OWASP,
"CSV injection"), also after leading blanks and invisible characters, which spreadsheets strip. Numbers stay
numbers, negative ones too. A text that has such an apostrophe itself gets one more, so that unguarded() tells
them apart. Every CSV of Waypost is written here; a test checks that.
"""

import csv
import io
import math
import re
import string
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec

from engine.common.json_forms import time_text

ExportFormat = Literal["csv", "ndjson"]
FORMATS: Final[tuple[str, ...]] = get_args(ExportFormat)
CONTENT_TYPES: Final = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
}

_HARMLESS: Final = frozenset(string.ascii_letters + string.digits)
# Blanks, control characters and invisible format characters, then the start of a formula.
_FORMULA: Final = re.compile(
    r"'*(?:[\t\r\n]|[\s\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]*"
    r"[=+\-@＝＋－＠])"
)


BYTE_ORDER_MARK: Final = "\ufeff".encode()


def file_head(format_: ExportFormat, names: Sequence[str], *, excel: bool = False) -> bytes:
    """Return the bytes in front of all rows: the column names in CSV, nothing in NDJSON.

    With `excel`, a byte order mark stands before them: without it, Excel reads UTF-8 as another encoding.
    """
    head = csv_lines([names]) if format_ == "csv" else b""
    return BYTE_ORDER_MARK + head if excel else head


def file_rows(format_: ExportFormat, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows in UTF-8. Values are texts, numbers, aware datetimes or None."""
    if format_ == "csv":
        return csv_lines(rows)
    return b"".join(msgspec.json.encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows)


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return lines of CSV in UTF-8, each ended by CR LF, with every cell made safe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(map(safe_cell, row) for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def safe_cell(value: Any) -> str:
    """Return the cell's text, with an apostrophe in front if a spreadsheet could run it as a formula."""
    if isinstance(value, str):
        # Because most cells begin with a letter or digit, looking at one character saves the pattern.
        return value if value[:1] in _HARMLESS or not _FORMULA.match(value) else f"'{value}"
    if value is None:
        return ""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return str(value)
    return safe_cell(str(value))


def unguarded(text: str) -> str:
    """Return the text that safe_cell() made a cell of."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text
