"""Screening in Postgres: links with a bad target anywhere are quarantined, and released by the same rule."""

from types import SimpleNamespace
from typing import Any

import pytest

from actors.links.screening import Screening
from engine.experiments.experiment import ExperimentDraft, Variant
from engine.links.abuse.screening import START, verdict_of
from engine.links.link import Link, LinkDraft
from engine.links.profile import ProfileDraft
from engine.links.rules import LinkRule, RuleConditions
from engine.links.targets.blocklist import Blocklist
from engine.links.targets.target_policy import TargetPolicy
from storage.experiments.rows import definition
from storage.links.abuse.reports import PostgresReportStore
from storage.links.abuse.screening import PostgresScreeningStore
from storage.postgres.database import Connection, Database
from storage.visits.domains import PostgresDomainSource
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase, Stores

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]
CONTEXT: Any = SimpleNamespace(stopping=False)
BAD, GOOD = "https://x.bad.example/", "https://good.example/"
LISTED = TargetPolicy(blocklists=(Blocklist(frozenset({"bad.example"})),))
CLEAN = TargetPolicy()


class World:
    """A profile of the second tenant, screened with a policy that the test sets."""

    def __init__(self, stores: Stores, workers: Database) -> None:
        self.stores = stores
        self.policy, self.complete = LISTED, True
        self.screening = Screening(
            PostgresScreeningStore(workers), self._read, lambda: self.complete
        )
        self.profile_id = 0

    async def _read(self) -> TargetPolicy:
        return self.policy

    async def link(self, slug: str, target: str = GOOD, **options: Any) -> Link:
        me = self.stores.other
        if not self.profile_id:
            draft = ProfileDraft(handle="shop")
            self.profile_id = (await self.stores.profiles.create_profile(me, draft)).id
        draft_ = LinkDraft(slug=slug, target=target, **options)
        return (await self.stores.profiles.create_link(me, self.profile_id, draft_))[0]

    async def screen(self, policy: TargetPolicy) -> dict[str, str]:
        """Screen, and return the rules by slug of the links that are quarantined."""
        self.policy = policy
        await self.screening.run(CONTEXT)
        page = await self.stores.profiles.list_links(self.stores.other, self.profile_id, 0, 100)
        return {
            link.slug: link.engine_quarantine.rule
            for link in page.items
            if link.engine_quarantine is not None
        }


@pytest.fixture
def place(database_url: str) -> str:
    return database_url


@pytest.fixture
async def world(stores: Stores, open_database: OpenDatabase) -> World:
    return World(stores, await open_database("waypost_aggregator"))


async def test_a_bad_target_anywhere_quarantines_until_it_is_off_the_list(
    world: World, open_database: OpenDatabase
) -> None:
    rules = (LinkRule(when=RuleConditions(device=("phone",)), target=BAD),)
    await world.link("own", BAD)
    await world.link("fallback", fallback_target=BAD)
    await world.link("ruled", rules=rules)
    await world.link("mine", BAD, quarantined=True)
    tested = await world.link("tested")
    await world.link("clean")
    app = await open_database("waypost_app")

    async def add_experiment(connection: Connection) -> None:
        draft = ExperimentDraft(
            name="a", kind="destination", link_id=tested.id,
            variants=(Variant(name="a", weight=0.5, target=GOOD), Variant(name="b", weight=0.5, target=BAD)),
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO experiments (tenant_id, profile_id, link_id, definition) VALUES ($1, $2, $3, $4)",
            world.stores.other.tenant_id, world.profile_id, tested.id, definition(draft),
        )  # fmt: skip

    await app.transaction(add_experiment, caller=world.stores.other)
    quarantined = dict.fromkeys(("own", "fallback", "ruled", "mine", "tested"), "blocklist")
    assert await world.screen(LISTED) == quarantined
    version = (await world.stores.profiles.profile(world.stores.other, world.profile_id)).version
    world.screening._last_policy = None
    assert await world.screen(LISTED) == quarantined
    profile = await world.stores.profiles.profile(world.stores.other, world.profile_id)
    assert profile.version == version  # nothing changed
    world.complete = False
    assert await world.screen(CLEAN) == quarantined
    world.complete = True
    assert await world.screen(CLEAN) == {}
    mine = (await world.stores.snapshots.find([b"/mine"]))[0]
    assert mine is not None
    obeyed = {
        each.slug: each.options is not None and each.options.quarantined for each in mine.links
    }
    assert obeyed == {"mine": True} | dict.fromkeys(
        ("own", "fallback", "ruled", "tested", "clean"), False
    )


async def test_the_hourly_look_releases_what_a_member_has_mended(world: World) -> None:
    link = await world.link("a", BAD)
    assert await world.screen(LISTED) == {"a": "blocklist"}
    draft = LinkDraft(slug="a", target=GOOD)
    await world.stores.profiles.update_link(world.stores.other, link.id, lambda _: draft)
    await world.link("b", BAD)  # not before the next look at all links
    assert await world.screen(LISTED) == {}
    assert world.screening.changes == {"blocklist": 1, "lookalike": 0, "released": 1}


async def test_the_operators_review_wins_until_the_targets_change(
    world: World, open_database: OpenDatabase
) -> None:
    link = await world.link("a", BAD)
    assert await world.screen(LISTED) == {"a": "blocklist"}
    operator = PostgresReportStore(await open_database("waypost_app"))
    await operator.review(world.stores.caller, link.id, None)
    world.screening._last_policy = None
    assert await world.screen(LISTED) == {}
    draft = LinkDraft(slug="a", target=BAD + "other")
    await world.stores.profiles.update_link(world.stores.other, link.id, lambda _: draft)
    world.screening._last_policy = None
    assert await world.screen(LISTED) == {"a": "blocklist"}
    await operator.review(world.stores.caller, link.id, "by hand")
    assert await world.screen(CLEAN) == {"a": "operator"}


@pytest.mark.parametrize("decision", ["quarantine", "release", "change"])
async def test_a_verdict_on_a_link_that_was_decided_on_meanwhile_changes_nothing(
    world: World, open_database: OpenDatabase, decision: str
) -> None:
    link = await world.link("a", BAD)
    store = PostgresScreeningStore(await open_database("waypost_aggregator"))
    operator = PostgresReportStore(await open_database("waypost_app"))
    if decision == "quarantine":
        assert await world.screen(LISTED) == {"a": "blocklist"}
    (seen,) = await store.links(START, 10, quarantined_only=False)
    verdict = verdict_of(seen, CLEAN if decision == "quarantine" else LISTED, releases=True)
    assert verdict is not None
    if decision == "change":
        draft = LinkDraft(slug="a", target=GOOD)
        await world.stores.profiles.update_link(world.stores.other, link.id, lambda _: draft)
    else:
        reason = "by hand" if decision == "quarantine" else None
        await operator.review(world.stores.caller, link.id, reason)
    assert await store.quarantine([verdict]) == []
    stored = (await world.stores.profiles.link(world.stores.other, link.id)).engine_quarantine
    assert (stored and stored.rule) == ("operator" if decision == "quarantine" else None)


async def test_a_domain_leads_nobody_to_a_blocked_target(
    world: World, open_database: OpenDatabase
) -> None:
    await world.link("a")
    app, edge = await open_database("waypost_app"), await open_database("waypost_edge")
    workers = await open_database("waypost_aggregator")

    async def add(connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO domains (tenant_id, profile_id, host, root_target, not_found_target, token, slot) "
            "VALUES ($1, $2, 'links.example', $3, $4, md5('a'), 1)",
            world.stores.other.tenant_id, world.profile_id, BAD, GOOD,
        )  # fmt: skip

    async def verify(connection: Connection) -> None:
        await connection.execute("UPDATE domains SET state = 'verified'")

    await app.transaction(add, caller=world.stores.other)
    await workers.transaction(verify)
    source = PostgresDomainSource(edge)

    async def led() -> tuple[bytes, bytes]:
        (domain,) = (await source.domains(10)).values()
        return domain.root_target, domain.not_found_target

    assert await led() == (BAD.encode(), GOOD.encode())
    await world.screen(LISTED)
    assert await led() == (b"", GOOD.encode())
    await world.screen(CLEAN)
    assert await led() == (BAD.encode(), GOOD.encode())
