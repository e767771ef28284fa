"""Addresses of visitors: the contract of their stores, on Postgres and on the twin."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from engine.accounts.access import Caller
from engine.common.errors import ForbiddenError, NotFoundError
from engine.links.profile import ProfileDraft
from engine.pages import subscriber as limits
from engine.pages.subscriber import SubscriberStore, SubscriptionSink, UnconfirmedAddresses
from storage.bridge import in_asyncio
from storage.links.memory_profiles import MemoryProfiles
from storage.pages import memory_subscribers
from storage.pages.memory_subscribers import MemorySubscribers
from storage.pages.subscribers import (
    PostgresSubscriberStore,
    PostgresSubscriptions,
    PostgresUnconfirmedAddresses,
)
from storage.postgres.database import Database
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)


class World:
    """The three ports over one state, with a profile."""

    def __init__(
        self,
        stores: Stores,
        profile_id: int,
        memory: MemorySubscribers | None = None,
        databases: tuple[Database, ...] = (),
        url: str = "",
    ) -> None:
        self.me, self.other = stores.caller, stores.other
        self.profile_id = profile_id
        self.key = stores.caller.tenant_id, profile_id
        self.stores = stores
        self.memory = memory
        self.now = datetime(2026, 3, 15, tzinfo=UTC)
        self.url = url
        if memory is not None:
            self.members: SubscriberStore = memory
            self.visitors: SubscriptionSink = memory
            self.workers: UnconfirmedAddresses = memory
            return
        app, edge, worker = databases
        self.members, self.visitors = PostgresSubscriberStore(app), PostgresSubscriptions(edge)
        self.purging = self.workers = PostgresUnconfirmedAddresses(worker)

    async def sql(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        """Run a statement as the login user, who sees all rows."""

        async def connected() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.url, server_settings={"search_path": "waypost"})
            try:
                return [tuple(row) for row in await connection.fetch(statement, *arguments)]
            finally:
                await connection.close()

        return await in_asyncio(connected)

    async def due(self) -> list[int]:
        """Return the requests that jobs would mail, one for each mail."""
        if self.memory is not None:
            due, self.memory.due = self.memory.due, []
            return [id_ for _, id_ in due]
        rows = await self.sql(
            "DELETE FROM jobs WHERE kind = $1 AND profile_id = $2 RETURNING payload ->> 'request_id'",
            limits.CONFIRM_JOB,
            self.profile_id,
        )
        return [int(str(id_)) for (id_,) in rows]

    async def listed(self, caller: Caller | None = None) -> list[tuple[str, str]]:
        page = await self.members.list_subscribers(caller or self.me, self.profile_id, 0, 100)
        return [(each.block, each.email) for each in page.items]


@pytest.fixture
async def world(place: str, stores: Stores) -> AsyncIterator[World]:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        twin = MemorySubscribers(stores.profiles, lambda: made.now)
        made = World(stores, profile.id, twin)
        yield made
        return
    async with opened(place) as open_database:
        databases = (
            await open_database("waypost_app"),
            await open_database("waypost_edge"),
            await open_database("waypost_aggregator"),
        )
        yield World(stores, profile.id, None, databases, place)


async def test_an_address_is_on_the_list_once_it_is_confirmed(world: World) -> None:
    visitors, key = world.visitors, world.key
    assert await visitors.request(*key, "b1", "v@example.com") == "waiting"
    assert await world.listed() == []
    (id_,) = await world.due()
    address = await world.workers.unconfirmed(*key, id_)
    assert address == ("v@example.com", "ada")
    assert await visitors.confirm(*key, id_ + 1) == "gone"
    assert await visitors.confirm(world.other.tenant_id, world.profile_id, id_) == "gone"
    for _ in range(2):  # a link that is opened again says the same
        assert await visitors.confirm(*key, id_) == "confirmed"
        assert await world.listed() == [("b1", "v@example.com")]
    assert await world.workers.unconfirmed(*key, id_) is None


async def test_one_link_leaves_the_list_before_and_after_it_is_confirmed(world: World) -> None:
    visitors, key = world.visitors, world.key
    await visitors.request(*key, "b1", "v@example.com")
    (id_,) = await world.due()
    await visitors.unsubscribe(*key, id_)
    assert await visitors.confirm(*key, id_) == "gone"
    await visitors.request(*key, "b1", "v@example.com")
    (id_,) = await world.due()
    await visitors.confirm(*key, id_)
    # Whoever enters the address again gets a mail whose links are good for the one on the list.
    await visitors.request(*key, "b1", "v@example.com")
    assert await world.due() == [id_]
    await visitors.unsubscribe(world.other.tenant_id, world.profile_id, id_)
    assert await world.listed() == [("b1", "v@example.com")]
    await visitors.unsubscribe(*key, id_)
    await visitors.unsubscribe(*key, id_)
    assert await world.listed() == []
    assert await world.workers.unconfirmed(*key, id_) is None


async def test_a_mail_s_link_leaves_a_list_whose_form_asks_for_no_mail_any_more(
    world: World,
) -> None:
    visitors, key = world.visitors, world.key
    await visitors.request(*key, "b1", "v@example.com")
    (id_,) = await world.due()
    await visitors.subscribe(*key, "b1", "v@example.com")
    assert await visitors.confirm(*key, id_) == "confirmed"
    assert await world.listed() == [("b1", "v@example.com")]
    await visitors.unsubscribe(*key, id_)
    assert await world.listed() == []


async def test_an_address_gets_few_mails_an_hour_and_nobody_learns_whether_it_is_known(
    world: World,
) -> None:
    visitors, key = world.visitors, world.key
    for number in range(limits.MAX_MAILS_OF_ADDRESS + 2):
        block = f"b{number % 2}"  # the limit is of the address, in whichever form
        assert await visitors.request(*key, block, "v@example.com") == "waiting"
        assert len(await world.due()) == (number < limits.MAX_MAILS_OF_ADDRESS)
    await visitors.subscribe(*key, "b1", "known@example.com")
    assert await visitors.request(*key, "b1", "known@example.com") == "waiting"
    assert len(await world.due()) == 1
    world.now += timedelta(hours=1, seconds=1)
    if world.memory is None:
        await world.sql(
            "UPDATE subscription_requests SET mailed_at = "
            "ARRAY(SELECT at - interval '61 minutes' FROM unnest(mailed_at) AS m (at))",
        )
    assert await visitors.request(*key, "b1", "v@example.com") == "waiting"
    assert len(await world.due()) == 1


async def test_a_profile_sends_so_many_mails_an_hour(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if world.memory is None:
        await world.sql(
            "INSERT INTO subscription_requests (tenant_id, profile_id, email, block, mailed_at) "
            "SELECT $1, $2, 'v' || n || '@example.com', 'b1', ARRAY[now()] FROM generate_series(1, $3) AS n",
            *world.key,
            limits.MAX_MAILS_OF_PROFILE - 1,
        )
    else:
        monkeypatch.setattr(memory_subscribers, "MAX_MAILS_OF_PROFILE", 1)
    assert await world.visitors.request(*world.key, "b1", "last@example.com") == "waiting"
    for address in ("last@example.com", "next@example.com"):
        assert await world.visitors.request(*world.key, "b1", address) == "busy"


async def test_a_full_list_says_the_same_of_every_address(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors, key = world.visitors, world.key
    await visitors.request(*key, "b1", "waits@example.com")
    (waiting,) = await world.due()
    await visitors.subscribe(*key, "b1", "v1@example.com")
    if world.memory is None:
        await world.sql(
            "INSERT INTO page_subscribers (tenant_id, profile_id, block, email) "
            "SELECT $1, $2, 'b1', 'v' || n || '@example.com' FROM generate_series(2, $3) AS n",
            *key,
            limits.MAX_SUBSCRIBERS,
        )
    else:
        monkeypatch.setattr(memory_subscribers, "MAX_SUBSCRIBERS", 1)
    for address in ("v1@example.com", "new@example.com"):
        assert await visitors.subscribe(*key, "b1", address) is False
        assert await visitors.request(*key, "b1", address) == "full"
    assert await visitors.confirm(*key, waiting) == "full"


async def test_strangers_and_editors_see_no_address(world: World) -> None:
    await world.visitors.subscribe(*world.key, "b1", "v@example.com")
    page = await world.members.list_subscribers(world.me, world.profile_id, 0, 10)
    (subscriber,) = page.items
    for caller, error in (
        (world.other, NotFoundError), (world.me._replace(scopes=("read", "write")), ForbiddenError),
    ):  # fmt: skip
        with pytest.raises(error):
            await world.listed(caller)
        with pytest.raises(error):
            await world.members.delete_subscriber(caller, world.profile_id, subscriber.id)
    await world.members.delete_subscriber(world.me, world.profile_id, subscriber.id)
    assert await world.listed() == []
    with pytest.raises(NotFoundError):
        await world.members.delete_subscriber(world.me, world.profile_id, subscriber.id)


async def test_a_profile_that_is_gone_takes_no_address(world: World) -> None:
    await world.visitors.request(*world.key, "b1", "v@example.com")
    (id_,) = await world.due()
    await world.stores.profiles.delete_profile(world.me, world.profile_id)
    assert await world.visitors.subscribe(*world.key, "b1", "v@example.com") is False
    assert await world.visitors.request(*world.key, "b1", "v@example.com") == "gone"
    assert await world.visitors.confirm(*world.key, id_) == "gone"
    assert await world.workers.unconfirmed(*world.key, id_) is None


async def test_an_address_that_nobody_confirms_is_deleted(world: World) -> None:
    if world.memory is not None:
        return  # the twin keeps it
    await world.visitors.request(*world.key, "b1", "v@example.com")
    await world.purging.purge()
    assert len(await world.sql("SELECT FROM subscription_requests")) == 1
    await world.sql(
        "UPDATE subscription_requests SET requested_at = requested_at - make_interval(secs => $1)",
        float(limits.UNCONFIRMED_KEPT_S),
    )
    await world.purging.purge()
    assert await world.sql("SELECT FROM subscription_requests") == []


async def test_the_secret_of_links_stays(world: World) -> None:
    secret = await world.visitors.token_secret()
    assert len(secret) > 10
    assert await world.workers.token_secret() == secret
