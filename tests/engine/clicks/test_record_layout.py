"""A record's bytes, as journals on disks have them: pinned byte for byte, and read back by every view."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.journal_format import (
    FRAME_BYTES,
    batch_records,
    clicks,
    encode_frame,
    encode_record,
)
from engine.clicks.record_items import HOST, item
from engine.clicks.record_layout import (
    FIXED_BYTES,
    NO_VISITOR,
    FormatError,
    pack_ids,
    pack_record,
    profile_marker,
    records,
    unpack_group_key,
)

PINNED = Click(
    1, 0x21, 1_780_000_000_123_456, 3, 0x0102030405060708, 5,
    b"curl/8", b"https://a.example/", b"de", b"visitor.", item(HOST, b"go.example"),
)  # fmt: skip
PINNED_BYTES = bytes.fromhex(
    "5500" "01" "21" "4022b58be6520600"
    "0300000000000000" "0807060504030201" "0500000000000000"
    "06" "12" "02"
    "6375726c2f38" "68747470733a2f2f612e6578616d706c652f" "6465"
    "76697369746f722e"
    "020a" "676f2e6578616d706c65"
)  # fmt: skip
PINNED_FRAME = bytes.fromhex("690000006cefbf33010101000700000000000000")
TEXTS = st.binary(max_size=255)
INT64 = st.integers(-(2**63), 2**63 - 1)
BYTE = st.integers(0, 255)


def row(
    count: int, data: bytes = PINNED_BYTES, after: int = 0, end: int | None = None
) -> Iterator[tuple[object, ...]]:
    """Read `data` as `count` records from sequence 1 on."""
    return records(data, 0, len(data) if end is None else end, 1, count, after)


def test_a_record_is_pinned_byte_for_byte() -> None:
    assert encode_record(PINNED) == PINNED_BYTES
    assert encode_frame(7, [PINNED_BYTES]) == PINNED_FRAME + PINNED_BYTES
    assert list(clicks(PINNED_FRAME + PINNED_BYTES)) == [PINNED]


def test_a_writer_with_packed_ids_writes_the_same_bytes() -> None:
    *_, agent, referrer, language, visitor_id, items = PINNED
    ids = pack_ids(PINNED.tenant_id, PINNED.profile_id, PINNED.link_id)
    record = pack_record(
        PINNED.kind, PINNED.classification, PINNED.at_us, ids, agent, referrer, language, visitor_id, items
    )  # fmt: skip
    assert record == PINNED_BYTES
    assert profile_marker(PINNED.tenant_id, PINNED.profile_id) in record


@given(BYTE, BYTE, INT64, INT64, INT64, INT64, TEXTS, TEXTS, TEXTS, st.binary(max_size=300))
def test_the_fixed_part_has_the_offsets_of_the_layout(
    kind: int, classification: int, at_us: int, tenant: int, profile: int, link: int,
    agent: bytes, referrer: bytes, language: bytes, items: bytes,
) -> None:  # fmt: skip
    """Read with a struct of the test's own, because an error in the description would be in every view."""
    record = encode_record(
        Click(
            kind,
            classification,
            at_us,
            tenant,
            profile,
            link,
            agent,
            referrer,
            language,
            b"",
            items,
        )
    )
    assert struct.unpack_from("<HBBqqqqBBB", record) == (
        len(record), kind, classification, at_us, tenant, profile, link,
        len(agent), len(referrer), len(language),
    )  # fmt: skip
    assert record[39:] == agent + referrer + language + (NO_VISITOR + items if items else b"")
    ((sequence, key, *rest),) = row(1, record)
    assert isinstance(key, bytes)
    assert sequence == 1
    assert unpack_group_key(key) == (kind, classification, tenant, profile, link)
    assert rest == [at_us, agent, referrer, language, NO_VISITOR, items]


def test_records_behind_a_sequence() -> None:
    data = PINNED_BYTES + encode_record(PINNED._replace(link_id=6, items=b"")) + PINNED_BYTES
    assert [record[0] for record in row(3, data)] == [1, 2, 3]
    assert [record[0] for record in row(3, data, after=1)] == [2, 3]
    assert [record[0] for record in row(3, data, after=2)] == [3]
    assert list(row(3, data, after=3)) == []


@pytest.mark.parametrize("size", [0, 1, FIXED_BYTES, len(PINNED_BYTES) - 13, 65535])
@pytest.mark.parametrize("after", [0, 1])
def test_a_record_of_a_wrong_size_is_refused(size: int, after: int) -> None:
    wrong = struct.pack("<H", size) + PINNED_BYTES[2:]
    with pytest.raises(FormatError):
        list(row(2, wrong + PINNED_BYTES, after))


@pytest.mark.parametrize("count", [1, 3])
def test_other_than_the_promised_number_of_records_is_refused(count: int) -> None:
    with pytest.raises(FormatError):
        list(row(count, 2 * PINNED_BYTES))


def test_a_record_cut_off_anywhere_is_refused() -> None:
    for end in range(len(PINNED_BYTES)):
        with pytest.raises(FormatError):
            list(row(1, PINNED_BYTES[:end]))
        with pytest.raises(FormatError):  # what stands behind it belongs to another frame
            list(row(1, 2 * PINNED_BYTES, end=end))


def test_the_records_of_a_batch_run_over_its_frames() -> None:
    payload = encode_frame(7, [PINNED_BYTES] * 2) + encode_frame(9, [PINNED_BYTES] * 3)
    assert [record[0] for record in batch_records(Batch(7, 11, payload), 8)] == [9, 10, 11]
    assert [record[0] for record in batch_records(Batch(7, 11, payload), 7)] == [8, 9, 10, 11]
    with pytest.raises(FormatError):
        list(batch_records(Batch(7, 12, payload), 8))


def test_sizes_by_name() -> None:
    assert (FIXED_BYTES, FRAME_BYTES) == (39, 20)
