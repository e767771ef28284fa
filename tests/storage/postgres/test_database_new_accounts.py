"""Limits of new accounts: exact at once, by whatever way they create, and only while they are new."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from api.http.problems import problem_of
from engine.accounts.access import Caller
from engine.common.errors import NewAccountError
from engine.links.domain import NewDomainDraft
from engine.links.imports.rows import RowReader
from engine.links.link import LinkDraft
from engine.links.ports import LinkChange
from engine.links.profile import ProfileDraft
from engine.operations.settings import Settings
from storage.links.domains import PostgresDomainStore
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection, Database
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase, Stores

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]
MOST = 5
LIMITED = Settings(
    new_account_days=7, new_account_links=MOST, new_account_domains=1, new_account_imports=1
)


@pytest.fixture
def place(database_url: str) -> str:
    return database_url


class World:
    """A limited app, and the profile of an account that is new."""

    def __init__(self, app: Database, workers: Database, stores: Stores) -> None:
        self.app, self.workers = app, workers
        self.profiles = PostgresProfileStore(app)
        self.me, self.operator = stores.other, stores.caller
        self.profile_id = 0

    async def begin(self, caller: Caller | None = None) -> None:
        draft = ProfileDraft(handle=f"h{(caller or self.me).tenant_id}")
        self.profile_id = (await self.profiles.create_profile(caller or self.me, draft)).id

    async def create(self, caller: Caller | None = None) -> None:
        draft = LinkDraft(target="https://a.example/")
        await self.profiles.create_link(caller or self.me, self.profile_id, draft)

    async def run(self, statement: str) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute("RESET ROLE")
            await connection.execute(statement)

        await self.workers.transaction(work)


@pytest.fixture
async def world(stores: Stores, open_database: OpenDatabase) -> World:
    app = await open_database("waypost_app", size=8, new_accounts=LIMITED.new_accounts)
    world = World(app, await open_database("waypost_aggregator"), stores)
    await world.begin()
    return world


async def refusals(calls: list[Callable[[], Awaitable[Any]]]) -> list[NewAccountError]:
    """Make calls at once. Returns the errors."""
    errors: list[NewAccountError] = []

    async def one(call: Callable[[], Awaitable[Any]]) -> None:
        try:
            await call()
        except NewAccountError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(one, call)
    return errors


async def test_simultaneous_creations_are_limited_exactly_and_deletions_do_not_help(
    world: World,
) -> None:
    errors = await refusals([world.create] * (MOST + 3))
    assert len(errors) == 3
    assert f"at most {MOST} links a day (UTC), until 2" in str(errors[0])
    assert 0 < errors[0].retry_after_s <= 86_400
    problem = problem_of(errors[0])
    assert problem is not None
    assert problem.status == 429
    links = (await world.profiles.list_links(world.me, world.profile_id, 0, 10)).items
    assert len(links) == MOST
    await world.profiles.delete_link(world.me, links[0].id)
    with pytest.raises(NewAccountError):
        await world.create()
    draft = LinkDraft(slug=links[1].slug, target="https://b.example/")
    await world.profiles.update_link(world.me, links[1].id, lambda _: draft)


async def test_each_way_of_creating_counts(world: World) -> None:
    drafts = [LinkDraft(target="https://a.example/")] * 3
    named = [LinkDraft(slug=f"s{n}", target="https://a.example/") for n in range(3)]

    def created(draft: LinkDraft) -> LinkChange:
        return LinkChange("create", lambda _: draft)

    def changes(drafts: list[LinkDraft]) -> list[LinkChange]:
        return [created(draft) for draft in drafts]

    await world.profiles.change_links(world.me, world.profile_id, changes(drafts))
    with pytest.raises(NewAccountError):
        await world.profiles.change_links(world.me, world.profile_id, changes(named))
    page = await world.profiles.list_links(world.me, world.profile_id, 0, 10)
    assert len(page.items) == 3  # all of a bulk change, or none
    handle = (await world.profiles.profile(world.me, world.profile_id)).handle
    reader = RowReader(handle, private_hosts=False)
    rows = [reader.row(n, {"slug": f"r{n}", "target": "https://a.example/"}) for n in range(3)]
    importer = PostgresLinkImporter(world.app)
    with pytest.raises(NewAccountError):
        await importer.import_rows(world.me, rows)
    assert (await importer.import_rows(world.me, rows[:2])).created == 2
    # Rows of links that exist create nothing.
    assert (await importer.import_rows(world.me, rows[:2])).created == 0
    domains = PostgresDomainStore(world.app)
    await domains.create_domain(world.me, world.profile_id, NewDomainDraft(host="a.example.com"))
    with pytest.raises(NewAccountError, match="at most 1 domains"):
        await domains.create_domain(
            world.me, world.profile_id, NewDomainDraft(host="b.example.com")
        )


async def test_another_day_and_an_older_account_are_free(world: World) -> None:
    for _ in range(MOST):
        await world.create()
    await world.run("UPDATE waypost.new_account_creations SET day = day - 1")
    for _ in range(MOST):
        await world.create()
    with pytest.raises(NewAccountError):
        await world.create()
    await world.run("UPDATE waypost.users SET created_at = created_at - interval '8 days'")
    await world.create()


async def test_the_operator_and_unlimited_engines_are_free(
    world: World, open_database: OpenDatabase
) -> None:
    await world.begin(world.operator)
    for _ in range(MOST + 1):
        await world.create(world.operator)
    assert json.loads(LIMITED.new_accounts)["links"] == MOST
    assert Settings().new_accounts == ""
    world.profiles = PostgresProfileStore(await open_database("waypost_app"))
    free = ProfileDraft(handle="free")
    world.profile_id = (await world.profiles.create_profile(world.me, free)).id
    for _ in range(MOST + 1):
        await world.create()
