"""Import files: a line of CSV or JSON → a checked row, or the reason why not.

One line is one row: a quote that was never closed spoils its own line and not the rest of the file.
"""

import csv
from collections.abc import Callable
from typing import Final

import msgspec

from engine.links import link, profile
from engine.links.link import LinkDraft
from engine.links.ports import ImportRow
from engine.links.profile import ProfileDraft

COLUMNS: Final = ("handle", "slug", "target", "title")
MAX_LINE_BYTES: Final = 16 * 1024
_REQUIRED: Final = frozenset(COLUMNS[:3])


class RowError(ValueError):
    """The line is not a row that can be imported; `str(error)` says why."""


class _JsonRow(msgspec.Struct, forbid_unknown_fields=True):
    handle: str
    slug: str
    target: str
    title: str = ""


Parse = Callable[[str], dict[str, str]]
_decode_json: Final = msgspec.json.Decoder(_JsonRow).decode


def parser_for(first_line: str) -> tuple[Parse, bool]:
    """(how to read this file's lines, whether the first one is a header), judged by the first line."""
    text = first_line.strip()
    if text.startswith("{"):
        return parse_json, False
    names = [name.strip().lower() for name in _split(text)]
    if _REQUIRED <= set(names) <= set(COLUMNS) and len(set(names)) == len(names):
        return csv_parser(names), True
    return csv_parser(list(COLUMNS)), False


def parse_json(line: str) -> dict[str, str]:
    try:
        row = _decode_json(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise RowError(f"not a row in JSON: {error}") from None
    return msgspec.structs.asdict(row)


def csv_parser(names: list[str]) -> Parse:
    def parse(line: str) -> dict[str, str]:
        values = _split(line)
        if len(values) > len(names):
            raise RowError(f"has {len(values)} columns, {len(names)} were expected")
        row = dict(zip(names, values, strict=False))
        missing = sorted(_REQUIRED - row.keys())
        if missing:
            raise RowError(f"has no {', '.join(missing)}")
        return {"title": "", **row}

    return parse


def _split(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise RowError(f"not a row in CSV: {error}") from None


def validate_row(line: int, row: dict[str, str], *, private_hosts: bool) -> ImportRow:
    """The row by the same rules as the API's. Raises RowError naming every bad field at once."""
    text = "".join(row.values())
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise RowError("is not valid UTF-8") from None
    owner, errors = profile.validate_draft(ProfileDraft(handle=row["handle"].strip()))
    draft, link_errors = link.validate_draft(
        LinkDraft(
            slug=row["slug"].strip(), target=row["target"].strip(), title=row["title"].strip()
        ),
        private_hosts=private_hosts,
    )
    if owner is None or draft is None:
        raise RowError("; ".join(f"{e.field} {e.reason}" for e in (*errors, *link_errors)))
    return ImportRow(line, owner.handle, draft.slug, draft.target, draft.title)
