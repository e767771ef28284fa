"""Invariant: vectorised dimension counts equal the reference, and both agree with the rollups."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import accumulate
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clicks import user_agent as agents
from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.copy_rows import EncodedTexts, FoldRows, clamped
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.clicks.record_items import (
    COOKIE,
    EXPOSURES,
    HOST,
    OUTCOMES,
    PLACE,
    TRIGGER,
    UTM,
    VariantRef,
    item,
    pack_variant_refs,
)
from engine.clicks.rollup import rollup_counts as rollups
from engine.experiments.increments import increments_of
from engine.stats.dimension_counts import (
    DimensionCountKey,
    DimensionCounts,
    count_by_dimension,
    experiment_increments,
)
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.packed_clicks import decode, encode
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.packed.repacking import count_columns, without_events
from engine.stats.vectorised_counts import ClickColumns
from tests.kit.shipped_batches import NOW_US, batch

agents.load()
JOURNAL = UUID(int=7)
TEXTS = ValueTexts()
VARIANTS = st.lists(
    st.builds(VariantRef, st.integers(1, 2), st.integers(0, 1), st.integers(0, 2)), max_size=3
)
RECORD_ITEMS = st.builds(
    lambda place, host, utm, trigger, exposures, outcomes, cookie: b"".join(
        (
            item(PLACE, place), item(HOST, host), item(UTM, utm), item(TRIGGER, trigger),
            item(EXPOSURES, pack_variant_refs(exposures)), item(OUTCOMES, pack_variant_refs(outcomes)),
            item(COOKIE, cookie),
        )
    ),
    st.sampled_from([b"", b"EU\x1fDE\x1fBY\x1fMunich", b"EU\x1fFR\x1f\x1fParis"]),
    st.sampled_from([b"", b"go.example.com"]),
    st.sampled_from([b"", b"utm_source=ig", b"utm_source=news&utm_term=a%20b"]),
    st.sampled_from([b"", b"\1", b"\2"]),
    VARIANTS,
    VARIANTS,
    st.sampled_from([b"", b"cookie 1\3\1"]),
)  # fmt: skip
CLICKS = st.builds(
    Click,
    kind=st.integers(0, 3),
    classification=st.integers(0, 255),
    at_us=st.integers(NOW_US, NOW_US + 7_200_000_000) | st.integers(-(2**63), 2**63 - 1),
    tenant_id=st.integers(1, 2),
    profile_id=st.integers(1, 2) | st.integers(-(2**63), 2**63 - 1),
    link_id=st.integers(0, 2) | st.integers(1, 2**63 - 1),
    user_agent=st.sampled_from([b"", b"curl/8", b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) Instagram 3"]),
    referrer=st.sampled_from([b"", b"https://t.co/x", b"https://www.example.org/"]),
    language=st.sampled_from([b"", b"de-AT", b"en"]),
    visitor_id=st.sampled_from([b"", b"visitor1", b"visitor2", b"\xff" * 8]),
    items=st.just(b"") | RECORD_ITEMS,
)  # fmt: skip
CLICK_LISTS = st.lists(CLICKS, min_size=1, max_size=30)


def folded(whole: Batch, after: int) -> FoldRows:
    rows = FoldRows(JOURNAL, EncodedTexts())
    rows.add(whole, after)
    return rows


def columns_of(rows: FoldRows) -> Iterator[ClickColumns]:
    """Yield the clicks of each profile's day as a hot day is counted: packed as a delta, then unpacked."""
    for key, day in rows.days.items():
        first = date(1970, 1, 1) + timedelta(days=key.day)
        packed = ProfileClicks([Piece(first, decode(encode(pack_day(day, TEXTS))))])
        clicks, _ = without_events(packed, first)
        yield count_columns(clicks, key.tenant_id, key.profile_id)


def counts_of(rows: FoldRows) -> dict[DimensionCountKey, DimensionCounts]:
    counts: dict[DimensionCountKey, DimensionCounts] = {}
    for block in (block for columns in columns_of(rows) for block in columns.blocks()):
        *keys, clicked, viewed, bots, sizes, visitors = block
        ends = list(accumulate(sizes, initial=0))
        assert ends[-1] == len(visitors)
        for number, key in enumerate(zip(*keys, strict=True)):
            row_visitors = visitors[ends[number] : ends[number + 1]].tolist()
            assert DimensionCountKey(*key) not in counts
            assert len(set(row_visitors)) == len(row_visitors)
            counts[DimensionCountKey(*key)] = DimensionCounts(
                clicked[number], viewed[number], bots[number], set(row_visitors)
            )
    return counts


@given(CLICK_LISTS, st.data())
@settings(deadline=None, max_examples=50)
def test_vectorised_counts_equal_the_reference(clicks: list[Click], data: st.DataObject) -> None:
    after = data.draw(st.integers(0, len(clicks)))
    rows = folded(batch(1, clicks), after)
    plain = [click._replace(at_us=clamped(click.at_us)) for click in clicks[after:]]
    assert counts_of(rows) == count_by_dimension(plain)
    assert increments_of(rows.experiment_clicks) == experiment_increments(plain)


@given(CLICK_LISTS)
@settings(deadline=None, max_examples=25)
def test_the_values_of_a_dimension_add_up_to_the_rollups(clicks: list[Click]) -> None:
    counts = dict(rollups(clicks))
    sums: dict[tuple[int, ...], list[int]] = {}
    for key, dimension_counts in count_by_dimension(clicks).items():
        if key.dimension in (Dimension.TOTAL, Dimension.VARIANT, Dimension.LINK):
            continue
        entry = sums.setdefault(key[:5], [0, 0, 0])
        entry[0] += dimension_counts.clicks
        entry[1] += dimension_counts.views
        entry[2] += dimension_counts.bots
    of_links = {key: entry for key, entry in sums.items() if key[2] != ALL_LINKS}
    for (tenant, profile, link, _, bucket_us), entry in of_links.items():
        assert tuple(entry) == counts[tenant, profile, link, bucket_us]  # type: ignore[index]
    dimensions = {key[3] for key in of_links}
    assert len(of_links) == len(counts) * len(dimensions)
    for number in range(3):
        of_profiles = sum(entry[number] for key, entry in sums.items() if key[2] == ALL_LINKS)
        assert of_profiles == sum(entry[number] for entry in of_links.values())
