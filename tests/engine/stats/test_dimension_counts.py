"""Invariant: the fast way of summing gives the sums of the plain one, and both agree with the rollups."""

from itertools import accumulate
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clicks import user_agent as agents
from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.continuation import batches_after
from engine.clicks.copy_rows import clamped
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.clicks.journal_format import clicks
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
from engine.stats.click_buffer import ClickBuffer, ValueDictionary
from engine.stats.dimension_counts import (
    DimensionCountKey,
    DimensionCounts,
    count_by_dimension,
    experiment_increments,
)
from tests.kit.shipped_batches import NOW_US, batch, click
from tests.system.simulation.plain import by_referrer

agents.load()
JOURNAL = UUID(int=7)
ARMS = st.lists(
    st.builds(VariantRef, st.integers(1, 2), st.integers(0, 1), st.integers(0, 2)), max_size=3
)
EXTRAS = st.builds(
    lambda place, host, utm, trigger, shown, decided, cookie: b"".join(
        (
            item(PLACE, place), item(HOST, host), item(UTM, utm), item(TRIGGER, trigger),
            item(EXPOSURES, pack_variant_refs(shown)), item(OUTCOMES, pack_variant_refs(decided)),
            item(COOKIE, cookie),
        )
    ),
    st.sampled_from([b"", b"EU\x1fDE\x1fBY\x1fMunich", b"EU\x1fFR\x1f\x1fParis"]),
    st.sampled_from([b"", b"go.example.com"]),
    st.sampled_from([b"", b"utm_source=ig", b"utm_source=news&utm_term=a%20b"]),
    st.sampled_from([b"", b"\1", b"\2"]),
    ARMS,
    ARMS,
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
    items=st.just(b"") | EXTRAS,
)  # fmt: skip
SEVERAL = st.lists(CLICKS, min_size=1, max_size=30)


def gathered(whole: Batch, after: int) -> ClickBuffer:
    gathering = ClickBuffer(ValueDictionary())
    gathering.add(JOURNAL, whole, after)
    return gathering


def summed(gathering: ClickBuffer) -> dict[DimensionCountKey, DimensionCounts]:
    found: dict[DimensionCountKey, DimensionCounts] = {}
    for block in gathering.columns().blocks():
        *keys, clicked, viewed, bots, sizes, visitors = block
        ends = list(accumulate(sizes, initial=0))
        assert ends[-1] == len(visitors)
        for number, key in enumerate(zip(*keys, strict=True)):
            of = visitors[ends[number] : ends[number + 1]].tolist()
            assert DimensionCountKey(*key) not in found
            assert len(set(of)) == len(of)
            found[DimensionCountKey(*key)] = DimensionCounts(
                clicked[number], viewed[number], bots[number], set(of)
            )
    return found


@given(SEVERAL, st.data())
@settings(deadline=None, max_examples=50)
def test_agrees_with_the_plain_fold(taken: list[Click], data: st.DataObject) -> None:
    after = data.draw(st.integers(0, len(taken)))
    gathering = gathered(batch(1, taken), after)
    plain = [one._replace(at_us=clamped(one.at_us)) for one in taken[after:]]
    assert summed(gathering) == count_by_dimension(plain)
    assert gathering.experiment_increments() == experiment_increments(plain)


@given(st.lists(SEVERAL, min_size=1, max_size=4))
@settings(deadline=None, max_examples=10)
def test_a_vocabulary_serves_several_gatherings_and_a_journal_can_be_dropped(
    parts: list[list[Click]],
) -> None:
    words = ValueDictionary()
    for part in parts:
        gathering = ClickBuffer(words)
        gathering.add(JOURNAL, batch(1, part), 0)
        gathering.add(UUID(int=8), batch(1, parts[0]), 0)
        gathering.drop(UUID(int=8))
        assert summed(gathering) == count_by_dimension(
            one._replace(at_us=clamped(one.at_us)) for one in part
        )


@given(SEVERAL)
@settings(deadline=None, max_examples=25)
def test_the_values_of_a_dimension_add_up_to_the_rollups(taken: list[Click]) -> None:
    counts = dict(rollups(taken))
    sums: dict[tuple[int, ...], list[int]] = {}
    for key, one in count_by_dimension(taken).items():
        if key.dimension in (Dimension.TOTAL, Dimension.VARIANT, Dimension.LINK):
            continue
        entry = sums.setdefault(key[:5], [0, 0, 0])
        for n, count in enumerate((one.clicks, one.views, one.bots)):
            entry[n] += count
    of_links = {key: one for key, one in sums.items() if key[2] != ALL_LINKS}
    for (tenant, profile, link, _, bucket_us), entry in of_links.items():
        assert tuple(entry) == counts[tenant, profile, link, bucket_us]  # type: ignore[index]
    dimensions = {key[3] for key in of_links}
    assert len(of_links) == len(counts) * len(dimensions)
    for number in range(3):
        whole = sum(one[number] for key, one in sums.items() if key[2] == ALL_LINKS)
        assert whole == sum(one[number] for one in of_links.values())


def test_the_simulations_own_sums_are_part_of_them() -> None:
    taken = [
        click(n % 2, referrer=b"https://host%d/%d" % (n % 3, n))._replace(visitor_id=b"visitor%d" % (n % 4))
        for n in range(20)
    ]  # fmt: skip
    small = by_referrer(taken)
    assert small == {
        key: sums for key, sums in count_by_dimension(taken).items() if key.dimension in (0, 8)
    }


def test_damage_leaves_nothing() -> None:
    whole = batch(1, [Click(1, 1, NOW_US, 1, 1, 1, b"a", b"b", b"c")] * 5)
    gathering = ClickBuffer(ValueDictionary())
    for cut in range(len(whole.payload)):
        try:
            gathering.add(JOURNAL, whole._replace(payload=whole.payload[:cut]), 0)
        except ValueError:
            continue
        raise AssertionError(cut)
    assert gathering.clicks == 0
    assert summed(gathering) == {}
    for part, after in batches_after(2, [whole]):
        gathering.add(JOURNAL, part, after)
    assert gathering.clicks == 3
    assert list(clicks(whole.payload, 2))
