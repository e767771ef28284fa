"""A record of a file, the error of one that no link can be made of, and its rejection."""

from collections.abc import Mapping
from typing import NamedTuple


class RowError(ValueError):
    """A record that cannot be imported. `str(error)` is the reason."""


class Record(NamedTuple):
    """A record of a file: texts by the file's own names of columns. `line` is its first line, or its number in
    a document of JSON. `error` says why it has no texts, if it has none."""

    line: int
    values: Mapping[str, str]
    error: str = ""


class RowReject(NamedTuple):
    """A row that was left out: its line, or its number in a document of JSON, and why. `first_line` is the row
    that has its address or external id, 0 if there is none."""

    line: int
    reason: str
    first_line: int = 0
