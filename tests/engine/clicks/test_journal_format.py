"""The journal's bytes: written clicks are read back, and nothing else ever is.

Invariant: from any bytes at all, `frames` yields only frames that were written, in their order and from the
front; everything that refuses says so by FormatError and by nothing else.
"""

import struct
from typing import Any
from uuid import UUID, uuid4

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clicks import journal_format
from engine.clicks.click import MAX_ITEMS_BYTES, VISITOR_BYTES, Click
from engine.clicks.journal_format import (
    FRAME_BYTES,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_FRAME_CLICKS,
    SegmentHeader,
    decode_header,
    encode_frame,
    encode_frames,
    encode_header,
    encode_record,
    frame_at,
    frames,
)
from engine.clicks.record_layout import FIXED_BYTES, FormatError, profile_marker

LONG = st.integers(-(2**63), 2**63 - 1)
BYTE = st.integers(0, 255)
CLICKS = st.builds(
    Click, BYTE, BYTE, LONG, LONG, LONG, LONG,
    st.binary(max_size=255), st.binary(max_size=255), st.binary(max_size=63),
    st.binary(min_size=8, max_size=8).filter(any) | st.just(b""), st.binary(max_size=MAX_ITEMS_BYTES),
)  # fmt: skip
HEADERS = st.builds(SegmentHeader, st.uuids(), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
FEW = st.lists(CLICKS, min_size=1, max_size=4)


def written(first: int, groups: list[list[Click]]) -> bytes:
    data = b""
    for group in groups:
        data += encode_frame(first, [encode_record(click) for click in group])
        first += len(group)
    return data


def small(count: int) -> bytes:
    """Return frames 1 … count of two clicks each, whose texts contain bytes of a frame's header."""
    return written(1, [[Click(1, 1, n, 1, 1, n, b"\1\1", b"", b"it")] * 2 for n in range(count)])


def read(data: bytes) -> list[tuple[int, int]]:
    return [(frame.first, frame.last) for frame in frames(data, 0, 1)]


@given(HEADERS)
def test_a_header_is_read_back(header: SegmentHeader) -> None:
    data = encode_header(header)
    assert len(data) == HEADER_BYTES
    assert decode_header(data + b"rest") == header


def test_a_damaged_header_is_refused() -> None:
    data = encode_header(SegmentHeader(UUID(int=7), 1, 2))
    for bit in range(8 * len(data)):
        with pytest.raises(FormatError):
            decode_header(flipped(data, bit))
    for size in range(len(data)):
        with pytest.raises(FormatError):
            decode_header(data[:size])


def test_a_later_format_is_distinguished_from_damage() -> None:
    body = struct.pack("<6sH16sQQ", b"WPJRNL", 2, uuid4().bytes, 1, 1)
    with pytest.raises(FormatError, match="format 2"):
        decode_header(body + struct.pack("<I", google_crc32c.value(body)))


@given(st.integers(1, 2**60), st.lists(FEW, max_size=4), st.integers(0, 20))
@settings(max_examples=60)
def test_clicks_are_read_back(first: int, groups: list[list[Click]], skip: int) -> None:
    data = written(first, groups)
    clicks = [click for group in groups for click in group]
    assert list(journal_format.clicks(data)) == clicks
    assert list(journal_format.clicks(data, first - 1 + skip)) == clicks[skip:]
    read_frames = list(frames(data + bytes(64), 0, first))
    assert [frame.clicks for frame in read_frames] == [len(group) for group in groups]
    assert not read_frames or read_frames[-1].end == len(data)


@given(st.lists(st.tuples(CLICKS, st.booleans()), max_size=8), st.integers(1, 2**40))
def test_only_a_profiles_clicks_are_removed(clicks: list[tuple[Click, bool]], first: int) -> None:
    owned = [click._replace(tenant_id=1, profile_id=2) if its else click for click, its in clicks]
    payload = written(first, [[click] for click in owned])
    left = journal_format.without_profile(payload, first, 1, 2)
    others = [click for click in owned if (click.tenant_id, click.profile_id) != (1, 2)]
    assert list(journal_format.clicks(left)) == others
    assert all(profile_marker(1, 2) in written(1, [[c]]) for c in owned if c not in others)
    assert journal_format.without_profile(payload[:-1], first, 1, 2) == b""


def test_clicks_that_remain_are_in_whole_frames() -> None:
    many = [Click(1, 1, n, 1, 2 + n % 2, 1, b"x" * 255, b"", b"") for n in range(2000)]
    payload = b"".join(
        encode_frame(n + 1, [encode_record(click) for click in many[n : n + 200]])
        for n in range(0, 2000, 200)
    )
    left = journal_format.without_profile(payload, 1, 1, 2)
    assert list(journal_format.clicks(left)) == many[1::2]
    assert [frame.first for frame in frames(left, 0, 1)] == [1, 257, 513, 769]


def test_the_largest_frame_is_within_its_bound() -> None:
    items = b"e" * MAX_ITEMS_BYTES
    largest = Click(1, 1, 0, 1, 1, 1, b"u" * 255, b"r" * 255, b"l" * 63, b"visitor.", items)
    data = encode_frame(1, [encode_record(largest)] * MAX_FRAME_CLICKS)
    record_bytes = FIXED_BYTES + 255 + 255 + 63 + VISITOR_BYTES + MAX_ITEMS_BYTES
    assert len(data) == FRAME_BYTES + MAX_FRAME_CLICKS * record_bytes
    assert len(data) <= MAX_FRAME_BYTES
    assert frame_at(data, 0).clicks == MAX_FRAME_CLICKS


def test_large_own_events_are_in_more_frames() -> None:
    many = [Click(3, 1, n, 1, 2, 0, b"", b"", b"", b"visitor.", b"e" * 5_000) for n in range(300)]
    data = encode_frames(7, [encode_record(click) for click in many])
    parts = list(frames(data, 0, 7))
    assert max(frame.end - frame.start for frame in parts) <= MAX_FRAME_BYTES
    assert [frame.first for frame in parts][:2] == [7, 39]
    assert list(journal_format.clicks(data)) == many


@pytest.mark.parametrize("field", ["user_agent", "referrer", "language"])
def test_a_text_that_does_not_fit_is_not_written(field: str) -> None:
    texts: dict[str, Any] = {field: b"x" * 256}
    click = Click(1, 1, 0, 1, 1, 1, b"", b"", b"")._replace(**texts)
    with pytest.raises(struct.error):
        encode_record(click)


def test_cut_anywhere_the_whole_frames_remain() -> None:
    data = small(4)
    ends = [frame.end for frame in frames(data)]
    for size in range(len(data) + 1):
        whole = sum(end <= size for end in ends)
        assert read(data[:size]) == [(2 * n + 1, 2 * n + 2) for n in range(whole)]
        assert read(data[:size] + bytes(200)) == [(2 * n + 1, 2 * n + 2) for n in range(whole)]
        if size not in (0, *ends):
            with pytest.raises(FormatError):
                list(journal_format.clicks(data[:size]))


def test_with_any_bit_flipped_the_frames_before_it_remain() -> None:
    data = small(4)
    ends = [frame.end for frame in frames(data)]
    for bit in range(8 * len(data)):
        damaged = sum(end <= bit // 8 for end in ends)
        assert read(flipped(data, bit)) == [(2 * n + 1, 2 * n + 2) for n in range(damaged)]
        with pytest.raises(FormatError):
            list(journal_format.clicks(flipped(data, bit)))


def test_a_frame_in_the_wrong_place_is_not_valid() -> None:
    first, second = written(1, [CLICK]), written(2, [CLICK])
    assert read(first + second) == [(1, 1), (2, 2)]
    assert read(first + first) == [(1, 1)]
    assert read(second) == []
    with pytest.raises(FormatError, match="sequence"):
        list(journal_format.clicks(first + first))


CLICK = [Click(1, 1, 5, 1, 1, 1, b"a", b"b", b"c")]


def forged(**changes: int) -> bytes:
    """Return a frame with a right checksum and a wrong header."""
    values = {
        "kind": 1,
        "version": 1,
        "count": 1,
        "size": FIXED_BYTES + 3,
        "agent": 1,
    } | changes
    record = bytearray(encode_record(CLICK[0]))
    struct.pack_into("<H", record, 0, values["size"])
    record[FIXED_BYTES - 3] = values["agent"]
    tail = struct.pack("<BBHQ", values["kind"], values["version"], values["count"], 1) + record
    length = changes.get("length", len(tail) + 8)
    return struct.pack("<II", length, google_crc32c.value(tail)) + tail


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": 2}, {"version": 2}, {"count": 0}, {"count": 2}, {"count": 65535},
        {"size": 0}, {"size": 1}, {"size": 65535}, {"size": FIXED_BYTES + 2}, {"agent": 255},
        {"agent": 0}, {"length": 0}, {"length": 8}, {"length": FRAME_BYTES - 1},
        {"length": MAX_FRAME_BYTES + 1}, {"length": 2**32 - 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_frame_with_a_false_header_is_refused(changes: dict[str, int]) -> None:
    assert list(journal_format.clicks(forged())) == CLICK
    with pytest.raises(FormatError):
        list(journal_format.clicks(forged(**changes)))


@given(st.binary(max_size=200), st.integers(0, 220), st.none() | st.integers(0, 2**64))
def test_bytes_that_are_no_journal(data: bytes, start: int, expected: int | None) -> None:
    for attempt in (
        lambda: decode_header(data),
        lambda: frame_at(data, start, expected),
        lambda: read_clicks(data),
    ):
        with pytest.raises(FormatError):
            attempt()
    assert list(frames(data, start, expected)) == []


@given(FEW, st.data())
@settings(max_examples=60)
def test_bytes_changed_at_random(clicks: list[Click], data: st.DataObject) -> None:
    whole = written(1, [clicks])
    at = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=20))
    changed = (whole[:at] + noise + whole[at + len(noise) :])[: len(whole)]
    if changed != whole:
        assert list(frames(changed, 0, 1)) == []
        with pytest.raises(FormatError):
            list(journal_format.clicks(changed))


def read_clicks(data: bytes) -> None:
    """Read all clicks. Raises FormatError also for no bytes, which are a journal of no clicks."""
    if not list(journal_format.clicks(data)) and not data:
        raise FormatError


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
