"""The error of a record that no link can be made of, and the record itself."""

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
