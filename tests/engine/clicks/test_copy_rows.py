"""Invariant: the fast decoder stores and counts exactly what the plain one reads."""

from struct import unpack_from
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks import dimension_values
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.batch import Batch
from engine.clicks.click import CLASS_MASK, RULES_VERSION_SHIFT, Click
from engine.clicks.copy_rows import EncodedTexts, FoldRows, clamped, user_agent_id
from engine.clicks.day_rows import EVENT
from engine.clicks.journal_format import clicks, validate_frames
from engine.clicks.own_event import event_items
from engine.clicks.record_items import PLACE, item
from engine.clicks.record_layout import FormatError
from engine.clicks.rollup import TIME_BUCKET_US, RollupCounts, RollupKey, rollup_counts
from tests.kit.shipped_batches import NOW_US, batch, click

agents.load()  # else the first example takes longer than an example may
JOURNAL = UUID(int=7)
FIREFOX = b"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0 Instagram"
I64 = st.integers(-(2**63), 2**63 - 1)
ITEMS = st.builds(
    lambda *data: (
        b"".join(item(tag, value) for tag, value in enumerate(data[:-1], PLACE)) + event_items(data[-1])
    ),
    st.sampled_from([b"", b"EU\x1fDE\x1fBY\x1fMunich", b"\x1fFR", b"EU\x1f\0\x1f\xff"])
    | st.binary(max_size=20),
    st.sampled_from([b"", b"go.example.com", b"\xff\0"]),
    st.sampled_from([b"", b"utm_source=ig&UTM_MEDIUM=a%00b&utm_source=x", b"utm_term=%ff+1", b"&=&"]),
    st.sampled_from([b"", b"\1", b"\2", b"\7"]),
    st.binary(max_size=22),
    st.binary(max_size=22),
    st.sampled_from([b"", b"signup\x1fplan=pro", b"a\x1fb\x1fb\xff\0", b"x" * 600]) | st.binary(max_size=20),
)  # fmt: skip
CLICKS = st.builds(
    Click,
    kind=st.integers(0, 3),
    classification=st.integers(0, 15) | st.integers(0, 255),
    at_us=st.integers(NOW_US, NOW_US + 3_600_000_000) | I64,
    tenant_id=st.integers(1, 2) | I64,
    profile_id=st.integers(1, 2) | I64,
    link_id=st.integers(0, 2) | I64,
    user_agent=st.sampled_from([b"", b"curl", b"\0", b"\xff", FIREFOX]) | st.binary(max_size=255),
    referrer=st.sampled_from([b"https://www.google.de/", b"HTTP://x\0y/"]) | st.binary(max_size=40),
    language=st.sampled_from([b"de-AT,en;q=0.5", b"*"]) | st.binary(max_size=5),
    visitor_id=st.just(b"") | st.binary(min_size=8, max_size=8),
    items=st.binary(max_size=20) | ITEMS,
)
BATCHES = st.builds(batch, st.integers(1, 2**62), st.lists(CLICKS, min_size=1, max_size=12))


def rows(copied: bytes) -> list[tuple[bytes | None, ...]]:
    """Return the fields of each row of a binary COPY; None for NULL."""
    rows_read, position = [], 0
    while position < len(copied):
        (columns,) = unpack_from(">h", copied, position)
        position += 2
        row: list[bytes | None] = []
        for _ in range(columns):
            (length,) = unpack_from(">i", copied, position)
            position += 4
            row.append(None if length < 0 else copied[position : position + length])
            position += max(0, length)
        rows_read.append(tuple(row))
    return rows_read


def expected(sequence: int, click: Click) -> tuple[bytes | None, ...]:
    def number(value: int, size: int = 8) -> bytes:
        return value.to_bytes(size, "big", signed=True)

    def text(value: str) -> bytes | None:
        return value.encode() or None

    agent, referrer, header = map(
        dimension_values.text, (click.user_agent, click.referrer, click.language)
    )
    browser, host, items = (
        agents.parse(agent),
        referrers.referrer_host(referrer),
        dimension_values.parse_items(click.items),
    )
    return (
        number(click.tenant_id),
        number(click.profile_id),
        number(click.link_id),
        number(click.kind, 2),
        number(click.classification & CLASS_MASK, 2),
        number(click.classification >> RULES_VERSION_SHIFT, 2),
        JOURNAL.bytes,
        number(clamped(click.at_us) - 946_684_800_000_000),
        number(sequence),
        click.visitor_id if any(click.visitor_id) else None,
        number(user_agent_id(agent)) if agent else None,
        text(browser.browser),
        text(browser.os),
        text(browser.device),
        text(referrer),
        text(host),
        text(header),
        text(dimension_values.language(header)),
        number(items.trigger, 2),
        *map(text, (*items.place, *items.utm, items.domain)),
        items.exposures or None,
        items.outcomes or None,
        text(items.event),
        text(dimension_values.source(host, browser, items.utm.source)),
    )


def test_items_of_large_own_events_are_not_kept_in_memory() -> None:
    texts = EncodedTexts()
    small, large = event_items(b"signup\x1fplan=pro"), event_items(b"signup\x1fnote=" + b"x" * 400)
    texts.item_columns(small)
    assert texts.item_columns(large).encoded == texts.item_columns(large).encoded
    assert list(texts.items) == [small]


def counted(folding: FoldRows) -> dict[RollupKey, RollupCounts]:
    """Return the counts of the rows of each profile's day, by link and time bucket."""
    sums: dict[RollupKey, list[int]] = {}
    for key, day in folding.days.items():
        for number, *_ in day.rows:
            head = day.heads[number]
            if head.counted_as == EVENT:
                continue
            bucket_us = (key.day * 96 + head.quarter) * TIME_BUCKET_US
            rollup = RollupKey(key.tenant_id, key.profile_id, head.link_id, bucket_us)
            sums.setdefault(rollup, [0, 0, 0])[head.counted_as] += 1
    return {key: RollupCounts(*counts) for key, counts in sums.items()}


@given(BATCHES, st.data())
def test_agrees_with_the_plain_decoder(whole: Batch, data: st.DataObject) -> None:
    after = data.draw(st.integers(whole.first - 1, whole.last))
    folding = FoldRows(JOURNAL, EncodedTexts())
    folding.add(whole, after)
    plain = list(clicks(whole.payload, after))
    start = max(after + 1, whole.first)
    assert rows(b"".join(folding.rows)) == [
        expected(start + index, click) for index, click in enumerate(plain)
    ]
    assert counted(folding) == dict(
        rollup_counts(click._replace(at_us=clamped(click.at_us)) for click in plain)
    )
    assert folding.clicks == len(plain)


@given(BATCHES, st.data())
def test_damage_is_refused_by_both(whole: Batch, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole.payload) - 1))
    flip = data.draw(st.integers(1, 255))
    payload = bytearray(whole.payload)
    payload[at] ^= flip
    damaged = whole._replace(payload=bytes(payload))
    with pytest.raises(FormatError):
        FoldRows(JOURNAL, EncodedTexts()).add(damaged, 0)
    with pytest.raises(FormatError):
        list(clicks(damaged.payload))
    with pytest.raises(FormatError):
        FoldRows(JOURNAL, EncodedTexts()).add(whole._replace(payload=whole.payload[:at]), 0)


@pytest.mark.parametrize(("first", "last"), [(1, 4), (2, 3), (1, 2), (2, 4)])
def test_a_batch_that_names_other_clicks_than_it_holds_is_refused(first: int, last: int) -> None:
    whole = batch(1, [click(), click(), click()])
    with pytest.raises(FormatError):
        list(validate_frames(Batch(first, last, whole.payload)))


def test_a_user_agent_is_unstored_until_a_commit_stores_it() -> None:
    texts = EncodedTexts()
    agent_id = user_agent_id("curl/8")
    FoldRows(JOURNAL, texts).add(batch(1, [click()]), 0)
    FoldRows(JOURNAL, texts).add(batch(1, [click(referrer=b"x")]), 0)
    assert texts.unstored == {agent_id: "curl/8"}
    texts.stored([agent_id])
    FoldRows(JOURNAL, texts).add(batch(2, [click()]), 0)
    assert texts.unstored == {}
