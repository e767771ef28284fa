"""The journal's bytes. All integers are little-endian.

A segment file is a header, then frames, then zeros (segments are allocated before they are filled):

    header   magic "WPJRNL" u16 format | 16 B journal id | u64 first sequence | u64 created_us | u32 crc
    frame    u32 length | u32 crc | u8 type | u8 version | u16 count | u64 first sequence | records

A frame is what one wake-up of the door recorded; `length` counts the whole frame, `crc` is CRC32C over
everything behind it. Clicks are numbered from 1 without a gap, for the whole life of a journal: the
sequence of a frame's last click is `first + count - 1`, and a frame that does not start right behind its
predecessor is not valid. Reading stops at the first frame that is not valid: what stands behind it was
never acknowledged as synced, or is not a journal.

A record is one click:

    u16 size | u8 kind | u8 verdict | i64 at_us | i64 tenant | i64 profile | i64 link
    | u8 len user agent | u8 len referrer | u8 len language | the three texts | 8 B visitor | extra

What stands behind the texts is either nothing or a visitor's pseudonym (zeros: not known) and, to the end of
the record, what else is known of the click (engine/clicks/record_items.py).
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

import google_crc32c

from engine.clicks.click import VISITOR_BYTES, Click

FORMAT: Final = 1
MAGIC: Final = b"WPJRNL"
CLICKS: Final = 1
CLICKS_VERSION: Final = 1

_HEADER: Final = Struct("<6sH16sQQ")
_CRC: Final = Struct("<I")
HEADER_BYTES: Final = _HEADER.size + _CRC.size
_FRAME: Final = Struct("<IIBBHQ")
_FRAME_BODY: Final = Struct("<BBHQ")
_FRAME_START: Final = Struct("<II")
FRAME_BYTES: Final = _FRAME.size
MAX_FRAME_CLICKS: Final = 256
MAX_FRAME_BYTES: Final = 256 * 1024

_RECORD: Final = Struct("<HBBqqqqBBB")
RECORD_BYTES: Final = _RECORD.size
_RECORD_IDS: Final = Struct("<qqq")
_PROFILE: Final = Struct("<qq")
_RECORD_FIXED: Final = Struct("<HBBq24sBBB")

NO_VISITOR: Final = bytes(VISITOR_BYTES)

# A record in two steps, for whoever packs a route's ids once: what is fixed takes them as they are packed.
pack_ids = _RECORD_IDS.pack
pack_fixed = _RECORD_FIXED.pack


class FormatError(ValueError):
    """The bytes are not what the format says; `str(error)` says where and why."""


class SegmentHeader(NamedTuple):
    journal_id: UUID
    first_sequence: int
    created_us: int


class Frame(NamedTuple):
    """A valid frame: its place in the buffer, its first sequence and count of clicks."""

    start: int
    end: int
    type: int
    version: int
    first: int
    clicks: int

    @property
    def last(self) -> int:
        return self.first + self.clicks - 1


def encode_header(header: SegmentHeader) -> bytes:
    body = _HEADER.pack(
        MAGIC, FORMAT, header.journal_id.bytes, header.first_sequence, header.created_us
    )
    return body + _CRC.pack(google_crc32c.value(body))


def decode_header(data: bytes) -> SegmentHeader:
    """Raises FormatError when it is short, damaged or of a later format."""
    if len(data) < HEADER_BYTES:
        raise FormatError("segment header is short")
    body = bytes(data[: _HEADER.size])
    magic, version, journal, first, created = _HEADER.unpack(body)
    if magic != MAGIC:
        raise FormatError("not a journal segment")
    if _CRC.unpack_from(data, _HEADER.size)[0] != google_crc32c.value(body):
        raise FormatError("segment header is damaged")
    if version != FORMAT:
        raise FormatError(f"segment format {version} is not known here")
    return SegmentHeader(UUID(bytes=journal), first, created)


def encode_record(click: Click) -> bytes:
    """One click as a record. Texts and extra must be within their bounds (engine/clicks/click.py)."""
    kind, verdict, at_us, tenant, profile, link, agent, referrer, language, visitor, extra = click
    tail = (visitor or NO_VISITOR) + extra if visitor or extra else b""
    size = RECORD_BYTES + len(agent) + len(referrer) + len(language) + len(tail)
    return (
        _RECORD.pack(
            size, kind, verdict, at_us, tenant, profile, link,
            len(agent), len(referrer), len(language),
        )
        + agent
        + referrer
        + language
        + tail
    )  # fmt: skip


def encode_frame(first: int, records: list[bytes]) -> bytes:
    """A frame of clicks `first` … `first + len(records) - 1`."""
    tail = _FRAME_BODY.pack(CLICKS, CLICKS_VERSION, len(records), first) + b"".join(records)
    return _FRAME_START.pack(len(tail) + 8, google_crc32c.value(tail)) + tail


def frame_at(data: bytes, start: int, expected: int | None = None) -> Frame:
    """The frame at `start`, checked. Raises FormatError; `expected` is the sequence it must start with."""
    if len(data) - start < FRAME_BYTES:
        raise FormatError("frame header is short")
    length, crc, kind, version, count, first = _FRAME.unpack_from(data, start)
    if not FRAME_BYTES <= length <= MAX_FRAME_BYTES:
        raise FormatError("no frame" if length == 0 else "frame length is out of bounds")
    end = start + length
    if end > len(data):
        raise FormatError("frame is cut off")
    if google_crc32c.value(bytes(data[start + 8 : end])) != crc:
        raise FormatError("frame checksum is wrong")
    if count == 0 or (expected is not None and first != expected):
        raise FormatError("frame is out of sequence")
    return Frame(start, end, kind, version, first, count)


def frames(data: bytes, start: int = 0, expected: int | None = None) -> Iterator[Frame]:
    """The valid frames from `start` on; ends silently at the first bytes that are not one."""
    while True:
        try:
            frame = frame_at(data, start, expected)
        except FormatError:
            return
        yield frame
        start = frame.end
        expected = frame.last + 1


def clicks(payload: bytes, after: int = 0) -> Iterator[Click]:
    """The clicks of a batch's frames whose sequence is above `after`.

    Raises FormatError at the first frame or record that is not valid: a payload has no torn end.
    """
    start = 0
    expected: int | None = None
    while start < len(payload):
        frame = frame_at(payload, start, expected)
        start, expected = frame.end, frame.last + 1
        if frame.type != CLICKS or frame.version != CLICKS_VERSION:
            raise FormatError(f"frame type {frame.type} version {frame.version} is not known here")
        if frame.last > after:
            yield from _records(payload, frame, max(0, after + 1 - frame.first))


def without_profile(payload: bytes, first: int, tenant_id: int, profile_id: int) -> bytes:
    """A batch's frames without the clicks of a profile, numbered from `first` on; nothing if no others are in
    it. Of bytes that are not valid nobody can say whose they are: nothing is left of them either."""
    try:
        kept = [
            encode_record(click)
            for click in clicks(payload)
            if (click.tenant_id, click.profile_id) != (tenant_id, profile_id)
        ]
    except FormatError:
        return b""
    frames = range(0, len(kept), MAX_FRAME_CLICKS)
    return b"".join(encode_frame(first + n, kept[n : n + MAX_FRAME_CLICKS]) for n in frames)


def profile_marker(tenant_id: int, profile_id: int) -> bytes:
    """What is in each record of a profile's."""
    return _PROFILE.pack(tenant_id, profile_id)


def _records(payload: bytes, frame: Frame, skip: int) -> Iterator[Click]:
    position = frame.start + FRAME_BYTES
    unpack = _RECORD.unpack_from
    make = Click._make
    for index in range(frame.clicks):
        if position + RECORD_BYTES > frame.end:
            raise FormatError("record is cut off")
        size, kind, verdict, at, tenant, profile, link, la, lr, ll = unpack(payload, position)
        text = position + RECORD_BYTES
        tail = text + la + lr + ll
        position += size
        if not (position == tail or position >= tail + VISITOR_BYTES) or position > frame.end:
            raise FormatError("record size is wrong")
        if index >= skip:
            yield make(
                (
                    kind, verdict, at, tenant, profile, link,
                    payload[text : text + la],
                    payload[text + la : text + la + lr],
                    payload[text + la + lr : tail],
                    payload[tail : min(tail + VISITOR_BYTES, position)].replace(NO_VISITOR, b""),
                    payload[tail + VISITOR_BYTES : position],
                )
            )  # fmt: skip
    if position != frame.end:
        raise FormatError("frame has bytes behind its last record")
