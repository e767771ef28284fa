"""Cursors of groups: where a page of groups ended, so that the next one begins behind it.

A page begins with the first group behind the last one of the page before, by the query's order. A group whose
counts grow meanwhile may overtake the cursor and come on no page, or come twice; in an order by `value` no
group does.
"""

import base64
import binascii
import re
from typing import Final

import msgspec

MAX_CHARS: Final = 2_000
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,2000}")
_MAX_COUNT: Final = 2**62
_VERSION: Final = 1


class GroupCursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last group of a page: its values, in the order of the query's groups, and its metrics."""

    order: str
    descending: bool
    values: tuple[str, ...]
    clicks: int = 0
    views: int = 0
    bots: int = 0
    visitors: int = 0


def encode(cursor: GroupCursor) -> str:
    return (
        base64.urlsafe_b64encode(msgspec.msgpack.encode((_VERSION, cursor))).rstrip(b"=").decode()
    )


def decode(text: str) -> GroupCursor | None:
    """Return the cursor; None for a text that encode() did not write."""
    if _CURSOR.fullmatch(text) is None:
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        version, cursor = msgspec.msgpack.decode(data, type=tuple[int, GroupCursor])
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return None
    counts = (cursor.clicks, cursor.views, cursor.bots, cursor.visitors)
    if version != _VERSION or not all(0 <= count < _MAX_COUNT for count in counts):
        return None
    if not all(value.isprintable() for value in cursor.values):
        return None
    return cursor
