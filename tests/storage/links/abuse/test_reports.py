"""Reports of links, in memory and in Postgres: once a reporter, bounded, reviewed by the operator."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from engine.common.errors import LostUpdateError, NotFoundError
from engine.links.abuse.report import MAX_REPORTS, ReportSink, ReportStore
from engine.links.link import Link, LinkDraft
from engine.links.link_query import LinkQuery
from engine.links.profile import ProfileDraft
from storage.links.abuse.memory_reports import MemoryReports
from storage.links.abuse.reports import PostgresReports, PostgresReportStore, ReportPurge
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.database import Connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase, Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)
FROM = 3
REVIEWED = "a copy of a bank's page"


class World(NamedTuple):
    sink: ReportSink
    store: ReportStore
    stores: Stores

    async def link(self, slug: str = "spring") -> Link:
        """Return a link of the stranger's, who is no operator."""
        me = self.stores.other
        profile = await self.stores.profiles.create_profile(me, ProfileDraft(handle=f"h-{slug}"))
        draft = LinkDraft(slug=slug, target="https://bank.example/")
        return (await self.stores.profiles.create_link(me, profile.id, draft))[0]

    async def report(self, link: Link, reporter: int, details: str = "") -> bool:
        tenant = self.stores.other.tenant_id
        return await self.sink.report(tenant, link.id, reporter.to_bytes(8), "phishing", details)

    async def rule(self, link: Link) -> str | None:
        """Return the rule that quarantines a link, after comparing it with what an edge obeys."""
        stored = await self.stores.profiles.link(self.stores.other, link.id)
        (snapshot,) = await self.stores.snapshots.find([f"/{link.slug}".encode()])
        assert snapshot is not None
        options = snapshot.links[0].options
        is_warned = options is not None and options.quarantined
        assert is_warned == (stored.engine_quarantine is not None)
        assert not stored.quarantined
        query = LinkQuery(state="quarantined" if is_warned else "active")
        listed = await self.stores.profiles.list_links(
            self.stores.other, link.profile_id, 0, 10, query
        )
        assert [each.engine_quarantine for each in listed.items] == [stored.engine_quarantine]
        return None if stored.engine_quarantine is None else stored.engine_quarantine.rule


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        memory = MemoryReports(stores.profiles, quarantine_from=FROM)
        yield World(memory, memory, stores)
        return
    async with opened(place) as open_database:
        edge = PostgresReports(await open_database("waypost_edge"), FROM)
        yield World(edge, PostgresReportStore(await open_database("waypost_app")), stores)


async def test_a_reporter_counts_once_and_enough_of_them_quarantine(world: World) -> None:
    link = await world.link()
    for reporter in (1, 1, 1, 2):
        assert await world.report(link, reporter, f"words of {reporter}")
    assert await world.rule(link) is None
    assert await world.report(link, 3)
    assert await world.rule(link) == "reports"
    assert await world.report(link, 4)
    operator = world.stores.caller
    (shown,) = (await world.store.reported_links(operator, 0, 10)).items
    assert (shown.id, shown.slug, shown.target) == (link.id, "spring", "https://bank.example/")
    assert (shown.reports, shown.categories) == (4, {"phishing": 4})
    assert shown.details == ("words of 2", "words of 1")
    assert "3 visitors" in shown.engine_quarantine.reason
    reports = await world.store.list_reports(world.stores.other, link.id, 0, 3)
    assert [each.category for each in reports.items] == ["phishing"] * 3
    more = await world.store.list_reports(world.stores.other, link.id, reports.next_after or 0, 3)
    assert len(more.items) == 1


async def test_a_release_is_a_review_that_holds_for_its_targets(world: World) -> None:
    link, operator = await world.link(), world.stores.caller
    for reporter in range(FROM):
        await world.report(link, reporter)
    assert await world.rule(link) == "reports"
    await world.store.review(operator, link.id, None)
    assert await world.rule(link) is None
    assert (await world.store.reported_links(operator, 0, 10)).items == []
    reports = (await world.store.list_reports(world.stores.other, link.id, 0, 10)).items
    assert all(each.reviewed_at is not None for each in reports)
    for reporter in range(10, 10 + FROM):
        await world.report(link, reporter)
    assert await world.rule(link) is None
    draft = LinkDraft(slug="spring", target="https://other.example/")
    await world.stores.profiles.update_link(world.stores.other, link.id, lambda _: draft)
    await world.report(link, 20)
    assert await world.rule(link) == "reports"


async def test_a_link_that_leads_elsewhere_by_now_is_not_reviewed(world: World) -> None:
    link, operator = await world.link(), world.stores.caller
    await world.report(link, 1)
    (seen,) = (await world.store.reported_links(operator, 0, 10)).items
    assert seen.version == link.version
    draft = LinkDraft(slug="spring", target="https://other.example/")
    changed, _ = await world.stores.profiles.update_link(
        world.stores.other, link.id, lambda _: draft
    )
    for reason in (None, REVIEWED):
        with pytest.raises(LostUpdateError, match=str(changed.version)):
            await world.store.review(operator, link.id, reason, seen.version)
    assert await world.rule(link) is None
    assert len((await world.store.reported_links(operator, 0, 10)).items) == 1
    await world.store.review(operator, link.id, REVIEWED, changed.version)
    assert await world.rule(link) == "operator"


async def test_the_operator_quarantines_and_no_member_lifts_it(world: World) -> None:
    link, operator, member = await world.link(), world.stores.caller, world.stores.other
    await world.report(link, 1)
    await world.store.review(operator, link.id, REVIEWED)
    assert await world.rule(link) == "operator"
    assert (await world.store.reported_links(operator, 0, 10)).items == []
    draft = LinkDraft(slug="spring", target="https://other.example/", quarantined=False)
    changed, _ = await world.stores.profiles.update_link(member, link.id, lambda _: draft)
    assert changed.engine_quarantine is not None
    assert changed.engine_quarantine.reason == REVIEWED
    assert await world.rule(link) == "operator"
    version = changed.version
    await world.store.review(operator, link.id, REVIEWED)
    assert (await world.stores.profiles.link(member, link.id)).version == version


async def test_only_the_operator_reviews_and_only_members_read(world: World) -> None:
    link, member = await world.link(), world.stores.other
    await world.report(link, 1)
    assert (await world.store.reported_links(member, 0, 10)).items == []
    for reason in (None, REVIEWED):
        with pytest.raises(NotFoundError):
            await world.store.review(member, link.id, reason)
    assert await world.rule(link) is None
    with pytest.raises(NotFoundError):
        await world.store.list_reports(world.stores.caller, link.id, 0, 10)
    with pytest.raises(NotFoundError):
        await world.store.review(world.stores.caller, 2**62, None)
    await world.stores.profiles.delete_link(member, link.id)
    assert not await world.report(link, 2)
    assert (await world.store.reported_links(world.stores.caller, 0, 10)).items == []


@pytest.mark.parametrize("place", [pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
async def test_reports_are_bounded_told_by_events_and_logged(
    open_database: OpenDatabase, stores: Stores
) -> None:
    edge, workers = await open_database("waypost_edge"), await open_database("waypost_aggregator")
    world = World(PostgresReports(edge, FROM), PostgresReportStore(edge), stores)
    link, member = await world.link(), stores.other

    async def subscribe(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO webhooks (tenant_id, profile_id, url, event_types, slot) "
            "VALUES ($1, $2, 'https://example.com/', '{link.*,report.*}', 1)",
            member.tenant_id,
            link.profile_id,
        )

    app = await open_database("waypost_app")
    await app.transaction(subscribe, caller=member)

    async def reported(connection: Connection) -> list[str]:
        events = await connection.fetch("SELECT type FROM events ORDER BY id")
        return [row["type"] for row in events]

    for reporter in range(FROM):
        await world.report(link, reporter)
    types = await workers.transaction(reported)
    assert types.count("report.created") == FROM
    assert types.count("link.quarantined") == 1

    async def logged(connection: Connection) -> list[tuple[str, str]]:
        rows = await connection.fetch(
            "SELECT before -> 'engine_quarantine' AS before, after -> 'engine_quarantine' ->> 'rule' AS rule "
            "FROM audit_log WHERE action = 'link.updated'"
        )
        return [(row["before"], row["rule"]) for row in rows]

    (entry,) = await app.transaction(logged, caller=member)
    assert entry == ("null", "reports")

    async def fill(connection: Connection) -> None:
        await connection.execute(
            "SELECT report_link($1, $2, int8send(n), 'spam', '', 0) FROM generate_series(100, 2000) AS n",
            member.tenant_id,
            link.id,
        )

    await edge.transaction(fill)
    assert not await world.report(link, 5000)

    async def kept(connection: Connection) -> int:
        return int(await connection.fetchval("SELECT count(*) FROM link_reports"))

    assert await workers.transaction(kept) == MAX_REPORTS
    await ReportPurge(workers).purge()
    assert await workers.transaction(kept) == MAX_REPORTS
