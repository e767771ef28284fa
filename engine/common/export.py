"""Rows as files: CSV as RFC 4180 has it, for spreadsheets, or a JSON object a line.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula, and
what stands in cells came from visitors. Such a text gets an apostrophe in front (OWASP, CSV injection).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec

ExportFormat = Literal["csv", "ndjson"]
FORMATS: Final[tuple[str, ...]] = get_args(ExportFormat)
CONTENT_TYPES: Final = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def file_head(format_: ExportFormat, names: Sequence[str]) -> bytes:
    """What stands before all rows."""
    return _csv([names]) if format_ == "csv" else b""


def file_rows(format_: ExportFormat, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Some rows. Values are texts, numbers, aware datetimes or None."""
    if format_ == "csv":
        return _csv([safe_cell(value) for value in row] for row in rows)
    return b"".join(msgspec.json.encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows)


def safe_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
