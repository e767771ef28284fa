"""Invariant: the fast decoder stores and counts exactly what the plain one reads."""

from struct import unpack_from
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.batch import Batch
from engine.click import Click
from engine.copy_rows import Folding, Texts, checked_frames, clamped, clean, user_agent_id
from engine.journal_format import FormatError, clicks
from engine.rollup import fold
from tests.storage.shipped import NOW_US, batch, click

JOURNAL = UUID(int=7)
I64 = st.integers(-(2**63), 2**63 - 1)
CLICKS = st.builds(
    Click,
    kind=st.integers(0, 3),
    verdict=st.integers(0, 7) | st.integers(0, 255),
    at_us=st.integers(NOW_US, NOW_US + 3_600_000_000) | I64,
    tenant_id=st.integers(1, 2) | I64,
    profile_id=st.integers(1, 2) | I64,
    link_id=st.integers(0, 2) | I64,
    user_agent=st.sampled_from([b"", b"curl", b"\0", b"\xff"]) | st.binary(max_size=255),
    referrer=st.binary(max_size=40),
    language=st.binary(max_size=5),
    visitor=st.just(b"") | st.binary(min_size=8, max_size=8),
    extra=st.binary(max_size=20),
)
BATCHES = st.builds(batch, st.integers(1, 2**62), st.lists(CLICKS, min_size=1, max_size=12))


def rows(copied: bytes) -> list[tuple[bytes | None, ...]]:
    """The fields of binary COPY rows."""
    found, position = [], 0
    while position < len(copied):
        (columns,) = unpack_from(">h", copied, position)
        position += 2
        row: list[bytes | None] = []
        for _ in range(columns):
            (length,) = unpack_from(">i", copied, position)
            position += 4
            row.append(None if length < 0 else copied[position : position + length])
            position += max(0, length)
        found.append(tuple(row))
    return found


def expected(sequence: int, one: Click) -> tuple[bytes | None, ...]:
    def number(value: int, size: int = 8) -> bytes:
        return value.to_bytes(size, "big", signed=True)

    agent = clean(one.user_agent)
    return (
        number(one.tenant_id),
        number(one.profile_id),
        number(one.link_id),
        number(one.kind, 2),
        number(one.verdict & 7, 2),
        number(one.verdict >> 3, 2),
        JOURNAL.bytes,
        number(clamped(one.at_us) - 946_684_800_000_000),
        number(sequence),
        number(user_agent_id(agent)) if agent else None,
        clean(one.referrer).encode() or None,
        clean(one.language).encode() or None,
    )


@given(BATCHES, st.data())
def test_agrees_with_the_plain_decoder(whole: Batch, data: st.DataObject) -> None:
    after = data.draw(st.integers(whole.first - 1, whole.last))
    folding = Folding(JOURNAL, Texts())
    folding.add(whole, after)
    plain = list(clicks(whole.payload, after))
    start = max(after + 1, whole.first)
    assert rows(b"".join(folding.rows)) == [
        expected(start + index, one) for index, one in enumerate(plain)
    ]
    assert folding.sums() == fold(one._replace(at_us=clamped(one.at_us)) for one in plain)
    assert folding.clicks == len(plain)


@given(BATCHES, st.data())
def test_damage_is_refused_by_both(whole: Batch, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole.payload) - 1))
    flip = data.draw(st.integers(1, 255))
    payload = bytearray(whole.payload)
    payload[at] ^= flip
    damaged = whole._replace(payload=bytes(payload))
    with pytest.raises(FormatError):
        Folding(JOURNAL, Texts()).add(damaged, 0)
    with pytest.raises(FormatError):
        list(clicks(damaged.payload))
    with pytest.raises(FormatError):
        Folding(JOURNAL, Texts()).add(whole._replace(payload=whole.payload[:at]), 0)


@pytest.mark.parametrize(("first", "last"), [(1, 4), (2, 3), (1, 2), (2, 4)])
def test_a_batch_that_names_other_clicks_than_it_holds_is_refused(first: int, last: int) -> None:
    whole = batch(1, [click(), click(), click()])
    with pytest.raises(FormatError):
        list(checked_frames(Batch(first, last, whole.payload)))


def test_a_user_agent_is_to_be_stored_until_a_commit_stored_it() -> None:
    texts = Texts()
    one = user_agent_id("curl/8")
    Folding(JOURNAL, texts).add(batch(1, [click()]), 0)
    Folding(JOURNAL, texts).add(batch(1, [click(referrer=b"x")]), 0)
    assert texts.unstored == {one: "curl/8"}
    texts.stored([one])
    Folding(JOURNAL, texts).add(batch(2, [click()]), 0)
    assert texts.unstored == {}
