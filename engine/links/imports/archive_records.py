"""Records of a profile's archive (storage/privacy/archive.py): its links, without counts, members and logs."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine.common.errors import FieldError, InvalidError
from engine.links.imports.json_records import flat, json_object
from engine.links.imports.row_error import Record, RowError
from engine.links.imports.text_file import Line

ARCHIVE_FORMAT: Final = 1
# Columns of the table that are not a link's.
_LEFT_OUT: Final = ("id", "profile_id", "revision", "version", "updated_at", "options")


class _Header(msgspec.Struct):
    waypost: str = ""
    format: int = 0


class _ArchiveLine(msgspec.Struct):
    table: str = ""
    row: msgspec.Raw = msgspec.Raw(b"{}")
    end: bool = False


_decode_header: Final = msgspec.json.Decoder(_Header).decode
_decode_line: Final = msgspec.json.Decoder(_ArchiveLine).decode


def is_archive(first_line: str) -> bool:
    """Return whether a file's first line is an archive's. Raises InvalidError for another format."""
    try:
        header = _decode_header(first_line)
    except (msgspec.MsgspecError, UnicodeError):
        return False
    if header.waypost != "archive":
        return False
    if header.format != ARCHIVE_FORMAT:
        reason = f"must be {ARCHIVE_FORMAT}: another version of waypost wrote this archive"
        raise InvalidError([FieldError("format", reason)])
    return True


def archive_records(lines: Iterator[Line], handle: str = "") -> Iterator[Record]:
    """Yield a record for each link of an archive. `handle` is their profile, if not the archive's own."""
    own_handle, ended, number = handle, False, 1
    next(lines, None)
    for number, text in lines:
        if text is None:
            continue  # no link is that long
        try:
            line = _decode_line(text)
            if line.table not in ("profiles", "links"):
                ended = line.end
                continue
            row = json_object(text)["row"]
            if not isinstance(row, dict):
                raise RowError("not a line of an archive: its row must be an object")
            if line.table == "profiles":
                own_handle = handle or str(row.get("handle", ""))
                continue
            yield Record(number, {"handle": own_handle, **flat(_fields(row))})
        except (msgspec.MsgspecError, UnicodeError) as error:
            yield Record(number, {}, f"not a line of an archive: {error}")
        except RowError as error:
            yield Record(number, {}, str(error))
    if not ended:
        yield Record(
            number, {}, "is the last line, and the archive has no end: it was not written whole"
        )


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    """Return the link's values, its options among them."""
    options = row.get("options")
    fields = {name: value for name, value in row.items() if name not in _LEFT_OUT}
    return fields | (options if isinstance(options, dict) else {})
