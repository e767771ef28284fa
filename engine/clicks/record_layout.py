"""The layout of a record: the bytes of one click, view or own event, for every writer and reader.

    fixed part  u16 size | u8 kind | u8 classification | i64 at_us
                | i64 tenant_id | i64 profile_id | i64 link_id
                | u8 length of user agent | u8 length of referrer | u8 length of language
    texts       user agent | referrer | language
    visitor id  8 bytes: a pseudonym; zeros when it is not known
    items       to the end of the record: record items (engine/clicks/record_items.py)

Integers are little-endian, and `size` is that of the whole record. `classification` holds the visitor's class
in its low bits and the version of the rules above them (engine/clicks/click.py). A record may end behind its
texts: its visitor is not known then, and it has no items.

The structs below are three views of the one fixed part. An edge packs the ids of a route once, so its view
takes them packed. Readers group records by all that is fixed but the time, so their view leaves those bytes
as they are: a `group key`, which `unpack_group_key` tells apart.
"""

from collections.abc import Iterator
from struct import Struct
from struct import error as struct_error
from typing import Final

from engine.clicks.click import VISITOR_BYTES

_SIZE: Final = "H"
_KIND_AND_CLASSIFICATION: Final = "BB"
_AT: Final = "q"
_IDS: Final = "qqq"
_LENGTHS: Final = "BBB"

_PROFILE_IDS: Final = Struct("<qq")  # the first two of the ids
_RECORD_IDS: Final = Struct("<" + _IDS)
_GROUP_KEY: Final = Struct("<" + _KIND_AND_CLASSIFICATION + _IDS)
_IDS_BYTES: Final = f"{_RECORD_IDS.size}s"
_WRITTEN: Final = Struct("<" + _SIZE + _KIND_AND_CLASSIFICATION + _AT + _IDS_BYTES + _LENGTHS)
_GROUPED: Final = Struct("<" + _SIZE + "2s" + _AT + _IDS_BYTES + _LENGTHS)
_RECORD_SIZE: Final = Struct("<" + _SIZE)

FIXED_BYTES: Final = _WRITTEN.size
PROFILE_OF_GROUP: Final = slice(2, 2 + _PROFILE_IDS.size)  # the profile's bytes in a group key
NO_VISITOR: Final = bytes(VISITOR_BYTES)

pack_ids = _RECORD_IDS.pack  # (tenant_id, profile_id, link_id)
unpack_group_key = _GROUP_KEY.unpack  # (kind, classification, tenant_id, profile_id, link_id)
_pack_fixed = _WRITTEN.pack

Record = tuple[int, bytes, int, bytes, bytes, bytes, bytes, bytes]


class FormatError(ValueError):
    """The bytes are not what the format says; `str(error)` says where and why."""


def profile_marker(tenant_id: int, profile_id: int) -> bytes:
    """Return bytes that every record of the profile contains."""
    return _PROFILE_IDS.pack(tenant_id, profile_id)


def pack_record(
    kind: int, classification: int, at_us: int, ids: bytes, user_agent: bytes, referrer: bytes,
    language: bytes, visitor_id: bytes, items: bytes,
) -> bytes:  # fmt: skip
    """Return a record. `ids` come from pack_ids(); `visitor_id` has VISITOR_BYTES, and may be empty
    only where `items` are. Raises struct.error for a text of more than 255 bytes. Called for every visit.
    """
    behind = b"".join((user_agent, referrer, language, visitor_id, items))
    return (
        _pack_fixed(
            FIXED_BYTES + len(behind), kind, classification, at_us, ids,
            len(user_agent), len(referrer), len(language),
        )
        + behind
    )  # fmt: skip


def records(
    data: bytes, start: int, end: int, first: int, count: int, after: int
) -> Iterator[Record]:
    """Yield those of the `count` records between `start` and `end` whose sequence is above `after`.

    `first` is the sequence of the record at `start`. A tuple is (sequence, group key, at_us, user agent,
    referrer, language, visitor id, items). Raises FormatError when the bytes are not so many whole records.
    Runs for each click of every edge, twice, so it is a plain tuple and no class.
    """
    unpack = _GROUPED.unpack_from
    skipped = max(0, after + 1 - first)
    try:
        position = _offset(data, start, skipped)
        for sequence in range(first + skipped, first + count):
            size, kind_and_classification, at_us, ids, agent, referrer, language = unpack(
                data, position
            )
            agent_at = position + FIXED_BYTES
            referrer_at = agent_at + agent
            language_at = referrer_at + referrer
            visitor_at = language_at + language
            items_at = visitor_at + VISITOR_BYTES
            position += size
            if items_at <= position <= end:
                visitor_id, items = data[visitor_at:items_at], data[items_at:position]
            elif position == visitor_at <= end:
                visitor_id, items = NO_VISITOR, b""
            else:
                raise FormatError("record size is wrong")
            yield (
                sequence,
                kind_and_classification + ids,
                at_us,
                data[agent_at:referrer_at],
                data[referrer_at:language_at],
                data[language_at:visitor_at],
                visitor_id,
                items,
            )
    except struct_error:
        raise FormatError("record is cut off") from None
    if position != end:
        raise FormatError("frame has bytes behind its last record")


def _offset(data: bytes, position: int, skipped: int) -> int:
    """Return where the record behind the `skipped` ones at `position` begins."""
    for _ in range(skipped):
        (size,) = _RECORD_SIZE.unpack_from(data, position)
        position += max(FIXED_BYTES, size)
    return position
