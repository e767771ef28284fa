"""Files that belong to a page: a contact as a vCard, an event for calendars, the web app manifest.

contact-{block}.vcf     RFC 6350
event-{block}.ics       RFC 5545
manifest.webmanifest    https://www.w3.org/TR/appmanifest/
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from engine.pages.blocks import ContactBlock, EventBlock
from engine.pages.page import ProfilePage
from engine.pages.page_changes import visible_blocks

MANIFEST: Final = "manifest.webmanifest"
_MAX_LINE_BYTES: Final = 75


class PageFile(NamedTuple):
    """A file of a page. `is_download`: browsers save it."""

    content_type: str
    body: bytes
    is_download: bool


def page_file(
    page: ProfilePage, name: str, *, url: str, title: str, now: datetime
) -> PageFile | None:
    """Return the file of a page at a moment; None if it has none of this name. `url` is the page's address,
    `title` what the page is called."""
    if name == MANIFEST:
        return PageFile("application/manifest+json", _manifest(url, title), False)
    for block in visible_blocks(page, now):
        if isinstance(block, ContactBlock) and name == f"contact-{block.id}.vcf":
            return PageFile("text/vcard; charset=utf-8", _vcard(block, url), True)
        if isinstance(block, EventBlock) and name == f"event-{block.id}.ics":
            return PageFile("text/calendar; charset=utf-8", _calendar(block, url, now), True)
    return None


def _manifest(url: str, title: str) -> bytes:
    path = "/" + url.split("://", 1)[-1].partition("/")[2]
    return msgspec.json.encode(
        {
            "name": title,
            "short_name": title[:30],
            "start_url": path,
            "scope": path,
            "display": "minimal-ui",
            "icons": [{"src": "/favicon.ico", "sizes": "32x32", "type": "image/png"}],
        }
    )


def _vcard(block: ContactBlock, url: str) -> bytes:
    fields = [
        ("FN", block.name),
        ("ORG", block.organisation),
        ("EMAIL", block.email),
        ("TEL;VALUE=text", block.phone),
        ("URL", url),
    ]
    lines = [f"{name}:{_escaped(value)}" for name, value in fields if value]
    return _lines(["BEGIN:VCARD", "VERSION:4.0", *lines, "END:VCARD"])


def _calendar(block: EventBlock, url: str, now: datetime) -> bytes:
    host = url.split("://", 1)[-1].partition("/")[0]
    handle = url.rpartition("/@")[2]
    ends = [f"DTEND:{_utc(block.ends_at)}"] if block.ends_at is not None else []
    texts = [("SUMMARY", block.title), ("LOCATION", block.place), ("DESCRIPTION", block.line)]
    return _lines(
        [
            "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Waypost//Pages//EN", "BEGIN:VEVENT",
            f"UID:{block.id}.{handle}@{host}", f"DTSTAMP:{_utc(now)}",
            f"DTSTART:{_utc(block.starts_at)}", *ends,
            *(f"{name}:{_escaped(text)}" for name, text in texts if text),
            f"URL:{url}", "END:VEVENT", "END:VCALENDAR",
        ]
    )  # fmt: skip


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    """Return a text as a value: RFC 6350 3.4 and RFC 5545 3.3.11 agree on what is escaped."""
    for character in "\\,;":
        text = text.replace(character, "\\" + character)
    return "\\n".join(text.splitlines())


def _lines(lines: Iterable[str]) -> bytes:
    return b"".join(_folded(line.encode()) for line in lines)


def _folded(line: bytes) -> bytes:
    """Return a line of at most 75 bytes, and its rest in lines that begin with a blank; no character is cut."""
    pieces = []
    while len(line) > _MAX_LINE_BYTES:
        end = _MAX_LINE_BYTES
        while line[end] & 0xC0 == 0x80:  # amid a character
            end -= 1
        pieces.append(line[:end])
        line = b" " + line[end:]
    return b"\r\n".join([*pieces, line]) + b"\r\n"
