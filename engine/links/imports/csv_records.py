"""Records of CSV files: any of four delimiters, quoted texts of several lines, damage that stays where it is.

An unclosed quote spoils its own line only: where lines up to the next quote make no record of the file's
columns, or are records themselves, the first line is judged alone, and the others are read again.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from engine.links.imports.row_error import RowError
from engine.links.imports.text_file import MAX_LINE_CHARS, Line

DELIMITERS: Final = (",", ";", "\t", "|")
MAX_RECORD_LINES: Final = 500

Fields = tuple[int, list[str] | RowError]


def delimiter_of(line: str) -> str:
    """Return the delimiter that makes the most columns of a file's first line."""

    def columns(delimiter: str) -> int:
        try:
            return len(_split(line.rstrip("\r\n"), delimiter))
        except RowError:
            return 0

    return max(DELIMITERS, key=columns)


def csv_records(lines: Iterator[Line], delimiter: str, width: int = 0) -> Iterator[Fields]:
    """Yield (number of its first line, columns or the error) of each record. Blank lines are none.

    `width` is the number of the file's columns; a record of several lines must have as many. 0: any number.
    """
    pending: deque[Line] = deque()

    def following() -> Line | None:
        return pending.popleft() if pending else next(lines, None)

    while (line := following()) is not None:
        number, text = line
        if text is None:
            yield number, RowError(f"must not be longer than {MAX_LINE_CHARS} characters")
            continue
        if not text.strip():
            continue
        taken: list[Line] = []
        if text.count('"') % 2:
            record = _joined(text, following, taken)
            values = _try_split(record, delimiter)
            if _is_whole(values, width) and not _hide_rows(taken[:-1], delimiter, values):
                yield number, values
                continue
            pending.extendleft(reversed(taken))
        yield number, _try_split(text, delimiter)


def _joined(text: str, following: Callable[[], Line | None], taken: list[Line]) -> str:
    """Return a text with the lines up to its closing quote, which are added to `taken`."""
    parts, quotes, size = [text], text.count('"'), len(text)
    while quotes % 2 and len(taken) < MAX_RECORD_LINES and size <= MAX_LINE_CHARS:
        line = following()
        if line is None:
            break
        taken.append(line)
        if line[1] is None:
            break
        parts.append(line[1])
        quotes += line[1].count('"')
        size += len(line[1])
    return "".join(parts)


def _is_whole(values: list[str] | RowError, width: int) -> bool:
    return not isinstance(values, RowError) and (not width or len(values) == width)


def _hide_rows(lines: list[Line], delimiter: str, values: list[str] | RowError) -> bool:
    """Return whether lines within a quoted text are rows themselves: then the quote was not meant as one."""
    width = 0 if isinstance(values, RowError) else len(values)
    for _, text in lines:
        if text is not None and width > 1 and text.count(delimiter) >= width - 1:
            inner = _try_split(text, delimiter)
            if not isinstance(inner, RowError) and len(inner) == width:
                return True
    return False


def _try_split(text: str, delimiter: str) -> list[str] | RowError:
    try:
        return _split(_without_end(text), delimiter)
    except RowError as error:
        return error


def _without_end(text: str) -> str:
    if text.endswith("\r\n"):
        return text[:-2]
    return text[:-1] if text.endswith(("\n", "\r")) else text


def _split(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise RowError(f"not a row in CSV: {error}") from None
