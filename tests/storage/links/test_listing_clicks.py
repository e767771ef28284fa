"""Links listed by their clicks, and the reset of their total: one contract, in memory and in Postgres."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.common.errors import ForbiddenError, InvalidError, NotFoundError
from engine.links.link import Link, LinkDraft
from engine.links.link_clicks import ALL_TIME, ClickPeriod, LinkClickCounts
from engine.links.link_query import LinkQuery, sort_value
from engine.links.profile import Profile, ProfileDraft
from storage.stats import link_clicks as module
from tests.kit.clicks_by_hand import by_hand
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import click
from tests.kit.stats_database import fold
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)


def last_days(number: int) -> ClickPeriod:
    today = datetime.now(UTC).date()
    return ClickPeriod(today - timedelta(days=number - 1), today)


@pytest.fixture
async def links(stores: Stores) -> list[Link]:
    """Create a profile with three links, the second of them with an opening balance."""
    demo = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="demo"))
    drafts = [
        LinkDraft(slug=f"s{n}", target="https://example.com/", opening_clicks=100 * (n == 1))
        for n in range(4)
    ]
    return [
        (await stores.profiles.create_link(stores.caller, demo.id, draft))[0] for draft in drafts
    ]


async def click_links(stores: Stores, place: str, links: list[Link], ages: list[list[int]]) -> None:
    """Count clicks of links, of each at some ages in days, in the twin or in Postgres."""
    now = datetime.now(UTC)
    clicks = [
        click(
            link.id,
            round((now - timedelta(days=age)).timestamp() * 1e6),
            tenant_id=stores.caller.tenant_id,
            profile_id=link.profile_id,
        )
        for link, of_link in zip(links, ages, strict=True)
        for age in of_link
    ]
    if place:
        async with opened(place) as open_database:
            await fold(await open_database("waypost_aggregator"), clicks)
        return
    known = getattr(stores.profiles, "counted", [])
    stores.profiles.counted = [*known, *clicks]  # type: ignore[attr-defined]
    stores.profiles.clicks_in = lambda period: by_hand(known + clicks, period, None)  # type: ignore[attr-defined]


async def listed(stores: Stores, query: LinkQuery) -> list[tuple[str, int]]:
    """Return slugs and clicks of a question's links, read in pages of two."""
    profile: Profile = (await stores.profiles.list_profiles(stores.caller, 0, 1)).items[0]
    found: list[tuple[str, int]] = []
    after = 0
    for _ in range(9):
        page = await stores.profiles.list_links(stores.caller, profile.id, after, 2, query)
        found += [(link.slug, link.clicks.clicks) for link in page.items]
        if page.next_after is None:
            return found
        after = page.next_after
        query = query._replace(after_value=sort_value(page.items[-1], query.sort))
    raise AssertionError("the list has no end")


async def test_links_are_sorted_by_their_clicks_and_by_their_last_one(
    stores: Stores, place: str, links: list[Link]
) -> None:
    await click_links(stores, place, links, [[1, 40, 41], [9], [2, 3], []])
    days = {n: last_days(n) for n in (7, 30, 90)}
    most = LinkQuery(sort="clicks", descending=True)
    assert await listed(stores, most._replace(period=days[30])) == [
        ("s2", 2), ("s1", 1), ("s0", 1), ("s3", 0)
    ]  # fmt: skip
    assert (await listed(stores, most._replace(period=days[90])))[0] == ("s0", 3)
    few = LinkQuery(sort="clicks", period=days[7])
    assert await listed(stores, few) == [("s1", 0), ("s3", 0), ("s0", 1), ("s2", 2)]
    total = await listed(stores, most._replace(period=ALL_TIME))
    assert total == [("s1", 101), ("s0", 3), ("s2", 2), ("s3", 0)]
    last = LinkQuery(sort="last_click", descending=True, period=days[30])
    assert [slug for slug, _ in await listed(stores, last)] == ["s0", "s2", "s1", "s3"]
    assert await listed(stores, LinkQuery(text="s1", period=days[30])) == [("s1", 1)]
    link = await stores.profiles.link(stores.caller, links[3].id, ALL_TIME)
    assert link.clicks == LinkClickCounts()
    assert (await stores.profiles.link(stores.caller, links[0].id)).clicks is None


async def test_a_reset_lets_the_total_begin_at_0_and_leaves_what_happened(
    stores: Stores, place: str, links: list[Link]
) -> None:
    await click_links(stores, place, links, [[], [1, 2], [], []])
    period = last_days(7)
    reset, change = await stores.profiles.reset_counts(stores.caller, links[1].id)
    assert reset.clicks is not None
    assert (reset.clicks.clicks, reset.opening_clicks, reset.version) == (0, 0, 2)
    assert change.version == 6
    await click_links(stores, place, links, [[], [0], [], []])
    for asked, clicks in ((ALL_TIME, 1), (period, 3)):
        link = await stores.profiles.link(stores.caller, links[1].id, asked)
        assert link.clicks is not None
        assert link.clicks.clicks == clicks
    again, _ = await stores.profiles.reset_counts(stores.caller, links[1].id)
    assert again.clicks is not None
    assert again.clicks.clicks == 0
    with pytest.raises(NotFoundError):
        await stores.profiles.reset_counts(stores.other, links[1].id)
    with pytest.raises(ForbiddenError):
        await stores.profiles.reset_counts(stores.caller._replace(scopes=("read",)), links[1].id)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_more_clicks_than_can_be_read_are_refused(
    stores: Stores, place: str, links: list[Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    await click_links(stores, place, links, [[1], [1], [2], []])
    monkeypatch.setattr(module, "MAX_CLICKS", 2)
    monkeypatch.setattr(module, "CLICKS_IN_LOOP", 0)
    with pytest.raises(InvalidError, match="period: must be shorter"):
        await stores.profiles.link(stores.caller, links[0].id, ALL_TIME)
    link = await stores.profiles.link(stores.caller, links[0].id, last_days(2))
    assert link.clicks is not None
