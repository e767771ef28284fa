"""Rows of import files: a line of CSV, JSON or an archive becomes a valid row or an error.

One line is one row: an unclosed quote spoils its own line and not the rest of the file.

The archive of a profile (storage/privacy/archive.py) has a line for every row of every table. An import reads
the profile's links from it and ignores its counts, members and logs.
"""

import csv
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from engine.common.errors import FieldError, InvalidError
from engine.common.json_keys import duplicate_key
from engine.links import link, profile
from engine.links.link import LinkDraft
from engine.links.ports import ImportRow
from engine.links.profile import ProfileDraft

COLUMNS: Final = ("handle", "slug", "target", "title")
MAX_LINE_BYTES: Final = 16 * 1024
ARCHIVE_FORMAT: Final = 1
_REQUIRED: Final = frozenset(COLUMNS[:3])


class RowError(ValueError):
    """A line that cannot be imported. `str(error)` is the reason."""


class _JsonRow(msgspec.Struct, forbid_unknown_fields=True):
    slug: str
    target: str
    handle: str = ""
    title: str = ""


class _ArchiveHeader(msgspec.Struct):
    waypost: str = ""
    format: int = 0


class _ArchiveLine(msgspec.Struct):
    table: str = ""
    row: msgspec.Raw = msgspec.Raw(b"{}")
    end: bool = False


class _ArchivedProfile(msgspec.Struct):
    handle: str


class _ArchivedLink(msgspec.Struct):
    slug: str
    target: str
    title: str = ""
    kind: str = "url"


Parse = Callable[[str], dict[str, str] | None]
_decode_json: Final = msgspec.json.Decoder(_JsonRow).decode
_decode_archive_header: Final = msgspec.json.Decoder(_ArchiveHeader).decode
_decode_archive_line: Final = msgspec.json.Decoder(_ArchiveLine).decode


def parser_for(first_line: str, handle: str = "") -> tuple[Parse, bool]:
    """Return (parser of a file's lines, whether its first line is a header), by that first line.

    `handle` is the profile of rows that name none, and of an archive's links; a row that names another one is
    an error. A parser returns None for a line without a row, and raises RowError. Raises InvalidError for an
    archive of another format.
    """
    text = first_line.strip()
    if _is_archive(text):
        return ArchiveParser(handle), True
    if text.startswith("{"):
        return partial(parse_json, handle), False
    names = [name.strip().lower() for name in _split(text)]
    required = _REQUIRED - {"handle"} if handle else _REQUIRED
    if required <= set(names) <= set(COLUMNS) and len(set(names)) == len(names):
        return csv_parser(names, handle), True
    has_handles = not handle or len(names) == len(COLUMNS)
    return csv_parser(list(COLUMNS if has_handles else COLUMNS[1:]), handle), False


def parse_json(handle: str, line: str) -> dict[str, str]:
    """Return the row of a JSON object, by column; `handle`: see parser_for. Raises RowError."""
    try:
        row = _decode_json(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise RowError(f"not a row in JSON: {error}") from None
    _require_unique_keys(line)
    return _with_handle(msgspec.structs.asdict(row), handle)


def _with_handle(row: dict[str, str], handle: str) -> dict[str, str]:
    """Return the row with a handle: its own, or `handle` if that is set. Raises RowError if they differ."""
    own = row.get("handle", "").strip().lower()
    if handle and own not in ("", handle):
        raise RowError(f"handle must be {handle} or empty with this --profile")
    return row | {"handle": handle} if handle else row


class ArchiveParser:
    """The parser of an archive's lines after the first. `ended` once its last line was parsed."""

    def __init__(self, handle: str = "") -> None:
        """`handle` is the profile of its links, if another than the archive's own."""
        self.ended = False
        self._renamed = bool(handle)
        self._handle = handle

    def __call__(self, line: str) -> dict[str, str] | None:
        try:
            parsed = _decode_archive_line(line)
            self.ended = parsed.end
            if parsed.table in ("profiles", "links"):
                _require_unique_keys(line)
            if parsed.table == "profiles" and not self._renamed:
                self._handle = msgspec.json.decode(parsed.row, type=_ArchivedProfile).handle
            if parsed.table != "links":
                return None
            row = msgspec.json.decode(parsed.row, type=_ArchivedLink)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise RowError(f"not a line of an archive: {error}") from None
        return {"handle": self._handle, **msgspec.structs.asdict(row)}


def _require_unique_keys(line: str) -> None:
    try:
        key = duplicate_key(line)
    except RecursionError:
        raise RowError("nested too deeply") from None
    if key is not None:
        raise RowError(f"the key {key[:64]!r} must stand once in its object")


def _is_archive(first_line: str) -> bool:
    try:
        header = _decode_archive_header(first_line)
    except (msgspec.MsgspecError, UnicodeError):
        return False
    if header.waypost != "archive":
        return False
    if header.format != ARCHIVE_FORMAT:
        reason = f"must be {ARCHIVE_FORMAT}: another version of waypost wrote this archive"
        raise InvalidError([FieldError("format", reason)])
    return True


def csv_parser(names: list[str], handle: str = "") -> Parse:
    """Return a parser of CSV lines with these columns; `handle`: see parser_for. It raises RowError."""
    required = _REQUIRED - {"handle"} if handle else _REQUIRED

    def parse(line: str) -> dict[str, str]:
        values = _split(line)
        if len(values) > len(names):
            raise RowError(f"must have at most {len(names)} columns, not {len(values)}")
        row = dict(zip(names, values, strict=False))
        missing = sorted(required - row.keys())
        if missing:
            raise RowError(f"must have {', '.join(missing)}")
        return _with_handle({"title": "", **row}, handle)

    return parse


def _split(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise RowError(f"not a row in CSV: {error}") from None


def validate_row(line: int, row: dict[str, str], *, private_hosts: bool) -> ImportRow:
    """Return the row of line number `line`, normalised by the API's rules. Raises RowError naming every bad
    field."""
    text = "".join(row.values())
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise RowError("must be valid UTF-8") from None
    profile_draft, errors = profile.validate_draft(ProfileDraft(handle=row["handle"].strip()))
    link_draft = LinkDraft(
        slug=row["slug"].strip(),
        target=row["target"].strip(),
        title=row["title"].strip(),
        kind=row.get("kind", "url"),
    )
    draft, link_errors = link.validate_draft(link_draft, private_hosts=private_hosts)
    if profile_draft is None or draft is None or draft.slug is None:
        raise RowError("; ".join(f"{e.field} {e.reason}" for e in (*errors, *link_errors)))
    return ImportRow(line, profile_draft.handle, draft.slug, draft.target, draft.title, draft.kind)
