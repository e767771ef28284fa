"""Files of links: what kind a file is by its first line, and its records by our columns.

The kinds: CSV of any columns, JSON by lines, a document of JSON, a browser's bookmarks, a profile's archive.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import BinaryIO, Final

import msgspec

from engine.common.errors import FieldError, InvalidError
from engine.common.export import unguarded
from engine.links.imports.archive_records import archive_records, is_archive
from engine.links.imports.bookmarks import bookmark_records, is_bookmarks
from engine.links.imports.columns import ColumnMap, require_columns
from engine.links.imports.csv_records import csv_records, delimiter_of
from engine.links.imports.json_records import (
    MAX_DOCUMENT_CHARS,
    document_records,
    json_line_records,
    list_of,
)
from engine.links.imports.row_error import Record, RowError
from engine.links.imports.text_file import Line, encoding_of, text_lines

# What a CSV file without a header has.
_ADDRESS: Final = re.compile(r"\w+:|\w+\.\w+/")
_PLAIN: Final = ("handle", "slug", "target", "title")


class LinkFile:
    """A file of links, which is read from its start as often as wanted.

    `columns` has the file's names by our columns where it says other than what the names mean.
    """

    def __init__(
        self,
        file: BinaryIO,
        columns: Mapping[str, str] | None = None,
        handle: str = "",
        max_document_chars: int = MAX_DOCUMENT_CHARS,
    ) -> None:
        """Find out the file's kind, encoding and columns. Raises InvalidError for an archive of another
        format, for a header with a name twice, and for a document of JSON of more than `max_document_chars`.

        `handle` is the profile of rows that name none: with one, a CSV file without a header needs no handles.
        """
        self._file = file
        self._given = dict(columns or {})
        self._handle = handle
        self._max_document_chars = max_document_chars
        self.encoding = encoding_of(file)
        with closing(text_lines(file, self.encoding)) as lines:
            self._first = (next(_without_blank(lines), (0, ""))[1] or "").lstrip("\ufeff")
        self.unread: list[str] = []
        self.tag_separators = ","
        self._document = self._read_document()
        self.kind = self._kind()
        if self.kind == "csv":
            self._delimiter, self._header = self._csv_form()
            names = self._header or self._unnamed()
            self._map = ColumnMap(names, self._given)
            self.tag_separators = "," if self._map.is_own else ",|;"
            self.unread = self._map.unread

    def records(self) -> Iterator[Record]:
        """Yield the file's records, by our columns."""
        lines = text_lines(self._file, self.encoding)
        match self.kind:
            case "csv":
                yield from self._csv_records(lines)
            case "archive":
                yield from self._mapped(archive_records(_without_blank(lines), self._handle))
            case "bookmarks":
                yield from bookmark_records(lines)
            case "document":
                yield from self._mapped(document_records(self._document))
            case _:
                yield from self._mapped(json_line_records(_without_blank(lines)))

    def _kind(self) -> str:
        if is_bookmarks(self._first):
            return "bookmarks"
        if is_archive(self._first):
            return "archive"
        if self._document is not None:
            return "document"
        return "lines" if self._first.lstrip().startswith("{") else "csv"

    def _read_document(self) -> object | None:
        """Return the document that the file is, or None. Raises InvalidError for one that is too long."""
        first = self._first.strip()
        if not first.startswith(("[", "{")):
            return None
        try:
            value = msgspec.json.decode(first)
            if isinstance(value, dict) and list_of(value) is None:
                return None  # the first of many lines
            if isinstance(value, dict) and isinstance(value.get("row"), dict):
                return None
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            value = None
        parts: list[str] = []
        size = 0
        for _, text in text_lines(self._file, self.encoding):
            parts.append(text or "\x00")
            size += len(parts[-1])
            if size > self._max_document_chars:
                reason = f"must have at most {self._max_document_chars:,} characters, or be lines of JSON"
                raise InvalidError([FieldError("document", reason)])
        try:
            document = msgspec.json.decode("".join(parts).lstrip("\ufeff"))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        return document if list_of(document) is not None else None

    def _csv_form(self) -> tuple[str, list[str]]:
        """Return the delimiter, and the names in the header: none if the first line is a row."""
        delimiter = delimiter_of(self._first)
        values = self._first_values(delimiter)
        names = [name.strip().lstrip("\ufeff") for name in values]
        if self._given:
            require_columns(names, self._given)
        elif "target" not in ColumnMap(names).sources or any(map(_ADDRESS.match, names)):
            return delimiter, []
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidError([FieldError("header", f"has the column {twice[:64]!r} twice")])
        return delimiter, names

    def _unnamed(self) -> tuple[str, ...]:
        width = len(self._first_values(self._delimiter))
        return _PLAIN[1:] if self._handle and width < len(_PLAIN) else _PLAIN

    def _first_values(self, delimiter: str) -> list[str]:
        """Return the values of the first record: none if it is damaged."""
        with closing(text_lines(self._file, self.encoding)) as lines:
            _, values = next(csv_records(lines, delimiter), (0, []))
        return [] if isinstance(values, RowError) else values

    def _csv_records(self, lines: Iterator[Line]) -> Iterator[Record]:
        names = self._header or self._unnamed()
        width = len(names) if self._header else 0
        records = csv_records(lines, self._delimiter, width)
        if self._header:
            next(records, None)
        for number, values in records:
            if isinstance(values, RowError):
                yield Record(number, {}, str(values))
            elif len(values) > len(names) and any(values[len(names) :]):
                yield Record(
                    number, {}, f"must have at most {len(names)} columns, not {len(values)}"
                )
            else:
                texts = self._map.texts(dict(zip(names, values, strict=False)))
                yield Record(number, {name: unguarded(text) for name, text in texts.items()})

    def _mapped(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield records of JSON by our columns. Each has its own names."""
        maps: dict[tuple[str, ...], ColumnMap] = {}
        for record in records:
            if record.error:
                yield record
                continue
            names = tuple(record.values)
            if names not in maps:
                if len(maps) >= 1_000:
                    maps.clear()
                maps[names] = ColumnMap(names, self._given)
                if self.kind != "archive":
                    self.unread = list(dict.fromkeys([*self.unread, *maps[names].unread]))[:100]
            yield Record(record.line, maps[names].texts(record.values))


def _without_blank(lines: Iterator[Line]) -> Iterator[Line]:
    return (line for line in lines if line[1] is None or line[1].strip())
