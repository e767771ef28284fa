"""The journal's bytes. All integers are little-endian.

A segment file is a header, then frames, then zeros (segments are allocated before they are filled):

    header   magic "WPJRNL" u16 format | 16 B journal id | u64 first sequence | u64 created_us | u32 crc
    frame    u32 length | u32 crc | u8 type | u8 version | u16 count | u64 first sequence | records

A frame holds the records of one wake-up of the visitor server; `length` counts the whole frame, `crc` is
CRC32C over everything behind it. Clicks are numbered from 1 without a gap, for the whole life of a journal: the
sequence of a frame's last click is `first + count - 1`, and a frame that does not start right behind its
predecessor is not valid. Reading stops at the first frame that is not valid: what stands behind it was
never acknowledged as synced, or is not a journal.

A record is one click or view; engine/clicks/record_layout.py has its bytes.
"""

from collections.abc import Iterator
from itertools import chain
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

import google_crc32c

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.record_layout import (
    NO_VISITOR,
    FormatError,
    Record,
    pack_ids,
    pack_record,
    records,
    unpack_group_key,
)

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
    """Parse a segment header. Raises FormatError when it is short, damaged or of a later format."""
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
    """Return a click's record. Texts and items must be within their bounds (engine/clicks/click.py)."""
    visitor_id = click.visitor_id or (NO_VISITOR if click.items else b"")
    return pack_record(
        click.kind,
        click.classification,
        click.at_us,
        pack_ids(click.tenant_id, click.profile_id, click.link_id),
        click.user_agent,
        click.referrer,
        click.language,
        visitor_id,
        click.items,
    )


def encode_frame(first: int, records: list[bytes]) -> bytes:
    """Return a frame of clicks `first` … `first + len(records) - 1`."""
    tail = _FRAME_BODY.pack(CLICKS, CLICKS_VERSION, len(records), first) + b"".join(records)
    return _FRAME_START.pack(len(tail) + 8, google_crc32c.value(tail)) + tail


def encode_frames(first: int, records: list[bytes]) -> bytes:
    """Return the clicks in as many frames as their bounds take."""
    if len(records) <= MAX_FRAME_CLICKS:
        return _bounded(first, records)
    return b"".join(
        _bounded(first + at, records[at : at + MAX_FRAME_CLICKS])
        for at in range(0, len(records), MAX_FRAME_CLICKS)
    )


def _bounded(first: int, records: list[bytes]) -> bytes:
    """Return one frame, or halves of it where own events have made it too large."""
    frame = encode_frame(first, records)
    if len(frame) <= MAX_FRAME_BYTES:
        return frame
    half = len(records) // 2
    return _bounded(first, records[:half]) + _bounded(first + half, records[half:])


def frame_at(data: bytes, start: int, expected: int | None = None) -> Frame:
    """Return the frame at `start`, validated. `expected` is the sequence that it must start with.

    Raises FormatError.
    """
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
    """Yield the valid frames from `start` on, up to the first bytes that are none."""
    while True:
        try:
            frame = frame_at(data, start, expected)
        except FormatError:
            return
        yield frame
        start = frame.end
        expected = frame.last + 1


def validate_frames(batch: Batch) -> Iterator[Frame]:
    """Yield the batch's frames. Raises FormatError at one that is not valid, and when they are not
    together exactly the clicks that the batch says: the watermark moves by what it says."""
    last = batch.first - 1
    for frame in _whole_frames(batch.payload, batch.first):
        yield frame
        last = frame.last
    if last != batch.last:
        raise FormatError(f"batch ends at click {last}, not at {batch.last}")


def batch_records(batch: Batch, after: int) -> Iterator[Record]:
    """Yield the batch's records whose sequence is above `after`, as record_layout.records() does.

    Raises FormatError when the payload is damaged, or does not hold exactly the clicks that the batch says.
    """
    return _frame_records(batch.payload, validate_frames(batch), after)


def clicks(payload: bytes, after: int = 0) -> Iterator[Click]:
    """Yield the clicks of a batch's frames whose sequence is above `after`.

    Raises FormatError at the first frame or record that is not valid: a payload has no torn end.
    """
    make = Click._make
    for _, key, at_us, agent, referrer, language, visitor_id, items in _frame_records(
        payload, _whole_frames(payload, None), after
    ):
        kind, classification, *ids = unpack_group_key(key)
        visitor_id = b"" if visitor_id == NO_VISITOR else visitor_id
        yield make(
            (kind, classification, at_us, *ids, agent, referrer, language, visitor_id, items)
        )


def _whole_frames(payload: bytes, expected: int | None) -> Iterator[Frame]:
    """Yield the frames that the payload consists of. Raises FormatError at the first that is not valid."""
    start = 0
    while start < len(payload):
        frame = frame_at(payload, start, expected)
        if frame.type != CLICKS or frame.version != CLICKS_VERSION:
            raise FormatError(f"frame type {frame.type} version {frame.version} is not known here")
        yield frame
        start, expected = frame.end, frame.last + 1


def _frame_records(payload: bytes, frames: Iterator[Frame], after: int) -> Iterator[Record]:
    return chain.from_iterable(
        records(payload, frame.start + FRAME_BYTES, frame.end, frame.first, frame.clicks, after)
        for frame in frames
        if frame.last > after
    )


def without_profile(payload: bytes, first: int, tenant_id: int, profile_id: int) -> bytes:
    """Return a batch's frames without the clicks of a profile, numbered from `first` on; b"" if none is left.

    Bytes that are not valid may hold clicks of any profile, so nothing is left of them either.
    """
    try:
        kept = [
            encode_record(click)
            for click in clicks(payload)
            if (click.tenant_id, click.profile_id) != (tenant_id, profile_id)
        ]
    except FormatError:
        return b""
    return encode_frames(first, kept) if kept else b""
